mkdir -p src; echo a > src/a.txt; echo x > other.txt; git add -A && git commit -qm one; echo y > other.txt; git commit -qam two
