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

use std::path::{Path, PathBuf};

use super::{
    GitError, Trusted, checkout::Checkout, cli::absolute, config, discard::Discard,
    error::io_error, lent::branch_head, sparse::Sparse,
};
use crate::{
    failpoint::reach,
    model::{AttemptId, CommitId, Pattern, RepoPath},
    untrusted::{copy, read_beneath, write_new},
};

/// All workspaces of a state directory.
#[derive(Debug, Clone)]
pub struct Workspaces {
    pub(super) root: PathBuf,
    pub(super) discard: Discard,
}

/// One attempt's repository and worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The attempt that it belongs to.
    pub attempt: AttemptId,
    pub(super) root: PathBuf,
    pub(super) discard: Discard,
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

    /// All workspaces that are there, by looking.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn discover(&self) -> Result<Vec<Workspace>, GitError> {
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

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Whether it was made whole.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        self.root.join("ready").exists()
    }

    /// The patterns of a sparse workspace; not there for one that is whole.
    pub(super) fn sparse(&self) -> PathBuf {
        self.root.join("sparse")
    }

    pub(super) fn excludes(&self) -> PathBuf {
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
    pub(crate) async fn create_sparse(
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
}

/// The file that says at which commit an index stands. It is never said before it is true.
pub(super) fn at_of(index: &Path) -> PathBuf {
    let mut at = index.as_os_str().to_owned();
    at.push(".at");
    at.into()
}

/// A line that names a path, as git reads it: byte by byte.
fn line_of(before: &str, path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    [before.as_bytes(), path.as_os_str().as_bytes(), b"\n"].concat()
}
