//! Workspaces that are removed, and what of them serves the next ones.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{GitError, Workspace, Workspaces, error::io_error};
use crate::{
    failpoint::reach,
    untrusted::{open_regular, remove},
};

/// So many removed workspaces are kept for the next ones.
const SPARES: usize = 8;
/// So many files they have together, unless there is only one: it may be as large as it is.
const SPARE_FILES: u64 = 60_000;
/// What the names of those begin with: they are no attempt's.
const SPARE: &str = ".spare-";
/// What the names of those begin with whose removal was begun.
const GONE: &str = ".gone-";

impl Workspaces {
    /// The files that are kept for further workspaces: a directory for each of those.
    pub(crate) fn spares(&self) -> std::io::Result<Vec<PathBuf>> {
        named_like(&self.root, SPARE)
    }

    /// Removes the files that were kept for further workspaces, and those of removed ones that are still there. Takes its time.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear_spares(&self) -> Result<(), GitError> {
        let spares = self.spares().map_err(io_error(&self.root))?;
        spares
            .iter()
            .try_for_each(|spare| remove(spare).map_err(io_error(spare)))?;
        self.discard.sweep(&|| false).map_err(io_error(&self.root))
    }

    /// Takes up what a run that was killed left half done: removals that were begun are finished, and locks of our indexes, whose
    /// holders are dead, are broken. Only for whoever has the state directory to itself.
    pub(crate) fn tidy(&self) -> std::io::Result<()> {
        named_like(&self.root, GONE)?
            .iter()
            .try_for_each(|gone| self.discard.throw(gone))?;
        for workspace in self.discover().map_err(std::io::Error::other)? {
            let locks = named_like(workspace.root(), "index")?;
            let locks = locks
                .iter()
                .filter(|path| path.extension().is_some_and(|end| end == "lock"));
            locks.into_iter().try_for_each(|lock| remove(lock))?;
        }
        Ok(())
    }
}

impl Workspace {
    /// Removes it with all that is in it: it is moved away at once, and its files are removed when there is time. Whoever calls this
    /// has proof that nothing is lost.
    ///
    /// # Errors
    /// When a directory cannot be removed.
    pub fn remove(&self) -> Result<(), GitError> {
        // Renamed first, so that what a crash leaves behind is not taken for a workspace.
        let gone = self
            .root
            .with_file_name(format!("{GONE}{}", self.attempt.slug()));
        reach("before removal");
        if self.root.symlink_metadata().is_ok() {
            std::fs::rename(&self.root, &gone).map_err(io_error(&self.root))?;
        }
        reach("removal, renamed");
        if gone.symlink_metadata().is_ok() {
            self.spare(&gone).map_err(io_error(&gone))?;
        }
        reach("after removal");
        Ok(())
    }

    /// Keeps the files of what was removed for the next workspace, where there is room: to make and remove the files of a tree costs
    /// more than all else that is done for a task. Nothing else of it is left.
    fn spare(&self, gone: &Path) -> std::io::Result<()> {
        let is_dir = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let is_whole = is_dir(gone) && is_dir(&gone.join("tree"));
        if !(is_whole && has_room(&self.spares()?, &gone.join("index"))) {
            return self.discard.throw(gone);
        }
        for entry in std::fs::read_dir(gone)? {
            let entry = entry?;
            if entry.file_name() != "tree" && entry.file_name() != "index" {
                self.discard.throw(&entry.path())?;
            }
        }
        let spare = self
            .root
            .with_file_name(format!("{SPARE}{}", self.attempt.slug()));
        self.discard.throw(&spare)?;
        std::fs::rename(gone, spare)
    }

    /// Begins with the files of a workspace that was removed, where there is one.
    pub(super) fn take_spare(&self) -> std::io::Result<()> {
        for spare in self.spares()? {
            if !spare.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                remove(&spare)?;
                continue;
            }
            match std::fs::rename(&spare, &self.root) {
                Ok(()) => break,
                // Another one was quicker.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn spares(&self) -> std::io::Result<Vec<PathBuf>> {
        named_like(self.root.parent().unwrap_or(&self.root), SPARE)
    }
}

/// Whether another spare may be kept beside these, one with this index.
fn has_room(spares: &[PathBuf], index: &Path) -> bool {
    let files: u64 = spares
        .iter()
        .map(|spare| files_in(&spare.join("index")))
        .sum();
    spares.is_empty() || (spares.len() < SPARES && files + files_in(index) <= SPARE_FILES)
}

/// How many files an index of ours has, by its header (gitformat-index(5)).
fn files_in(index: &Path) -> u64 {
    let mut header = [0; 12];
    // Whoever works in a workspace may have put anything in its place.
    let read =
        open_regular(rustix::fs::CWD, index).and_then(|mut index| index.read_exact(&mut header));
    let [.., a, b, c, d] = header;
    if read.is_ok() {
        u32::from_be_bytes([a, b, c, d]).into()
    } else {
        0
    }
}

/// What is in a directory and has a name that begins so; nothing where there is no directory.
fn named_like(directory: &Path, prefix: &str) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let like = |entry: &std::fs::DirEntry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix))
    };
    Ok(entries
        .flatten()
        .filter(like)
        .map(|entry| entry.path())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spares_are_bounded_by_number_and_by_files() {
        let top = tempfile::tempdir().expect("a directory");
        let index = |name: &str, files: u64| {
            let directory = top.path().join(name);
            std::fs::create_dir_all(&directory).expect("makes");
            let files = u32::try_from(files).expect("a small number").to_be_bytes();
            let header = [b"DIRC\0\0\0\x02".as_slice(), &files, b"more"].concat();
            std::fs::write(directory.join("index"), header).expect("writes");
            directory
        };
        let new = |files| index("new", files).join("index");
        assert_eq!(files_in(&new(27_675)), 27_675);
        assert!(
            has_room(&[], &new(SPARE_FILES * 10)),
            "one is kept however large it is"
        );
        let half = index("half", SPARE_FILES / 2);
        assert!(has_room(std::slice::from_ref(&half), &new(SPARE_FILES / 2)));
        assert!(!has_room(&[half], &new(SPARE_FILES / 2 + 1)));
        let small: Vec<_> = (0..SPARES)
            .map(|number| index(&number.to_string(), 10))
            .collect();
        assert!(has_room(&small[1..], &new(10)));
        assert!(!has_room(&small, &new(10)));
        assert_eq!(files_in(&top.path().join("nowhere")), 0);
    }
}
