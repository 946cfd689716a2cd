//! Why a git operation failed.

use std::{io, path::Path, time::Duration};

use thiserror::Error;

use super::{
    filter_failure::FilterFailure,
    lfs::LfsError,
    version::{GitVersion, MINIMUM_VERSION},
};
use crate::{
    model::{Finding, MissingTarget},
    process::Exit,
};

/// Why a git operation failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no git.
    #[error("`{program}` cannot be run: install git {MINIMUM_VERSION} or newer")]
    NotFound {
        /// What was tried.
        program: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It is too old.
    #[error(
        "git {found} is too old: {MINIMUM_VERSION} or newer is needed, since older ones have known security holes"
    )]
    TooOld {
        /// What it says it is.
        found: GitVersion,
    },
    /// It said no.
    #[error("`git {verb}` failed ({exit}): {stderr}")]
    Failed {
        /// The subcommand, such as `fetch`.
        verb: String,
        /// How it ended.
        exit: Exit,
        /// The end of what it complained.
        stderr: String,
    },
    /// It did not end in time, and was killed.
    #[error("`git {verb}` did not end within {} s, and was stopped", .after.as_secs())]
    TimedOut {
        /// The subcommand, such as `fetch`.
        verb: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// It moved nothing for so long that it was stopped.
    #[error("`git {verb}` moved not a byte for {} s, and was stopped", .after.as_secs_f64())]
    Silent {
        /// The subcommand, such as `fetch`.
        verb: String,
        /// For so long.
        after: Duration,
    },
    /// The remote could not be reached: nothing was learned about it.
    #[error("the remote `{remote}` cannot be reached: {why}")]
    Unreachable {
        /// The remote's name in the person's configuration.
        remote: String,
        /// In git's words.
        why: String,
    },
    /// The remote answers, and does not have the branch that work lands on.
    #[error("the remote `{remote}`: {missing}: {}", .missing.fix())]
    NoTarget {
        /// The remote's name in the person's configuration.
        remote: String,
        /// What it has instead.
        missing: Box<MissingTarget>,
    },
    /// It said something that we do not understand.
    #[error("`git {verb}` gave what was not expected: {what}")]
    Output {
        /// The subcommand, such as `fetch`.
        verb: String,
        /// What was wrong with it.
        what: String,
    },
    /// A file of ours could not be read or written.
    #[error("{path}")]
    Io {
        /// The path of the file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An object could not be read in process.
    #[error("object {id} cannot be read: {why}")]
    Object {
        /// The object's id, or the name of the ref.
        id: String,
        /// The cause, in gix's words where gix failed.
        why: String,
    },
    /// A filter that the repository requires failed.
    #[error("{0}")]
    Filter(FilterFailure),
    /// A filter stands in the configuration of the person's repository alone, which no workspace has.
    #[error(
        "`.gitattributes` name the filter `{filter}`, which only your repository's own configuration has, and workspaces have not: \
         what workers commit would not be filtered. Name it as `[filters.{filter}]` in the policy, or in your global configuration"
    )]
    FilterOfRepository {
        /// The filter's name in `.gitattributes`.
        filter: String,
    },
    /// Files of Git LFS cannot be read or stored.
    #[error("{problem}: {}", .problem.fix())]
    Lfs {
        /// What is wrong; it knows how to fix it.
        problem: LfsError,
    },
    /// Work is not taken in as it is, and its worker can mend that.
    #[error("it is not taken in: {}", .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
    /// The repository is of a kind that cannot be worked on.
    #[error("{path}: {why}")]
    Repository {
        /// The repository, or the path within it.
        path: String,
        /// Why, and the mend.
        why: String,
    },
}

impl From<LfsError> for GitError {
    fn from(problem: LfsError) -> Self {
        Self::Lfs { problem }
    }
}

impl GitError {
    /// Whether there was no room to write.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> GitError + '_ {
    move |source| GitError::Io {
        path: path.display().to_string(),
        source,
    }
}
