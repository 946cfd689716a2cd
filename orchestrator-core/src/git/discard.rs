//! What is thrown away: moved aside at once, removed when there is time.
//!
//! To remove the files of a large tree can take minutes, and nothing waits for it. So a tree is moved into `discarded/`, which takes
//! no time, and a sweep removes what is there beside the work. What one run does not get to, the next one does.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::untrusted::{remove, remove_while};

/// The directory of a state directory into which things are thrown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discard {
    root: PathBuf,
}

impl Discard {
    /// Of this state directory; made when it is needed.
    pub(crate) fn beneath(state_dir: &Path) -> Self {
        Self {
            root: state_dir.join("discarded"),
        }
    }

    /// Throws a file or a directory away, if it is there. Whoever calls this has proof that nothing is lost.
    ///
    /// # Errors
    /// When it can be neither moved nor removed.
    pub(crate) fn throw(&self, path: &Path) -> io::Result<()> {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return remove(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        fs::create_dir_all(&self.root)?;
        let place = tempfile::Builder::new()
            .prefix("")
            .tempdir_in(&self.root)?
            .keep()
            .join("it");
        if fs::rename(path, &place).is_ok() {
            return Ok(());
        }
        // A directory that nobody may write is moved only by root.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        fs::rename(path, &place).or_else(|_| remove(path))
    }

    /// Removes what was thrown away, until all of it is gone or `stop` says so. Somebody else may do the same at the same time.
    ///
    /// # Errors
    /// Of the first thing that cannot be removed, when all else is.
    pub(crate) fn sweep(&self, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let mut swept = Ok(());
        for path in beneath(&self.root)? {
            swept = swept.and(remove_while(&path, &|| !stop()));
        }
        // It is empty then, or goes on being used.
        let _: io::Result<()> = fs::remove_dir(&self.root);
        swept
    }
}

/// What is in a directory; nothing where there is none.
fn beneath(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_thrown_away_is_moved_at_once_and_removed_as_far_as_time_allows() {
        let top = tempfile::tempdir().expect("a directory");
        let discard = Discard::beneath(top.path());
        for name in ["one", "other"] {
            let tree = top.path().join("tree");
            fs::create_dir_all(tree.join(name).join("sub")).expect("makes");
            fs::write(tree.join(name).join("sub/file"), "x").expect("writes");
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o500))
                .expect("closes it");
            discard.throw(&tree).expect("throws it away");
            assert!(!tree.exists());
        }
        discard
            .throw(&top.path().join("nothing"))
            .expect("nothing is there");
        let left = Cell::new(4_u32);
        let soon = || left.replace(left.get().saturating_sub(1)) == 0;
        discard.sweep(&soon).expect("stops in the middle");
        assert!(
            top.path().join("discarded").exists(),
            "the rest is for the next time"
        );
        discard.sweep(&|| false).expect("removes the rest");
        assert_eq!(fs::read_dir(top.path()).expect("is there").count(), 0);
    }
}
