mkdir -p src; git mv theirs.txt src/mine.txt; git add -A && git commit -qm work
