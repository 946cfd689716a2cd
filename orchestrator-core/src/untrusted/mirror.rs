//! A copy of what is in a person's checkout, kept to be used again.
//!
//! To copy a directory with many files costs far more than to look at them. So what was copied is kept, and only what differs is copied
//! again: what has changed in the checkout, and whatever was done to the copy meanwhile. A file of the copy counts as untouched only while
//! its times, number, size, mode and links are what they were just after it was copied. A program without privileges can set back
//! none of its times but that of modification.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    copy::{copy_file, not_copied},
    remove::remove,
};

/// A file that was copied so short a time ago could be changed and have the same time: on an older kernel, times go by steps of some
/// milliseconds.
const STEP: Duration = Duration::from_millis(50);

/// A copy of one file or directory of a checkout.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// The checkout.
    root: PathBuf,
    from: PathBuf,
    /// What was copied, by its path beneath `from`; that itself is the empty path.
    known: BTreeMap<PathBuf, Copied>,
}

/// One thing that was copied.
#[derive(Debug)]
struct Copied {
    source: Stamp,
    /// `None`: it cannot be known whether it is what it was.
    copy: Option<Stamp>,
}

/// What a look at a file tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    inode: u64,
    size: u64,
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mirror {
    /// Of what is at `from` in the checkout at `root`; nothing is copied yet.
    pub(crate) fn of(root: &Path, from: PathBuf) -> Self {
        Self {
            root: root.to_owned(),
            from,
            known: BTreeMap::new(),
        }
    }

    /// Makes what is at `to` equal to what is in the checkout now: modes and times of files kept, links so that they name the same.
    /// Always the same `to`, whatever was done to it since the last call.
    ///
    /// A link into the checkout becomes a relative one, so that it leads into the directory in which the copy is put, and nobody
    /// writes through it into the checkout. A relative link out of the checkout becomes an absolute one.
    ///
    /// # Errors
    /// Of the first thing that cannot be copied, which it names.
    pub(crate) fn refresh(&mut self, to: &Path) -> io::Result<()> {
        if self.prune(to).and_then(|()| self.fill(to)).is_ok() {
            return Ok(());
        }
        self.known.clear();
        remove(to)?;
        self.fill(to)
    }

    /// Removes what is not as it was copied, and what is not in the checkout any more as it was then.
    fn prune(&mut self, to: &Path) -> io::Result<()> {
        let Ok(meta) = to.symlink_metadata() else {
            self.known.clear();
            return Ok(());
        };
        let mut directories = Vec::new();
        if !self.is_kept(Path::new(""), &meta) {
            self.known.clear();
            return remove(to);
        }
        if meta.is_dir() {
            directories.push(PathBuf::new());
        }
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(to.join(&directory))? {
                let entry = entry?;
                let path = directory.join(entry.file_name());
                let meta = entry.path().symlink_metadata()?;
                if !self.is_kept(&path, &meta) {
                    self.known.remove(&path);
                    remove(&entry.path())?;
                } else if meta.is_dir() {
                    directories.push(path);
                }
            }
        }
        Ok(())
    }

    /// Whether a part of the copy is what it was, and so is its source.
    fn is_kept(&self, path: &Path, meta: &Metadata) -> bool {
        let Some(copied) = self.known.get(path) else {
            return false;
        };
        let Ok(source) = whole(&self.from, path).symlink_metadata() else {
            return false;
        };
        let (is, was) = (Stamp::of(meta), copied.copy);
        if meta.is_dir() {
            // Of a directory, what is in it tells.
            return was.is_some_and(|was| was.mode == is.mode)
                && Stamp::of(&source).mode == copied.source.mode;
        }
        was == Some(is) && is.links == 1 && Stamp::of(&source) == copied.source
    }

    /// Copies what is not there.
    fn fill(&mut self, to: &Path) -> io::Result<()> {
        let mut left = vec![PathBuf::new()];
        let mut made: Vec<PathBuf> = Vec::new();
        let mut copied: Vec<(PathBuf, Metadata)> = Vec::new();
        while let Some(path) = left.pop() {
            let (source, place) = (whole(&self.from, &path), whole(to, &path));
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", source.display()))
            };
            let meta = source.symlink_metadata().map_err(named)?;
            let is_there = place.symlink_metadata().is_ok();
            if !is_there {
                self.copy_one(&source, &meta, &place).map_err(named)?;
                copied.push((path.clone(), meta.clone()));
            }
            if meta.is_dir() {
                if !is_there {
                    made.push(path.clone());
                }
                for entry in fs::read_dir(&source).map_err(named)? {
                    left.push(path.join(entry.map_err(named)?.file_name()));
                }
            }
        }
        // Files are put into directories that nobody may write to.
        for path in made.into_iter().rev() {
            let as_it_was = whole(&self.from, &path).metadata()?.permissions();
            fs::set_permissions(whole(to, &path), as_it_was)?;
        }
        self.remember(to, copied)
    }

    fn copy_one(&self, source: &Path, meta: &Metadata, place: &Path) -> io::Result<()> {
        if meta.is_symlink() {
            symlink(self.relinked(source, fs::read_link(source)?), place)
        } else if meta.is_dir() {
            fs::create_dir(place)
        } else if meta.is_file() {
            copy_file(source, place)
        } else {
            Err(not_copied())
        }
    }

    fn remember(&mut self, to: &Path, copied: Vec<(PathBuf, Metadata)>) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let settled = now.unwrap_or_default().saturating_sub(STEP);
        for (path, source) in copied {
            let stamp = Stamp::of(&whole(to, &path).symlink_metadata()?);
            let is_settled = source.is_dir() || stamp.is_before(settled);
            let copied = Copied {
                source: Stamp::of(&source),
                copy: is_settled.then_some(stamp),
            };
            self.known.insert(path, copied);
        }
        Ok(())
    }

    /// What a link of the copy says.
    fn relinked(&self, link: &Path, target: PathBuf) -> PathBuf {
        let directory = link.parent().unwrap_or(&self.root);
        let absolute = without_dots(&directory.join(&target));
        let is_inside = absolute.starts_with(&self.root);
        match (is_inside, target.is_absolute()) {
            (true, false) | (false, true) => target,
            (false, false) => absolute,
            (true, true) => relative(&self.root, directory, &absolute),
        }
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            mode: meta.mode(),
            inode: meta.ino(),
            size: meta.size(),
            links: meta.nlink(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_before(&self, moment: Duration) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanoseconds).ok());
        changed.is_some_and(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds) < moment)
    }
}

/// A path beneath a top that may be a file itself.
fn whole(top: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        top.to_owned()
    } else {
        top.join(path)
    }
}

/// An absolute path without `.` and `..`, by its text.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The path from one directory beneath a root to another place beneath it.
fn relative(root: &Path, from: &Path, to: &Path) -> PathBuf {
    let depth = from
        .strip_prefix(root)
        .map_or(0, |beneath| beneath.components().count());
    let mut path: PathBuf = std::iter::repeat_n("..", depth).collect();
    path.push(to.strip_prefix(root).unwrap_or(to));
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A checkout with a directory, and a mirror of that with the place of its copy.
    fn mirrored(top: &Path) -> (PathBuf, Mirror, PathBuf) {
        let root = top.join("checkout");
        let deps = root.join("deps");
        fs::create_dir_all(deps.join("lib/deep")).expect("makes");
        for name in ["a", "b", "lib/c", "lib/deep/d"] {
            let file = deps.join(name);
            fs::write(&file, name).expect("writes");
        }
        let mirror = Mirror::of(&root, deps.clone());
        (deps, mirror, top.join("copy"))
    }

    /// Lets what was copied be as old as it must be to be trusted, as it is after any gate that takes its time.
    fn settle(mirror: &mut Mirror, copy: &Path) {
        for (path, copied) in &mut mirror.known {
            let meta = whole(copy, path).symlink_metadata().expect("is there");
            copied.copy = Some(Stamp::of(&meta));
        }
    }

    fn inode(path: &Path) -> u64 {
        path.symlink_metadata().expect("is there").ino()
    }

    #[test]
    fn mirror_copies_again_only_what_differs() {
        let dir = tempfile::tempdir().expect("a directory");
        let (deps, mut mirror, copy) = mirrored(dir.path());
        mirror.refresh(&copy).expect("copies");
        settle(&mut mirror, &copy);
        let before = ["a", "b", "lib/c"].map(|name| inode(&copy.join(name)));
        // Changed in the checkout; changed in the copy, with its time set back; added to the copy; removed from the checkout.
        fs::write(deps.join("a"), "new").expect("writes");
        let times = fs::metadata(copy.join("lib/c")).expect("is there");
        fs::write(copy.join("lib/c"), "bad!!").expect("writes");
        let file = fs::File::options().write(true).open(copy.join("lib/c"));
        let set = fs::FileTimes::new().set_modified(times.modified().expect("has a time"));
        file.and_then(|file| file.set_times(set))
            .expect("is set back");
        fs::write(copy.join("lib/planted"), "x").expect("writes");
        fs::remove_dir_all(deps.join("lib/deep")).expect("removes");
        mirror.refresh(&copy).expect("copies");
        assert_eq!(fs::read_to_string(copy.join("a")).expect("is there"), "new");
        assert_eq!(
            fs::read_to_string(copy.join("lib/c")).expect("is there"),
            "lib/c"
        );
        assert_eq!(inode(&copy.join("b")), before[1], "untouched");
        assert!(!copy.join("lib/planted").exists() && !copy.join("lib/deep").exists());
    }

    #[test]
    fn mirror_keeps_nothing_that_could_be_changed_from_elsewhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_, mut mirror, copy) = mirrored(dir.path());
        mirror.refresh(&copy).expect("copies");
        settle(&mut mirror, &copy);
        fs::hard_link(copy.join("a"), dir.path().join("other")).expect("links");
        fs::remove_file(copy.join("b")).expect("removes");
        symlink(dir.path().join("other"), copy.join("b")).expect("links");
        fs::rename(copy.join("lib"), dir.path().join("moved")).expect("moves");
        symlink(dir.path().join("moved"), copy.join("lib")).expect("links");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).expect("sets the mode");
        mirror.refresh(&copy).expect("copies");
        fs::write(dir.path().join("other"), "bad").expect("writes");
        assert_eq!(fs::read_to_string(copy.join("a")).expect("is there"), "a");
        assert_eq!(fs::read_to_string(copy.join("b")).expect("is there"), "b");
        assert!(
            copy.join("lib")
                .symlink_metadata()
                .expect("is there")
                .is_dir()
        );
    }

    #[test]
    fn links_of_a_mirror_name_what_they_named_and_none_leads_back_into_the_checkout() {
        let dir = tempfile::tempdir().expect("a directory");
        let (deps, mut mirror, copy) = mirrored(dir.path());
        let links = [
            ("lib/near", "../a".to_owned(), "../a".to_owned()),
            (
                "lib/own",
                deps.join("a").display().to_string(),
                "../../deps/a".to_owned(),
            ),
            (
                "python",
                "/usr/bin/env".to_owned(),
                "/usr/bin/env".to_owned(),
            ),
            (
                "sibling",
                "../../lib".to_owned(),
                dir.path().join("lib").display().to_string(),
            ),
            (
                "workspace",
                "../packages/x".to_owned(),
                "../packages/x".to_owned(),
            ),
        ];
        for (name, text, _) in &links {
            symlink(text, deps.join(name)).expect("links");
        }
        mirror.refresh(&copy).expect("copies");
        for (name, _, says) in &links {
            let link = fs::read_link(copy.join(name)).expect("is a link");
            assert_eq!(link, Path::new(says), "{name}");
        }
    }

    #[test]
    fn mirror_of_a_file_is_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let (deps, _, copy) = mirrored(dir.path());
        let mut mirror = Mirror::of(dir.path(), deps.join("a"));
        for content in ["one", "two"] {
            fs::write(deps.join("a"), content).expect("writes");
            mirror.refresh(&copy).expect("copies");
            assert_eq!(fs::read_to_string(&copy).expect("is there"), content);
        }
    }
}
