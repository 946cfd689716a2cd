mkdir -p src; echo a > src/README.md
