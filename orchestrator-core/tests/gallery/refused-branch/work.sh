mkdir -p src; echo a > src/a.txt; git add -A && git commit -qm work; git checkout -q --detach; git branch -qD attempt/A/1
