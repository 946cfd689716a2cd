mkdir -p src; echo x > src/Readme.md; git add -A && git commit -qm work
