//! Which pointers a tree has, read in process.

use std::{collections::HashSet, sync::Arc};

use gix::{
    ObjectId,
    hash::Kind as Hash,
    objs::{Kind, TreeRef},
};

use super::{
    pointer::{MAX_POINTER, Named, Pointer, Pointers},
    store::{Known, Lfs},
};
use crate::{
    git::{
        GitError, Objects,
        objects::{to_gix, unreadable},
    },
    model::{BlobId, Mode, TreeId},
};

/// So much of a file of attributes is looked through, in bytes.
const MAX_ATTRIBUTES: u64 = 1 << 20;
/// So many trees are remembered.
const MAX_TREES: usize = 200_000;
/// So many lists of pointers are remembered.
const MAX_LISTS: usize = 16;

impl Lfs {
    /// Whether a file of attributes in this tree names the filter `lfs`. Looks at directories
    /// alone, and at each once.
    ///
    /// # Errors
    /// When a tree cannot be read.
    pub(super) fn is_used(&self, objects: &Objects, tree: TreeId) -> Result<bool, GitError> {
        let repository = objects.repository();
        let mut seen = HashSet::new();
        let mut left = vec![to_gix(tree.0)];
        while let Some(id) = left.pop() {
            if self.known().plain.contains(&id) || !seen.insert(id) {
                continue;
            }
            let found = repository.find_tree(id).map_err(unreadable(id))?;
            let parsed = TreeRef::from_bytes(&found.data, Hash::Sha1).map_err(unreadable(id))?;
            for entry in parsed.entries {
                if entry.mode.is_tree() {
                    left.push(entry.oid.to_owned());
                } else if entry.filename == ".gitattributes"
                    && entry.mode.is_blob()
                    && names_the_filter(&repository, entry.oid.to_owned())?
                {
                    return Ok(true);
                }
            }
        }
        let mut known = self.known();
        if known.plain.len() + seen.len() > MAX_TREES {
            known.plain.clear();
        }
        known.plain.extend(seen);
        Ok(false)
    }

    /// The files of a tree that are pointers; none where no attributes name the filter.
    ///
    /// # Errors
    /// When an object cannot be read.
    pub(super) fn pointers(&self, objects: &Objects, tree: TreeId) -> Result<Pointers, GitError> {
        if let Some(pointers) = self.known().pointers.get(&tree) {
            return Ok(Arc::clone(pointers));
        }
        let mut found = Vec::new();
        if self.is_used(objects, tree)? {
            for change in objects.compared(None, tree)? {
                let file = change
                    .new
                    .filter(|new| matches!(new.mode, Mode::File | Mode::Executable));
                if let Some(file) = file
                    && let Some(pointer) = pointer_of(objects, file.id)?
                {
                    found.push(Named {
                        path: change.path,
                        blob: file.id,
                        pointer,
                    });
                }
            }
        }
        let found = Arc::new(found);
        let mut known = self.known();
        if known.pointers.len() >= MAX_LISTS {
            known.pointers.clear();
        }
        known.pointers.insert(tree, Arc::clone(&found));
        Ok(found)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The pointer that a blob is.
pub(super) fn pointer_of(objects: &Objects, blob: BlobId) -> Result<Option<Pointer>, GitError> {
    let content = objects.blob(blob, MAX_POINTER)?;
    Ok(content.and_then(|content| Pointer::parse(&content)))
}

/// Whether a file of attributes speaks of the filter, perhaps by a macro.
fn names_the_filter(repository: &gix::Repository, id: ObjectId) -> Result<bool, GitError> {
    let header = repository.find_header(id).map_err(unreadable(id))?;
    if header.kind() != Kind::Blob || header.size() > MAX_ATTRIBUTES {
        return Ok(false);
    }
    let blob = repository.find_object(id).map_err(unreadable(id))?;
    Ok(memchr::memmem::find(&blob.data, b"filter=lfs").is_some())
}
