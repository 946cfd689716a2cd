ln -s a.txt src/new; git add -A && git commit -qm work
