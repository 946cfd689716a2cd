mkdir -p src; echo a > src/a.txt; git checkout -q --orphan new; git add -A && git commit -qm work; git branch -qM new attempt/A/1
