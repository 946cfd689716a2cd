//! Removing whatever is there.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat},
    io::Errno,
};

use super::open::DIRECTORY;

/// Removals of one directory go on for so many rounds while others write into it, or it is so deep.
const ROUNDS: u32 = 1_000_000;

/// Removes a file or a directory, if it is there, however deep it is and whoever was locked out of it.
///
/// # Errors
/// Of the first thing that cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remove_while(path, &|| true)
}

/// The same, for as long as `goes_on` says so.
///
/// # Errors
/// As [`remove`].
pub(crate) fn remove_while(path: &Path, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let parent = match openat(
        CWD,
        parent,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        parent => parent?,
    };
    let name = CString::new(name.as_bytes()).map_err(io::Error::other)?;
    remove_at(parent.as_fd(), &name, goes_on)
}

/// The same, in a directory.
///
/// # Errors
/// As [`remove`].
pub(super) fn remove_at(
    parent: BorrowedFd<'_>,
    name: &CStr,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<()> {
    if is_unlinked(parent, name, FileType::Unknown)? {
        return Ok(());
    }
    let mut top = Emptied {
        top: enter(parent, name)?,
        moved: 0,
        goes_on,
    };
    for _ in 0..ROUNDS {
        top.round()?;
        if !goes_on() {
            return Ok(());
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("others keep writing into it"))
}

/// A directory that is being emptied, level by level: what is in a directory beneath it comes up to its top first. So it takes
/// neither a stack nor open files for each level, and no path is too long.
struct Emptied<'a> {
    top: OwnedFd,
    /// How many came up.
    moved: u64,
    goes_on: &'a dyn Fn() -> bool,
}

impl Emptied<'_> {
    /// Removes all files and one level of directories.
    fn round(&mut self) -> io::Result<()> {
        for entry in Dir::read_from(&self.top)? {
            let entry = entry?;
            if !(self.goes_on)() {
                return Ok(());
            }
            let name = entry.file_name();
            if is_dots(name) || is_unlinked(self.top.as_fd(), name, entry.file_type())? {
                continue;
            }
            let beneath = enter(self.top.as_fd(), name)?;
            self.lift(&beneath)?;
            drop(beneath);
            match unlinkat(&self.top, name, AtFlags::REMOVEDIR) {
                // What came meanwhile is for the next round.
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Removes the files in a directory, and moves the directories in it to the top.
    fn lift(&mut self, from: &OwnedFd) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            if !(self.goes_on)() {
                return Ok(());
            }
            let name = entry.file_name();
            if is_dots(name) || is_unlinked(from.as_fd(), name, entry.file_type())? {
                continue;
            }
            match unlinkat(from, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => self.move_up(from, name)?,
            }
        }
        Ok(())
    }

    fn move_up(&mut self, from: &OwnedFd, name: &CStr) -> io::Result<()> {
        let mut opened = false;
        loop {
            self.moved += 1;
            match renameat(from, name, &self.top, format!(".removed-{}", self.moved)) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // Something has this name already.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                // A directory is moved by whoever may write it.
                Err(Errno::ACCESS) if !opened => {
                    enter(from.as_fd(), name)?;
                    opened = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Removes what is no directory; whether it is gone.
fn is_unlinked(parent: BorrowedFd<'_>, name: &CStr, kind: FileType) -> io::Result<bool> {
    if kind == FileType::Directory {
        return Ok(false);
    }
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        // As systems say that it is a directory.
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory in which its owner can do everything from now on, whatever somebody has closed.
///
/// # Errors
/// As `openat`; `ENOTDIR` or `ELOOP` where it is none.
pub(super) fn enter(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let opened = match openat(parent, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            open_up(parent, name)?;
            openat(parent, name, DIRECTORY, Mode::empty())?
        }
        opened => opened?,
    };
    let mode = Mode::from_raw_mode(fstat(&opened)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        fchmod(&opened, mode | Mode::RWXU)?;
    }
    Ok(opened)
}

/// Lets the owner into a directory that cannot be opened.
#[cfg(target_os = "linux")]
fn open_up(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    use std::{fs, os::fd::AsRawFd as _, os::unix::fs::PermissionsExt as _};
    // There is no other way to say which directory is meant without following a link.
    let place = openat(
        parent,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    fs::set_permissions(
        format!("/proc/self/fd/{}", place.as_raw_fd()),
        fs::Permissions::from_mode(0o700),
    )
}

/// Lets the owner into a directory that cannot be opened.
#[cfg(not(target_os = "linux"))]
fn open_up(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    Ok(rustix::fs::chmodat(
        parent,
        name,
        Mode::RWXU,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// Makes directories one in the other, deeper than a path can name.
    pub(in super::super) fn deepen(top: &Path, levels: usize) {
        let mut at = super::super::directory(top).expect("opens");
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("makes");
            at = openat(&at, "d", DIRECTORY, Mode::empty()).expect("opens");
            rustix::fs::symlinkat("/", &at, "link").expect("links");
        }
    }

    /// Does it as a user who is not allowed everything; only this thread is.
    fn as_a_user(owned: &Path, what: impl FnOnce() + Send) {
        let nobody = 65534;
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(owned, Some(nobody), Some(nobody)).expect("is given away");
        }
        std::thread::scope(|scope| {
            let done = scope.spawn(|| {
                if rustix::process::getuid().is_root() {
                    let uid = rustix::process::Uid::from_raw(nobody);
                    rustix::thread::set_thread_res_uid(uid, uid, uid)
                        .expect("becomes another user");
                }
                what();
            });
            done.join().expect("holds");
        });
    }

    #[test]
    fn what_was_closed_to_everybody_is_removed_by_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        as_a_user(dir.path(), || {
            for mode in [0o000, 0o500, 0o100, 0o300] {
                let top = dir.path().join("top");
                fs::create_dir_all(top.join("closed/beneath/deep")).expect("makes");
                fs::write(top.join("closed/beneath/file"), "x").expect("writes");
                for closed in ["closed/beneath/deep", "closed/beneath", "closed", ""] {
                    fs::set_permissions(top.join(closed), fs::Permissions::from_mode(mode))
                        .expect("is closed");
                }
                assert!(
                    mode == 0o100 || fs::remove_dir_all(&top).is_err(),
                    "its owner is locked out: {mode:o}"
                );
                remove(&top).expect("is removed");
                assert!(!top.exists());
            }
        });
    }

    #[test]
    fn what_is_deeper_than_any_path_is_removed_with_names_that_are_in_the_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().join("top");
        fs::create_dir_all(top.join(".removed-1/a")).expect("makes");
        fs::write(top.join(".removed-2"), "").expect("writes");
        deepen(&top, 5000);
        remove(&top).expect("is removed");
        assert!(!top.exists());
        remove(&top).expect("what is not there is removed");
    }

    #[test]
    fn what_a_link_names_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let [top, outside] = ["top", "outside"].map(|name| dir.path().join(name));
        for place in [&top, &outside] {
            fs::create_dir(place).expect("makes");
        }
        fs::write(outside.join("file"), "x").expect("writes");
        std::os::unix::fs::symlink(&outside, top.join("link")).expect("links");
        remove(&top).expect("is removed");
        std::os::unix::fs::symlink(&outside, &top).expect("links");
        remove(&top).expect("is removed");
        assert!(outside.join("file").exists() && top.symlink_metadata().is_err());
    }
}
