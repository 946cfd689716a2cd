mkdir -p src; echo a > src/a.txt; sed -i "s/\[ \]/[x]/" ROADMAP.md; git add -A && git commit -qm work
