//! Checkouts that hold a part of the tree (git-sparse-checkout(1)): the person's, and workspaces that are as sparse.

use std::{collections::BTreeSet, path::Path};

use super::{GitError, GitVersion, Trusted, UserRepository, error::io_error, output::split_nul};
use crate::model::RepoPath;

/// The oldest git that tells which paths a sparse checkout has.
const OLDEST: GitVersion = GitVersion(2, 41, 0);

/// Which part of a tree is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Whether the patterns name whole directories.
    cone: bool,
    /// As in `info/sparse-checkout`.
    pub(super) patterns: Vec<u8>,
}

impl Sparse {
    /// As a section of a configuration file.
    pub(super) fn section(&self) -> String {
        let cone = self.cone;
        format!(
            "[core]\n\tsparseCheckout = true\n\tsparseCheckoutCone = {cone}\n[index]\n\tsparse = false\n"
        )
    }
}

impl UserRepository {
    /// How sparse the person's checkout is; `None` if it is whole.
    ///
    /// # Errors
    /// [`GitError::Repository`] when git is too old to work with it, and when the patterns cannot be read.
    pub(crate) async fn sparse(&self) -> Result<Option<Sparse>, GitError> {
        let Some(root) = self.root() else {
            return Ok(None);
        };
        if self.flag("core.sparseCheckout").await? != Some(true) {
            return Ok(None);
        }
        if self.git().version() < OLDEST {
            return Err(GitError::Repository {
                path: root.display().to_string(),
                why: format!("it is sparse, and `setup.sparse` needs git {OLDEST} or newer"),
            });
        }
        let call = self
            .git()
            .call(root)
            .args(["rev-parse", "--path-format=absolute"]);
        let file = call
            .args(["--git-path", "info/sparse-checkout"])
            .text()
            .await?;
        let file = Path::new(&file);
        let patterns = std::fs::read(file).map_err(io_error(file))?;
        let cone = self.flag("core.sparseCheckoutCone").await?.unwrap_or(false);
        Ok(Some(Sparse { cone, patterns }))
    }

    async fn flag(&self, key: &str) -> Result<Option<bool>, GitError> {
        let place = self.root().unwrap_or(self.git_dir());
        let call = self
            .git()
            .call(place)
            .args(["config", "--type=bool", "--get", key]);
        let answer = call.answer().await?;
        Ok(match answer.stdout.trim_ascii() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        })
    }
}

impl Trusted {
    /// Those of these paths that a checkout with the patterns in this file leaves out.
    pub(super) async fn left_out(
        &self,
        patterns: &Path,
        paths: &[RepoPath],
    ) -> Result<BTreeSet<RepoPath>, GitError> {
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(path.as_bytes());
            asked.push(0);
        }
        let call = self
            .call()
            .args(["sparse-checkout", "check-rules", "-z", "--no-cone"]);
        let call = call.args(["--rules-file"]).args([patterns]).input(asked);
        let listed = call.bytes().await?;
        let kept: BTreeSet<_> = split_nul(&listed).collect();
        let is_left_out = |path: &&RepoPath| !kept.contains(path.as_bytes());
        Ok(paths.iter().filter(is_left_out).cloned().collect())
    }
}
