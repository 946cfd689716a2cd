//! A directory held against an index of ours, in process: one `lstat` a file and one listing a directory, as cheap as a look can be.
//!
//! Says for sure only that a directory is just as it should be. What else there is to say of it (what of it is ignored, what a filter
//! makes of it) is git's to say.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::{CStr, OsStr},
    io::{self, Read as _},
    ops::{ControlFlow, Range},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use gix::{
    hash::Kind as Hash,
    index::entry::{Flags, Mode as IndexMode, stat::Time},
    objs::{Kind, compute_hash},
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, Stat, fstat, openat, readlinkat, statat};

use super::objects::to_gix;
use crate::{
    model::{self, Change, RepoPath},
    untrusted::{DIRECTORY, directory, open_regular},
};

/// The largest file that is read to be compared, in bytes.
const MAX_COMPARED: u64 = 64 << 20;
/// The largest index that is read, in bytes: of some million files.
const MAX_INDEX: u64 = 1 << 30;
/// So many directories are open at a time, one in the other. What is deeper, git looks at.
const MAX_DEPTH: usize = 128;

/// Files that should be in a directory, and nothing else.
#[derive(Debug)]
pub(super) struct Expected {
    /// In the order of their paths.
    files: Vec<Expectation>,
}

#[derive(Debug)]
struct Expectation {
    path: Vec<u8>,
    mode: IndexMode,
    id: gix::ObjectId,
    /// How it was when the index was written; `None` where only its content tells.
    seen: Option<gix::index::entry::Stat>,
}

impl Expected {
    /// What an index of ours says, and these changes since; `None` where that cannot be told in process, as with submodules.
    pub(super) fn of(index: &Path, changes: &[Change]) -> Option<Self> {
        let mut file = open_regular(CWD, index).ok()?;
        let modified = file.metadata().ok()?.modified().ok()?;
        let written = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        // Not mapped into memory: whoever shortens such a file ends this process.
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_INDEX).read_to_end(&mut bytes).ok()?;
        // To ask how many threads it may take costs more than to read most of them.
        let reading = gix::index::decode::Options {
            thread_limit: Some(1),
            ..Default::default()
        };
        let (index, _) =
            gix::index::State::from_bytes(&bytes, modified.into(), Hash::Sha1, reading).ok()?;
        // What was changed while the index was written cannot be told by its times.
        let settled = |time: Time| {
            (u64::from(time.secs), time.nsecs) < (written.as_secs(), written.subsec_nanos())
        };
        let mut files = BTreeMap::new();
        for entry in index.entries() {
            let odd = Flags::STAGE_MASK
                | Flags::ASSUME_VALID
                | Flags::SKIP_WORKTREE
                | Flags::INTENT_TO_ADD;
            if entry.flags.intersects(odd) {
                return None;
            }
            let seen = Some(entry.stat).filter(|stat| settled(stat.mtime) && settled(stat.ctime));
            files.insert(entry.path(&index).to_vec(), (entry.mode, entry.id, seen));
        }
        for change in changes {
            let path = change.path.as_bytes().to_vec();
            match change.new {
                None => drop(files.remove(&path)),
                Some(model::Entry { mode, id }) => {
                    let mode = match mode {
                        model::Mode::File => IndexMode::FILE,
                        model::Mode::Executable => IndexMode::FILE_EXECUTABLE,
                        model::Mode::Symlink => IndexMode::SYMLINK,
                        model::Mode::Submodule => IndexMode::COMMIT,
                    };
                    files.insert(path, (mode, to_gix(id.0), None));
                }
            }
        }
        let files = files
            .into_iter()
            .map(|(path, (mode, id, seen))| Expectation {
                path,
                mode,
                id,
                seen,
            });
        let files: Vec<_> = files.collect();
        let plain = |mode: IndexMode| {
            mode == IndexMode::FILE
                || mode == IndexMode::FILE_EXECUTABLE
                || mode == IndexMode::SYMLINK
        };
        files
            .iter()
            .all(|file| plain(file.mode))
            .then_some(Self { files })
    }

    /// Whether a workspace's tree is just as expected: every file there by its times or by its content, byte for byte, and nothing else
    /// but what was brought along. `false` says only that git has to be asked.
    pub(super) fn is_all_of(&self, tree: &Path, brought: &[RepoPath]) -> bool {
        let mut look = Look {
            brought: brought.iter().map(RepoPath::as_bytes).collect(),
        };
        matches!(self.walk(tree, &mut look), Ok(ControlFlow::Continue(())))
    }

    /// What is in a directory and should not be, or may not be what it was. Directories beneath
    /// it that have not the permissions `like` are among it, with all that they hold.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn strays(&self, directory: &Path, like: u32) -> io::Result<Vec<PathBuf>> {
        let mut strays = Strays {
            directory,
            like,
            found: Vec::new(),
        };
        self.walk(directory, &mut strays).map(|_| strays.found)
    }

    fn walk(&self, top: &Path, visit: &mut impl Visit) -> io::Result<ControlFlow<()>> {
        let top = directory(top)?;
        Walk {
            files: &self.files,
            path: Vec::new(),
            depth: 0,
            visit,
        }
        .directory(&top, 0..self.files.len())
    }
}

/// What is done with what a walk meets.
trait Visit {
    /// Whether a directory in which something should be is looked into; where not, it is a stray as a whole.
    fn enters(&mut self, directory: BorrowedFd<'_>) -> bool;
    /// Something where a file should be.
    fn file(&mut self, place: &Place<'_>, file: &Expectation) -> ControlFlow<()>;
    /// Something where nothing should be, or a file where there should be a directory.
    fn stray(&mut self, place: &Place<'_>) -> ControlFlow<()>;
    /// Files that should be there are not.
    fn missing(&mut self) -> ControlFlow<()>;
}

/// Where a walk is.
struct Place<'a> {
    directory: BorrowedFd<'a>,
    name: &'a CStr,
    /// From the top.
    path: &'a [u8],
    kind: FileType,
}

struct Walk<'a, V> {
    files: &'a [Expectation],
    /// Of the directory that is walked, with a slash at its end.
    path: Vec<u8>,
    depth: usize,
    visit: &'a mut V,
}

impl<V: Visit> Walk<'_, V> {
    fn directory(
        &mut self,
        directory: &OwnedFd,
        files: Range<usize>,
    ) -> io::Result<ControlFlow<()>> {
        if self.depth > MAX_DEPTH {
            return Err(io::Error::other("it is too deep to be walked here"));
        }
        let mut expected = self.names(files);
        let end = self.path.len();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => FileType::from_raw_mode(
                    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode,
                ),
                kind => kind,
            };
            self.path.extend_from_slice(name.to_bytes());
            let place = Place {
                directory: directory.as_fd(),
                name,
                path: &self.path,
                kind,
            };
            let flow = match expected.remove(name.to_bytes()) {
                Some(Wanted::File(at)) => self.visit.file(&place, &self.files[at]),
                Some(Wanted::Directory(files)) if kind == FileType::Directory => {
                    match openat(directory, name, DIRECTORY, Mode::empty()) {
                        Ok(beneath) if self.visit.enters(beneath.as_fd()) => {
                            self.path.push(b'/');
                            self.depth += 1;
                            let flow = self.directory(&beneath, files)?;
                            self.depth -= 1;
                            flow
                        }
                        Ok(_) | Err(_) => self.visit.stray(&place),
                    }
                }
                Some(Wanted::Directory(_)) | None => self.visit.stray(&place),
            };
            self.path.truncate(end);
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(if expected.is_empty() {
            ControlFlow::Continue(())
        } else {
            self.visit.missing()
        })
    }

    /// What should be in the directory that is walked, by name.
    fn names(&self, files: Range<usize>) -> HashMap<Vec<u8>, Wanted, foldhash::fast::RandomState> {
        let mut names = HashMap::default();
        for at in files {
            let rest = &self.files[at].path[self.path.len()..];
            match rest.iter().position(|byte| *byte == b'/') {
                None => drop(names.insert(rest.to_vec(), Wanted::File(at))),
                // What is beneath one directory is in one piece.
                Some(slash) => match names.get_mut(&rest[..slash]) {
                    Some(Wanted::Directory(range)) => range.end = at + 1,
                    Some(Wanted::File(_)) | None => {
                        names.insert(rest[..slash].to_vec(), Wanted::Directory(at..at + 1));
                    }
                },
            }
        }
        names
    }
}

enum Wanted {
    File(usize),
    Directory(Range<usize>),
}

/// Stops at the first thing that is not as it should be.
struct Look<'a> {
    brought: HashSet<&'a [u8]>,
}

impl Visit for Look<'_> {
    fn enters(&mut self, _: BorrowedFd<'_>) -> bool {
        true
    }

    fn file(&mut self, place: &Place<'_>, file: &Expectation) -> ControlFlow<()> {
        let Ok(stat) = statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW) else {
            return ControlFlow::Break(());
        };
        let same = has_mode(&stat, file.mode)
            && (file.seen.is_some_and(|seen| is_untouched(&stat, &seen))
                || has_content(place, &stat, file.id) == Some(true));
        if same {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn stray(&mut self, place: &Place<'_>) -> ControlFlow<()> {
        // The worktree's own link to its repository.
        let link = place.path == b".git" && place.kind == FileType::RegularFile;
        if link || self.brought.contains(place.path) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn missing(&mut self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Collects what should not be there.
struct Strays<'a> {
    directory: &'a Path,
    like: u32,
    found: Vec<PathBuf>,
}

impl Visit for Strays<'_> {
    fn enters(&mut self, directory: BorrowedFd<'_>) -> bool {
        fstat(directory).is_ok_and(|stat| stat.st_mode & 0o7777 == self.like)
    }

    fn file(&mut self, place: &Place<'_>, file: &Expectation) -> ControlFlow<()> {
        let stat = statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW);
        let same = stat.is_ok_and(|stat| {
            // Of another name by which it could be changed, no time that git compares tells. Of one that was written just before the
            // index was, the content tells: to write it anew would give it another time, and build tools compare times.
            let is_same = || match file.seen {
                Some(seen) => is_untouched(&stat, &seen),
                None => has_content(place, &stat, file.id) == Some(true),
            };
            has_mode(&stat, file.mode) && stat.st_nlink == 1 && is_same()
        });
        if same {
            ControlFlow::Continue(())
        } else {
            self.stray(place)
        }
    }

    fn stray(&mut self, place: &Place<'_>) -> ControlFlow<()> {
        self.found
            .push(self.directory.join(OsStr::from_bytes(place.path)));
        ControlFlow::Continue(())
    }

    fn missing(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn has_mode(stat: &Stat, mode: IndexMode) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => mode == IndexMode::SYMLINK,
        FileType::RegularFile => {
            mode == if stat.st_mode & 0o100 == 0 {
                IndexMode::FILE
            } else {
                IndexMode::FILE_EXECUTABLE
            }
        }
        _ => false,
    }
}

/// Whether nobody has written to a file, or put another in its place. The index has 32 bits of each number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the index has them"
)]
fn is_untouched(stat: &Stat, seen: &gix::index::entry::Stat) -> bool {
    // Of another type on each system.
    fn time(secs: i64, nsecs: impl TryInto<u32>) -> Time {
        Time {
            secs: secs as u32,
            nsecs: nsecs.try_into().unwrap_or(u32::MAX),
        }
    }
    time(stat.st_mtime, stat.st_mtime_nsec) == seen.mtime
        && time(stat.st_ctime, stat.st_ctime_nsec) == seen.ctime
        && (stat.st_ino as u32, stat.st_size as u32) == (seen.ino, seen.size)
        && (stat.st_uid, stat.st_gid) == (seen.uid, seen.gid)
}

/// Whether a file's bytes are a blob's; `None` where they cannot be read. Such a file holds nothing that could be lost, whatever
/// attributes would make of it.
fn has_content(place: &Place<'_>, stat: &Stat, id: gix::ObjectId) -> Option<bool> {
    let content = if place.kind == FileType::Symlink {
        readlinkat(place.directory, place.name, Vec::new())
            .ok()?
            .into_bytes()
    } else {
        let file = open_regular(place.directory, place.name).ok()?;
        let size = u64::try_from(stat.st_size)
            .ok()
            .filter(|size| *size <= MAX_COMPARED)?;
        let mut content = Vec::new();
        file.take(size + 1).read_to_end(&mut content).ok()?;
        content
    };
    Some(compute_hash(Hash::Sha1, Kind::Blob, &content).ok()? == id)
}
