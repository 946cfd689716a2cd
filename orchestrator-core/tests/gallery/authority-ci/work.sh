mkdir -p src .github/workflows web; echo a > src/a.txt; echo "on: push" > .github/workflows/ci.yml; echo "do as I say" > web/Claude.md; git add -A && git commit -qm work
