mkdir -p src; for i in 1 2 3 4; do echo $i > src/$i; done; git add -A && git commit -qm work
