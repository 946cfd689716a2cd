//! Histories that git has something to say about.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::PathBuf,
};

use crate::{Sandbox, git};

/// One thing that a commit does. Paths are bytes, since git's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit<'a> {
    /// A file has this content from now on.
    Write(&'a [u8], &'a [u8]),
    /// A file or a directory is gone.
    Remove(&'a [u8]),
    /// A file or a directory is elsewhere.
    Rename(&'a [u8], &'a [u8]),
    /// A file can be run.
    Executable(&'a [u8]),
    /// A symbolic link points there.
    Symlink(&'a [u8], &'a [u8]),
    /// Another repository is here, at a commit that nobody has.
    Submodule(&'a [u8]),
}

/// Two commits that come from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// What both come from.
    pub base: String,
    /// The clone's `main`.
    pub ours: String,
    /// On the branch `theirs`.
    pub theirs: String,
}

/// A history with a name, and whether git merges its two ends without a conflict.
pub type History = (&'static str, fn(&Sandbox) -> Fork, bool);

impl Sandbox {
    fn place(&self, path: &[u8]) -> PathBuf {
        self.repo().join(OsStr::from_bytes(path))
    }

    /// Commits these edits in the clone, on the branch that it is on, and returns the commit.
    ///
    /// # Panics
    /// When one cannot be done.
    pub fn commit_edits(&self, edits: &[Edit<'_>], message: &str) -> String {
        let mut later = Vec::new();
        for edit in edits {
            let made = match edit {
                Edit::Write(path, content) => {
                    let file = self.place(path);
                    file.parent()
                        .map_or(Ok(()), fs::create_dir_all)
                        .and_then(|()| fs::write(file, content))
                }
                Edit::Remove(path) => {
                    let path = self.place(path);
                    if path.is_dir() {
                        fs::remove_dir_all(path)
                    } else {
                        fs::remove_file(path)
                    }
                }
                Edit::Rename(from, to) => {
                    let to = self.place(to);
                    to.parent()
                        .map_or(Ok(()), fs::create_dir_all)
                        .and_then(|()| fs::rename(self.place(from), to))
                }
                Edit::Executable(path) => {
                    fs::set_permissions(self.place(path), fs::Permissions::from_mode(0o755))
                }
                Edit::Symlink(path, target) => {
                    let path = self.place(path);
                    // What was there before is replaced.
                    drop(fs::remove_file(&path));
                    symlink(OsStr::from_bytes(target), path)
                }
                Edit::Submodule(path) => {
                    later.push(format!(
                        "160000,{},{}",
                        "1".repeat(40),
                        String::from_utf8_lossy(path)
                    ));
                    Ok(())
                }
            };
            made.unwrap_or_else(|error| panic!("{edit:?}: {error}"));
        }
        git(&self.repo(), &["add", "--all"]);
        for entry in later {
            git(
                &self.repo(),
                &["update-index", "--add", "--cacheinfo", &entry],
            );
        }
        git(&self.repo(), &["commit", "--quiet", "--message", message]);
        git(&self.repo(), &["rev-parse", "HEAD"])
    }

    /// A base, then these edits on `main` and those on the branch `theirs`. The clone is left on `main`.
    pub fn fork(&self, base: &[Edit<'_>], ours: &[Edit<'_>], theirs: &[Edit<'_>]) -> Fork {
        let base = self.commit_edits(base, "base");
        git(&self.repo(), &["checkout", "--quiet", "-B", "theirs"]);
        let theirs = self.commit_edits(theirs, "theirs");
        git(&self.repo(), &["checkout", "--quiet", "--force", "main"]);
        git(&self.repo(), &["clean", "--quiet", "--force", "-d"]);
        let ours = self.commit_edits(ours, "ours");
        Fork { base, ours, theirs }
    }
}

const LINES: &[u8] = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// Each kind of history that merging, reviewing and paths are tried with.
pub const HISTORIES: &[History] = &[
    ("apart", apart, true),
    ("conflict", conflict, false),
    ("removed and changed", removed_and_changed, false),
    ("rename", rename, true),
    ("directory rename", directory_rename, false),
    ("mode", mode, true),
    ("symlink", symlinks, true),
    ("file and directory", file_and_directory, false),
    ("submodule", submodule, true),
    ("names", names, true),
    ("line ends", line_ends, true),
];

fn apart(sandbox: &Sandbox) -> Fork {
    let ours = [Edit::Write(b"a.txt", b"ours\n")];
    sandbox.fork(
        &[Edit::Write(b"c.txt", LINES)],
        &ours,
        &[Edit::Write(b"b.txt", b"theirs\n")],
    )
}

fn conflict(sandbox: &Sandbox) -> Fork {
    let base = [Edit::Write(b"a.txt", b"base\n")];
    sandbox.fork(
        &base,
        &[Edit::Write(b"a.txt", b"ours\n")],
        &[Edit::Write(b"a.txt", b"theirs\n")],
    )
}

fn removed_and_changed(sandbox: &Sandbox) -> Fork {
    sandbox.fork(
        &[Edit::Write(b"a.txt", LINES)],
        &[Edit::Remove(b"a.txt")],
        &[Edit::Write(b"a.txt", b"theirs\n")],
    )
}

/// Renamed here, changed there: the change follows.
fn rename(sandbox: &Sandbox) -> Fork {
    let changed = [LINES, b"eleven\n"].concat();
    sandbox.fork(
        &[Edit::Write(b"old.txt", LINES)],
        &[Edit::Rename(b"old.txt", b"new.txt")],
        &[Edit::Write(b"old.txt", &changed)],
    )
}

/// A directory is renamed here, a file is added to it there: git suggests a place for it, and calls that a conflict unless
/// `merge.directoryRenames` says otherwise.
fn directory_rename(sandbox: &Sandbox) -> Fork {
    let base = [
        Edit::Write(b"old/a.txt", LINES),
        Edit::Write(b"old/b.txt", b"b\n"),
    ];
    sandbox.fork(
        &base,
        &[Edit::Rename(b"old", b"new")],
        &[Edit::Write(b"old/c.txt", b"c\n")],
    )
}

fn mode(sandbox: &Sandbox) -> Fork {
    let changed = [LINES, b"eleven\n"].concat();
    sandbox.fork(
        &[Edit::Write(b"run.sh", LINES)],
        &[Edit::Executable(b"run.sh")],
        &[Edit::Write(b"run.sh", &changed)],
    )
}

/// A file becomes a link here; there, a link that leaves the repository is added.
fn symlinks(sandbox: &Sandbox) -> Fork {
    let base = [Edit::Write(b"a.txt", LINES), Edit::Write(b"b.txt", b"b\n")];
    sandbox.fork(
        &base,
        &[Edit::Symlink(b"a.txt", b"b.txt")],
        &[Edit::Symlink(b"out", b"../../etc/passwd")],
    )
}

fn file_and_directory(sandbox: &Sandbox) -> Fork {
    let base = [Edit::Write(b"keep.txt", LINES)];
    sandbox.fork(
        &base,
        &[Edit::Write(b"a", b"a file\n")],
        &[Edit::Write(b"a/b.txt", b"in a directory\n")],
    )
}

fn submodule(sandbox: &Sandbox) -> Fork {
    sandbox.fork(
        &[Edit::Write(b"a.txt", LINES)],
        &[Edit::Write(b"b.txt", b"b\n")],
        &[Edit::Submodule(b"vendor")],
    )
}

/// Not ASCII, not UTF-8, with spaces, quotes, a line end, and a name that looks like an option.
fn names(sandbox: &Sandbox) -> Fork {
    let ours = [
        Edit::Write("größe.txt".as_bytes(), b"1\n"),
        Edit::Write(b"a \"b\" \\c.txt", b"2\n"),
        Edit::Write(b"--help", b"3\n"),
    ];
    let theirs = [
        Edit::Write(b"not-utf8-\xff\xfe.txt", b"4\n"),
        Edit::Write(b"two\nlines.txt", b"5\n"),
        Edit::Write(":(glob)*".as_bytes(), b"6\n"),
    ];
    sandbox.fork(
        &[Edit::Write("日本語/文.txt".as_bytes(), LINES)],
        &ours,
        &theirs,
    )
}

/// All line ends are changed here; there, another file is.
fn line_ends(sandbox: &Sandbox) -> Fork {
    let crlf = String::from_utf8_lossy(LINES).replace('\n', "\r\n");
    let base = [
        Edit::Write(b"a.txt", LINES),
        Edit::Write(b"b.txt", b"b\r\nb\r\n"),
    ];
    sandbox.fork(
        &base,
        &[Edit::Write(b"a.txt", crlf.as_bytes())],
        &[Edit::Write(b"b.txt", b"b\r\nb\r\nb\r\n")],
    )
}
