printf "key AKIA%s\n" QRSTUVWXYZ234567 >> src/k; git add -A && git commit -qm work
