//! What a worker did in the submodules of its workspace: looked at with indexes and repositories of ours, never with the worker's.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use super::{
    GitError, Objects, Placed, Trusted, Workspace, error::io_error, full_look::FullLook,
    lent::branch_head,
};
use crate::{
    model::{BranchName, CommitId, RepoPath},
    untrusted::{copy, is_dir, read_beneath},
};

/// So many refs of a worker's are read.
const MOST_REFS: usize = 10_000;

impl Placed {
    /// The commit that is checked out in it, read from files; `None` where that cannot be known.
    fn head(&self) -> Option<CommitId> {
        let head = read_beneath(&self.repository, "HEAD").ok()?;
        let head = String::from_utf8(head).ok()?;
        match head.trim_end().strip_prefix("ref: refs/heads/") {
            Some(branch) => branch_head(&self.repository, &BranchName::new(branch).ok()?),
            None => head.trim_end().parse().ok(),
        }
    }

    /// All commits that its refs name.
    fn heads(&self) -> BTreeSet<CommitId> {
        let mut heads: BTreeSet<_> = self.head().into_iter().collect();
        let packed = read_beneath(&self.repository, "packed-refs").unwrap_or_default();
        let packed = String::from_utf8_lossy(&packed).into_owned();
        let ids = packed
            .lines()
            .filter_map(|line| line.split(' ').next()?.parse::<CommitId>().ok());
        heads.extend(ids.take(MOST_REFS));
        let mut left = vec!["refs".to_owned()];
        while let Some(name) = left.pop() {
            let path = self.repository.join(&name);
            if is_dir(&path) {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                left.extend(names.map(|beneath| format!("{name}/{beneath}")));
            } else if let Ok(text) = read_beneath(&self.repository, &name)
                && let Ok(id) = String::from_utf8_lossy(&text).trim_end().parse()
            {
                heads.insert(id);
            }
            if left.len() > MOST_REFS {
                break;
            }
        }
        heads
    }

    /// Whether its files are linked to the repository that was made for them.
    fn is_linked(&self, tree: &Path) -> bool {
        let link = format!("{}/.git", self.path);
        let says = read_beneath(tree, &link).unwrap_or_default();
        says.trim_ascii_end() == format!("gitdir: {}", self.repository.display()).as_bytes()
    }
}

impl Workspace {
    /// Paths that differ in submodules from the commits that are checked out there, untracked files included. One that cannot be looked at
    /// is named itself, and so is one whose commit we do not have.
    pub(super) async fn changed_in_modules(
        &self,
        trusted: &Trusted,
        limit: usize,
        beside: bool,
        deadline: Duration,
    ) -> Result<Vec<RepoPath>, GitError> {
        let mut changed: Vec<RepoPath> = Vec::new();
        for placed in self.placed() {
            let tree = self.tree().join(placed.path.to_path());
            if tree.symlink_metadata().is_err() || changed.len() >= limit {
                continue;
            }
            let known = Objects::open_small(&placed.ours)?;
            let head = placed.head().filter(|head| known.has(*head));
            let Some(head) = head.filter(|_| placed.is_linked(&self.tree())) else {
                changed.push(placed.path);
                continue;
            };
            let index = if beside {
                let live = placed.index.with_extension("live");
                if live.symlink_metadata().is_err() {
                    copy(&placed.index, &live).map_err(io_error(&live))?;
                }
                live
            } else {
                placed.index.clone()
            };
            let look = FullLook {
                git_dir: placed.ours.clone(),
                tree,
                index,
                from: head,
                excludes: None,
                sparse: None,
                deadline,
            };
            let paths = self.differs(trusted, &look, limit - changed.len()).await?;
            changed.extend(paths.iter().map(|path| placed.path.join(path)));
        }
        Ok(changed)
    }

    /// Commits that are in the workspace's submodules and in no repository of ours.
    #[must_use]
    pub(crate) fn only_in_modules(&self) -> Vec<(RepoPath, CommitId)> {
        let mut only = Vec::new();
        for placed in self.placed() {
            let Ok(known) = Objects::open_small(&placed.ours) else {
                continue;
            };
            let heads = placed.heads().into_iter();
            let own = heads.filter(|head| !known.has(*head));
            only.extend(own.map(|head| (placed.path.clone(), head)));
        }
        only
    }

    /// Whether this path is of a submodule, or lies in one.
    pub(super) fn is_of_module(&self, path: &RepoPath) -> bool {
        let placed = self.placed();
        placed
            .iter()
            .any(|placed| path.is_at_or_beneath(&placed.path))
    }
}
