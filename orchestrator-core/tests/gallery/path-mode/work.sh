mkdir -p src; echo a > src/a.txt; chmod +x run.sh; git add -A && git commit -qm work
