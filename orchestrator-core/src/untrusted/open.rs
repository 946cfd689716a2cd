//! Opening and reading.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    path::Arg,
};

use crate::model::RepoPath;

/// How a directory is opened.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// How a file is opened: without waiting for whoever is at the other end of a FIFO.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What is read of a small file, in bytes.
const SMALL: u64 = 1 << 20;

/// Opens a directory that is none by a link.
///
/// # Errors
/// As `open`.
pub(crate) fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Opens a regular file in a directory.
///
/// # Errors
/// As `openat`, and when it is a link, a FIFO, a socket or a device.
pub(crate) fn open_regular(at: impl AsFd, name: impl Arg) -> io::Result<File> {
    let opened = openat(at, name, FILE, Mode::empty()).map_err(|error| match error {
        // A socket, or a device that is not there.
        Errno::NXIO => not_regular(),
        error => error.into(),
    })?;
    let file = File::from(opened);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Opens a regular file beneath a directory that a worker can write: no component may be a link, and a FIFO does not block.
///
/// # Errors
/// As `openat`, and when it is no regular file.
pub(crate) fn open_beneath(directory: &Path, name: &RepoPath) -> io::Result<File> {
    let mut at = self::directory(directory)?;
    let mut parts = name.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return open_regular(&at, part);
        }
        at = openat(&at, part, DIRECTORY, Mode::empty())?;
    }
    // A path inside a repository has a component.
    Err(not_regular())
}

/// The first MiB of a regular file in a place that a worker can write: a link is not followed, and a FIFO does not block.
///
/// # Errors
/// As `open`, when it is no regular file, and when it cannot be read.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    read(open_regular(CWD, path)?)
}

/// The first MiB of a regular file beneath a directory.
///
/// # Errors
/// As [`open_beneath`], and when it cannot be read.
pub(crate) fn read_beneath(directory: &Path, name: &str) -> io::Result<Vec<u8>> {
    let name = name.parse().map_err(io::Error::other)?;
    read(open_beneath(directory, &name)?)
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SMALL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_regular_files_beneath_the_directory_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "secret").expect("writes");
        let inside = dir.path().join("inside");
        std::fs::create_dir_all(inside.join("sub")).expect("makes");
        std::fs::write(inside.join("sub/file"), "fine").expect("writes");
        std::os::unix::fs::symlink(&outside, inside.join("link")).expect("links");
        std::os::unix::fs::symlink(dir.path(), inside.join("up")).expect("links");
        std::os::unix::fs::symlink("/dev/zero", inside.join("zero")).expect("links");
        rustix::fs::mknodat(
            CWD,
            inside.join("fifo"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("makes a fifo");
        let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).expect("binds");
        let open = |name: &str| {
            open_beneath(&inside, &name.parse().expect("a path"))
                .map(|_| ())
                .map_err(|error| error.kind())
        };
        assert_eq!(open("sub/file"), Ok(()));
        assert_eq!(open("absent"), Err(io::ErrorKind::NotFound));
        for bad in ["link", "up/outside", "zero", "fifo", "socket", "sub"] {
            assert!(
                open(bad).is_err_and(|kind| kind != io::ErrorKind::NotFound),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_huge_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("huge");
        File::create(&path)
            .and_then(|file| file.set_len(1 << 40))
            .expect("a file full of holes");
        assert_eq!(
            read_small(&path).map(|bytes| bytes.len()).ok(),
            Some(1 << 20)
        );
    }
}
