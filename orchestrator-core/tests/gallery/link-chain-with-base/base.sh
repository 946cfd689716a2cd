mkdir -p src/deep/er; echo a > src/deep/er/a.txt; ln -s deep/er src/there; ln -s there/../.. src/back
