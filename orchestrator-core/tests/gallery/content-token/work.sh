mkdir -p src; printf "one\ntwo\nthree ghp_%s\n" 0123456789012345678901234567890123456789 > src/config.ini; git add -A && git commit -qm work
