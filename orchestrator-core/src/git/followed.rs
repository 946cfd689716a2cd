//! The target's history since we know it, so that where work branched off needs no walk of all that landed meanwhile.

use std::collections::HashSet;

use super::{GitError, Objects};
use crate::model::CommitId;

/// So many commits are walked at the most; where more are between, git's own way is taken.
const MOST: usize = 10_000;

/// All commits from the first tip that we saw to the last: each of them descends from the first, and none that does is left out of the
/// last's history.
#[derive(Debug, Default)]
pub(super) struct Followed {
    tip: Option<CommitId>,
    commits: HashSet<CommitId>,
}

impl Followed {
    /// Goes on to another tip. One that does not descend from the last begins anew.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub(super) fn follow(&mut self, objects: &Objects, tip: CommitId) -> Result<(), GitError> {
        if self.tip == Some(tip) {
            return Ok(());
        }
        let (mut left, mut new) = (vec![tip], HashSet::new());
        let (mut met, mut whole) = (false, true);
        while let Some(commit) = left.pop() {
            met |= self.tip == Some(commit);
            if self.commits.contains(&commit) || !new.insert(commit) {
                continue;
            }
            let parents = objects.parents(commit)?;
            // What does not come to where we began goes back behind it.
            whole &= !parents.is_empty() && new.len() <= MOST;
            if !whole {
                break;
            }
            left.extend(parents);
        }
        self.tip = Some(tip);
        if met && whole {
            self.commits.extend(new);
        } else {
            self.commits = HashSet::from([tip]);
        }
        Ok(())
    }

    /// Whether a commit is known to be in the history of the tip that was last gone on to.
    pub(super) fn has(&self, commit: CommitId) -> bool {
        self.commits.contains(&commit)
    }

    /// The newest commit of the target on the line that leads to `head`; `None` where there is no one line, or it comes from before.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub(super) fn branched_off(
        &self,
        objects: &Objects,
        head: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let mut at = head;
        for _ in 0..MOST {
            if self.commits.contains(&at) {
                return Ok(Some(at));
            }
            let [parent] = objects.parents(at)?[..] else {
                return Ok(None);
            };
            at = parent;
        }
        Ok(None)
    }
}
