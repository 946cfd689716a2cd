mkdir -p src; printf "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n" > src/a.txt; git add -A && git commit -qm work
