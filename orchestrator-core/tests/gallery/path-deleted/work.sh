mkdir -p src; echo a > src/a.txt; git rm -q theirs.txt; git add -A && git commit -qm work
