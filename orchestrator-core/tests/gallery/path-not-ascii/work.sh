mkdir -p src; echo a > src/a.txt; echo x > "größe 1.txt"; git add -A && git commit -qm work
