mkdir -p src; { echo x; echo "-----BEGIN RSA PRIVATE" KEY-----; } > src/key.pem; git add -A && git commit -qm work
