git rm -q src/there; ln -s . src/there; git add -A && git commit -qm work
