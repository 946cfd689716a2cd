mkdir -p src; echo a > src/a.txt; echo b > src/b.txt; git add -A && git commit -qm work
