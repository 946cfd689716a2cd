git mv src/old.txt other.txt; git add -A && git commit -qm work
