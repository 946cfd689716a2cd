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

use crate::model::{AttemptId, RepoPath, TreeId};

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
        Self { root: state_dir.join("caches") }
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

    /// Puts cached directories into an exported tree. What the tree itself has at such a path wins.
    ///
    /// # Errors
    /// When files cannot be moved or copied; the gate can run all the same, cold.
    pub fn lend(&self, whose: &CacheOf, tree: TreeId, paths: &[RepoPath], into: &Path) -> io::Result<()> {
        let own = self.of(whose);
        if let CacheOf::Attempt(attempt) = whose {
            if !own.exists() && self.lane().exists() {
                // Whole or not at all: half a cache might be taken for one.
                let half = self.root.join(format!("{}.half", attempt.slug()));
                remove(&half)?;
                copy(&self.lane(), &half)?;
                fs::rename(&half, &own)?;
            }
            fs::create_dir_all(&own)?;
            let before = fs::read_to_string(self.trees(attempt)).unwrap_or_default();
            fs::write(self.trees(attempt), format!("{before}{tree}\n"))?;
        }
        paths.iter().try_for_each(|path| carry(&own, into, path))
    }

    /// Takes cached directories back out of the tree, for the next time.
    ///
    /// # Errors
    /// When they cannot be moved.
    pub fn take_back(&self, whose: &CacheOf, paths: &[RepoPath], from: &Path) -> io::Result<()> {
        let own = self.of(whose);
        fs::create_dir_all(&own)?;
        paths.iter().try_for_each(|path| carry(from, &own, path))
    }

    /// The attempt is over. Its cache becomes the lane's, if nothing but the landed tree has been in it.
    ///
    /// # Errors
    /// When files cannot be moved or removed.
    pub fn settle(&self, attempt: &AttemptId, landed: Option<TreeId>) -> io::Result<()> {
        let (own, lane) = (self.of(&CacheOf::Attempt(attempt.clone())), self.lane());
        let trees = fs::read_to_string(self.trees(attempt)).unwrap_or_default();
        let pure = landed.is_some_and(|landed| trees.lines().all(|tree| tree == landed.to_string()));
        if pure && own.exists() {
            remove(&lane)?;
            fs::rename(&own, &lane)?;
        }
        remove(&own)?;
        remove(&self.trees(attempt))
    }
}

/// Moves one cached directory, unless something is at its place already. Only real directories are moved, and only through
/// real directories: a gate may have left links.
fn carry(from: &Path, to: &Path, path: &RepoPath) -> io::Result<()> {
    let (from, to) = (beneath(from, path, false)?, beneath(to, path, true)?);
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    if is_dir(&from) && to.symlink_metadata().is_err() { fs::rename(from, to) } else { Ok(()) }
}

/// The path beneath a directory, if no link is on the way; its parents are made where `make` says so.
fn beneath(directory: &Path, path: &RepoPath, make: bool) -> io::Result<Option<PathBuf>> {
    let whole = directory.join(path.to_path());
    let parents: Vec<_> = whole.ancestors().skip(1).take_while(|parent| *parent != directory).collect();
    for parent in parents.into_iter().rev() {
        if make && parent.symlink_metadata().is_err() {
            fs::create_dir(parent)?;
        }
        if !is_dir(parent) {
            return Ok(None);
        }
    }
    Ok(Some(whole))
}

fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if is_dir(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Copies a file or directory to a place where nothing is: links as links, modes and times kept, and blocks shared where the
/// file system can.
///
/// # Errors
/// Of the first thing that cannot be copied, which it names; sockets and the like are among them.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
    let meta = from.symlink_metadata().map_err(named)?;
    if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).map_err(named)?, to).map_err(named)
    } else if meta.is_dir() {
        fs::create_dir(to).map_err(named)?;
        for entry in fs::read_dir(from).map_err(named)? {
            let entry = entry.map_err(named)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, meta.permissions()).map_err(named)
    } else if meta.is_file() {
        fs::copy(from, to).map_err(named)?;
        // Build tools compare times.
        let times = meta.modified().map(|time| fs::FileTimes::new().set_modified(time)).map_err(named)?;
        fs::File::open(to).and_then(|file| file.set_times(times)).map_err(named)
    } else {
        Err(io::Error::other(format!("{}: it is neither a file, a directory nor a link", from.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(digit: &str) -> TreeId {
        digit.repeat(40).parse().expect("an id")
    }

    /// Runs a gate that writes `content` into its cache, and returns what it found there.
    fn run(caches: &GateCaches, top: &Path, attempt: &AttemptId, digit: &str, content: &str) -> Option<String> {
        let (paths, exported) = (["build/target".parse().expect("a path")], top.join("tree"));
        let whose = CacheOf::Attempt(attempt.clone());
        fs::create_dir(&exported).expect("makes");
        caches.lend(&whose, tree(digit), &paths, &exported).expect("lends");
        let target = exported.join("build/target");
        let found = fs::read_to_string(target.join("file")).ok();
        fs::create_dir_all(&target).expect("makes");
        fs::write(target.join("file"), content).expect("writes");
        caches.take_back(&whose, &paths, &exported).expect("takes back");
        fs::remove_dir_all(&exported).expect("removes");
        found
    }

    #[test]
    fn what_an_attempt_leaves_is_its_own_until_just_that_tree_has_landed() {
        let dir = tempfile::tempdir().expect("a directory");
        let caches = GateCaches::beneath(dir.path());
        let [one, two, three, four] = ["R1#1", "R2#1", "R3#1", "R4#1"].map(|id| id.parse::<AttemptId>().expect("an id"));
        let run = |attempt, digit, content| run(&caches, dir.path(), attempt, digit, content);
        assert_eq!(run(&one, "1", "of one"), None);
        assert_eq!(run(&one, "1", "of one, again"), Some("of one".to_owned()));
        assert_eq!(run(&two, "2", "of two"), None, "not accepted yet");
        caches.settle(&one, Some(tree("1"))).expect("settles");
        assert_eq!(run(&three, "3", "rejected"), Some("of one, again".to_owned()));
        assert_eq!(run(&three, "4", "landed"), Some("rejected".to_owned()));
        caches.settle(&three, Some(tree("4"))).expect("settles");
        caches.settle(&two, None).expect("settles");
        assert_eq!(run(&four, "5", "x"), Some("of one, again".to_owned()), "another tree had been in it");
    }

    #[test]
    fn a_link_that_a_gate_leaves_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (caches, exported, outside) = (GateCaches::beneath(dir.path()), dir.path().join("tree"), dir.path().join("outside"));
        fs::create_dir_all(outside.join("target")).expect("makes");
        fs::create_dir(&exported).expect("makes");
        std::os::unix::fs::symlink(&outside, exported.join("build")).expect("links");
        let (whose, paths) = (CacheOf::Attempt("R1#1".parse().expect("an id")), ["build/target".parse().expect("a path")]);
        caches.take_back(&whose, &paths, &exported).expect("takes back");
        assert!(outside.join("target").exists());
    }

    #[test]
    fn a_copy_keeps_links_modes_and_times() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).expect("makes");
        fs::write(from.join("sub/run"), "x").expect("writes");
        fs::set_permissions(from.join("sub/run"), fs::Permissions::from_mode(0o750)).expect("sets the mode");
        std::os::unix::fs::symlink("nowhere", from.join("link")).expect("links");
        copy(&from, &to).expect("copies");
        let meta = |path: &Path| path.join("sub/run").metadata().map(|meta| (meta.permissions().mode(), meta.modified().ok())).ok();
        assert_eq!(meta(&from), meta(&to));
        assert_eq!(fs::read_link(to.join("link")).ok(), Some(PathBuf::from("nowhere")));
        rustix::fs::mknodat(rustix::fs::CWD, from.join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("makes a fifo");
        let error = copy(&from, &dir.path().join("again")).expect_err("refuses").to_string();
        assert!(error.ends_with("fifo: it is neither a file, a directory nor a link"), "{error}");
    }
}
