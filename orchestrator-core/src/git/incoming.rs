//! A room for what is fetched from a worker: nothing of it is in our repository before it has been judged.
//!
//! Git does the same for a push (the quarantine of git-receive-pack(1)). What is refused is thrown away with the room.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    GitError, IngressLimits, Objects, Trusted, cli::absolute, error::io_error, lent::branch_head,
    lent::check_objects, objects::to_gix, parse::parse_objects,
};
use crate::{
    model::{BranchName, CommitId, Finding, Oid, RepoPath, Severity, TreeId},
    untrusted::read_beneath,
};

/// Of what is too much, so many are named.
const NAMED: usize = 5;
/// The ref that names what was fetched, in the room.
const FETCHED: &str = "refs/orchestrator/fetched";
/// What the directories are called that the rooms are in; a crash leaves one behind.
const ROOM: &str = "incoming-";

/// What was fetched from a worker's branch, in a repository of its own that borrows from ours.
#[derive(Debug)]
pub(super) struct Incoming {
    room: TempDir,
    head: CommitId,
    objects: Objects,
}

/// An object that a head brings, and where it was seen.
struct Brought {
    id: Oid,
    /// Empty for a commit, and for the tree of one.
    path: String,
    size: u64,
}

impl Trusted {
    /// Fetches a branch into a room of its own. Git never looks at the worker's repository as such: it fetches from one of ours that
    /// has nothing but the branch, and borrows the worker's objects, which were looked at before.
    pub(super) async fn fetch_work(
        &self,
        from: &Path,
        branch: &BranchName,
        checked: bool,
    ) -> Result<Incoming, GitError> {
        let from = &absolute(from);
        let (repository, lender) = (from.clone(), self.dir().join("objects"));
        self.look(move |_| check_objects(&repository, &lender))
            .await?;
        let head = branch_head(from, branch).ok_or_else(|| no_head(from, branch))?;
        let room = tempfile::Builder::new()
            .prefix(ROOM)
            .tempdir_in(self.dir())
            .map_err(io_error(self.dir()))?;
        let at = room.path();
        let files: [(PathBuf, String); 3] = [
            (at.join("HEAD"), "ref: refs/heads/none\n".to_owned()),
            (
                at.join("config"),
                fs::read_to_string(self.dir().join("config")).map_err(io_error(self.dir()))?,
            ),
            (
                at.join("objects/info/alternates"),
                format!("{}\n", self.dir().join("objects").display()),
            ),
        ];
        for directory in ["objects/info", "objects/pack", "refs"].map(|name| at.join(name)) {
            fs::create_dir_all(&directory).map_err(io_error(&directory))?;
        }
        for (file, text) in files {
            fs::write(&file, text).map_err(io_error(&file))?;
        }
        let lent = at.join("lent");
        let borrowed = borrowing(
            &lent,
            &[&from.join("objects"), &self.dir().join("objects")],
            branch,
            head,
        );
        borrowed.map_err(io_error(&lent))?;
        let fsck = format!("fetch.fsckObjects={checked}");
        let call = self
            .git
            .with_dir(at)
            .args(["-c", &fsck, "-c", "fetch.unpackLimit=1"]);
        let call = call.args([
            "-c",
            "protocol.allow=never",
            "-c",
            "protocol.file.allow=always",
            "fetch",
            "--quiet",
            "--no-tags",
        ]);
        let call = call.args([
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--end-of-options",
        ]);
        let call = call
            .args([&lent])
            .args([format!("+{}:{FETCHED}", branch.full())]);
        call.transfers().run().await?;
        let objects = Objects::open_small(at)?;
        let gone = || GitError::Object {
            id: branch.full(),
            why: "nothing was fetched".to_owned(),
        };
        let head = objects.named(FETCHED)?.ok_or_else(gone)?;
        Ok(Incoming {
            room,
            head,
            objects,
        })
    }

    /// Takes what was fetched into our repository, durably; nothing names it yet.
    pub(super) fn accept(&self, incoming: &Incoming) -> Result<CommitId, GitError> {
        let (from, to) = (
            incoming.room.path().join("objects/pack"),
            self.dir().join("objects/pack"),
        );
        fs::create_dir_all(&to).map_err(io_error(&to))?;
        let mut files: Vec<_> = fs::read_dir(&from)
            .map_err(io_error(&from))?
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        // Its index makes a pack be seen.
        files.sort_by_key(|name| (name.to_string_lossy().ends_with(".idx"), name.clone()));
        for name in files {
            fs::rename(from.join(&name), to.join(&name)).map_err(io_error(&to))?;
        }
        fs::File::open(&to)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error(&to))?;
        Ok(incoming.head)
    }

    /// What is too much about a head that was fetched; all of it is named.
    pub(super) async fn too_much(
        &self,
        incoming: &Incoming,
        base: CommitId,
        limits: IngressLimits,
    ) -> Result<Vec<Finding>, GitError> {
        let brought = self.brought(incoming, base).await?;
        let total: u64 = brought.iter().map(|object| object.size).sum();
        let mut large: Vec<_> = brought
            .iter()
            .filter(|object| object.size > limits.blob)
            .collect();
        if large.is_empty() && total <= limits.total && brought.len() <= limits.objects {
            return Ok(Vec::new());
        }
        let onto = self.onto(incoming, base).await;
        let mend = format!("`git reset --soft {onto}`, take it out, and commit again");
        large.sort_by_key(|object| std::cmp::Reverse(object.size));
        let mut findings = Vec::new();
        for object in large.into_iter().take(NAMED) {
            let has = format!("it has {} bytes", object.size);
            let why = format!(
                "{has}; at most {} are taken in (`limits.file`)",
                limits.blob
            );
            findings.push(
                self.placed(
                    incoming,
                    object,
                    base,
                    Finding::new(Severity::Error, "size/file", why),
                    onto,
                )
                .await?,
            );
        }
        if !findings.is_empty() {
            return Ok(findings);
        }
        if total > limits.total {
            let mut all: Vec<_> = brought.iter().collect();
            all.sort_by_key(|object| std::cmp::Reverse(object.size));
            let names = all
                .iter()
                .take(NAMED)
                .map(|object| format!("`{}` ({} bytes)", object.path, object.size));
            let why = format!(
                "its new objects have {total} bytes together; at most {} are taken in (`limits.work`). The largest are {}: {mend}",
                limits.total,
                names.collect::<Vec<_>>().join(", ")
            );
            findings.push(Finding::new(Severity::Error, "size/total", why));
        }
        if brought.len() > limits.objects {
            let why = format!(
                "it has {} new objects; at most {} are taken in (`limits.objects`). Most are in {}: {mend}",
                brought.len(),
                limits.objects,
                crowded(&brought).join(", ")
            );
            findings.push(Finding::new(Severity::Error, "size/objects", why));
        }
        Ok(findings)
    }

    /// What git refuses, by the word of a fetch that failed; `None` where that is nothing that can be named.
    pub(super) async fn refused_by_git(
        &self,
        from: &Path,
        branch: &BranchName,
        base: CommitId,
        said: &str,
    ) -> Result<Option<Finding>, GitError> {
        let Some((id, why)) = said.lines().find_map(accused) else {
            return Ok(None);
        };
        // What is whole and only odd can be fetched without the checks, looked at, and thrown away.
        let Ok(incoming) = self.fetch_work(from, branch, false).await else {
            return Ok(None);
        };
        let brought = self.brought(&incoming, base).await?;
        let Some(object) = brought.iter().find(|object| object.id == id) else {
            return Ok(None);
        };
        let onto = self.onto(&incoming, base).await;
        let finding = Finding::new(
            Severity::Error,
            "commit/fsck",
            format!("git refuses it: {why}"),
        );
        self.placed(&incoming, object, base, finding, onto)
            .await
            .map(Some)
    }

    /// The finding with the object's place, the commit that brought it, and the mend.
    async fn placed(
        &self,
        incoming: &Incoming,
        object: &Brought,
        base: CommitId,
        mut finding: Finding,
        onto: CommitId,
    ) -> Result<Finding, GitError> {
        if let Ok(path) = object.path.parse::<RepoPath>() {
            finding = finding.at(path);
        }
        let listed =
            self.git
                .with_dir(incoming.room.path())
                .args(["rev-list", "--reverse", "--topo-order"]);
        let commits = listed
            .args([incoming.head.to_string(), format!("^{base}")])
            .transfers()
            .commits()
            .await?;
        let holds = |commit: &&CommitId| {
            commit.0 == object.id || incoming.has_at(**commit, &object.path, object.id)
        };
        let first = commits.iter().find(holds).copied().unwrap_or(incoming.head);
        if incoming.has_at(incoming.head, &object.path, object.id) {
            let at = first.short();
            finding.message = format!(
                "{}; commit {at} has it: take it out of the history as well: `git reset --soft {onto}`, take it out, and commit again",
                finding.message
            );
            return Ok(finding);
        }
        Ok(finding.only_in(first, onto))
    }

    /// All objects that a head has, and neither its base nor the target.
    async fn brought(&self, incoming: &Incoming, base: CommitId) -> Result<Vec<Brought>, GitError> {
        let mut call = self
            .git
            .with_dir(incoming.room.path())
            .args(["rev-list", "--objects"]);
        call = call.args([incoming.head.to_string(), format!("^{base}")]);
        if let Some(tip) = self.tip()? {
            call = call.args([format!("^{tip}")]);
        }
        let listed = call.transfers().bytes().await?;
        let named: Vec<_> = parse_objects(&listed)?
            .into_iter()
            .map(|(id, path)| (id, String::from_utf8_lossy(path).into_owned()))
            .collect();
        let ids: Vec<_> = named.iter().map(|(id, _)| *id).collect();
        let objects = incoming.objects.clone();
        let sizes = self.look(move |_| objects.sizes(&ids)).await?;
        Ok(named
            .into_iter()
            .zip(sizes)
            .map(|((id, path), size)| Brought { id, path, size })
            .collect())
    }

    /// The commit that one commit with all of the work would be on: the base, or what was merged from
    /// the target after it.
    async fn onto(&self, incoming: &Incoming, base: CommitId) -> CommitId {
        let Ok(Some(tip)) = self.tip() else {
            return base;
        };
        let call = self.git.with_dir(incoming.room.path()).args(["merge-base"]);
        let call = call.args([tip.to_string(), incoming.head.to_string()]);
        let Ok(newest) = call.id().await else {
            return base;
        };
        // Where the target has dropped the base, what they have in common is older.
        match self.contains(newest, base).await {
            Ok(true) => newest,
            Ok(false) | Err(_) => base,
        }
    }
}

impl Incoming {
    /// The repository that it was fetched to.
    pub(super) fn dir(&self) -> &Path {
        self.room.path()
    }

    pub(super) fn head(&self) -> CommitId {
        self.head
    }

    /// The head's tree.
    pub(super) fn tree(&self) -> Result<TreeId, GitError> {
        self.objects.tree_of(self.head)
    }

    /// Whether a commit has this object at this path.
    fn has_at(&self, commit: CommitId, path: &str, id: Oid) -> bool {
        let repository = self.objects.repository();
        let Ok(tree) = self.objects.tree_of(commit) else {
            return false;
        };
        if path.is_empty() {
            return tree.0 == id;
        }
        let Ok(tree) = repository.find_tree(to_gix(tree.0)) else {
            return false;
        };
        tree.lookup_entry_by_path(path)
            .is_ok_and(|found| found.is_some_and(|entry| entry.object_id() == to_gix(id)))
    }
}

/// Makes a bare repository that has one branch, and its objects from elsewhere (gitrepository-layout(5)).
fn borrowing(place: &Path, from: &[&Path], branch: &BranchName, head: CommitId) -> io::Result<()> {
    let mut alternates = Vec::new();
    for objects in from {
        alternates.extend_from_slice(objects.as_os_str().as_bytes());
        alternates.push(b'\n');
    }
    let files = [
        (
            "HEAD".to_owned(),
            format!("ref: {}\n", branch.full()).into_bytes(),
        ),
        (
            "config".to_owned(),
            b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n".to_vec(),
        ),
        ("objects/info/alternates".to_owned(), alternates),
        (branch.full(), format!("{head}\n").into_bytes()),
    ];
    for (name, content) in files {
        let path = place.join(name);
        fs::create_dir_all(path.parent().unwrap_or(place))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// Why a branch of a worker's repository cannot be read.
fn no_head(repository: &Path, branch: &BranchName) -> GitError {
    for name in [branch.full(), "packed-refs".to_owned()] {
        match read_beneath(repository, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return GitError::Repository {
                    path: repository.join(name).display().to_string(),
                    why: error.to_string(),
                };
            }
            Ok(_) => {}
        }
    }
    GitError::Repository {
        path: repository.display().to_string(),
        why: format!("its branch `{branch}` cannot be read"),
    }
}

/// The object that a line of a failed fetch complains of, and what about.
fn accused(line: &str) -> Option<(Oid, String)> {
    let (_, rest) = line.split_once("object ")?;
    let (id, why) = rest.split_once(": ")?;
    Some((id.parse().ok()?, crate::model::clean(why)))
}

/// The directories that have most of what is brought.
fn crowded(brought: &[Brought]) -> Vec<String> {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for object in brought {
        let directory = object
            .path
            .split_once('/')
            .map_or("the top directory", |(first, _)| first);
        *count.entry(directory).or_default() += 1;
    }
    let by_count: BTreeMap<_, _> = count
        .into_iter()
        .map(|(name, count)| ((std::cmp::Reverse(count), name), count))
        .collect();
    by_count
        .into_iter()
        .take(NAMED)
        .map(|((_, name), count)| format!("`{name}` ({count})"))
        .collect()
}
