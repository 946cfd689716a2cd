mkdir -p src; echo a > src/a.txt; ln -s /etc/hosts src/old
