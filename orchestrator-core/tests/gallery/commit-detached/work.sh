mkdir -p src; echo a > src/a.txt; git add -A && git commit -qm work; git switch -q --detach; echo b > src/b.txt; git add -A; git commit -qm more
