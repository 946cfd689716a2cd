mkdir -p src; truncate -s 53000000 src/big.bin; git add -A && git commit -qm work
