//! Writing where something else may be in the place.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, renameat},
    io::Errno,
};

use super::{
    open::{DIRECTORY, directory, open_regular},
    remove::{enter, remove_at},
};
use crate::model::RepoPath;

/// How a file is made that was not there.
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// So often what is put in our way is removed.
const TRIES: u32 = 10;

/// What is given to a worker and not for it to write lies here, in its workspace.
const GIVEN: &str = "given";

/// Makes a file that was not there before: what is at its place is removed, and not written into. Its directory may be no link.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = directory(parent)?;
    create_at(
        parent.as_fd(),
        &CString::new(name.as_bytes()).map_err(io::Error::other)?,
        Mode::from_raw_mode(0o666),
    )
}

/// Makes a file where nothing is. Its directory may be no link.
///
/// # Errors
/// When it cannot be made, or something is there.
pub(crate) fn create_absent(path: &Path) -> io::Result<File> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(File::from(openat(
        directory(parent)?,
        name,
        NEW,
        Mode::from_raw_mode(0o666),
    )?))
}

/// Writes a file as [`create`] makes it.
///
/// # Errors
/// When it cannot be made or written.
pub(crate) fn write_new(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    create(path)?.write_all(content.as_ref())
}

/// Makes a directory anew that lies beneath another, by the names on the way: what was there is removed, and so is what is on the way
/// and no directory.
///
/// # Errors
/// When something cannot be removed or made.
pub(crate) fn fresh_directory(top: &Path, names: &[&str]) -> io::Result<()> {
    let Some((last, parents)) = names.split_last() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut at = directory(top)?;
    for name in parents {
        at = real_directory(at.as_fd(), name)?;
    }
    let name = CString::new(*last)?;
    remove_at(at.as_fd(), &name, &|| true)?;
    Ok(mkdirat(&at, &name, Mode::from_raw_mode(0o777))?)
}

/// The path beneath a directory, if no link is on the way; its parents are made where `make` says so.
///
/// # Errors
/// When a directory cannot be made.
pub(crate) fn place_beneath(
    directory: &Path,
    path: &RepoPath,
    make: bool,
) -> io::Result<Option<PathBuf>> {
    let whole = directory.join(path.to_path());
    let parents: Vec<_> = whole
        .ancestors()
        .skip(1)
        .take_while(|parent| *parent != directory)
        .collect();
    for parent in parents.into_iter().rev() {
        if make && parent.symlink_metadata().is_err() {
            fs::create_dir(parent)?;
        }
        if !is_dir(parent) {
            return Ok(None);
        }
    }
    Ok(Some(whole))
}

/// Whether there is a directory, and not a link to one.
pub(crate) fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// Makes a directory and those on the way to it beneath another, in which a worker has been. For backends.
///
/// # Errors
/// When one cannot be made, or a link or a file is in its place.
pub fn make_beneath(top: &Path, path: &RepoPath) -> io::Result<()> {
    let mut at = directory(top)?;
    for name in path.as_bytes().split(|byte| *byte == b'/') {
        match mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => at = openat(&at, name, DIRECTORY, Mode::empty())?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes an empty file in a directory in which a worker has been, where none is. For backends.
///
/// # Errors
/// When it cannot be made, or a link or something else is in its place.
pub fn touch(path: &Path) -> io::Result<()> {
    match create_absent(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_regular(CWD, path).map(drop)
        }
        made => made.map(drop),
    }
}

/// Gives a file to whoever works in a workspace, to read: it lies where nobody has a reason to write, and is whole at any time. Its path.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn give(workspace: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    let given = real_directory(directory(workspace)?.as_fd(), GIVEN)?;
    let beside = CString::new(format!(".{name}.new"))?;
    let name = CString::new(name)?;
    let mut file = create_at(given.as_fd(), &beside, Mode::from_raw_mode(0o444))?;
    file.write_all(content)?;
    if let Err(error) = renameat(&given, &beside, &given, &name) {
        if error != Errno::ISDIR {
            return Err(error.into());
        }
        remove_at(given.as_fd(), &name, &|| true)?;
        renameat(&given, &beside, &given, &name)?;
    }
    fchmod(&given, Mode::from_raw_mode(0o555))?;
    Ok(workspace.join(GIVEN).join(name.to_string_lossy().as_ref()))
}

/// Opens a directory, and makes it where something else is, or nothing.
fn real_directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    match enter(parent, &name) {
        Err(error)
            if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
                .map(Errno::raw_os_error)
                .map(Some)
                .contains(&error.raw_os_error()) => {}
        opened => return opened,
    }
    remove_at(parent, &name, &|| true)?;
    mkdirat(parent, &name, Mode::from_raw_mode(0o777))?;
    Ok(openat(parent, &name, DIRECTORY, Mode::empty())?)
}

fn create_at(parent: BorrowedFd<'_>, name: &CString, mode: Mode) -> io::Result<File> {
    for _ in 0..TRIES {
        match openat(parent, name, NEW, mode) {
            Err(Errno::EXIST) => remove_at(parent, name, &|| true)?,
            made => return Ok(File::from(made?)),
        }
    }
    Err(io::Error::other(
        "others keep putting something in its place",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{FileType, mknodat};

    use super::*;

    /// Puts each kind of thing at a path, one after another, and does something with it there.
    fn at_each(path: &Path, victim: &Path, mut what: impl FnMut(&str)) {
        for kind in [
            "nothing",
            "file",
            "link",
            "broken link",
            "fifo",
            "directory",
        ] {
            super::super::remove(path).expect("is cleared");
            fs::write(victim, "mine").expect("writes");
            match kind {
                "file" => fs::write(path, "planted").expect("writes"),
                "link" => symlink(victim, path).expect("links"),
                "broken link" => symlink(victim.with_extension("gone"), path).expect("links"),
                "fifo" => {
                    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).expect("makes a fifo");
                }
                "directory" => fs::create_dir_all(path.join("a/b")).expect("makes"),
                _ => {}
            }
            what(kind);
            assert_eq!(
                fs::read_to_string(victim).expect("is there"),
                "mine",
                "{kind}"
            );
            assert!(!victim.with_extension("gone").exists(), "{kind}");
        }
    }

    #[test]
    fn whatever_is_in_the_place_of_a_file_is_replaced_and_not_written_into() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, victim) = (dir.path().join("file"), dir.path().join("victim"));
        at_each(&path, &victim, |kind| {
            write_new(&path, "ours").expect("writes");
            assert!(
                path.symlink_metadata().expect("is there").is_file(),
                "{kind}"
            );
            assert_eq!(
                fs::read_to_string(&path).expect("is there"),
                "ours",
                "{kind}"
            );
        });
    }

    #[test]
    fn whatever_is_in_the_place_of_a_given_file_or_of_its_directory_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let victim = dir.path().join("victim");
        for place in ["given", "given/contract.json", "given/.contract.json.new"] {
            let workspace = dir.path().join(place.replace('/', "-"));
            fs::create_dir(&workspace).expect("makes");
            give(&workspace, "contract.json", b"{}").expect("is given");
            let given = workspace.join("given");
            at_each(&workspace.join(place), &victim, |kind| {
                let path = give(&workspace, "contract.json", b"{\"new\": 1}").expect("is given");
                assert_eq!(
                    fs::read(&path).expect("is there"),
                    b"{\"new\": 1}",
                    "{kind}"
                );
                assert_eq!(path, given.join("contract.json"));
                let mode = |path: &Path| {
                    path.symlink_metadata()
                        .map(|meta| Mode::from(meta.permissions().mode()))
                };
                assert_eq!(
                    mode(&given).expect("is there").as_raw_mode(),
                    0o555,
                    "{kind}"
                );
                assert_eq!(
                    mode(&path).expect("is there").as_raw_mode(),
                    0o444,
                    "{kind}"
                );
            });
        }
    }

    #[test]
    fn a_directory_is_made_anew_whatever_is_there_or_on_the_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let (top, victim) = (dir.path().join("top"), dir.path().join("victim"));
        fs::create_dir(&top).expect("makes");
        for place in ["out", "out/turn-2"] {
            fresh_directory(&top, &["out", "turn-1"]).expect("is made");
            at_each(&top.join(place), &victim, |kind| {
                fresh_directory(&top, &["out", "turn-2"]).expect("is made");
                assert_eq!(
                    fs::read_dir(top.join("out/turn-2"))
                        .expect("is a directory")
                        .count(),
                    0,
                    "{kind}"
                );
                assert!(
                    top.join("out")
                        .symlink_metadata()
                        .expect("is there")
                        .is_dir(),
                    "{kind}"
                );
            });
        }
    }
}
