mkdir -p src/node_modules; echo a > src/a.txt; git add -A && git commit -qm one
git checkout -q -b side; echo x > src/node_modules/x.js; git add -A && git commit -qm two; git rm -q src/node_modules/x.js; git commit -qm three
git checkout -q attempt/A/1; echo b > src/b.txt; git add -A && git commit -qm four; git merge -q --no-edit side
