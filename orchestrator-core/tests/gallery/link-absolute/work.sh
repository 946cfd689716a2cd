mkdir -p src; ln -s /etc/passwd src/link; git add -A && git commit -qm work
