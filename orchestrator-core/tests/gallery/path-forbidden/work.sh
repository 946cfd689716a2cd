mkdir -p src/legacy; echo x > src/legacy/x; git add -A && git commit -qm work
