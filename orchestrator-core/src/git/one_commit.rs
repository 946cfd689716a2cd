//! Work of which only the history may not come in: its tree is taken in as one commit of ours.

use std::{fs, path::Path};

use super::{
    Ancestry, GitError, IngressLimits, Trusted,
    error::io_error,
    incoming::Incoming,
    rewritten::{commit_tree, date_of},
};
use crate::model::{BranchName, CommitId};

impl Trusted {
    /// Takes the tree of a branch of an attempt's repository in as one commit on `base`, under the
    /// ref `keep`. This is for a head that [`ingest`](Self::ingest) refuses because of what only
    /// earlier commits have, such as a large file. The same head gives the same commit. `subject` is
    /// the first line of its message. Gives the worker's head, and ours.
    ///
    /// `None`: the tree may not come in either, or it may have changes that are not the worker's:
    /// the target has dropped the base, or has known one of the commits in between.
    ///
    /// # Errors
    /// [`GitError`] when git fails, or our own repository cannot be written.
    pub(crate) async fn ingest_tree(
        &self,
        from: &Path,
        branch: &BranchName,
        keep: &str,
        base: CommitId,
        limits: IngressLimits,
        subject: &str,
    ) -> Result<Option<(CommitId, CommitId)>, GitError> {
        let whole = self.fetch_work(from, branch, false).await?;
        if !self.is_workers_own(&whole, base).await? {
            return Ok(None);
        }
        let worker_head = whole.head();
        let message = format!(
            "{}\n\nThe changes from {} to {}, committed by the orchestrator.\n",
            crate::model::clean(subject).replace('\n', " "),
            base.short(),
            worker_head.short(),
        );
        let date = date_of(self.git.with_dir(whole.dir()), worker_head).await?;
        let call = self.git.with_dir(whole.dir());
        let head = commit_tree(call, whole.tree()?, Some(base), &message, &date).await?;
        let reference = whole.dir().join(branch.full());
        let directory = reference.parent().unwrap_or(whole.dir());
        fs::create_dir_all(directory).map_err(io_error(directory))?;
        fs::write(&reference, format!("{head}\n")).map_err(io_error(&reference))?;

        // What does not belong to this one commit stays behind.
        let Ok(single) = self.fetch_work(whole.dir(), branch, true).await else {
            return Ok(None);
        };
        if !self.too_much(&single, base, limits).await?.is_empty() {
            return Ok(None);
        }
        self.accept(&single)?;
        self.set_ref(keep, head).await?;
        Ok(Some((worker_head, head)))
    }

    /// Whether all commits that a head has and its base has not are its worker's: the base is in the
    /// target, there is no merge, and the target has never had any of them.
    async fn is_workers_own(&self, whole: &Incoming, base: CommitId) -> Result<bool, GitError> {
        let tip = self.fetch_target().await?;
        if self.ancestry(tip, base).await? != Ancestry::Contained {
            return Ok(false);
        }
        let range = [format!("{base}..{}", whole.head())];
        let listed = self
            .git
            .with_dir(whole.dir())
            .args(["rev-list", "--parents"])
            .args(range)
            .transfers()
            .text()
            .await?;
        let mut expected = whole.head();
        for line in listed.lines() {
            let ids: Vec<CommitId> = line.split(' ').filter_map(|id| id.parse().ok()).collect();
            let [commit, parent] = ids[..] else {
                return Ok(false);
            };
            if commit != expected || self.was_targets(tip, commit).await? {
                return Ok(false);
            }
            expected = parent;
        }
        Ok(expected == base)
    }

    /// Whether the target has a commit, or had it once.
    async fn was_targets(&self, tip: CommitId, commit: CommitId) -> Result<bool, GitError> {
        if !self.has(commit) {
            return Ok(false);
        }
        if self.contains(tip, commit).await? {
            return Ok(true);
        }
        for dropped in self.dropped()? {
            if self.contains(dropped, commit).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
