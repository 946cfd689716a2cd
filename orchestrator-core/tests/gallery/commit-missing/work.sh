mkdir -p src; echo a > src/a.txt
