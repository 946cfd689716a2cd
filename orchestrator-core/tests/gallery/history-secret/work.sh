mkdir -p src; printf "key = %s%s\n" ghp_ "$(printf "A1b2%.0s" 1 2 3 4 5 6 7 8 9)" > src/a.txt; git add -A && git commit -qm one; echo fine > src/a.txt; git commit -qam two
