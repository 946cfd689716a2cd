mkdir -p src; echo a > src/a.txt; git add -A && git commit -qm work; ln -s /etc/hostname "$OUT/receipt.txt"
