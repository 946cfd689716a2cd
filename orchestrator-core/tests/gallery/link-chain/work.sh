mkdir -p src/sub/deep; echo a > src/sub/deep/a.txt; ln -s sub/deep src/l1; ln -s ../.. src/sub/up; ln -s src/sub/up/../x src/out; ln -s sub/up/.. src/way; git add -A && git commit -qm work
