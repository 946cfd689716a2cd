//! Where the person's repository keeps objects.

use std::path::{Path, PathBuf};

use crate::git::{GitError, Trusted};

/// Where a person's git-lfs keeps objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stores {
    /// The top of the repository's own store: `lfs.storage`, or `.git/lfs`.
    pub(super) own: Option<PathBuf>,
    /// The tops of those of repositories that it borrows from.
    pub(super) borrowed: Vec<PathBuf>,
}

impl Stores {
    /// Out of what `git lfs env` prints.
    fn parse(listed: &str) -> Self {
        let value = |key: &str| {
            listed
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        // Both name the directory `objects` of a store.
        let top = |objects: &str| Path::new(objects).parent().map(Path::to_owned);
        let borrowed = value("LocalReferenceDirs").unwrap_or_default();
        let borrowed = borrowed.split(", ").filter(|path| !path.is_empty());
        Self {
            own: value("LocalMediaDir").and_then(top),
            borrowed: borrowed.filter_map(top).collect(),
        }
    }

    /// All of them, the repository's own first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.own.iter().chain(&self.borrowed).map(PathBuf::as_path)
    }
}

impl Trusted {
    /// Where the person's git-lfs keeps objects.
    pub(super) async fn persons_stores(&self) -> Result<Stores, GitError> {
        let listed = self.user().call().args(["lfs", "env"]).text().await?;
        Ok(Stores::parse(&listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_read_from_what_git_lfs_prints() {
        let listed = "git-lfs/3.3.0\n\nLocalMediaDir=/r/.git/lfs/objects\nLocalReferenceDirs=/a/lfs/objects, /b/lfs/objects\n";
        let stores = Stores::parse(listed);
        let all: Vec<_> = stores.all().collect();
        assert_eq!(all, ["/r/.git/lfs", "/a/lfs", "/b/lfs"].map(Path::new));
        assert_eq!(Stores::parse("LocalReferenceDirs=\n"), Stores::default());
    }
}
