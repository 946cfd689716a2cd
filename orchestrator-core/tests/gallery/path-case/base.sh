mkdir -p src; echo r > src/README.md
