//! Directories in which trees are laid out, one after another.
//!
//! To make and remove the files of a tree costs far more than to look at them. So a directory that held one tree becomes the next by
//! what differs. Nothing that was done to it meanwhile survives: what should not be there is removed, and so is every file of which times,
//! number, size or owner are not, to the nanosecond, what an index of ours saw when it was written (a program without privileges can set
//! back none of the times but that of modification). What is missing then, git writes.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{GitError, Trusted, cli::absolute, error::io_error, files::Expected, lfs::laying_out};
use crate::{model::TreeId, untrusted::remove};

/// A directory with the index of what was laid out in it, which lies beside.
#[derive(Debug, Clone)]
pub(super) struct Checkout {
    pub(super) directory: PathBuf,
    pub(super) index: PathBuf,
}

impl Checkout {
    /// Of this directory, which may be relative: git runs elsewhere.
    pub(super) fn beside(directory: &Path) -> Self {
        let directory = absolute(directory);
        Self {
            index: index_of(&directory),
            directory,
        }
    }

    /// Lays a tree out, whatever is there; the index is then at the tree, and sees what was written.
    pub(super) async fn lay_out(
        &self,
        trusted: &Trusted,
        git_dir: &Path,
        tree: &str,
    ) -> Result<(), GitError> {
        // As this process makes directories.
        let like = trusted.dir().join("objects");
        let tidied = self.apart(move |this| this.tidy(&like)).await;
        if tidied.is_ok() && self.fill(trusted, git_dir, tree).await.is_ok() {
            return Ok(());
        }
        // Some of it does not let itself be mended: anew.
        let anew = |this: &Self| {
            remove(&this.directory)?;
            remove(&this.index)?;
            remove(&this.lock())?;
            fs::create_dir_all(&this.directory)
        };
        self.apart(anew).await.map_err(io_error(&self.directory))?;
        self.fill(trusted, git_dir, tree).await
    }

    /// What git writes the index to before it is renamed. Nobody else does, so what is there is a dead git's, or was planted.
    fn lock(&self) -> PathBuf {
        let mut lock = self.index.as_os_str().to_owned();
        lock.push(".lock");
        lock.into()
    }

    /// Does what may take its time with many files on a thread where it may.
    async fn apart(
        &self,
        what: impl FnOnce(&Self) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || what(&this))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Removes what does not belong to what was laid out last, in directories with the permissions of this one.
    fn tidy(&self, like: &Path) -> io::Result<()> {
        if !self.directory.symlink_metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let like = like.metadata()?.permissions();
        let expected = Expected::of(&self.index, &[]).ok_or(io::ErrorKind::NotFound)?;
        fs::set_permissions(&self.directory, like.clone())?;
        expected
            .strays(&self.directory, like.mode() & 0o7777)?
            .iter()
            .try_for_each(|stray| remove(stray))
    }

    async fn fill(&self, trusted: &Trusted, git_dir: &Path, tree: &str) -> Result<(), GitError> {
        let call = laying_out(trusted.call_in(git_dir), trusted.lfs.store());
        let call = call
            .args(["-c", "core.bare=false", "read-tree", "--reset", "-u"])
            .args([tree]);
        call.var("GIT_INDEX_FILE", &self.index)
            .var("GIT_WORK_TREE", &self.directory)
            .filters(trusted.filters.any())
            .run()
            .await
    }
}

impl Trusted {
    /// Makes a directory hold a tree's files and nothing else. It may hold what an earlier call left, whatever was done to that since:
    /// what differs is written. The index of what was laid out lies beside it.
    ///
    /// # Errors
    /// As `git read-tree`, and when something cannot be removed.
    pub async fn export(&self, tree: TreeId, into: &Path) -> Result<(), GitError> {
        let checkout = Checkout::beside(into);
        self.gather_lfs(tree).await?;
        checkout.lay_out(self, self.dir(), &tree.to_string()).await
    }
}

/// Where the index of what is laid out in a directory lies.
pub(super) fn index_of(directory: &Path) -> PathBuf {
    let mut index = OsString::from(directory);
    index.push(".index");
    index.into()
}
