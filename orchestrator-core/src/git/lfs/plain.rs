//! Files that were committed without the filter.

use super::scan::pointer_of;
use crate::{
    git::{GitError, Objects, Trusted},
    model::{BlobId, Change, CommitId, Finding, Mode, RepoPath, Severity},
};

impl Trusted {
    /// Changed files that the attributes give to the filter, and that are their content instead of
    /// a pointer to it.
    pub(super) async fn committed_as_they_are(
        &self,
        head: CommitId,
        changes: &[Change],
    ) -> Result<Vec<Finding>, GitError> {
        let changed: Vec<_> = changes
            .iter()
            .filter_map(|change| {
                let new = change.new.filter(|new| {
                    let old = change.old.map(|old| old.id);
                    matches!(new.mode, Mode::File | Mode::Executable) && old != Some(new.id)
                });
                Some((change.path.clone(), new?.id))
            })
            .collect();
        let plain = self
            .look(move |objects| {
                let mut plain = Vec::new();
                for (path, blob) in changed {
                    if is_content(objects, blob)? {
                        plain.push(path);
                    }
                }
                Ok(plain)
            })
            .await?;
        let given = self.given_to_lfs(self.tree_of(head)?, &plain).await?;
        let found = plain.into_iter().filter(|path| given.contains(path));
        let finding = |path: RepoPath| {
            let message = format!(
                "`.gitattributes` give it to Git LFS, and it was committed as it is, without git-lfs: \
                 `git add --renormalize -- '{path}'` with git-lfs installed, and `git commit --amend`"
            );
            Finding::new(Severity::Error, "lfs/plain", message).at(path)
        };
        Ok(found.map(finding).collect())
    }
}

/// Whether a file is something, and no pointer: git-lfs leaves an empty file empty.
fn is_content(objects: &Objects, blob: BlobId) -> Result<bool, GitError> {
    let sizes = objects.sizes(&[blob.0])?;
    Ok(sizes != [0] && pointer_of(objects, blob)?.is_none())
}
