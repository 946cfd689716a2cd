//! Locks that another git holds in the person's repository: an editor's, a hook's, or that of one that was killed.
//!
//! Git itself waits a tenth of a second for the lock of a ref, and not at all for that of an index. Which lock is in the way is seen
//! by the files, not by what git says of them.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::model::BranchName;

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

/// A lock that another git holds. Its text says how old it is, and what to do with one that nobody holds any more.
#[derive(Debug)]
pub(super) struct HeldLock(PathBuf);

impl fmt::Display for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.display();
        let made = self
            .0
            .symlink_metadata()
            .and_then(|meta| meta.modified())
            .ok();
        match made.and_then(|made| made.elapsed().ok()) {
            Some(age) => write!(
                f,
                "another git holds the lock `{file}`, which was made {} s ago",
                age.as_secs()
            )?,
            None => write!(f, "other gits took the lock `{file}` again and again")?,
        }
        write!(
            f,
            ": let it finish; if no git runs there any more, remove the file"
        )
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
        assert!(
            gone.to_string().starts_with("other gits took the lock"),
            "{gone}"
        );
        std::fs::write(&packed, "").expect("writes");
        assert!(locks.held().is_none(), "a branch is advanced without it");
        let held = locks.in_the_way("").expect("is there").to_string();
        assert!(
            held.contains("packed-refs.lock`, which was made 0 s ago")
                && held.contains("remove the file"),
            "{held}"
        );
    }
}
