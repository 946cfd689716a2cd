//! What was lent to a worker, as it is now: read within bounds in process, and looked at before git looks at it (law 8).

use std::{
    cell::OnceCell,
    collections::{HashSet, VecDeque},
    ffi::OsStr,
    fs, io,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use gix::objs::{CommitRef, Data, Find, Kind};
use tempfile::TempDir;

use super::{
    GitError, Objects,
    error::io_error,
    loose::Loose,
    loose::is_itself,
    objects::{from_gix, to_gix},
};
use crate::{
    model::{BranchName, CommitId, TreeId},
    untrusted::{is_dir, open_beneath, read_beneath, read_small, write_new},
};

type Id = gix::ObjectId;

/// The largest commit or tree that is read, in bytes.
const MAX_OBJECT: u64 = 16 << 20;
/// So many commits of a worker's own are followed at the most.
const MAX_COMMITS: usize = 10_000;
/// What is older than a commit by so many seconds is looked for beneath it no more: the clocks of authors differ.
const CLOCKS_DIFFER: i64 = 86_400;
/// What is read of the packs that a worker made, in bytes.
const MAX_PACKED: u64 = 256 << 20;
/// What an attempt's own repository may hold for git to look at it: it begins with a dozen files, and each new object is one more.
const MAX_FILES: usize = 200_000;
/// Of a tree, so many entries are looked at before git is; the rest is bounded by git's deadline.
const MAX_ENTRIES: usize = 2_000_000;
/// The largest file of rules that git is to read, in bytes. Git reads such a file whole.
const MAX_RULES: u64 = 16 << 20;

/// The objects that a worker's repository has: ours, and what came on top of them.
pub(super) struct Lent<'a> {
    ours: &'a gix::Repository,
    loose: Loose,
    repository: &'a Path,
    packed: OnceCell<Option<Packed>>,
}

/// A copy of the packs that a worker made: nobody can shorten a file of it while it is mapped.
struct Packed {
    objects: gix::Repository,
    _copy: TempDir,
}

impl<'a> Lent<'a> {
    /// What this repository has beyond ours.
    pub(super) fn of(ours: &'a gix::Repository, repository: &'a Path) -> Option<Self> {
        Some(Self {
            ours,
            loose: Loose::of(repository)?,
            repository,
            packed: OnceCell::new(),
        })
    }

    /// A commit's or a tree's content.
    pub(super) fn read(&self, id: Id, kind: Kind) -> Option<Vec<u8>> {
        let found = |object: gix::Object<'_>| (object.kind == kind).then(|| object.detach().data);
        if let Some(object) = self.ours.try_find_object(id).ok()? {
            return found(object);
        }
        if let Some(content) = self.loose.read(&id, kind, MAX_OBJECT) {
            return is_itself(&id, kind, &content).then_some(content);
        }
        let packed = self
            .packed
            .get_or_init(|| Packed::copied(self.repository))
            .as_ref()?;
        found(packed.objects.try_find_object(id).ok()??)
    }

    /// Its trees, for who reads those alone.
    pub(super) fn trees(&self) -> Trees<'_> {
        Trees(self)
    }

    /// A commit's tree.
    pub(super) fn tree_of(&self, commit: CommitId) -> Option<TreeId> {
        self.commit(to_gix(commit.0), |commit| {
            Some(TreeId(from_gix(&commit.tree())))
        })
    }

    /// Whether a head has a commit in its history; `None` where that cannot be told.
    pub(super) fn has(&self, head: CommitId, commit: CommitId) -> Option<bool> {
        let wanted = to_gix(commit.0);
        let is_ours = self.ours.has_object(wanted);
        let made = self.commit(wanted, |commit| Some(commit.committer().ok()?.seconds()));
        let mut seen = HashSet::new();
        let mut left = VecDeque::from([to_gix(head.0)]);
        while let Some(id) = left.pop_front() {
            if id == wanted {
                return Some(true);
            }
            // Beneath a commit of ours are none but ours.
            if !seen.insert(id) || (!is_ours && self.ours.has_object(id)) {
                continue;
            }
            if seen.len() > MAX_COMMITS {
                return None;
            }
            let parents = self.commit(id, |commit| {
                let seconds = commit.committer().ok()?.seconds();
                let is_older =
                    made.is_some_and(|made| seconds.saturating_add(CLOCKS_DIFFER) < made);
                Some(if is_older {
                    Vec::new()
                } else {
                    commit.parents().collect()
                })
            });
            left.extend(parents?);
        }
        Some(false)
    }

    /// Something of a commit.
    fn commit<T>(&self, id: Id, of: impl FnOnce(CommitRef<'_>) -> Option<T>) -> Option<T> {
        let data = self.read(id, Kind::Commit)?;
        of(CommitRef::from_bytes(&data, gix::hash::Kind::Sha1).ok()?)
    }
}

/// The trees among what was lent.
pub(super) struct Trees<'a>(&'a Lent<'a>);

impl Find for Trees<'_> {
    fn try_find<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Option<Data<'a>>, gix::Error> {
        let Some(tree) = self.0.read(id.to_owned(), Kind::Tree) else {
            return Ok(None);
        };
        *buffer = tree;
        Ok(Some(Data::new(buffer, Kind::Tree, gix::hash::Kind::Sha1)))
    }
}

impl Packed {
    fn copied(repository: &Path) -> Option<Self> {
        let copy = tempfile::tempdir().ok()?;
        for directory in ["objects/pack", "refs"] {
            fs::create_dir_all(copy.path().join(directory)).ok()?;
        }
        write_new(&copy.path().join("HEAD"), "ref: refs/heads/none\n").ok()?;
        // An object in a pack can say that it is as large as it likes.
        let config = format!("[gitoxide \"objects\"]\n\tallocLimit = {MAX_OBJECT}\n");
        write_new(&copy.path().join("config"), config).ok()?;
        let mut room = MAX_PACKED;
        for entry in fs::read_dir(repository.join("objects/pack")).ok()? {
            let name = format!("objects/pack/{}", entry.ok()?.file_name().to_str()?);
            if !(name.ends_with(".pack") || name.ends_with(".idx")) {
                continue;
            }
            let mut bytes = Vec::new();
            open_beneath(repository, &name.parse().ok()?)
                .ok()?
                .take(room + 1)
                .read_to_end(&mut bytes)
                .ok()?;
            room = room.checked_sub(bytes.len() as u64)?;
            write_new(&copy.path().join(name), bytes).ok()?;
        }
        let objects = Objects::open_small(copy.path()).ok()?.repository();
        Some(Self {
            objects,
            _copy: copy,
        })
    }
}

/// What a branch names in a repository that a worker can write, read from its files.
pub(super) fn branch_head(repository: &Path, branch: &BranchName) -> Option<CommitId> {
    let branch = branch.full();
    if let Ok(text) = read_beneath(repository, &branch) {
        return String::from_utf8_lossy(&text).trim_end().parse().ok();
    }
    let packed = read_beneath(repository, "packed-refs").ok()?;
    let packed = String::from_utf8_lossy(&packed);
    packed.lines().find_map(|line| {
        line.split_once(' ')
            .filter(|(_, name)| *name == branch)?
            .0
            .parse()
            .ok()
    })
}

fn odd(path: &Path, why: &str) -> GitError {
    GitError::Repository {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}

/// Checks that the objects of a worker's repository are nothing but files and directories, and that it borrows from nobody but us: what git
/// finds there is opened as it is, links are followed, and a FIFO keeps it waiting until its deadline.
///
/// # Errors
/// [`GitError::Repository`] with what is in the way.
pub(super) fn check_objects(repository: &Path, lender: &Path) -> Result<(), GitError> {
    let objects = repository.join("objects");
    if !is_dir(&objects) {
        return Err(odd(&objects, "it is no directory"));
    }
    let mut left = vec![objects];
    let mut looked_at = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).map_err(io_error(&directory))? {
            let entry = entry.map_err(io_error(&directory))?;
            let kind = entry.file_type().map_err(io_error(&directory))?;
            looked_at += 1;
            if looked_at > MAX_FILES {
                return Err(odd(&directory, "there are too many files in it"));
            }
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_symlink() {
                return Err(odd(
                    &entry.path(),
                    "it is a symbolic link, and objects are read from no other place",
                ));
            } else if !kind.is_file() {
                return Err(odd(&entry.path(), "it is no regular file"));
            }
        }
    }
    let alternates = repository.join("objects/info/alternates");
    let others = match read_small(&alternates) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(io_error(&alternates))?,
    };
    let ours = lender.as_os_str().as_bytes();
    if others
        .split(|byte| *byte == b'\n')
        .any(|line| !line.is_empty() && line != ours)
    {
        return Err(odd(
            &alternates,
            "it borrows objects from elsewhere than from us",
        ));
    }
    Ok(())
}

/// Checks that git can look at all files beneath a directory without waiting. What cannot be opened, git says itself.
///
/// # Errors
/// [`GitError::Repository`] with what is in the way.
pub(super) fn check_tree(tree: &Path) -> Result<(), GitError> {
    let mut left = vec![tree.to_owned()];
    let mut looked_at = 0;
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            looked_at += 1;
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            match entry.file_name().as_bytes() {
                b".gitignore" | b".gitattributes" => check_rules(&entry.path(), kind)?,
                // git-lfs reads it, and follows a link there.
                b".lfsconfig" => check_config(&entry.path())?,
                b".git" if directory != tree => check_nested(&entry.path())?,
                b".git" => {}
                _ if kind.is_dir() => left.push(entry.path()),
                _ => {}
            }
        }
        if looked_at > MAX_ENTRIES {
            break;
        }
    }
    Ok(())
}

/// A file of settings that a filter may read.
fn check_config(path: &Path) -> Result<(), GitError> {
    waitless(path)?;
    let large = path.metadata().is_ok_and(|meta| meta.len() > MAX_RULES);
    if large {
        Err(odd(path, "it is too large"))
    } else {
        Ok(())
    }
}

/// A file that git reads wherever it finds it. It follows no link there.
fn check_rules(path: &Path, kind: fs::FileType) -> Result<(), GitError> {
    if !(kind.is_file() || kind.is_symlink() || kind.is_dir()) {
        return Err(odd(path, "it is no regular file"));
    }
    let large = path
        .symlink_metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() > MAX_RULES);
    if large {
        Err(odd(path, "it is too large"))
    } else {
        Ok(())
    }
}

/// What git reads to tell whether a directory is a repository of its own, and at which commit it stands.
fn check_nested(link: &Path) -> Result<(), GitError> {
    let Some(git_dir) = linked(link)? else {
        return Ok(());
    };
    let mut places = vec![git_dir.clone()];
    if waitless(&git_dir.join("commondir"))? {
        let common = text(&git_dir.join("commondir"));
        places.push(git_dir.join(OsStr::from_bytes(common.trim_ascii_end())));
    }
    let mut names = vec![
        PathBuf::from("HEAD"),
        PathBuf::from("config"),
        PathBuf::from("packed-refs"),
    ];
    if waitless(&git_dir.join("HEAD"))?
        && let Some(branch) = text(&git_dir.join("HEAD"))
            .trim_ascii_end()
            .strip_prefix(b"ref: ")
    {
        names.push(PathBuf::from(OsStr::from_bytes(branch)));
    }
    for place in places {
        for name in &names {
            waitless(&place.join(name))?;
        }
    }
    Ok(())
}

/// The repository that a `.git` stands for.
fn linked(link: &Path) -> Result<Option<PathBuf>, GitError> {
    let Ok(meta) = link.metadata() else {
        return Ok(None);
    };
    if meta.is_dir() {
        return Ok(Some(link.to_owned()));
    }
    if !waitless(link)? {
        return Ok(None);
    }
    let said = text(link);
    let Some(path) = said.trim_ascii_end().strip_prefix(b"gitdir: ") else {
        return Ok(None);
    };
    Ok(link
        .parent()
        .map(|parent| parent.join(OsStr::from_bytes(path))))
}

/// Whether there is something that can be read: git follows links here, and so does this.
fn waitless(path: &Path) -> Result<bool, GitError> {
    match path.metadata() {
        Ok(meta) if meta.is_file() || meta.is_dir() => Ok(true),
        Ok(_) => Err(odd(path, "it is no regular file")),
        Err(_) => Ok(false),
    }
}

/// The beginning of a file that is mostly no link; nothing of one that is.
fn text(path: &Path) -> Vec<u8> {
    read_small(path).unwrap_or_default()
}
