//! Our repository, as ports may see it.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use crate::{
    git::Trusted,
    model::{BlobId, CommitId, PastChanges, RepoPath, TreeId, TreeShape},
    port::{ChangeView, ReviewError, SourceError, TreeView},
};

/// The largest file that a source may read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// A tree by path.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) trusted: Arc<Trusted>,
    pub(super) tree: TreeId,
    /// What it is, for messages.
    pub(super) name: String,
}

#[async_trait]
impl TreeView for Tree {
    fn revision(&self) -> String {
        self.name.clone()
    }

    async fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, SourceError> {
        let (objects, tree, path) = (self.trusted.objects().clone(), self.tree, path.clone());
        let read = move || -> Result<Option<Vec<u8>>, String> {
            let Some(blob) = objects
                .file(tree, &path)
                .map_err(|error| error.to_string())?
            else {
                return Ok(None);
            };
            let bytes = objects
                .blob(blob, MAX_FILE)
                .map_err(|error| error.to_string())?;
            bytes
                .map(Some)
                .ok_or_else(|| format!("{path} has more than {MAX_FILE} bytes"))
        };
        let joined = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| SourceError::Unavailable(error.to_string()))?;
        joined.map_err(SourceError::Unavailable)
    }
}

/// What reviewers may see of a change, read from our own repository.
#[derive(Debug)]
pub struct ChangeBetween {
    /// Where both commits are.
    pub trusted: Arc<Trusted>,
    /// What it began from.
    pub base: CommitId,
    /// What it came to.
    pub head: CommitId,
}

#[async_trait]
impl ChangeView for ChangeBetween {
    async fn blob(&self, id: BlobId, limit: u64) -> Result<Option<Vec<u8>>, ReviewError> {
        let objects = self.trusted.objects().clone();
        let read = tokio::task::spawn_blocking(move || objects.blob(id, limit)).await;
        read.map_err(unreadable)?.map_err(unreadable)
    }

    async fn shapes(&self) -> Result<[TreeShape; 2], ReviewError> {
        let onto = self
            .trusted
            .begins_on(self.base, self.head)
            .await
            .map_err(unreadable)?;
        let trees =
            [onto, self.head].map(|commit| self.trusted.tree_of(commit).map_err(unreadable));
        let [before, after] = trees;
        self.trusted
            .shapes(before?, after?)
            .await
            .map_err(unreadable)
    }

    async fn history(&self) -> Result<PastChanges, ReviewError> {
        self.trusted
            .history(self.base, self.head)
            .await
            .map_err(unreadable)
    }

    async fn diff(&self, path: &RepoPath) -> Result<Vec<u8>, ReviewError> {
        self.trusted
            .diff(self.base, self.head, path)
            .await
            .map_err(unreadable)
    }

    async fn export(&self, into: &Path) -> Result<(), ReviewError> {
        let tree = self.trusted.tree_of(self.head).map_err(unreadable)?;
        self.trusted.export(tree, into).await.map_err(unreadable)
    }
}

fn unreadable(error: impl std::fmt::Display) -> ReviewError {
    ReviewError::Unreadable(error.to_string())
}
