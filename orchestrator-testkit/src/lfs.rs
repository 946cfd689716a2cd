//! Repositories with files of Git LFS. They need `git-lfs` on the `PATH`.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{Sandbox, git};

impl Sandbox {
    /// Lets the clone use Git LFS for these files, such as `*.bin`, and publishes the attributes.
    /// From then on what is published is uploaded as well.
    ///
    /// # Panics
    /// When there is no `git-lfs`.
    pub fn use_lfs(&self, pattern: &str) -> String {
        git(&self.repo(), &["lfs", "install", "--local"]);
        let attributes = format!("{pattern} filter=lfs diff=lfs merge=lfs -text\n");
        self.publish(&[(".gitattributes", &attributes)], "files of Git LFS")
    }

    /// All files of the remote's `main` as somebody else gets them: by a new clone and `git lfs
    /// pull`.
    ///
    /// # Panics
    /// When an object cannot be had.
    #[must_use]
    pub fn cloned_with_lfs(&self, settings: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let clone = tempfile::tempdir_in(self.path()).expect("a directory");
        let remote = self.remote();
        let remote = remote.to_str().expect("a path of text");
        let url = settings.first().copied().unwrap_or(remote);
        git(clone.path(), &["clone", "--quiet", url, "."]);
        git(clone.path(), &["lfs", "install", "--local"]);
        for setting in settings.iter().skip(1) {
            let (key, value) = setting.split_once('=').expect("a key and a value");
            git(clone.path(), &["config", key, value]);
        }
        git(clone.path(), &["lfs", "pull"]);
        let listed = git(clone.path(), &["ls-files", "-z"]);
        let read = |path: &str| (path.to_owned(), read(&clone.path().join(path)));
        listed.split_terminator('\0').map(read).collect()
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("can be read")
}
