mkdir -p src; printf "key AKIA%s\n" ABCDEFGHIJKLMNOP > src/k
