//! Copying files and directories.

use std::{
    fs::{self, File, Metadata, Permissions},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, SeekFrom, seek},
    io::Errno,
};

use super::{open::open_regular, write::create};

/// What is still to be done.
enum Left {
    Copy {
        from: PathBuf,
        to: PathBuf,
    },
    /// Its entries were copied.
    Close {
        directory: PathBuf,
        as_it_was: Permissions,
    },
}

/// Copies a file or directory to a place where nothing is: links as links, modes and times kept, holes left out, and blocks shared
/// where the file system can.
///
/// # Errors
/// Of the first thing that cannot be copied, which it names; sockets and the like are among them, and what is so deep that its path is
/// too long.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut left = vec![Left::Copy {
        from: from.to_owned(),
        to: to.to_owned(),
    }];
    while let Some(next) = left.pop() {
        let (place, done) = match next {
            Left::Close {
                directory,
                as_it_was,
            } => (
                directory.clone(),
                fs::set_permissions(&directory, as_it_was),
            ),
            Left::Copy { from, to } => (from.clone(), copy_one(&from, to, &mut left)),
        };
        done.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", place.display()))
        })?;
    }
    Ok(())
}

fn copy_one(from: &Path, to: PathBuf, left: &mut Vec<Left>) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    if meta.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if meta.is_dir() {
        fs::create_dir(&to)?;
        left.push(Left::Close {
            directory: to.clone(),
            as_it_was: meta.permissions(),
        });
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            left.push(Left::Copy {
                from: entry.path(),
                to: to.join(entry.file_name()),
            });
        }
        return Ok(());
    }
    if !meta.is_file() {
        return Err(not_copied());
    }
    copy_file(from, &to)
}

/// Why something is not copied that is a socket, a FIFO or a device.
pub(super) fn not_copied() -> io::Error {
    io::Error::other("it is neither a file, a directory nor a link")
}

/// Copies one file.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = open_regular(CWD, from)?;
    let meta = from.metadata()?;
    let mut to = create(to)?;
    copy_content(&mut from, &mut to, &meta)?;
    to.set_permissions(meta.permissions())?;
    // Build tools compare times.
    to.set_times(fs::FileTimes::new().set_modified(meta.modified()?))
}

/// Copies what is in a file, and leaves out its holes: one that is huge, and full of them, would fill the disk.
fn copy_content(from: &mut File, to: &mut File, meta: &Metadata) -> io::Result<()> {
    let size = meta.len();
    let mut at = 0;
    while at < size {
        let begin = match seek(&*from, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(error) => return Err(error.into()),
        };
        let end = seek(&*from, SeekFrom::Hole(begin))
            .unwrap_or(size)
            .clamp(begin, size);
        from.seek(io::SeekFrom::Start(begin))?;
        to.seek(io::SeekFrom::Start(begin))?;
        let copied = io::copy(&mut from.by_ref().take(end - begin), to)?;
        at = begin + copied;
        if copied < end - begin {
            break;
        }
    }
    to.set_len(size.max(at))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_copy_keeps_links_modes_and_times() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).expect("makes");
        fs::write(from.join("sub/run"), "x").expect("writes");
        fs::set_permissions(from.join("sub/run"), Permissions::from_mode(0o750))
            .expect("sets the mode");
        fs::set_permissions(from.join("sub"), Permissions::from_mode(0o555))
            .expect("sets the mode");
        std::os::unix::fs::symlink("nowhere", from.join("link")).expect("links");
        copy(&from, &to).expect("copies");
        let meta = |path: &Path| {
            path.join("sub/run")
                .metadata()
                .map(|meta| (meta.permissions().mode(), meta.modified().ok()))
                .ok()
        };
        assert_eq!(meta(&from), meta(&to));
        assert_eq!(
            to.join("sub")
                .metadata()
                .expect("is there")
                .permissions()
                .mode()
                & 0o777,
            0o555
        );
        assert_eq!(
            fs::read_to_string(to.join("sub/run")).expect("is there"),
            "x"
        );
        assert_eq!(
            fs::read_link(to.join("link")).ok(),
            Some(PathBuf::from("nowhere"))
        );
        rustix::fs::mknodat(
            CWD,
            from.join("fifo"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("makes a fifo");
        let error = copy(&from, &dir.path().join("again"))
            .expect_err("refuses")
            .to_string();
        assert!(
            error.ends_with("fifo: it is neither a file, a directory nor a link"),
            "{error}"
        );
    }

    #[test]
    fn a_huge_file_full_of_holes_is_copied_as_one() {
        use std::os::unix::fs::FileExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = File::create(&from).expect("is made");
        file.set_len(1 << 40).expect("a file full of holes");
        for (at, text) in [(0, "begin"), (1 << 33, "middle")] {
            file.write_all_at(text.as_bytes(), at).expect("writes");
        }
        copy(&from, &to).expect("copies");
        let copied = to.metadata().expect("is there");
        assert_eq!(copied.len(), 1 << 40);
        assert!(copied.blocks() < 1 << 12, "{} blocks", copied.blocks());
        let mut middle = [0; 6];
        File::open(&to)
            .and_then(|file| file.read_exact_at(&mut middle, 1 << 33))
            .expect("reads");
        assert_eq!(&middle, b"middle");
    }

    #[test]
    fn what_is_too_deep_is_refused_and_what_is_not_is_copied() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d/".repeat(700))).expect("makes");
        copy(&from, &to).expect("copies");
        assert!(to.join("d/".repeat(700)).is_dir());
        super::super::remove::tests::deepen(&from.join("d/".repeat(700)), 1400);
        let why = copy(&from, &dir.path().join("again")).expect_err("is too deep");
        assert_eq!(why.kind(), io::ErrorKind::InvalidFilename, "{why}");
        super::super::remove(&from).expect("is removed");
    }
}
