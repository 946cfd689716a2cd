//! Looking at objects and refs of our own repository in process, through gix: what is merely read costs no process.

use std::{fmt::Display, path::Path};

use gix::odb::store::init::Slots;

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
        f.debug_struct("Objects")
            .field("path", &self.repository.path())
            .finish()
    }
}

/// So many commits are followed one by one before a walk is begun that sees the whole graph.
const LINE: usize = 2000;
/// Enough for a repository that gets a new pack with many of its fetches; gix's own default fails after some 300.
const PACK_SLOTS: u16 = 2048;

pub(super) fn to_gix(id: Oid) -> gix::ObjectId {
    gix::ObjectId::from_bytes_or_panic(id.as_bytes())
}

pub(super) fn from_gix(id: &gix::oid) -> Oid {
    Oid::from_bytes(id.as_bytes()).expect("git has ids of 20 and of 32 bytes")
}

/// Says of an object or a ref why it cannot be read.
pub(super) fn unreadable<E: Display>(id: impl Display) -> impl FnOnce(E) -> GitError {
    move |why| GitError::Object {
        id: id.to_string(),
        why: why.to_string(),
    }
}

/// The commits that `head` has and `base` has not.
fn walk(
    repository: &gix::Repository,
    base: CommitId,
    head: CommitId,
) -> Result<gix::revision::Walk<'_>, GitError> {
    repository
        .rev_walk([to_gix(head.0)])
        .with_hidden([to_gix(base.0)])
        .all()
        .map_err(unreadable(head))
}

impl Objects {
    /// Opens the objects of a git directory for as long as we run.
    ///
    /// # Errors
    /// [`GitError::Repository`] when gix cannot read it.
    pub fn open(git_dir: &Path) -> Result<Self, GitError> {
        Self::with_slots(git_dir, Slots::Given(PACK_SLOTS))
    }

    /// Opens them in a tenth of the memory: who keeps them opens them again when they cannot be read, since more packs may have
    /// come than there was room for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_small(git_dir: &Path) -> Result<Self, GitError> {
        Self::with_slots(
            git_dir,
            Slots::AsNeededByDiskState {
                multiplier: 2.0,
                minimum: 32,
            },
        )
    }

    fn with_slots(git_dir: &Path, slots: Slots) -> Result<Self, GitError> {
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .object_store_slots(slots);
        let repository = options.open(git_dir);
        let repository = repository.map_err(|error| GitError::Repository {
            path: git_dir.display().to_string(),
            why: error.to_string(),
        })?;
        Ok(Self { repository })
    }

    pub(super) fn repository(&self) -> gix::Repository {
        self.repository.to_thread_local()
    }

    /// What a ref names, by its full name; `None` if there is no such ref.
    ///
    /// # Errors
    /// [`GitError::Object`] when it cannot be read.
    pub fn named(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        let repository = self.repository();
        let Some(mut found) = repository
            .try_find_reference(reference)
            .map_err(unreadable(reference))?
        else {
            return Ok(None);
        };
        let id = found.peel_to_id().map_err(unreadable(reference))?;
        Ok(Some(CommitId(from_gix(&id))))
    }

    /// The refs at or beneath this one, by their full names, and what they name, in the order of their names.
    ///
    /// # Errors
    /// [`GitError::Object`] when they cannot be read.
    pub fn refs(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, GitError> {
        let mut refs: Vec<_> = self
            .named(prefix)?
            .map(|id| (prefix.to_owned(), id))
            .into_iter()
            .collect();
        let repository = self.repository();
        let platform = repository.references().map_err(unreadable(prefix))?;
        // With a slash, only this directory is read: those beside it come and go meanwhile.
        let beneath = format!("{prefix}/");
        for found in platform
            .prefixed(beneath.as_bytes())
            .map_err(unreadable(prefix))?
        {
            let mut found = found.map_err(unreadable(prefix))?;
            let name = found.name().as_bstr().to_string();
            let id = found.peel_to_id().map_err(unreadable(prefix))?;
            refs.push((name, CommitId(from_gix(&id))));
        }
        Ok(refs)
    }

    /// Whether there is such a commit.
    #[must_use]
    pub fn has(&self, commit: CommitId) -> bool {
        let repository = self.repository();
        repository
            .find_header(to_gix(commit.0))
            .is_ok_and(|header| header.kind() == gix::object::Kind::Commit)
    }

    /// A commit's tree.
    ///
    /// # Errors
    /// [`GitError::Object`] when there is no such commit.
    pub fn tree_of(&self, commit: CommitId) -> Result<TreeId, GitError> {
        let repository = self.repository();
        let object = repository
            .find_commit(to_gix(commit.0))
            .map_err(unreadable(commit))?;
        let tree = object.tree_id().map_err(unreadable(commit))?;
        Ok(TreeId(from_gix(&tree)))
    }

    /// A commit's parents.
    pub(super) fn parents(&self, commit: CommitId) -> Result<Vec<CommitId>, GitError> {
        let repository = self.repository();
        let object = repository
            .find_commit(to_gix(commit.0))
            .map_err(unreadable(commit))?;
        Ok(object
            .parent_ids()
            .map(|parent| CommitId(from_gix(&parent)))
            .collect())
    }

    /// The commits from `head` down to `base`, without that, where they are one line of no more than some thousand.
    pub(super) fn line(
        &self,
        base: CommitId,
        head: CommitId,
    ) -> Result<Option<Vec<CommitId>>, GitError> {
        let (mut line, mut at) = (Vec::new(), head);
        while at != base {
            let [parent] = self.parents(at)?[..] else {
                return Ok(None);
            };
            if line.len() == LINE {
                return Ok(None);
            }
            line.push(at);
            at = parent;
        }
        Ok(Some(line))
    }

    /// Whether a commit that `head` has and `base` has not bears such a message.
    ///
    /// # Errors
    /// [`GitError::Object`] when a commit cannot be read.
    pub(crate) fn any_message(
        &self,
        base: CommitId,
        head: CommitId,
        is_such: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, GitError> {
        let repository = self.repository();
        let commits: Vec<_> = match self.line(base, head)? {
            Some(line) => line.into_iter().map(|commit| to_gix(commit.0)).collect(),
            None => {
                let walked =
                    walk(&repository, base, head)?.map(|commit| commit.map(|commit| commit.id));
                walked.collect::<Result<_, _>>().map_err(unreadable(head))?
            }
        };
        for commit in commits {
            let commit = repository.find_commit(commit).map_err(unreadable(head))?;
            if is_such(commit.message_raw().map_err(unreadable(head))?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The commits that `head` has and `base` has not: how many, and whether one of them is a merge.
    ///
    /// # Errors
    /// [`GitError::Object`] when a commit cannot be read.
    pub fn between(&self, base: CommitId, head: CommitId) -> Result<(u32, bool), GitError> {
        let repository = self.repository();
        let mut found = (0, false);
        for commit in walk(&repository, base, head)? {
            let commit = commit.map_err(unreadable(head))?;
            found = (found.0 + 1, found.1 || commit.parent_ids().count() > 1);
        }
        Ok(found)
    }

    /// How many bytes each of these objects has.
    ///
    /// # Errors
    /// [`GitError::Object`] when one of them is not there.
    pub fn sizes(&self, ids: &[Oid]) -> Result<Vec<u64>, GitError> {
        let repository = self.repository();
        let size = |id: &Oid| {
            repository
                .find_header(to_gix(*id))
                .map(|header| header.size())
                .map_err(unreadable(id))
        };
        ids.iter().map(size).collect()
    }

    /// A blob's content, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`GitError::Object`] when it is not there or no blob.
    pub fn blob(&self, id: BlobId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        let repository = self.repository();
        let header = repository
            .find_header(to_gix(id.0))
            .map_err(unreadable(id))?;
        if header.kind() != gix::object::Kind::Blob {
            return Err(unreadable(id)(format!("it is a {}", header.kind())));
        }
        if header.size() > limit {
            return Ok(None);
        }
        let object = repository
            .find_object(to_gix(id.0))
            .map_err(unreadable(id))?;
        Ok(Some(object.detach().data))
    }

    /// The blob of a file in a tree; `None` if there is no file at this path.
    ///
    /// # Errors
    /// [`GitError::Object`] when the tree cannot be read.
    pub fn file(&self, tree: TreeId, path: &RepoPath) -> Result<Option<BlobId>, GitError> {
        let repository = self.repository();
        let object = repository
            .find_tree(to_gix(tree.0))
            .map_err(unreadable(tree))?;
        let entry = object
            .lookup_entry_by_path(path.to_path())
            .map_err(unreadable(tree))?;
        let blob = entry.filter(|entry| entry.mode().is_blob());
        Ok(blob.map(|entry| BlobId(from_gix(entry.oid()))))
    }
}
