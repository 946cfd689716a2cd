mkdir -p docs/guide; echo a > docs/guide/a.md; printf x > "docs/$(printf "d\303\251j\303\240").md"
