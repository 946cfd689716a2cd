mkdir -p src; head -c 11000000 /dev/zero > src/big.bin; git add -A && git commit -qm work
