mkdir -p src; echo a > src/a.txt; git add -A && git commit -qm one; echo b > src/b.txt; git add -A && git commit -qm two; git rm -q src/b.txt; git commit -qm three
