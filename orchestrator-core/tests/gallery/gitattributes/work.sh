mkdir -p src; echo a > src/a.txt; echo "* filter=evil" > .gitattributes; git add -A && git commit -qm work
