mkdir -p src; printf "<<<<<<< this\nis how a conflict looks\n" > src/marked.txt
