mkdir -p src; echo a > src/a.txt; cp README.md keep; echo x >> README.md; git add -A :!keep && git commit -qm one; mv keep README.md; git add -A && git commit -qm two
