//! Trees, compared, listed and changed in process.

use std::{
    collections::VecDeque, fs, io, io::Write as _, ops::ControlFlow,
    os::unix::fs::PermissionsExt as _, path::Path,
};

use gix::{
    bstr::BStr,
    diff::tree::{State, Visit, visit},
    hash::Kind as Hash,
    objs::{
        Find, FindExt as _, Kind, Tree, TreeRefIter, WriteTo as _,
        tree::{Editor, EntryKind, EntryMode},
    },
    zlib::{Compression, stream::deflate},
};
use tempfile::NamedTempFile;

use super::{
    GitError, Objects, Trusted,
    batch::{Batch, What},
    error::io_error,
    objects::{from_gix, to_gix, unreadable},
    plain::Whole,
};
use crate::{
    model::{BlobId, Change, ChangeKind, Entry, Mode, RepoPath, TreeId, TreeShape},
    port::LandingEdit,
};

impl Objects {
    /// How two trees differ, path by path, in the order of their paths, without a thought of renames.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree cannot be read.
    pub(crate) fn differences(&self, old: TreeId, new: TreeId) -> Result<Vec<Change>, GitError> {
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
        Ok(found.and_then(|entry| entry_of(entry.mode(), entry.oid())))
    }

    /// The same for a tree that is compared with nothing where there is none before.
    pub(super) fn compared(
        &self,
        old: Option<TreeId>,
        new: TreeId,
    ) -> Result<Vec<Change>, GitError> {
        compared(&self.repository(), old, new)
    }
}

/// A link's text longer than this is none that a file system takes, in bytes.
const MAX_LINK: u64 = 4096;
/// The longest path that is told, in bytes: no system opens a longer one.
const MAX_PATH: usize = 4096;

/// How two trees differ that are among these objects, path by path, in the order of their paths.
///
/// # Errors
/// When a tree cannot be read, or is so deep that no system could lay it out.
pub(super) fn compared(
    objects: &impl Find,
    old: Option<TreeId>,
    new: TreeId,
) -> Result<Vec<Change>, GitError> {
    if old == Some(new) {
        return Ok(Vec::new());
    }
    let mut before = Vec::new();
    let mut after = Vec::new();
    let old = match old {
        Some(old) => objects
            .find_tree_iter(&to_gix(old.0), &mut before)
            .map_err(unreadable(old))?,
        None => TreeRefIter::from_bytes(&[], Hash::Sha1),
    };
    let from = objects
        .find_tree_iter(&to_gix(new.0), &mut after)
        .map_err(unreadable(new))?;

    let mut comparing = Comparing::default();
    let compared = gix::diff::tree(old, from, State::default(), objects, &mut comparing);
    if let Some(odd) = comparing.odd {
        return Err(odd);
    }
    compared.map_err(unreadable(new))?;

    let mut changes = comparing.changes;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

/// What is under way between two trees.
///
/// gix's own recorder splits paths at their slashes; a name in a tree that nobody has checked may hold one.
#[derive(Default)]
struct Comparing {
    path: Vec<u8>,
    /// How long the path was before each of its names was appended.
    lengths: Vec<usize>,
    /// The directories that are looked at later.
    directories: VecDeque<Vec<u8>>,
    changes: Vec<Change>,
    /// Why it was given up.
    odd: Option<GitError>,
}

impl Visit for Comparing {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.path = self.directories.pop_front().unwrap_or_default();
        self.lengths.clear();
    }

    fn push_back_tracked_path_component(&mut self, name: &BStr) {
        self.push_path_component(name);
        self.directories.push_back(self.path.clone());
    }

    fn push_path_component(&mut self, name: &BStr) {
        self.lengths.push(self.path.len());
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    fn pop_path_component(&mut self) {
        let length = self.lengths.pop().unwrap_or_default();
        self.path.truncate(length);
    }

    fn visit(&mut self, change: visit::Change) -> visit::Action {
        let (old, new) = sides(&change);
        match self.changed(old, new) {
            Ok(()) => ControlFlow::Continue(()),
            Err(odd) => {
                self.odd = Some(odd);
                ControlFlow::Break(())
            }
        }
    }
}

impl Comparing {
    /// Takes the two sides of the path; both are `None` where it is a directory.
    fn changed(&mut self, old: Option<Entry>, new: Option<Entry>) -> Result<(), GitError> {
        if self.path.len() > MAX_PATH {
            let path = String::from_utf8_lossy(&self.path[..80]).into_owned();
            let why =
                format!("it goes on for more than {MAX_PATH} bytes: no system can lay that out");
            return Err(GitError::Repository {
                path: crate::model::clean(&path),
                why,
            });
        }
        // Modes that are written in two ways are one.
        if old != new {
            let named = || String::from_utf8_lossy(&self.path).into_owned();
            let path = RepoPath::from_bytes(&self.path);
            self.changes.push(Change {
                path: path.map_err(|why| unreadable(crate::model::clean(&named()))(why))?,
                kind: kind_of(old, new),
                old,
                new,
            });
        }
        Ok(())
    }
}

/// What is before and after a change; nothing for a directory.
fn sides(change: &visit::Change) -> (Option<Entry>, Option<Entry>) {
    match change {
        visit::Change::Addition {
            entry_mode, oid, ..
        } => (None, entry_of(*entry_mode, oid)),
        visit::Change::Deletion {
            entry_mode, oid, ..
        } => (entry_of(*entry_mode, oid), None),
        visit::Change::Modification {
            previous_entry_mode,
            previous_oid,
            entry_mode,
            oid,
        } => (
            entry_of(*previous_entry_mode, previous_oid),
            entry_of(*entry_mode, oid),
        ),
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

/// An entry of a tree that is no tree itself.
fn entry_of(mode: EntryMode, id: &gix::oid) -> Option<Entry> {
    let mode = match mode.kind() {
        EntryKind::Blob => Mode::File,
        EntryKind::BlobExecutable => Mode::Executable,
        EntryKind::Link => Mode::Symlink,
        EntryKind::Commit => Mode::Submodule,
        EntryKind::Tree => return None,
    };
    let id = BlobId(from_gix(id));
    Some(Entry { mode, id })
}

impl Trusted {
    /// A tree with some files as they are to be; modes stay.
    ///
    /// # Errors
    /// When a file is not in the tree, or an object cannot be written.
    pub async fn edit(&self, tree: TreeId, edits: &[LandingEdit]) -> Result<TreeId, GitError> {
        let edits = edits.to_vec();
        self.look(move |objects| edited(objects, tree, &edits))
            .await
    }
}

fn edited(objects: &Objects, tree: TreeId, edits: &[LandingEdit]) -> Result<TreeId, GitError> {
    let repository = objects.repository();
    let root = repository
        .find_tree(to_gix(tree.0))
        .map_err(unreadable(tree))?;
    let root = Tree::from(root.decode().map_err(unreadable(tree))?);
    let mut editor = Editor::new(root, &repository, Hash::Sha1);
    // What is named is made before what names it.
    let mut made = Vec::new();
    for LandingEdit { path, content } in edits {
        let kind = match objects.entry(tree, path)?.map(|entry| entry.mode) {
            Some(Mode::File) => EntryKind::Blob,
            Some(Mode::Executable) => EntryKind::BlobExecutable,
            Some(Mode::Symlink | Mode::Submodule) | None => {
                let path = path.to_string();
                let why = format!("it is no file in {tree}");
                return Err(GitError::Repository { path, why });
            }
        };
        let blob = add(&mut made, Kind::Blob, content.clone()).map_err(unreadable(path))?;
        let names = path.as_bytes().split(|byte| *byte == b'/').map(BStr::new);
        editor.upsert(names, kind, blob).map_err(unreadable(path))?;
    }
    let root = editor.write(|tree| {
        let mut data = Vec::new();
        tree.write_to(&mut data).map_err(unreadable("of a tree"))?;
        add(&mut made, Kind::Tree, data).map_err(unreadable("of a tree"))
    })?;

    let mut batch = Batch::default();
    keep(&repository, &made, &mut batch)?;
    batch.settle()?;
    Ok(TreeId(from_gix(&root)))
}

/// Adds an object to those that are made; its id.
fn add(made: &mut Vec<Whole>, kind: Kind, data: Vec<u8>) -> Result<gix::ObjectId, gix::Error> {
    let id = gix::objs::compute_hash(Hash::Sha1, kind, &data)?;
    made.push((id, kind, data));
    Ok(id)
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
