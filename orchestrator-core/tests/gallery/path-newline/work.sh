mkdir -p src; echo a > src/a.txt; echo x > "a
b"; git add -A && git commit -qm work
