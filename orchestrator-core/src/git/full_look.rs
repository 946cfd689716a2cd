//! What differs in a workspace, by a look at all its files.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    GitError, Objects, Trusted, Workspace,
    error::io_error,
    files::Expected,
    lent::{Lent, check_tree},
    lfs::laying_out,
    output::split_nul,
    trees::compared,
    workspace::at_of,
};
use crate::{
    model::{Change, CommitId, RepoPath},
    process::Exit,
    untrusted::{copy, read_small, remove, write_new},
};

/// How long git may look at the files of a worker that has ended; filters may take their time.
const WHOLE: Duration = Duration::from_secs(120);
/// The same beside a worker that works, at a heartbeat.
const BESIDE: Duration = Duration::from_secs(20);

impl Workspace {
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
            .filters(trusted.filters.any())
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
            let changes = compared(&lent.trees(), Some(objects.tree_of(base)?), tree)?;
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
