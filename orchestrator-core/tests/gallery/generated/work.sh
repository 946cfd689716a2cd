mkdir -p src/node_modules/x; echo x > src/node_modules/x/i.js; echo y > src/a.pyc; git add -A && git commit -qm work
