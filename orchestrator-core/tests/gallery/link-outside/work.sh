mkdir -p src; ln -s ../../secret src/link; git add -A && git commit -qm work
