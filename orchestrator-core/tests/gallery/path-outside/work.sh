mkdir -p src; echo a > src/a.txt; echo x > Makefile; git add -A && git commit -qm work
