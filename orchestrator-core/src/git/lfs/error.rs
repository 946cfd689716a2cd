//! What keeps files of Git LFS from being worked on.

use thiserror::Error;

use crate::model::RepoPath;

/// Of files that lack an object, so many are named.
const NAMED: usize = 5;

/// Why files of Git LFS cannot be read or stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LfsError {
    /// There is no `git-lfs`, and the policy and the person's configuration name no other filter.
    #[error(
        "the repository's `.gitattributes` use the filter `lfs`, and no `git-lfs` is on the PATH"
    )]
    NotInstalled,
    /// `git-lfs` is there, and does not run.
    #[error("`git lfs version` failed: {why}")]
    Broken {
        /// In its words.
        why: String,
    },
    /// Workers would find no `git-lfs`: git refuses to add a file then, or adds it as it is.
    #[error("no `git-lfs` is on the PATH that workers see")]
    NotForWorkers,
    /// Objects are in none of the stores.
    #[error("{}: {why}", named(.files, *.count))]
    Missing {
        /// Some of the files.
        files: Vec<RepoPath>,
        /// How many there are in all.
        count: usize,
        /// Why the remote did not give them, in git-lfs's words.
        why: String,
    },
    /// Objects could not be stored where the target is.
    #[error("the LFS objects could not be stored at the target: {why}")]
    NotStored {
        /// In git-lfs's words.
        why: String,
        /// Whether the server did not answer, so that the same may work later.
        transient: bool,
    },
}

impl LfsError {
    /// How to fix it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotInstalled => {
                "install git-lfs (`apt-get install git-lfs`, `brew install git-lfs`), or name another \
                 program as `[filters.lfs]` in the policy"
            }
            Self::Broken { .. } => "repair or reinstall git-lfs, so that `git lfs version` works",
            Self::NotForWorkers => {
                "put git-lfs on the PATH, and `PATH` into `allow` of `[environment]`"
            }
            Self::Missing { .. } => {
                "get them into your repository with `git lfs fetch --all`, have whoever committed them \
                 run `git lfs push --all`, or take the files out"
            }
            Self::NotStored { .. } => {
                "make `git lfs push` work in your repository, then answer `retry`"
            }
        }
    }

    pub(super) fn missing(mut files: Vec<RepoPath>, why: String) -> Self {
        let count = files.len();
        files.sort();
        files.truncate(NAMED);
        Self::Missing { files, count, why }
    }
}

fn named(files: &[RepoPath], count: usize) -> String {
    let names: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
    let more = match count.saturating_sub(files.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names.join(", ");
    format!("the LFS objects of {names}{more} are neither in your repository nor in the remote")
}
