seq 9 > theirs.txt
