//! Removing workspaces, with proof that nothing is lost (law 4).

use std::sync::PoisonError;

use super::host::Host;
use crate::{
    git::{GitError, Trusted, Workspace},
    model::{AttemptId, CommitId, WorkspaceFate, with_source},
    process::marked_since,
};

impl Host {
    /// Removes a workspace if that loses nothing; else says what it would lose (law 4). `carried`
    /// is the worker's head where its changes landed as a commit of ours.
    pub(super) async fn clean_up(
        &self,
        attempt: &AttemptId,
        tip: Option<CommitId>,
        carried: Option<CommitId>,
    ) -> WorkspaceFate {
        let workspace = self.workspaces.of(attempt);
        let settled = if workspace.root().exists() {
            self.try_clean_up(&workspace, tip, carried).await
        } else {
            self.finish_removal(&workspace, tip, carried).await
        };
        match settled {
            Ok(fate) => fate,
            Err(error) => WorkspaceFate::Kept {
                reason: with_source(&error),
            },
        }
    }

    /// A removal that was begun, and proven then, before we died: what is left of it is removed, and what keeps its work is said.
    async fn finish_removal(
        &self,
        workspace: &Workspace,
        tip: Option<CommitId>,
        carried: Option<CommitId>,
    ) -> Result<WorkspaceFate, GitError> {
        workspace.remove()?;
        let keeps = self.trusted.refs(&Trusted::keep_refs(&workspace.attempt))?;
        let mut kept = None;
        if let Some(last) = keeps.last() {
            let head = self.trusted.commit_of(last)?;
            let landed = carried == Some(head)
                || matches!(tip, Some(tip) if self.trusted.contains(tip, head).await?);
            if landed {
                self.trusted
                    .forget(&Trusted::keep_refs(&workspace.attempt))
                    .await?;
            } else {
                kept = Some(last.clone());
            }
        }
        let rescued = self
            .trusted
            .refs(&Workspace::rescue_ref(&workspace.attempt))?
            .pop();
        Ok(WorkspaceFate::Removed {
            kept: rescued.or(kept),
        })
    }

    async fn try_clean_up(
        &self,
        workspace: &Workspace,
        tip: Option<CommitId>,
        carried: Option<CommitId>,
    ) -> Result<WorkspaceFate, GitError> {
        let stays = |reason: String| Ok(WorkspaceFate::Kept { reason });
        if !workspace.is_ready() {
            // Half-made: no worker can have been in it.
            workspace.remove()?;
            return Ok(WorkspaceFate::Removed { kept: None });
        }
        let begun = self
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&workspace.attempt);
        let processes = marked_since(
            &format!("{}{}.", self.mark, workspace.attempt.slug()),
            begun,
        );
        if !processes.is_empty() {
            return stays(format!("{} of its processes live", processes.len()));
        }
        let survivors = self.survivors.living();
        if survivors > 0 {
            return stays(format!(
                "{survivors} processes of an earlier run live, and may be its own"
            ));
        }
        let Some(head) = workspace.head() else {
            return stays("its head cannot be read".to_owned());
        };
        if !workspace.on_branch() {
            return stays(format!(
                "its worktree is not on `{}`",
                workspace.attempt.branch()
            ));
        }
        let Some(tip) = tip else {
            return stays("the target's tip is not known".to_owned());
        };
        let keep = self.trusted.kept(&workspace.attempt, head)?;
        let keeps = self.trusted.refs(&Trusted::keep_refs(&workspace.attempt))?;
        let is_carried = carried == Some(head);
        let known = match keeps.last() {
            _ if keep.is_some() || self.trusted.has(head) => head,
            // Only its tree was taken in, which is that of our commit.
            Some(ours) if is_carried => self.trusted.commit_of(ours)?,
            Some(_) | None => {
                return stays(format!("its head {} was never taken in", head.short()));
            }
        };
        let landed = is_carried || self.trusted.contains(tip, head).await?;
        if !landed && keep.is_none() {
            return stays(format!("nothing keeps its head {}", head.short()));
        }
        if let Some((path, commit)) = workspace.only_in_modules().first() {
            return stays(format!(
                "commit {} of submodule `{path}` is nowhere else",
                commit.short()
            ));
        }
        // Where the directory itself is gone, by its worker's own hand, there is nothing left to keep.
        let gone = workspace
            .tree()
            .symlink_metadata()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let rescued = if gone {
            None
        } else {
            workspace
                .rescue(&self.trusted, known, &self.policy.limits)
                .await?
        };
        if let Some(left_out) = rescued
            .as_ref()
            .map(|rescued| &rescued.left_out)
            .filter(|left_out| !left_out.is_empty())
        {
            let names: Vec<_> = left_out.iter().take(5).map(ToString::to_string).collect();
            return stays(format!(
                "uncommitted work that cannot be kept elsewhere: {}",
                names.join(", ")
            ));
        }
        workspace.remove()?;
        if landed {
            self.trusted
                .forget(&Trusted::keep_refs(&workspace.attempt))
                .await?;
        }
        // What was rescued stands on the head, and so keeps that as well.
        let kept = rescued
            .map(|rescued| rescued.kept)
            .or(keep.filter(|_| !landed));
        Ok(WorkspaceFate::Removed { kept })
    }
}
