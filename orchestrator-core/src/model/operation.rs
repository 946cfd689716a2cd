//! Operations of git that go over several commands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation of git that is begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// `git rebase`.
    Rebase,
    /// `git merge`.
    Merge,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
    /// `git am`.
    Am,
}

impl Operation {
    /// The command.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Rebase => "git rebase",
            Self::Merge => "git merge",
            Self::CherryPick => "git cherry-pick",
            Self::Revert => "git revert",
            Self::Bisect => "git bisect",
            Self::Am => "git am",
        }
    }

    /// The commands that end it.
    #[must_use]
    pub fn ends_with(self) -> &'static str {
        match self {
            Self::Rebase => "`git rebase --continue` or `git rebase --abort`",
            Self::Merge => "`git merge --continue` or `git merge --abort`",
            Self::CherryPick => "`git cherry-pick --continue` or `git cherry-pick --abort`",
            Self::Revert => "`git revert --continue` or `git revert --abort`",
            Self::Bisect => "`git bisect reset`",
            Self::Am => "`git am --continue` or `git am --abort`",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebase => "a rebase",
            Self::Merge => "a merge",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
            Self::Bisect => "a bisection",
            Self::Am => "an application of patches",
        })
    }
}
