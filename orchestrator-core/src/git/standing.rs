//! How the person's repository stands: what a run should know of it before it begins. Everything here only reads.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
};

use super::{
    GitError, Trusted, UserRepository,
    ancestry::merge_base,
    parse::{parse_counts, unexpected},
};
use crate::{
    model::{BranchName, CommitId, RepoPath},
    process::{Exit, can_run},
};

/// Hooks of git's that run where a person commits, merges or pushes, and not where we do.
const HOOKS: [&str; 6] = [
    "commit-msg",
    "post-commit",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "prepare-commit-msg",
];

/// So many commits are named.
const NAMED: &str = "-3";

/// How the person's branch stands to the remote's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distance {
    /// Commits that only the person's branch has.
    pub ahead: u32,
    /// Commits that only the remote's has.
    pub behind: u32,
    /// The newest of those that only the person's branch has: short id and subject.
    pub newest: Vec<String>,
}

impl UserRepository {
    /// How its branch stands to a commit of ours, which it may not have. `None` where there is no such branch, or where history is
    /// cut off and cannot tell.
    ///
    /// # Errors
    /// As `git rev-list`.
    pub(crate) async fn distance(
        &self,
        branch: &BranchName,
        trusted: &Trusted,
        tip: CommitId,
    ) -> Result<Option<Distance>, GitError> {
        let Ok(local) = self.tip(branch).await else {
            return Ok(None);
        };
        if local == tip {
            let (ahead, behind, newest) = (0, 0, Vec::new());
            return Ok(Some(Distance {
                ahead,
                behind,
                newest,
            }));
        }
        if self.complete().await.is_err() {
            return Ok(None);
        }
        let objects = trusted.dir().join("objects");
        let ask = || {
            self.call()
                .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects)
        };
        let counted = ask()
            .args(["rev-list", "--left-right", "--count"])
            .args([format!("{local}...{tip}")])
            .text()
            .await?;
        let (ahead, behind) =
            parse_counts(&counted).ok_or_else(|| unexpected("rev-list", &counted))?;
        let listed = ask()
            .args(["log", NAMED, "--no-decorate", "--no-show-signature"])
            .args(["--format=%h %s".to_owned(), format!("{tip}..{local}")])
            .text()
            .await?;
        let newest = listed.lines().map(crate::model::clean).collect();
        Ok(Some(Distance {
            ahead,
            behind,
            newest,
        }))
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// When there is none yet.
    pub async fn head(&self) -> Result<CommitId, GitError> {
        let ask = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
        self.call().args(ask).id().await
    }

    /// The best common ancestor of a commit here and one of ours; `None` if they have none.
    ///
    /// # Errors
    /// As `git merge-base`.
    pub(crate) async fn merge_base(
        &self,
        trusted: &Trusted,
        here: CommitId,
        ours: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let objects = trusted.dir().join("objects");
        let call = self.call().var("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects);
        merge_base(call, here, ours).await
    }

    /// The hooks that run where a person commits or pushes here: where they are, and their names.
    ///
    /// # Errors
    /// As `git rev-parse`.
    pub async fn hooks(&self) -> Result<(PathBuf, Vec<&'static str>), GitError> {
        let path = self
            .call()
            .args(["rev-parse", "--git-path", "hooks"])
            .text()
            .await?;
        let path = self.base().join(path);
        let runs = |name: &&str| can_run(OsStr::new(&format!("./{name}")), &path, None).is_ok();
        let found = HOOKS.iter().copied().filter(runs).collect();
        Ok((path, found))
    }

    /// A file as it is at a commit of this repository; `None` if there is none.
    ///
    /// # Errors
    /// As `git cat-file`.
    pub(crate) async fn file_at(
        &self,
        commit: CommitId,
        path: &RepoPath,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let mut name = format!("{commit}:").into_bytes();
        name.extend_from_slice(path.as_bytes());
        let name = OsString::from_vec(name);
        let call = self.call().args(["cat-file", "blob"]).args([name]);
        let answer = call.answer().await?;
        Ok((answer.exit == Exit::Code(0)).then_some(answer.stdout))
    }

    /// A file as it is in the checkout; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn working_file(&self, path: &RepoPath) -> io::Result<Option<Vec<u8>>> {
        let Some(root) = self.root() else {
            return Ok(None);
        };
        let file = root.join(path.to_path());
        match file.metadata() {
            // A pipe in its place would keep us waiting.
            Ok(found) if !found.is_file() => Ok(None),
            Ok(_) => std::fs::read(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
