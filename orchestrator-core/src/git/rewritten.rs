//! A target that was rewritten (law 15): what it has dropped, and how work goes on without it.

use super::{GitError, Merge, Trusted, cli::Call, history::commits};
use crate::model::{AttemptId, Carried, CommitId, RepoPath, TreeId};

/// Tips that the target has dropped, each under its own id.
const DROPPED: &str = "refs/orchestrator/dropped";

/// Whether a commit is in the history of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// The other commit's history has it.
    Contained,
    /// It is not.
    Dropped,
    /// History is cut off (a shallow repository), and it is not in the part that is there.
    Unknown,
}

/// Where the own work of a head begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After commits that the target has, as far as is known.
    Kept,
    /// After this commit, which the target has dropped.
    Dropped(CommitId),
    /// After several commits that the target has dropped, of which this is one. None contains the
    /// others, so that the work cannot be told apart from them.
    Tangled(CommitId),
}

impl Trusted {
    /// Whether a commit is in the history of a tip.
    ///
    /// # Errors
    /// When the tip is not there.
    pub async fn ancestry(&self, tip: CommitId, commit: CommitId) -> Result<Ancestry, GitError> {
        if self.has(commit) && self.contains(tip, commit).await? {
            return Ok(Ancestry::Contained);
        }
        let is_shallow = self.dir().join("shallow").exists();
        Ok(if is_shallow {
            Ancestry::Unknown
        } else {
            Ancestry::Dropped
        })
    }

    /// Remembers a commit that the target had, so that no later work brings it back.
    ///
    /// # Errors
    /// When the ref cannot be written.
    pub(crate) async fn remember_dropped(&self, commit: CommitId) -> Result<(), GitError> {
        if !self.has(commit) {
            return Ok(());
        }
        for known in self.dropped()? {
            if self.contains(known, commit).await? {
                return Ok(());
            }
        }
        self.set_ref(&format!("{DROPPED}/{commit}"), commit).await
    }

    /// The tips that the target is known to have dropped, as far as they are here.
    pub(super) fn dropped(&self) -> Result<Vec<CommitId>, GitError> {
        let refs = self.objects().refs(DROPPED)?;
        let dropped = refs.into_iter().map(|(_, commit)| commit);
        Ok(dropped.filter(|commit| self.has(*commit)).collect())
    }

    /// Where the own work of a head begins that was made on `base`: after the newest commit in it
    /// that is or was the target's.
    ///
    /// # Errors
    /// When a commit is not there.
    pub async fn start_of(
        &self,
        tip: CommitId,
        base: CommitId,
        head: CommitId,
    ) -> Result<Start, GitError> {
        let mut gone = Vec::new();
        if self.ancestry(tip, base).await? == Ancestry::Dropped {
            gone.push(base);
        }
        for dropped in self.dropped()? {
            gone.extend(self.newest_within(tip, dropped, head).await?);
        }

        let Some(mut newest) = gone.first().copied() else {
            return Ok(Start::Kept);
        };
        for commit in &gone {
            if self.contains(*commit, newest).await? {
                newest = *commit;
            }
        }
        for commit in gone {
            if !self.contains(newest, commit).await? {
                return Ok(Start::Tangled(commit));
            }
        }
        Ok(Start::Dropped(newest))
    }

    /// The newest commit of a dropped tip's first-parent line, beyond what the target still has, that
    /// `head` contains. What came into that line by merges is the work of somebody, such as of an
    /// attempt that is made again.
    async fn newest_within(
        &self,
        tip: CommitId,
        dropped: CommitId,
        head: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let line = [
            "--first-parent".to_owned(),
            dropped.to_string(),
            format!("^{tip}"),
        ];
        for commit in self.call().args(["rev-list"]).args(line).commits().await? {
            if self.contains(head, commit).await? {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    /// Commits the changes from `start` to `head` on another commit, `onto`: one commit of ours,
    /// kept by a ref of the attempt. Paths in conflict are an answer. The same work gives the same
    /// commit. `subject` is the first line of its message; nothing else of a worker's is in it.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) async fn carry_over(
        &self,
        attempt: &AttemptId,
        subject: &str,
        start: CommitId,
        head: CommitId,
        onto: CommitId,
    ) -> Result<Result<Carried, Vec<RepoPath>>, GitError> {
        let date = date_of(self.call(), head).await?;

        // `git merge-tree` takes no merge base before 2.40, so both sides get a parent in common.
        let common = self
            .commit_tree(self.tree_of(start)?, None, "start", &date)
            .await?;
        let ours = self
            .commit_tree(self.tree_of(onto)?, Some(common), "onto", &date)
            .await?;
        let theirs = self
            .commit_tree(self.tree_of(head)?, Some(common), "work", &date)
            .await?;
        let tree = match self.merge(ours, theirs).await? {
            Merge::Clean(tree) => tree,
            Merge::Conflict(paths) => return Ok(Err(paths)),
        };

        let message = format!(
            "{}\n\nThe changes of attempt {} from {} to {}, committed by the orchestrator.\n",
            crate::model::clean(subject).replace('\n', " "),
            attempt.number,
            start.short(),
            head.short(),
        );
        let head = self.commit_tree(tree, Some(onto), &message, &date).await?;
        self.set_ref(&format!("{}/carried", Self::keep_refs(attempt)), head)
            .await?;
        let changes = self.changes(self.tree_of(onto)?, tree).await?;
        Ok(Ok(Carried {
            onto,
            head,
            tree,
            changes,
            left_out: Vec::new(),
        }))
    }

    async fn commit_tree(
        &self,
        tree: TreeId,
        parent: Option<CommitId>,
        message: &str,
        date: &str,
    ) -> Result<CommitId, GitError> {
        commit_tree(self.call(), tree, parent, message, date).await
    }

    /// The commit of a rewritten target that is the same landing as one that it has dropped: it
    /// bears the same id, and has the same tree or the same patch.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) async fn landed_again(
        &self,
        dropped: CommitId,
        tip: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        if !self.has(dropped) {
            return Ok(None);
        }
        let only = ["--no-walk".to_owned(), dropped.to_string()];
        let Some(landing) = commits(self.call(), &only).await?.pop() else {
            return Ok(None);
        };
        if landing.landing.is_none() {
            return Ok(None);
        }
        let above = [
            "--first-parent".to_owned(),
            tip.to_string(),
            format!("^{dropped}"),
        ];
        for commit in commits(self.call(), &above).await? {
            if commit.landing != landing.landing {
                continue;
            }
            let same = commit.tree == landing.tree
                || self.patch_id(commit.commit).await? == self.patch_id(dropped).await?;
            if same {
                return Ok(Some(commit.commit));
            }
        }
        Ok(None)
    }

    /// What a commit changes in its first parent, as git-patch-id(1) names it.
    async fn patch_id(&self, commit: CommitId) -> Result<String, GitError> {
        let call = self
            .call()
            .args(["diff-tree", "-p", "--no-ext-diff", "--no-textconv"]);
        let patch = call
            .args([format!("{commit}^1"), commit.to_string()])
            .bytes()
            .await?;
        self.call()
            .args(["patch-id", "--stable"])
            .input(patch)
            .text()
            .await
    }
}

/// When a commit was made, as a date of git's: what is made of it is the same each time.
pub(super) async fn date_of(call: Call<'_>, commit: CommitId) -> Result<String, GitError> {
    let show = call.args(["show", "--no-patch", "--format=@%ct +0000"]);
    show.args([commit.to_string()]).text().await
}

/// Commits a tree, in the repository of the call.
pub(super) async fn commit_tree(
    call: Call<'_>,
    tree: TreeId,
    parent: Option<CommitId>,
    message: &str,
    date: &str,
) -> Result<CommitId, GitError> {
    let call = call
        .var("GIT_AUTHOR_DATE", date)
        .var("GIT_COMMITTER_DATE", date);
    let call = call.args(["commit-tree", "-F", "-"]).input(message);
    let parent = parent.map(|parent| ["-p".to_owned(), parent.to_string()]);
    call.args(parent.into_iter().flatten())
        .args([tree.to_string()])
        .id()
        .await
}
