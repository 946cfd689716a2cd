printf "more\n" >> src/marked.txt; git add -A && git commit -qm work
