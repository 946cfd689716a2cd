//! One look at all workspaces, which costs what has changed.
//!
//! For each workspace that lies there (none is remembered: they are found) a few stats tell whether its refs moved. Only
//! where they did is the head read, and followed to the last one, in process. Of what a worker can write nothing is opened but regular files,
//! and nothing is mapped into memory: no workspace keeps the others from being looked at.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{GitError, Objects, Workspace, Workspaces, lent::Lent};
use crate::model::{AttemptId, CommitId};

/// What one look saw of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Look {
    /// The attempt whose workspace it is.
    pub attempt: AttemptId,
    /// The head of the attempt's branch; `None` if it cannot be read.
    pub head: Option<CommitId>,
    /// Whether the worktree is on that branch.
    pub on_branch: bool,
    /// Whether the worker's directory is there.
    pub tree: bool,
    /// Whether the head, since it moved last, lacks commits that it had before.
    pub rewritten: bool,
    /// Whether its files could not be looked at when that was tried last, such as by [`Workspace::touched`]: something there would keep
    /// git waiting, or cannot be read.
    pub unreadable: bool,
    /// Whether anything but time differs from the last look.
    pub changed: bool,
}

/// When a file was last written, by what a stat tells; all zero if it is not there.
type Stamp = (i64, i64, u64, u64);

#[derive(Debug)]
struct Seen {
    /// Of HEAD, the branch and the packed refs.
    places: [PathBuf; 3],
    stamps: [Stamp; 3],
    workspace: Workspace,
    tree_at: PathBuf,
    tree: bool,
    look: Option<Look>,
}

/// Looks at all workspaces, again and again.
#[derive(Debug)]
pub struct Lookout {
    workspaces: Workspaces,
    /// Ours, from which all workspaces borrow.
    objects: Objects,
    seen: BTreeMap<AttemptId, Seen>,
    /// How the directory of workspaces was when its entries were read, if that tells whether they are still the same.
    listed: Option<Stamp>,
}

impl Lookout {
    /// Looks at these, which borrow from these objects of ours.
    #[must_use]
    pub fn new(workspaces: Workspaces, objects: Objects) -> Self {
        Self {
            workspaces,
            objects,
            seen: BTreeMap::new(),
            listed: None,
        }
    }

    /// One look. Blocks on the file system.
    ///
    /// # Errors
    /// When the directory of workspaces cannot be read.
    pub fn look(&mut self) -> Result<Vec<Look>, GitError> {
        // What is in a directory is what was in it when it was written last.
        let directory = stamp(self.workspaces.root());
        if self.listed.is_none_or(|listed| listed != directory) {
            let found = self.workspaces.discover()?;
            self.listed = settled(&directory).then_some(directory);
            // Both are in their order.
            let mut there = found.iter().map(|workspace| &workspace.attempt).peekable();
            self.seen.retain(|attempt, _| {
                while there.next_if(|other| *other < attempt).is_some() {}
                there.peek() == Some(&attempt)
            });
            for workspace in found {
                self.seen
                    .entry(workspace.attempt.clone())
                    .or_insert_with(|| Seen::nothing(workspace));
            }
        }
        Ok(self
            .seen
            .values_mut()
            .map(|seen| seen.look(&self.objects))
            .collect())
    }

    /// Says whether the files of a workspace could be looked at; told by the looks from now on, if it was looked at before.
    pub fn looked_whole(&mut self, attempt: &AttemptId, unreadable: bool) {
        let seen = self.seen.get_mut(attempt);
        if let Some(look) = seen.and_then(|seen| seen.look.as_mut()) {
            look.unreadable = unreadable;
        }
    }
}

impl Seen {
    /// Of a workspace that was not looked at yet.
    fn nothing(workspace: Workspace) -> Self {
        let repository = workspace.repository();
        let branch = workspace.attempt.branch().full();
        let places = [
            repository.join("worktrees/tree/HEAD"),
            repository.join(branch),
            repository.join("packed-refs"),
        ];
        let (tree_at, stamps) = (workspace.tree(), [Stamp::default(); 3]);
        Self {
            places,
            stamps,
            workspace,
            tree_at,
            tree: false,
            look: None,
        }
    }

    fn look(&mut self, ours: &Objects) -> Look {
        let stamps = self.places.each_ref().map(|place| stamp(place));
        let tree = self
            .tree_at
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_dir());
        if let Some(look) = &mut self.look
            && self.stamps == stamps
            && self.tree == tree
        {
            look.changed = false;
            return look.clone();
        }
        self.stamps = stamps;
        self.tree = tree;
        let head = self.workspace.head();
        let was = self.look.take();
        let moved = was
            .as_ref()
            .and_then(|was| was.head)
            .zip(head)
            .filter(|(from, to)| from != to);
        let rewritten = match moved {
            Some((from, to)) => self.has(ours, to, from) == Some(false),
            None => was.as_ref().is_some_and(|was| was.rewritten),
        };
        let look = Look {
            attempt: self.workspace.attempt.clone(),
            head,
            on_branch: self.workspace.on_branch(),
            tree,
            rewritten,
            unreadable: was.is_some_and(|was| tree && was.unreadable),
            changed: true,
        };
        self.look.insert(look).clone()
    }

    /// Whether a head of this workspace has a commit in its history.
    fn has(&self, ours: &Objects, head: CommitId, commit: CommitId) -> Option<bool> {
        let ours = ours.repository();
        Lent::of(&ours, &self.workspace.repository())?.has(head, commit)
    }
}

/// Whether what was written there is so long ago that another writing has another time: on an older kernel, times go by steps of some
/// milliseconds.
fn settled((seconds, ..): &Stamp) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    i64::try_from(now).is_ok_and(|now| now > *seconds + 1)
}

fn stamp(path: &Path) -> Stamp {
    let meta = path.symlink_metadata().ok();
    meta.map_or((0, 0, 0, 0), |meta| {
        (meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino())
    })
}
