mkdir -p src; seq 9 > src/old.txt
