//! Trees, compared, listed and changed in process.

use std::{cmp::Ordering, fs, io, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use gix::{
    bstr::BString,
    hash::Kind as Hash,
    objs::{
        Kind, Tree, TreeRef, WriteTo as _,
        tree::{EntryKind, EntryRef},
    },
    zlib::{Compression, stream::deflate},
};
use tempfile::NamedTempFile;

use super::{
    GitError, Objects, Trusted,
    batch::{Batch, What},
    cli::io_error,
    objects::{to_gix, unreadable},
    plain::Whole,
};
use crate::{
    model::{Change, ChangeKind, Entry, Mode, RepoPath, TreeId, TreeShape},
    port::LandingEdit,
};

type Id = gix::ObjectId;

impl Objects {
    /// How two trees differ, path by path, in the order of their paths, without a thought of renames.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree cannot be read.
    pub fn differences(&self, old: TreeId, new: TreeId) -> Result<Vec<Change>, GitError> {
        self.compared(Some(old), new)
    }

    /// The names and links of a tree.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree or a link cannot be read.
    pub fn shape(&self, tree: TreeId) -> Result<TreeShape, GitError> {
        let mut shape = TreeShape::default();
        for Change { path, new, .. } in self.compared(None, tree)? {
            if let Some(link) = new.filter(|new| new.mode == Mode::Symlink) {
                shape.links.insert(
                    path.clone(),
                    self.blob(link.id, MAX_LINK)?.unwrap_or_default(),
                );
            }
            shape.paths.push(path);
        }
        Ok(shape)
    }

    /// What a tree has at a path; `None` if that is nothing, or a directory.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree cannot be read.
    pub(super) fn entry(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Entry>, GitError> {
        let repository = self.repository();
        let object = repository
            .find_tree(to_gix(tree.0))
            .map_err(unreadable(tree))?;
        let found = object
            .lookup_entry_by_path(path.to_path())
            .map_err(unreadable(tree))?;
        let found = found.filter(|entry| !entry.mode().is_tree());
        found
            .map(|entry| {
                side(&EntryRef {
                    mode: entry.mode(),
                    filename: entry.filename(),
                    oid: &entry.object_id(),
                })
            })
            .transpose()
    }

    /// The same for a tree that is compared with nothing where there is none before.
    pub(super) fn compared(
        &self,
        old: Option<TreeId>,
        new: TreeId,
    ) -> Result<Vec<Change>, GitError> {
        let repository = self.repository();
        compared(
            &|tree| {
                Ok(repository
                    .find_tree(tree)
                    .map_err(unreadable(tree))?
                    .detach()
                    .data)
            },
            old,
            new,
        )
    }
}

/// A link's text longer than this is none that a file system takes, in bytes.
const MAX_LINK: u64 = 4096;
/// The longest path that is told, in bytes: no system opens a longer one.
const MAX_PATH: usize = 4096;

/// How two trees differ that are read by this, path by path, in the order of their paths.
///
/// # Errors
/// When a tree cannot be read, or is so deep that no system could lay it out.
pub(super) fn compared(
    read: &dyn Fn(Id) -> Result<Vec<u8>, GitError>,
    old: Option<TreeId>,
    new: TreeId,
) -> Result<Vec<Change>, GitError> {
    let mut comparing = Comparing {
        read,
        left: Vec::new(),
        changes: Vec::new(),
    };
    comparing.left.push(Pair {
        path: Vec::new(),
        old: old.map(|old| to_gix(old.0)),
        new: Some(to_gix(new.0)),
    });
    while let Some(pair) = comparing.left.pop() {
        comparing.trees(&pair)?;
    }
    let mut changes = comparing.changes;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

/// What is under way between two trees.
struct Comparing<'a> {
    read: &'a dyn Fn(Id) -> Result<Vec<u8>, GitError>,
    /// A tree can be deeper than any stack.
    left: Vec<Pair>,
    changes: Vec<Change>,
}

/// The two sides of a directory.
struct Pair {
    /// With a slash at its end, but for the root's.
    path: Vec<u8>,
    old: Option<Id>,
    new: Option<Id>,
}

impl Comparing<'_> {
    fn trees(&mut self, pair: &Pair) -> Result<(), GitError> {
        if pair.old == pair.new {
            return Ok(());
        }
        let (old, new) = (self.data(pair.old)?, self.data(pair.new)?);
        let (old, new) = (entries(&old)?, entries(&new)?);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => in_tree(old, new),
            };
            let (old, new) = (
                old.next_if(|_| order.is_le()),
                new.next_if(|_| order.is_ge()),
            );
            self.entry(&pair.path, old, new)?;
        }
    }

    /// The two sides of a name; both are files, or both are trees.
    fn entry(
        &mut self,
        within: &[u8],
        old: Option<&EntryRef<'_>>,
        new: Option<&EntryRef<'_>>,
    ) -> Result<(), GitError> {
        let Some(any) = old.or(new) else {
            return Ok(());
        };
        let mut path = [within, any.filename].concat();
        if path.len() > MAX_PATH {
            let path = String::from_utf8_lossy(&path[..80]).into_owned();
            let why =
                format!("it goes on for more than {MAX_PATH} bytes: no system can lay that out");
            return Err(GitError::Repository {
                path: crate::model::clean(&path),
                why,
            });
        }
        if any.mode.is_tree() {
            path.push(b'/');
            let (old, new) = (
                old.map(|entry| entry.oid.to_owned()),
                new.map(|entry| entry.oid.to_owned()),
            );
            if old != new {
                self.left.push(Pair { path, old, new });
            }
            return Ok(());
        }
        let (old, new) = (old.map(side).transpose()?, new.map(side).transpose()?);
        if old != new {
            let path = RepoPath::from_bytes(&path).map_err(unreadable(any.oid))?;
            self.changes.push(Change {
                path,
                kind: kind_of(old, new),
                old,
                new,
            });
        }
        Ok(())
    }

    fn data(&self, tree: Option<Id>) -> Result<Vec<u8>, GitError> {
        tree.map_or_else(|| Ok(Vec::new()), self.read)
    }
}

/// What became of a path that is no rename.
pub(super) fn kind_of(old: Option<Entry>, new: Option<Entry>) -> ChangeKind {
    match (old, new) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Deleted,
        (Some(_), Some(_)) => ChangeKind::Modified,
    }
}

fn entries(data: &[u8]) -> Result<Vec<EntryRef<'_>>, GitError> {
    TreeRef::from_bytes(data, Hash::Sha1)
        .map(|tree| tree.entries)
        .map_err(unreadable("of a tree"))
}

/// The order of names in a tree, in which a directory's ends with a slash. So a file and a directory of one name are two.
pub(super) fn in_tree(one: &EntryRef<'_>, other: &EntryRef<'_>) -> Ordering {
    let whole = |entry: &EntryRef<'_>| -> BString {
        let mut name = entry.filename.to_owned();
        if entry.mode.is_tree() {
            name.push(b'/');
        }
        name
    };
    if one.filename == other.filename && one.mode.is_tree() == other.mode.is_tree() {
        return Ordering::Equal;
    }
    whole(one).cmp(&whole(other))
}

fn side(entry: &EntryRef<'_>) -> Result<Entry, GitError> {
    let mode = match entry.mode.kind() {
        EntryKind::Blob => Mode::File,
        EntryKind::BlobExecutable => Mode::Executable,
        EntryKind::Link => Mode::Symlink,
        EntryKind::Commit => Mode::Submodule,
        EntryKind::Tree => return Err(unreadable(entry.oid)("it is a tree")),
    };
    Ok(Entry {
        mode,
        id: entry
            .oid
            .to_string()
            .parse()
            .map_err(unreadable(entry.oid))?,
    })
}

impl Trusted {
    /// A tree with some files as they are to be; modes stay.
    ///
    /// # Errors
    /// When a file is not in the tree, or an object cannot be written.
    pub async fn edit(&self, tree: TreeId, edits: &[LandingEdit]) -> Result<TreeId, GitError> {
        let edits = edits.to_vec();
        let edit = move |objects: &Objects| {
            let repository = objects.repository();
            let mut root = to_gix(tree.0);
            for LandingEdit { path, content } in &edits {
                let blob = gix::objs::compute_hash(Hash::Sha1, Kind::Blob, content)
                    .map_err(unreadable(path))?;
                let mut made = vec![(blob, Kind::Blob, content.clone())];
                let names: Vec<_> = path.as_bytes().split(|byte| *byte == b'/').collect();
                let no_file = || GitError::Repository {
                    path: path.to_string(),
                    why: format!("it is no file in {tree}"),
                };
                root = replaced(&repository, root, &names, blob, &mut made)?.ok_or_else(no_file)?;
                let mut batch = Batch::default();
                keep(&repository, &made, &mut batch)?;
                batch.settle()?;
            }
            root.to_string().parse().map_err(unreadable(root))
        };
        self.look(edit).await
    }
}

/// The tree in which the file of these names has another content, and beneath it those that differ for that, all of them made; `None` if
/// there is no such file.
fn replaced(
    repository: &gix::Repository,
    tree: Id,
    names: &[&[u8]],
    blob: Id,
    made: &mut Vec<Whole>,
) -> Result<Option<Id>, GitError> {
    let Some((name, rest)) = names.split_first() else {
        return Ok(None);
    };
    let data = repository
        .find_tree(tree)
        .map_err(unreadable(tree))?
        .detach()
        .data;
    let mut changed: Tree = TreeRef::from_bytes(&data, Hash::Sha1)
        .map_err(unreadable(tree))?
        .to_owned();
    let Some(entry) = changed
        .entries
        .iter_mut()
        .find(|entry| entry.filename == *name)
    else {
        return Ok(None);
    };
    entry.oid = match (rest.is_empty(), entry.mode.kind()) {
        (true, EntryKind::Blob | EntryKind::BlobExecutable) => blob,
        (false, EntryKind::Tree) => match replaced(repository, entry.oid, rest, blob, made)? {
            Some(beneath) => beneath,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let mut data = Vec::new();
    changed.write_to(&mut data).map_err(unreadable(tree))?;
    let id = gix::objs::compute_hash(Hash::Sha1, Kind::Tree, &data).map_err(unreadable(tree))?;
    made.push((id, Kind::Tree, data));
    Ok(Some(id))
}

/// Writes objects that are not there yet; what one names is before it in the batch.
pub(super) fn keep<'a>(
    repository: &gix::Repository,
    made: impl IntoIterator<Item = &'a Whole>,
    batch: &mut Batch,
) -> Result<(), GitError> {
    let ours = gix::odb::loose::Store::at(repository.objects.store_ref().path(), Hash::Sha1);
    for (id, kind, data) in made
        .into_iter()
        .filter(|(id, ..)| !repository.has_object(id))
    {
        let to = ours.object_path(id);
        batch.add(
            What::Object,
            write_object(ours.path(), *kind, data).map_err(io_error(&to))?,
            to,
        );
    }
    Ok(())
}

/// Writes one object as a file of its own (gitformat-loose(5)), beside its place: half an object would be taken for a whole one.
fn write_object(objects: &Path, kind: Kind, data: &[u8]) -> io::Result<NamedTempFile> {
    // So git names them as well, and so it clears away what a crash has left.
    let file = tempfile::Builder::new()
        .prefix("tmp_obj_")
        .permissions(fs::Permissions::from_mode(0o444))
        .tempfile_in(objects)?;
    let mut deflated = deflate::Write::new(&file, Compression::BEST_SPEED);
    deflated.write_all(format!("{kind} {}\0", data.len()).as_bytes())?;
    deflated.write_all(data)?;
    deflated.flush()?;
    drop(deflated);
    Ok(file)
}
