mkdir -p docs/Guide; echo x > docs/Guide/b.md; printf x > "docs/$(printf "de\314\201ja\314\200").md"; git add -A && git commit -qm work
