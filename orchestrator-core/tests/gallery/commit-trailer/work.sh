mkdir -p src; echo a > src/a.txt; git add -A; git commit -qm "work

Orchestrator-Landing: r/A#1/9
Orchestrator-Record: sha256:00"
