mkdir -p src; echo a > src/a.txt; echo x > src/AGENTS.md; echo x > .envrc; git add -A && git commit -qm work
