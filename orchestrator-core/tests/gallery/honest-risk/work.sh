mkdir -p src; echo a > src/a.txt; git add -A && git commit -qm work
