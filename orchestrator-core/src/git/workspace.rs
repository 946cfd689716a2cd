//! Workspaces: what an attempt is lent.
//!
//! ```text
//! attempts/R1-1/
//!   repo.git   bare; objects borrowed from trusted.git; the worker's to write
//!   tree       its one linked worktree, on branch attempt/R1/1; the worker's to write
//!   out        handoffs and artifacts; the worker's to write
//!   given      the contract; the worker's to read
//!   index      our own index of the tree, from before the worker came: it cannot lie to it; and at which commit it stands
//!   excludes   what was brought into the tree, and is no work of anybody's
//!   sparse     the patterns of a sparse workspace
//!   modules    our own indexes of submodules, and which were placed where
//!   ports      the first of its ports
//!   streams    what agents wrote, byte by byte
//!   ready      there once it was set up
//! ```

use std::{
    ffi::OsString,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    GitError, Objects, Trusted,
    checkout::Checkout,
    cli::{absolute, io_error},
    config,
    discard::Discard,
    files::Expected,
    lent::{Lent, check_tree},
    lfs::laying_out,
    objects::unreadable,
    sparse::Sparse,
    trees::compared,
    trusted::split_nul,
};
use crate::{
    failpoint::reach,
    model::{AttemptId, BranchName, Change, CommitId, Pattern, RepoPath},
    process::Exit,
    untrusted::{copy, open_regular, read_beneath, read_small, remove, write_new},
};

/// All workspaces of a state directory.
#[derive(Debug, Clone)]
pub struct Workspaces {
    root: PathBuf,
    discard: Discard,
}

/// One attempt's repository and worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Which attempt's.
    pub attempt: AttemptId,
    root: PathBuf,
    discard: Discard,
}

impl Workspaces {
    /// Workspaces beneath this directory.
    #[must_use]
    pub fn beneath(state_dir: &Path) -> Self {
        Self {
            root: absolute(state_dir).join("attempts"),
            discard: Discard::beneath(&absolute(state_dir)),
        }
    }

    /// The directory that they are in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace of an attempt, whether it is there or not.
    #[must_use]
    pub fn of(&self, attempt: &AttemptId) -> Workspace {
        let root = self.root.join(attempt.slug());
        Workspace {
            attempt: attempt.clone(),
            root,
            discard: self.discard.clone(),
        }
    }

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
    #[cfg(feature = "driver")]
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

    /// All workspaces that are there, by looking.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn discover(&self) -> Result<Vec<Workspace>, GitError> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&self.root)(error)),
        };
        let attempt = |name: &str| {
            let (task, number) = name.rsplit_once('-')?;
            Some(AttemptId {
                task: task.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| attempt(entry.file_name().to_str()?))
            .map(|id| self.of(&id))
            .collect();
        found.sort_by(|a, b| a.attempt.cmp(&b.attempt));
        Ok(found)
    }
}

impl Workspace {
    /// The repository that the tree is linked to.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.root.join("repo.git")
    }

    /// The worker's directory.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Where handoffs and artifacts are.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    /// All of it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Whether it was made whole.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.root.join("ready").exists()
    }

    /// The patterns of a sparse workspace; not there for one that is whole.
    fn sparse(&self) -> PathBuf {
        self.root.join("sparse")
    }

    fn excludes(&self) -> PathBuf {
        self.root.join("excludes")
    }

    /// Makes it, from a base that `trusted` has; it is whole when it was [sealed](Self::seal). One that is whole is left as it
    /// is; a half-made one is made anew, since no worker can have been in it. `brought` are paths that will be put into the
    /// tree and do not count as anybody's work.
    ///
    /// # Errors
    /// [`GitError`] with what went wrong.
    pub async fn create(
        &self,
        trusted: &Trusted,
        base: CommitId,
        brought: &[RepoPath],
    ) -> Result<(), GitError> {
        self.create_sparse(trusted, base, brought, None).await
    }

    /// The same, with a part of the files.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_sparse(
        &self,
        trusted: &Trusted,
        base: CommitId,
        brought: &[RepoPath],
        sparse: Option<&Sparse>,
    ) -> Result<(), GitError> {
        if self.is_ready() {
            return Ok(());
        }
        self.discard
            .throw(&self.root)
            .map_err(io_error(&self.root))?;
        trusted.gather_lfs(trusted.tree_of(base)?).await?;
        let (repository, out) = (self.repository(), self.out());
        reach("before workspace");
        self.take_spare().map_err(io_error(&self.root))?;
        std::fs::create_dir_all(&out).map_err(io_error(&out))?;
        // What `git init --bare` and `git worktree add` would make of it (gitrepository-layout(5)), without their five processes.
        let (tree, linked) = (self.tree(), repository.join("worktrees/tree"));
        let (branch, target) = (self.attempt.branch(), trusted.target());
        let excludes: String = brought
            .iter()
            .map(|path| format!("/{}\n", Pattern::exactly(path)))
            .collect();
        let objects = trusted.dir().join("objects");
        let mut configuration = config::workspace(&trusted.identity, &trusted.filters);
        if let Some(sparse) = sparse {
            configuration.push_str(&sparse.section());
        }
        let files = [
            (
                repository.join("HEAD"),
                format!("ref: {}\n", target.full()).into_bytes(),
            ),
            (repository.join("config"), configuration.into_bytes()),
            (
                repository.join("objects/info/alternates"),
                line_of("", &objects),
            ),
            (
                repository.join("info/exclude"),
                excludes.clone().into_bytes(),
            ),
            (
                repository.join(branch.full()),
                format!("{base}\n").into_bytes(),
            ),
            (
                repository.join(target.full()),
                format!("{base}\n").into_bytes(),
            ),
            (
                linked.join("HEAD"),
                format!("ref: {}\n", branch.full()).into_bytes(),
            ),
            (linked.join("commondir"), b"../..\n".to_vec()),
            (linked.join("gitdir"), line_of("", &tree.join(".git"))),
            (self.excludes(), excludes.into_bytes()),
        ];
        let write = |path: PathBuf, text: Vec<u8>| {
            let directory = path.parent().unwrap_or(&self.root);
            std::fs::create_dir_all(directory)
                .and_then(|()| write_new(&path, text))
                .map_err(io_error(&path))
        };
        files
            .into_iter()
            .try_for_each(|(path, text)| write(path, text))?;
        if let Some(sparse) = sparse {
            write(linked.join("info/sparse-checkout"), sparse.patterns.clone())?;
            write(self.sparse(), sparse.patterns.clone())?;
        }
        reach("workspace, configured");
        let checkout = Checkout {
            directory: tree.clone(),
            index: self.index(),
        };
        checkout
            .lay_out(trusted, &linked, &base.to_string())
            .await?;
        write(at_of(&self.index()), base.to_string().into_bytes())?;
        write(tree.join(".git"), line_of("gitdir: ", &linked))?;
        let theirs = linked.join("index");
        copy(&self.index(), &theirs).map_err(io_error(&theirs))
    }

    /// Says that it is whole, and may be lent.
    ///
    /// # Errors
    /// When the file that says so cannot be written.
    pub fn seal(&self) -> Result<(), GitError> {
        let ready = self.root.join("ready");
        reach("before workspace is whole");
        write_new(&ready, "").map_err(io_error(&ready))?;
        reach("after workspace is whole");
        Ok(())
    }

    /// The head of the attempt's branch, read from its files: no git runs where the worker can write.
    #[must_use]
    pub fn head(&self) -> Option<CommitId> {
        branch_head(&self.repository(), &self.attempt.branch())
    }

    /// Whether the worktree is on the attempt's branch.
    #[must_use]
    pub fn on_branch(&self) -> bool {
        let head = read_beneath(&self.repository(), "worktrees/tree/HEAD");
        head.is_ok_and(|head| {
            head.trim_ascii_end() == format!("ref: {}", self.attempt.branch().full()).as_bytes()
        })
    }

    /// A full look: paths in which the tree differs from a commit that `trusted` has, untracked files included, ignored and
    /// brought ones not. At most `limit` of them. Uses an index of our own, so that no bit of the worker's can hide anything.
    ///
    /// # Errors
    /// As `git ls-files`, and when the tree is gone.
    pub async fn uncommitted(
        &self,
        trusted: &Trusted,
        head: CommitId,
        limit: usize,
    ) -> Result<Vec<RepoPath>, GitError> {
        let index = self.index();
        if self.is_just(trusted, head, &index).await {
            return Ok(Vec::new());
        }
        let look = self.full_look(trusted, head, index, WHOLE)?;
        let mut paths = self.differs(trusted, &look, limit).await?;
        let left = limit.saturating_sub(paths.len());
        paths.extend(self.changed_in_modules(trusted, left, false, WHOLE).await?);
        paths.dedup();
        Ok(paths)
    }

    /// A look at all files of the tree.
    fn full_look(
        &self,
        trusted: &Trusted,
        from: CommitId,
        index: PathBuf,
        deadline: Duration,
    ) -> Result<FullLook, GitError> {
        Ok(FullLook {
            git_dir: trusted.dir().to_owned(),
            tree: self.tree(),
            index,
            from,
            excludes: Some(self.readable_excludes()?),
            sparse: Some(self.sparse()).filter(|sparse| sparse.exists()),
            deadline,
        })
    }

    /// The same beside a worker that works: what it has touched since `base`, committed or not. Keeps an index of its own, so
    /// that it is never in the way of the look that counts.
    ///
    /// # Errors
    /// As [`uncommitted`](Self::uncommitted).
    pub async fn touched(
        &self,
        trusted: &Trusted,
        base: CommitId,
        limit: usize,
    ) -> Result<Vec<RepoPath>, GitError> {
        let (index, ours) = (self.root.join("index.live"), self.index());
        if !index.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            // Where ours cannot be copied, git makes another.
            forget_index(&index).map_err(io_error(&index))?;
            if copy(&ours, &index)
                .and_then(|()| copy(&at_of(&ours), &at_of(&index)))
                .is_err()
            {
                forget_index(&index).map_err(io_error(&index))?;
            }
        }
        match self.committed(trusted, base, &index).await {
            Some(mut paths) => {
                paths.truncate(limit);
                Ok(paths)
            }
            None => {
                let look = self.full_look(trusted, base, index, BESIDE)?;
                let mut paths = self.differs(trusted, &look, limit).await?;
                let left = limit.saturating_sub(paths.len());
                paths.extend(self.changed_in_modules(trusted, left, true, BESIDE).await?);
                paths.dedup();
                Ok(paths)
            }
        }
    }

    /// Asks git what differs.
    pub(super) async fn differs(
        &self,
        trusted: &Trusted,
        look: &FullLook,
        limit: usize,
    ) -> Result<Vec<RepoPath>, GitError> {
        let (tree, index, from) = (&look.tree, look.index.as_path(), look.from);
        if !tree.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(self.unreadable("the workspace's directory is gone".to_owned()));
        }
        let walked = tree.clone();
        trusted.look(move |_| check_tree(&walked)).await?;
        tidy_index(index).map_err(io_error(index))?;
        let with_index = || {
            let call = trusted
                .call_in(&look.git_dir)
                .args(["-c", "core.bare=false"]);
            // What is there though it is left out is looked at all the same. Git looks for it from where it is started.
            let call = match &look.sparse {
                Some(_) => call
                    .args(["-c", "core.sparseCheckout=true", "-C"])
                    .args([tree]),
                None => call,
            };
            call.var("GIT_INDEX_FILE", index).var("GIT_WORK_TREE", tree)
        };
        // Brought to the same commit again, it needs no process.
        let at = &at_of(index);
        if stands_at(index) != Some(from) {
            remove(at).map_err(io_error(at))?;
            with_index()
                .args(["read-tree", "--reset"])
                .args([from.to_string()])
                .run()
                .await?;
            write_new(at, from.to_string()).map_err(io_error(at))?;
        }
        let excludes = look.excludes.as_ref().map(|file| {
            let mut excludes = OsString::from("--exclude-from=");
            excludes.push(file);
            excludes
        });
        // What git-lfs reads it stores as well: in a place that goes when it was read.
        let scratch = trusted
            .filters
            .has("lfs")
            .then(|| tempfile::tempdir_in(trusted.dir()))
            .transpose()
            .map_err(io_error(trusted.dir()))?;
        let call = match &scratch {
            Some(store) => laying_out(with_index(), store.path()),
            None => with_index(),
        };
        let call = call.args([
            "ls-files",
            "-z",
            "--modified",
            "--others",
            "--exclude-standard",
            "--full-name",
        ]);
        let call = call
            .args(excludes)
            .args(["--"])
            .args([tree])
            .filters(&trusted.filters)
            .within(look.deadline);
        let answer = call.answer().await?;
        if answer.exit != Exit::Code(0) {
            return Err(answer.failed("ls-files"));
        }
        // It goes on without what is beneath.
        if let Some(why) = answer.skipped {
            return Err(self.unreadable(why));
        }
        let mut paths: Vec<_> = split_nul(&answer.stdout)
            .filter_map(|path| RepoPath::from_bytes(path.strip_suffix(b"/").unwrap_or(path)).ok())
            .collect();
        paths.dedup();
        if let Some(patterns) = &look.sparse {
            paths = without_left_out(trusted, patterns, tree, paths).await?;
        }
        paths.truncate(limit);
        Ok(paths)
    }

    fn unreadable(&self, why: String) -> GitError {
        GitError::Repository {
            path: self.tree().display().to_string(),
            why,
        }
    }

    /// The file of excludes, if git can read it without waiting.
    fn readable_excludes(&self) -> Result<PathBuf, GitError> {
        let excludes = self.excludes();
        read_small(&excludes).map_err(io_error(&excludes))?;
        Ok(excludes)
    }

    /// Whether the tree is just what a commit says, as far as that can be seen in process. Mostly it is, when a worker has committed its
    /// work; where not, git is asked what differs.
    async fn is_just(&self, trusted: &Trusted, commit: CommitId, index: &Path) -> bool {
        let (looking, index) = (self.clone(), index.to_owned());
        let just = move |objects: &Objects| {
            let Some(at) = stands_at(&index) else {
                return Ok(false);
            };
            let changes = objects.differences(objects.tree_of(at)?, objects.tree_of(commit)?)?;
            Ok(looking.holds(&index, &changes))
        };
        trusted.look(just).await.unwrap_or(false)
    }

    /// What a worker has committed, if that is all that it has touched; read from its own repository, in process. `None`: to be asked of git.
    async fn committed(
        &self,
        trusted: &Trusted,
        base: CommitId,
        index: &Path,
    ) -> Option<Vec<RepoPath>> {
        let (looking, index) = (self.clone(), index.to_owned());
        let look = move |objects: &Objects| {
            let Some(head) = looking.head().filter(|_| stands_at(&index) == Some(base)) else {
                return Ok(None);
            };
            let (ours, repository) = (objects.repository(), looking.repository());
            let Some(lent) = Lent::of(&ours, &repository) else {
                return Ok(None);
            };
            let Some(tree) = lent.tree_of(head) else {
                return Ok(None);
            };
            let read = |id: gix::ObjectId| {
                lent.read(id, gix::objs::Kind::Tree)
                    .ok_or_else(|| unreadable(id)("it is not there"))
            };
            let changes = compared(&read, Some(objects.tree_of(base)?), tree)?;
            let all = looking.holds(&index, &changes);
            Ok(all.then(|| changes.into_iter().map(|change| change.path).collect()))
        };
        trusted.look(look).await.ok()?
    }

    /// Whether the tree is as an index of ours says with these changes, but for what was brought along.
    fn holds(&self, index: &Path, changes: &[Change]) -> bool {
        // Those of which the pattern is the path itself; the others git knows.
        let excluded = read_small(&self.excludes()).unwrap_or_default();
        let excluded = String::from_utf8_lossy(&excluded);
        let plain = excluded.lines().filter(|line| !line.contains('\\'));
        let brought: Vec<RepoPath> = plain
            .filter_map(|line| line.strip_prefix('/')?.parse().ok())
            .collect();
        Expected::of(index, changes)
            .is_some_and(|expected| expected.is_all_of(&self.tree(), &brought))
    }

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
    fn take_spare(&self) -> std::io::Result<()> {
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

/// What is held against what: files, and a commit that a repository of ours has.
pub(super) struct FullLook {
    pub(super) git_dir: PathBuf,
    pub(super) tree: PathBuf,
    /// An index of ours, which is brought to the commit.
    pub(super) index: PathBuf,
    pub(super) from: CommitId,
    /// What does not count, besides what git ignores.
    pub(super) excludes: Option<PathBuf>,
    /// The patterns of a sparse workspace.
    pub(super) sparse: Option<PathBuf>,
    pub(super) deadline: Duration,
}

/// These paths without those that are missing since a sparse workspace leaves them out.
async fn without_left_out(
    trusted: &Trusted,
    patterns: &Path,
    tree: &Path,
    paths: Vec<RepoPath>,
) -> Result<Vec<RepoPath>, GitError> {
    let is_missing = |path: &&RepoPath| tree.join(path.to_path()).symlink_metadata().is_err();
    let missing: Vec<_> = paths.iter().filter(is_missing).cloned().collect();
    if missing.is_empty() {
        return Ok(paths);
    }
    let left_out = trusted.left_out(patterns, &missing).await?;
    let counts = |path: &RepoPath| !left_out.contains(path);
    Ok(paths.into_iter().filter(counts).collect())
}

fn stands_at(index: &Path) -> Option<CommitId> {
    String::from_utf8(read_small(&at_of(index)).ok()?)
        .ok()?
        .parse()
        .ok()
}

/// Makes an index of ours one that git can open; what is not a file is none, and is made anew.
fn tidy_index(index: &Path) -> std::io::Result<()> {
    let mut lock = index.as_os_str().to_owned();
    lock.push(".lock");
    // Of a git of ours that died, or planted: nobody else writes it.
    remove(Path::new(&lock))?;
    if index.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
        forget_index(index)
    } else {
        Ok(())
    }
}

/// Removes an index of ours, and what is known of it.
fn forget_index(index: &Path) -> std::io::Result<()> {
    remove(index)?;
    remove(&at_of(index))
}

/// How long git may look at the files of a worker that has ended; filters may take their time.
const WHOLE: Duration = Duration::from_secs(120);
/// The same beside a worker that works, at a heartbeat.
const BESIDE: Duration = Duration::from_secs(20);
/// So many removed workspaces are kept for the next ones.
const SPARES: usize = 8;
/// So many files they have together, unless there is only one: it may be as large as it is.
const SPARE_FILES: u64 = 60_000;
/// What the names of those begin with: they are no attempt's.
const SPARE: &str = ".spare-";
/// What the names of those begin with whose removal was begun.
const GONE: &str = ".gone-";

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

/// The file that says at which commit an index stands. It is never said before it is true.
fn at_of(index: &Path) -> PathBuf {
    let mut at = index.as_os_str().to_owned();
    at.push(".at");
    at.into()
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

/// A line that names a path, as git reads it: byte by byte.
fn line_of(before: &str, path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    [before.as_bytes(), path.as_os_str().as_bytes(), b"\n"].concat()
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
