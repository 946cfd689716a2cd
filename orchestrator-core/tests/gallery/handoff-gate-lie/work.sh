mkdir -p src; echo a > src/a.txt; echo x > src/red; git add -A && git commit -qm work
