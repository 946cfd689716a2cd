//! Which commits are in the history of which.

use std::sync::{Arc, PoisonError};

use super::{GitError, Objects, TARGET, Trusted, cli::Call, parse::unexpected};
use crate::{model::CommitId, process::Exit};

impl Trusted {
    /// Whether one commit contains the other.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn contains(&self, commit: CommitId, ancestor: CommitId) -> Result<bool, GitError> {
        let followed = Arc::clone(&self.followed);
        let look = move |objects: &Objects| {
            if objects.named(TARGET)? == Some(commit) {
                let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
                followed.follow(objects, commit)?;
                if followed.has(ancestor) {
                    return Ok(true);
                }
            }
            Ok(objects.line(ancestor, commit)?.is_some())
        };
        // gix was seen to miss an ancestor where commits have been made within one second.
        let ask = || {
            self.call()
                .args(["merge-base", "--is-ancestor"])
                .args([ancestor.to_string(), commit.to_string()])
        };
        Ok(self.look(look).await? || ask().holds().await?)
    }

    /// The best common ancestor of the target's tip and a commit; `None` if they have none.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn branched_off(
        &self,
        tip: CommitId,
        commit: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let followed = Arc::clone(&self.followed);
        let look = move |objects: &Objects| {
            let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.follow(objects, tip)?;
            followed.branched_off(objects, commit)
        };
        if let Some(known) = self.look(look).await? {
            return Ok(Some(known));
        }
        merge_base(self.call(), tip, commit).await
    }
}

/// The best common ancestor of two commits that the repository of the call has; `None` if they have none.
pub(super) async fn merge_base(
    call: Call<'_>,
    one: CommitId,
    other: CommitId,
) -> Result<Option<CommitId>, GitError> {
    let call = call.args(["merge-base"]);
    let answer = call
        .args([one.to_string(), other.to_string()])
        .answer()
        .await?;
    match answer.exit {
        Exit::Code(0) => {
            let said = answer.text();
            let id = said.parse().map_err(|_| unexpected("merge-base", &said))?;
            Ok(Some(id))
        }
        Exit::Code(1) => Ok(None),
        Exit::Code(_) | Exit::Signal(_) => Err(answer.failed("merge-base")),
    }
}
