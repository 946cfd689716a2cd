//! Whether commits can be signed, seen before work is paid for.

use super::{
    Destination, GitError, UserRepository,
    error::io_error,
    settings::{Logins, Settings},
};
use crate::process::Exit;

/// What came of signing a commit that nobody keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signing {
    /// Commits are not signed here.
    Off,
    /// It was signed.
    Signed,
    /// It could not be, in git's words.
    Failed {
        /// What git said.
        why: String,
    },
}

impl UserRepository {
    /// Signs an empty commit in a repository that is thrown away, with the person's settings, where commits are signed here.
    ///
    /// # Errors
    /// [`GitError::TimedOut`] when the program that signs does not end; [`GitError::Io`] when there is no room for such a repository.
    pub(crate) async fn try_to_sign(&self) -> Result<Signing, GitError> {
        let identity = self.identity().await?;
        if !identity.sign {
            return Ok(Signing::Off);
        }
        let directory = std::env::temp_dir();
        let directory = tempfile::tempdir().map_err(io_error(&directory))?;
        let dir = directory.path();
        let init = self.git().call(dir).args(["init", "--quiet", "--bare"]);
        init.args(["--template=", "--object-format=sha1", "."])
            .run()
            .await?;
        let settings = Settings::fix(
            self,
            &Destination::Local,
            dir.join("settings"),
            Logins::Left,
        )
        .await?;
        let tree: String = self
            .git()
            .with_dir(dir)
            .args(["hash-object", "-t", "tree", "-w", "--stdin"])
            .text()
            .await?;
        let commit = self
            .git()
            .with_dir(dir)
            .args(["commit-tree", "-S", "-m", "a test of signing"])
            .args([tree]);
        let answer = settings
            .govern(commit)
            .persons()
            .identifies()
            .answer()
            .await?;
        Ok(if answer.exit == Exit::Code(0) {
            Signing::Signed
        } else {
            Signing::Failed { why: answer.stderr }
        })
    }
}
