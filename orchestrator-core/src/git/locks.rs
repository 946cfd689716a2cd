//! Locks that another git holds in the person's repository: an editor's, a hook's, or that of one that was killed.
//!
//! Git itself waits a tenth of a second for the lock of a ref, and not at all for that of an index. Which lock is in the way is seen
//! by the files, not by what git says of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::model::{BranchName, RefusalCause};

/// The first pause before a lock is looked at again; doubled each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The lock files that advancing a branch may meet.
#[derive(Debug)]
pub(super) struct Locks {
    /// Those without which it cannot be done at all.
    needed: Vec<PathBuf>,
    /// Those that may be needed besides.
    others: Vec<PathBuf>,
}

impl Locks {
    /// Of a branch in the repository with this common git directory; `checkout` is the git directory of the worktree in which the
    /// branch is checked out.
    pub(super) fn of(common: &Path, checkout: Option<&Path>, branch: &BranchName) -> Self {
        let in_checkout = |names: &'static [&'static str]| {
            checkout
                .into_iter()
                .flat_map(|dir| names.iter().map(|name| dir.join(name)))
        };
        let reference = common.join(format!("{}.lock", branch.full()));
        let needed = in_checkout(&["index.lock", "HEAD.lock"])
            .chain([reference])
            .collect();
        let elsewhere = [
            "packed-refs.lock",
            "HEAD.lock",
            "config.lock",
            "shallow.lock",
            "reftable/tables.list.lock",
        ];
        let others = elsewhere.map(|name| common.join(name)).into_iter();
        Self {
            needed,
            others: others.chain(in_checkout(&["ORIG_HEAD.lock"])).collect(),
        }
    }

    /// One that is held now, of those that are needed.
    pub(super) fn held(&self) -> Option<HeldLock> {
        self.needed
            .iter()
            .find(|file| is_there(file))
            .cloned()
            .map(HeldLock)
    }

    /// One that was in the way of a call of git that failed: it is still there, or git named its file.
    pub(super) fn in_the_way(&self, complaint: &str) -> Option<HeldLock> {
        let named = |file: &&PathBuf| complaint.contains(&*file.to_string_lossy());
        let all = || self.needed.iter().chain(&self.others);
        all()
            .find(named)
            .or_else(|| all().find(|file| is_there(file)))
            .cloned()
            .map(HeldLock)
    }
}

fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

/// A lock that another git holds.
#[derive(Debug)]
pub(super) struct HeldLock(PathBuf);

impl HeldLock {
    /// As the cause of a refusal: with its file and, if it is still there, its age.
    pub(super) fn cause(&self) -> RefusalCause {
        let made = self.0.symlink_metadata().and_then(|meta| meta.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        RefusalCause::Locked {
            file: self.0.display().to_string(),
            age: age.map(|age| age.as_secs()),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_in_the_way_is_known_by_its_file_and_by_its_name_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (common, branch) = (directory.path(), "main".parse().expect("a branch"));
        let locks = Locks::of(common, Some(common), &branch);
        assert!(locks.held().is_none() && locks.in_the_way("fatal: something else").is_none());
        let packed = common.join("packed-refs.lock");
        let gone = locks
            .in_the_way(&format!("'{}': Datei existiert", packed.display()))
            .expect("was named");
        assert!(matches!(
            gone.cause(),
            RefusalCause::Locked { age: None, .. }
        ));
        std::fs::write(&packed, "").expect("writes");
        assert!(locks.held().is_none(), "a branch is advanced without it");
        let held = locks.in_the_way("").expect("is there");
        assert!(held.file().ends_with("packed-refs.lock"));
        assert!(matches!(
            held.cause(),
            RefusalCause::Locked { age: Some(0), .. }
        ));
    }
}
