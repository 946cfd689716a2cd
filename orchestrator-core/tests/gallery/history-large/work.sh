mkdir -p src; echo a > src/a.txt; head -c 11000000 /dev/zero > src/big.bin; git add -A && git commit -qm one; git rm -q src/big.bin; git commit -qm two
