//! Whether a submodule may be moved to a commit: others must be able to get it.

use super::{GitError, Trusted};
use crate::model::{CommitId, RepoPath};

/// What is known of a commit that a submodule is moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Its remote has it, on a branch or beneath a tag.
    InRemote,
    /// Its remote has it not.
    NotInRemote,
    /// That cannot be known, for this reason.
    Unknown(String),
}

impl Trusted {
    /// Looks whether the remote of the submodule at this path has a commit, and gets it if so. `None` where the target has no submodule
    /// there.
    ///
    /// # Errors
    /// When our own repositories cannot be read or made.
    pub(crate) async fn moved_submodule(
        &self,
        path: &RepoPath,
        commit: CommitId,
    ) -> Result<Option<Moved>, GitError> {
        let Some(module) = self.declared_at(path, commit).await? else {
            return Ok(None);
        };
        if let Err(error) = self.fetch_module(&module).await {
            return Ok(Some(Moved::Unknown(match error {
                GitError::Failed { stderr, .. } => stderr,
                error => error.to_string(),
            })));
        }
        let is_there = self.is_in_remote(&module).await?;
        Ok(Some(if is_there {
            Moved::InRemote
        } else {
            Moved::NotInRemote
        }))
    }
}
