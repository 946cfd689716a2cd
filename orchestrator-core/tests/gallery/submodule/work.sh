mkdir -p src; git init -q src/sub; git -C src/sub commit -q --allow-empty -m x; git -c advice.addEmbeddedRepo=false add src/sub; git commit -qm work
