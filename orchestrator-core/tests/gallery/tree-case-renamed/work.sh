git mv src/README.md src/Readme.md; git commit -qm work
