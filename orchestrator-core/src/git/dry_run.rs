//! Whether the remote can be reached and logged in to for a push, and whether it would take one, as far as that is seen without one.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Destination, GitError, Trusted, parse::Place};
use crate::{model::CommitId, process::Exit};

/// What a push without effect came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DryRun {
    /// The remote answered, and let us in.
    Reached,
    /// It did not, in git's words.
    Refused {
        /// What git said.
        why: String,
    },
}

/// Why a remote on this machine would refuse the target, though it lets a dry run pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LocalRemote {
    /// Nothing is seen that speaks against it.
    Open,
    /// The target is checked out there, and `receive.denyCurrentBranch` refuses to change it.
    CheckedOut {
        /// Its git directory.
        path: PathBuf,
    },
    /// Its directory cannot be written.
    ReadOnly {
        /// The directory of the repository that cannot be written.
        path: PathBuf,
    },
}

impl Trusted {
    /// Pushes the target as it is, as a dry run: nothing is sent, no hook runs. `None` where nothing is pushed.
    ///
    /// # Errors
    /// [`GitError::Silent`] and [`GitError::TimedOut`] when nobody answers.
    pub(crate) async fn dry_run(&self, tip: CommitId) -> Result<Option<DryRun>, GitError> {
        let Destination::Remote { push_url, .. } = &self.destination else {
            return Ok(None);
        };
        let call = self
            .call()
            .args(["push", "--dry-run", "--porcelain", "--no-verify"])
            .args(["--no-follow-tags", "--recurse-submodules=no"])
            .args(self.settings.receive_pack())
            .args(["--end-of-options".to_owned(), push_url.clone()])
            .args([format!("{tip}:{}", self.target().full())]);
        let answer = self.settings.govern(call).reaches_out().answer().await?;
        let up_to_date = answer.exit == Exit::Code(0);
        // The target moved meanwhile: whoever hears that was let in.
        let moved = String::from_utf8_lossy(&answer.stdout).contains("[rejected]");
        Ok(Some(if up_to_date || moved {
            DryRun::Reached
        } else {
            let why = answer.stderr;
            DryRun::Refused { why }
        }))
    }

    /// Looks at a remote that is a directory of this machine for what a dry run does not see. `None` for any other.
    ///
    /// # Errors
    /// When git cannot be run there.
    pub(crate) async fn local_remote(&self) -> Result<Option<LocalRemote>, GitError> {
        let Destination::Remote { push_url, .. } = &self.destination else {
            return Ok(None);
        };
        let path = push_url.strip_prefix("file://").unwrap_or(push_url);
        if !path.starts_with('/') {
            return Ok(None);
        }
        let asked = self.git.call(Path::new("/")).args(["-C", path]);
        let asked = asked.args(Place::ASKED);
        let answer = asked.answer().await?;
        if answer.exit != Exit::Code(0) {
            return Ok(None);
        }
        let Place {
            git_dir, is_bare, ..
        } = Place::parse(&answer.stdout);
        let unwritable = ["objects", "refs"]
            .map(|name| git_dir.join(name))
            .into_iter()
            .find(|path| access(path, Access::WRITE_OK).is_err());
        if let Some(path) = unwritable {
            return Ok(Some(LocalRemote::ReadOnly { path }));
        }
        if !is_bare && self.denies_current(&git_dir).await? {
            return Ok(Some(LocalRemote::CheckedOut { path: git_dir }));
        }
        Ok(Some(LocalRemote::Open))
    }

    /// Whether a repository with a checkout refuses that its current branch, which is the target, is changed.
    async fn denies_current(&self, git_dir: &Path) -> Result<bool, GitError> {
        let ask = || self.git.call(git_dir);
        let head = ask().args(["symbolic-ref", "--quiet", "HEAD"]).answer();
        if head.await?.text() != self.target().full() {
            return Ok(false);
        }
        let set = ask().args(["config", "--get", "receive.denyCurrentBranch"]);
        let set = set.answer().await?.text().to_lowercase();
        let lets = ["ignore", "warn", "updateinstead", "false", "no", "off", "0"];
        Ok(!lets.contains(&&*set))
    }
}
