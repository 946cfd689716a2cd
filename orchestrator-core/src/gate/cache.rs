//! Build caches that gates find warm (law 8).
//!
//! ```text
//! caches/lane     what accepted work left                    ──── copied ────►  the first gate of an attempt
//! caches/R1-1     what this attempt left, for its next gates ◄─── moved back ── each gate of it
//!                                                            ──── moved ────►  caches/lane, when just that tree landed
//! ```
//!
//! A gate runs a worker's code, which can write anything into a cache. So nothing that an attempt left is seen by another one
//! before it is accepted: the lane's cache comes from runs on landed trees alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    model::{AttemptId, RepoPath, TreeId},
    untrusted::{copy, is_dir, place_beneath, read_small, remove, write_new},
};

/// All caches of a state directory.
#[derive(Debug, Clone)]
pub struct GateCaches {
    root: PathBuf,
}

/// Whose cache a gate uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheOf {
    /// An attempt's own.
    Attempt(AttemptId),
    /// The landing lane's: for trees that have landed.
    Lane,
}

impl GateCaches {
    /// Caches beneath this directory.
    #[must_use]
    pub fn beneath(state_dir: &Path) -> Self {
        Self {
            root: state_dir.join("caches"),
        }
    }

    fn lane(&self) -> PathBuf {
        self.root.join("lane")
    }

    fn of(&self, whose: &CacheOf) -> PathBuf {
        match whose {
            CacheOf::Attempt(attempt) => self.root.join(attempt.slug()),
            CacheOf::Lane => self.lane(),
        }
    }

    /// The trees that an attempt's cache has seen, one on a line.
    fn trees(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join(format!("{}.trees", attempt.slug()))
    }

    /// Puts cached directories into an exported tree. What the tree itself has at such a path wins. A cache that cannot be lent is
    /// thrown away.
    ///
    /// # Errors
    /// When files cannot be moved or copied; the gate can run all the same, cold.
    pub fn lend(
        &self,
        whose: &CacheOf,
        tree: TreeId,
        paths: &[RepoPath],
        into: &Path,
    ) -> io::Result<()> {
        let own = self.of(whose);
        let mut lent = Ok(());
        if let CacheOf::Attempt(attempt) = whose {
            if own.symlink_metadata().is_err() && is_dir(&self.lane()) {
                lent = self.copy_lane(attempt, &own);
            }
            make(&own)?;
            let before = self.seen(attempt);
            write_new(&self.trees(attempt), format!("{before}{tree}\n"))?;
        }
        let carried = lent.and_then(|()| paths.iter().try_for_each(|path| carry(&own, into, path)));
        carried.map_err(|error| thrown_away(&own, error))
    }

    /// Begins an attempt's cache with what the lane has. Whole or not at all: half a cache might be taken for one. One that cannot be
    /// copied would not be the next time either.
    fn copy_lane(&self, attempt: &AttemptId, own: &Path) -> io::Result<()> {
        let half = self.root.join(format!("{}.half", attempt.slug()));
        remove(&half)?;
        copy(&self.lane(), &half).map_err(|error| {
            let error = thrown_away(&half, error);
            thrown_away(&self.lane(), error)
        })?;
        fs::rename(&half, own)
    }

    /// Takes cached directories back out of the tree, for the next time. Where that is not possible, there is no cache the next time.
    ///
    /// # Errors
    /// When they cannot be moved.
    pub fn take_back(&self, whose: &CacheOf, paths: &[RepoPath], from: &Path) -> io::Result<()> {
        let own = self.of(whose);
        make(&own)?;
        let carried = paths.iter().try_for_each(|path| carry(from, &own, path));
        carried.map_err(|error| thrown_away(&own, error))
    }

    /// The attempt is over. Its cache becomes the lane's, if nothing but the landed tree has been in it.
    ///
    /// # Errors
    /// When files cannot be moved or removed.
    pub fn settle(&self, attempt: &AttemptId, landed: Option<TreeId>) -> io::Result<()> {
        let (own, lane) = (self.of(&CacheOf::Attempt(attempt.clone())), self.lane());
        let trees = self.seen(attempt);
        let pure =
            landed.is_some_and(|landed| trees.lines().all(|tree| tree == landed.to_string()));
        let replaced = if pure && is_dir(&own) {
            remove(&lane).and_then(|()| fs::rename(&own, &lane))
        } else {
            Ok(())
        };
        // Whatever became of the lane's, nothing of the attempt's stays.
        let removed = remove(&own).and(remove(&self.trees(attempt)));
        replaced.and(removed)
    }

    /// The trees that have been in an attempt's cache.
    fn seen(&self, attempt: &AttemptId) -> String {
        read_small(&self.trees(attempt)).map_or_else(
            |_| String::new(),
            |text| String::from_utf8_lossy(&text).into_owned(),
        )
    }
}

/// Makes a cache's directory, where none is.
fn make(cache: &Path) -> io::Result<()> {
    if !is_dir(cache) {
        remove(cache)?;
    }
    fs::create_dir_all(cache)
}

/// Removes a cache that is of no use; why it is not.
fn thrown_away(cache: &Path, why: io::Error) -> io::Error {
    match remove(cache) {
        Ok(()) => why,
        Err(error) => io::Error::new(
            why.kind(),
            format!("{why}; and {} stays: {error}", cache.display()),
        ),
    }
}

/// Moves one cached directory, unless something is at its place already. Only real directories are moved, and only through
/// real directories: a gate may have left links.
fn carry(from: &Path, to: &Path, path: &RepoPath) -> io::Result<()> {
    let (from, to) = (
        place_beneath(from, path, false)?,
        place_beneath(to, path, true)?,
    );
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(());
    };
    if is_dir(&from) && to.symlink_metadata().is_err() {
        fs::rename(from, to)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(digit: &str) -> TreeId {
        digit.repeat(40).parse().expect("an id")
    }

    /// Runs a gate that writes `content` into its cache, and returns what it found there.
    fn run(
        caches: &GateCaches,
        top: &Path,
        attempt: &AttemptId,
        digit: &str,
        content: &str,
    ) -> Option<String> {
        let (paths, exported) = (["build/target".parse().expect("a path")], top.join("tree"));
        let whose = CacheOf::Attempt(attempt.clone());
        fs::create_dir(&exported).expect("makes");
        caches
            .lend(&whose, tree(digit), &paths, &exported)
            .expect("lends");
        let target = exported.join("build/target");
        let found = fs::read_to_string(target.join("file")).ok();
        fs::create_dir_all(&target).expect("makes");
        fs::write(target.join("file"), content).expect("writes");
        caches
            .take_back(&whose, &paths, &exported)
            .expect("takes back");
        fs::remove_dir_all(&exported).expect("removes");
        found
    }

    #[test]
    fn what_an_attempt_leaves_is_its_own_until_just_that_tree_has_landed() {
        let dir = tempfile::tempdir().expect("a directory");
        let caches = GateCaches::beneath(dir.path());
        let [one, two, three, four] =
            ["R1#1", "R2#1", "R3#1", "R4#1"].map(|id| id.parse::<AttemptId>().expect("an id"));
        let run = |attempt, digit, content| run(&caches, dir.path(), attempt, digit, content);
        assert_eq!(run(&one, "1", "of one"), None);
        assert_eq!(run(&one, "1", "of one, again"), Some("of one".to_owned()));
        assert_eq!(run(&two, "2", "of two"), None, "not accepted yet");
        caches.settle(&one, Some(tree("1"))).expect("settles");
        assert_eq!(
            run(&three, "3", "rejected"),
            Some("of one, again".to_owned())
        );
        assert_eq!(run(&three, "4", "landed"), Some("rejected".to_owned()));
        caches.settle(&three, Some(tree("4"))).expect("settles");
        caches.settle(&two, None).expect("settles");
        assert_eq!(
            run(&four, "5", "x"),
            Some("of one, again".to_owned()),
            "another tree had been in it"
        );
    }

    #[test]
    fn a_link_that_a_gate_leaves_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (caches, exported, outside) = (
            GateCaches::beneath(dir.path()),
            dir.path().join("tree"),
            dir.path().join("outside"),
        );
        fs::create_dir_all(outside.join("target")).expect("makes");
        fs::create_dir(&exported).expect("makes");
        std::os::unix::fs::symlink(&outside, exported.join("build")).expect("links");
        let (whose, paths) = (
            CacheOf::Attempt("R1#1".parse().expect("an id")),
            ["build/target".parse().expect("a path")],
        );
        caches
            .take_back(&whose, &paths, &exported)
            .expect("takes back");
        assert!(outside.join("target").exists());
    }
}
