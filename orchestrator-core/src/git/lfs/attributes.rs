//! Which files the attributes of a tree give to the filter.

use std::collections::HashSet;

use crate::{
    git::{GitError, Trusted, error::io_error, output::split_nul},
    model::{RepoPath, TreeId},
};

impl Trusted {
    /// Those of these paths which the attributes of a tree give to the filter `lfs`. The paths need
    /// not be in the tree.
    ///
    /// # Errors
    /// As `git read-tree` and `git check-attr`.
    pub(super) async fn given_to_lfs(
        &self,
        tree: TreeId,
        paths: &[RepoPath],
    ) -> Result<HashSet<RepoPath>, GitError> {
        if paths.is_empty() {
            return Ok(HashSet::new());
        }
        // With an index, as every git can: `--source` came with 2.40.
        let scratch = tempfile::tempdir_in(self.dir()).map_err(io_error(self.dir()))?;
        let index = scratch.path().join("index");
        self.call()
            .var("GIT_INDEX_FILE", &index)
            .args(["read-tree"])
            .args([tree.to_string()])
            .run()
            .await?;
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(path.as_bytes());
            asked.push(0);
        }
        let listed = self
            .call()
            .var("GIT_INDEX_FILE", &index)
            .args(["check-attr", "--cached", "--stdin", "-z", "filter"])
            .input(asked)
            .bytes()
            .await?;
        let fields: Vec<_> = split_nul(&listed).collect();
        let given = fields
            .chunks_exact(3)
            .filter(|fields| fields[2] == b"lfs")
            .filter_map(|fields| RepoPath::from_bytes(fields[0]).ok());
        Ok(given.collect())
    }
}
