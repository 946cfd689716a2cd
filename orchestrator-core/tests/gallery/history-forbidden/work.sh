mkdir -p src; echo a > src/a.txt; echo x > other.txt; git add -A && git commit -qm one; git rm -q other.txt; git commit -qm two
