//! What the commits between base and head did that their difference does not show.

use std::collections::HashSet;

use super::{GitError, Objects, Start, Trusted, trees::kind_of};
use crate::model::{Change, CommitId, Entry, PastChange, PastChanges, RepoPath, TreeId};

/// So many changes of paths are looked at in one history. Objects can be few where their trees are exchanged again and again.
const MOST: usize = 500_000;

impl Trusted {
    /// The commit of the target that a worker's own commits are on: what is below it is the target's, whatever of it was merged
    /// after the base.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub(crate) async fn begins_on(
        &self,
        base: CommitId,
        head: CommitId,
    ) -> Result<CommitId, GitError> {
        let tip = self.tip()?.unwrap_or(base);
        match self.start_of(tip, base, head).await? {
            Start::Dropped(start) => Ok(start),
            // Where the target has the head already, somebody pushed it: what it does is reviewed all the same.
            Start::Kept | Start::Tangled(_) => Ok(self
                .branched_off(tip, head)
                .await?
                .filter(|own| *own != head)
                .unwrap_or(base)),
        }
    }

    /// What commits before the head did that the difference between base and head does not show. Of a merge, only what it has from
    /// none of its parents and not from the target counts.
    ///
    /// # Errors
    /// When an object cannot be read, or there is more than can be looked at.
    pub async fn history(&self, base: CommitId, head: CommitId) -> Result<PastChanges, GitError> {
        let onto = self.begins_on(base, head).await?;
        let mut commits = self.own_commits(base, onto, head).await?;
        commits.reverse();
        let tip = self.tip()?.filter(|_| onto != base);
        self.look(move |objects| {
            let changes = if commits.len() > 1 {
                past_changes(objects, &commits, onto, tip, head)?
            } else {
                Vec::new()
            };
            Ok(PastChanges { onto, changes })
        })
        .await
    }

    /// The worker's own commits, newest first.
    async fn own_commits(
        &self,
        base: CommitId,
        onto: CommitId,
        head: CommitId,
    ) -> Result<Vec<CommitId>, GitError> {
        if let Some(line) = self.look(move |objects| objects.line(onto, head)).await? {
            return Ok(line);
        }
        let mut call = self
            .call()
            .args(["rev-list", "--topo-order"])
            .args([head.to_string()]);
        call = call.args([format!("^{base}"), format!("^{onto}")]);
        // A target that has the head has all of them.
        if let Some(tip) = self.tip()?
            && !self.contains(tip, head).await?
        {
            call = call.args([format!("^{tip}")]);
        }
        call.transfers().commits().await
    }
}

/// How paths were in these commits, oldest first, where neither the base nor the head has them so.
fn past_changes(
    objects: &Objects,
    commits: &[CommitId],
    onto: CommitId,
    tip: Option<CommitId>,
    head: CommitId,
) -> Result<Vec<PastChange>, GitError> {
    let before = objects.tree_of(onto)?;
    let target = tip.map(|tip| objects.tree_of(tip)).transpose()?;
    let last = objects.differences(before, objects.tree_of(head)?)?;
    let mut known: HashSet<_> = last
        .into_iter()
        .map(|change| (change.path, change.new))
        .collect();
    let mut past = Vec::new();
    let mut looked_at = 0;
    for commit in commits {
        let changes = own_changes(objects, *commit, target)?;
        looked_at += changes.len();
        if looked_at > MOST {
            let why = format!(
                "its history changes more than {MOST} paths: `git reset --soft {onto}`, and commit again"
            );
            return Err(GitError::Repository {
                path: format!("the head {}", head.short()),
                why,
            });
        }
        for Change { path, new, .. } in changes {
            let old = objects.entry(before, &path)?;
            if old != new && known.insert((path.clone(), new)) {
                past.push(PastChange {
                    commit: *commit,
                    change: Change {
                        path,
                        kind: kind_of(old, new),
                        old,
                        new,
                    },
                });
            }
        }
    }
    Ok(past)
}

/// What a commit has from none of its parents; of a merge, not from the target either.
fn own_changes(
    objects: &Objects,
    commit: CommitId,
    target: Option<TreeId>,
) -> Result<Vec<Change>, GitError> {
    let parents: Vec<_> = objects
        .parents(commit)?
        .into_iter()
        .map(|parent| objects.tree_of(parent))
        .collect::<Result<_, _>>()?;
    let mut changes = objects.compared(parents.first().copied(), objects.tree_of(commit)?)?;
    let [_, others @ ..] = &parents[..] else {
        return Ok(changes);
    };
    for other in others
        .iter()
        .chain(target.as_ref().filter(|_| !others.is_empty()))
    {
        changes = without(objects, changes, *other)?;
    }
    Ok(changes)
}

/// The changes that another tree does not have as well.
fn without(
    objects: &Objects,
    changes: Vec<Change>,
    other: TreeId,
) -> Result<Vec<Change>, GitError> {
    let has = |path: &RepoPath, entry: Option<Entry>| {
        objects.entry(other, path).map(|there| there == entry)
    };
    let mut own = Vec::new();
    for change in changes {
        if !has(&change.path, change.new)? {
            own.push(change);
        }
    }
    Ok(own)
}
