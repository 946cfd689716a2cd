//! Looking at objects in process, through gix.

use std::path::Path;

use super::GitError;
use crate::model::{BlobId, CommitId, Oid, RepoPath, TreeId};

/// The objects of one repository and of those that it borrows from. Opened with no configuration but the repository's own
/// format, and kept open: objects and packs that come later are seen.
#[derive(Clone)]
pub struct Objects {
    repository: gix::ThreadSafeRepository,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("path", &self.repository.path()).finish()
    }
}

/// Enough for a repository that gets a new pack with many of its fetches; gix's own default fails after some 300.
const PACK_SLOTS: u16 = 2048;

fn to_gix(id: Oid) -> gix::ObjectId {
    gix::ObjectId::from_bytes_or_panic(id.as_bytes())
}

impl Objects {
    /// Opens the objects of a git directory.
    ///
    /// # Errors
    /// [`GitError::Repository`] when gix cannot read it.
    pub fn open(git_dir: &Path) -> Result<Self, GitError> {
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .object_store_slots(gix::odb::store::init::Slots::Given(PACK_SLOTS));
        let repository = options.open(git_dir);
        let repository =
            repository.map_err(|error| GitError::Repository { path: git_dir.display().to_string(), why: error.to_string() })?;
        Ok(Self { repository })
    }

    /// How many commits `head` has that `base` has not, and the other way round.
    ///
    /// # Errors
    /// [`GitError::Object`] when a commit cannot be read.
    pub fn ahead_behind(&self, head: CommitId, base: CommitId) -> Result<(u32, u32), GitError> {
        let repository = self.repository.to_thread_local();
        let count = |tip: CommitId, hidden: CommitId| -> Result<u32, GitError> {
            let fail = |why: String| GitError::Object { id: tip.to_string(), why };
            let walk = repository.rev_walk([to_gix(tip.0)]).with_hidden([to_gix(hidden.0)]).all();
            walk.map_err(|error| fail(error.to_string()))?
                .try_fold(0, |count, step| step.map(|_| count + 1).map_err(|error| fail(error.to_string())))
        };
        if head == base { Ok((0, 0)) } else { Ok((count(head, base)?, count(base, head)?)) }
    }

    /// A blob's content, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`GitError::Object`] when it is not there or no blob.
    pub fn blob(&self, id: BlobId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        let repository = self.repository.to_thread_local();
        let fail = |why: String| GitError::Object { id: id.to_string(), why };
        let header = repository.find_header(to_gix(id.0)).map_err(|error| fail(error.to_string()))?;
        if header.kind() != gix::object::Kind::Blob {
            return Err(fail(format!("it is a {}", header.kind())));
        }
        if header.size() > limit {
            return Ok(None);
        }
        let object = repository.find_object(to_gix(id.0)).map_err(|error| fail(error.to_string()))?;
        Ok(Some(object.detach().data))
    }

    /// The blob of a file in a tree; `None` if there is no file at this path.
    ///
    /// # Errors
    /// [`GitError::Object`] when the tree cannot be read.
    pub fn file(&self, tree: TreeId, path: &RepoPath) -> Result<Option<BlobId>, GitError> {
        let repository = self.repository.to_thread_local();
        let fail = |why: String| GitError::Object { id: tree.to_string(), why };
        let object = repository.find_tree(to_gix(tree.0)).map_err(|error| fail(error.to_string()))?;
        let entry = object.lookup_entry_by_path(path.to_path()).map_err(|error| fail(error.to_string()))?;
        let blob = entry.filter(|entry| entry.mode().is_blob());
        blob.map(|entry| entry.object_id().to_string().parse().map_err(|error| fail(format!("{error}")))).transpose()
    }
}
