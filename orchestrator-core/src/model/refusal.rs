//! Why a landing was refused: a cause for each case that a person handles differently.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BranchName, MissingTarget, Operation, RepoPath, listed};

/// A landing that was refused. The cause decides what a person is told; the words are only shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub cause: RefusalCause,
    /// Where.
    pub place: LandingPlace,
    /// What git and the remote printed: cleaned, at most 2,000 characters, cut at lines. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// Where a landing was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LandingPlace {
    /// A remote, by its name in the configuration: its address may hold a password.
    Remote(String),
    /// The person's own repository, by the path of its checkout or git directory.
    Repository(String),
}

/// Why a landing was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCause {
    /// A hook or a rule of the remote declined the push.
    Declined,
    /// The remote can be read by this user, and not pushed to.
    Denied,
    /// The remote's branch is not where it was read a moment ago, or not behind what is pushed.
    Stale,
    /// The remote is not bare, and the target is checked out there.
    CheckedOutThere,
    /// The remote could not store what it received: its disk, its permissions, or a lock there.
    RemoteStorage,
    /// The push had no answer, although the remote answers other questions.
    Unanswered {
        /// How often it was pushed.
        tries: u32,
    },
    /// The remote no longer has the target.
    TargetGone(MissingTarget),
    /// A hook of the person's repository refused the move of the branch.
    LocalHook,
    /// Another git holds a lock in the person's repository.
    Locked {
        /// The lock's file.
        file: String,
        /// How old it is, in seconds; `None` when it was taken and released again and again.
        age: Option<u64>,
    },
    /// The commit could not be signed.
    Signing,
    /// An operation of git is not finished in the checkout of the target.
    Unfinished {
        /// Which.
        operation: Operation,
    },
    /// Untracked files are where the landing adds files.
    Untracked {
        /// Some of them.
        paths: Vec<RepoPath>,
    },
    /// Files that git ignores are where the landing adds files, and would be overwritten.
    Ignored {
        /// Some of them.
        paths: Vec<RepoPath>,
    },
    /// The objects of Git LFS could not be stored where the target's are.
    LargeObjects,
    /// There is no space left.
    NoSpace,
    /// The file system cannot be written.
    ReadOnly,
    /// Files may not be written by this user.
    Permission,
    /// The checkout of the target was switched to something else while the landing ran.
    CheckoutMoved {
        /// The branch that is checked out now; `None` for a detached HEAD.
        now: Option<BranchName>,
    },
    /// The target is checked out in a worktree whose directory is gone.
    WorktreeGone {
        /// The directory.
        path: String,
    },
    /// None of these: only git's words say why.
    Other,
}

impl fmt::Display for LandingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(name) => write!(f, "the remote `{name}`"),
            Self::Repository(path) => write!(f, "the repository `{path}`"),
        }
    }
}

impl Refusal {
    /// A refusal without a word of git's.
    #[must_use]
    pub fn new(cause: RefusalCause, place: LandingPlace) -> Self {
        Self {
            cause,
            place,
            words: String::new(),
        }
    }

    /// With what git printed: cleaned, and cut at lines.
    #[must_use]
    pub fn with_words(mut self, words: &str) -> Self {
        self.words = said(words);
        self
    }

    /// Whether the landing was to be pushed.
    #[must_use]
    pub fn is_of_a_push(&self) -> bool {
        matches!(self.place, LandingPlace::Remote(_))
    }

    /// What happened and where, without git's words.
    #[must_use]
    pub fn what(&self) -> String {
        let place = &self.place;
        match &self.cause {
            RefusalCause::Declined => format!("a hook or a rule of {place} declined the push"),
            RefusalCause::Denied => {
                format!("{place} can be read by this user, and not pushed to")
            }
            RefusalCause::Stale => format!(
                "{place} has another commit on the target than was fetched from it a moment ago"
            ),
            RefusalCause::CheckedOutThere => {
                format!("{place} is not bare, and the target is checked out there")
            }
            RefusalCause::RemoteStorage => {
                format!("{place} could not store the commit or move its branch")
            }
            RefusalCause::Unanswered { tries } => format!(
                "{place} gave no answer to the push ({tries} tries); it answers other questions, and its branch has not moved"
            ),
            RefusalCause::TargetGone(missing) => format!("{place}: {missing}"),
            RefusalCause::LocalHook => {
                format!("a hook of {place} refused to move the target's branch")
            }
            RefusalCause::Locked { file, age } => match age {
                Some(age) => {
                    format!("another git holds the lock `{file}`, which was made {age} s ago")
                }
                None => format!("other gits took the lock `{file}` again and again"),
            },
            RefusalCause::Signing => "the landing's commit could not be signed".to_owned(),
            RefusalCause::Unfinished { operation } => {
                format!("a `{}` is not finished in {place}", operation.command())
            }
            RefusalCause::Untracked { paths } => format!(
                "untracked files in {place} are where the landing adds files: {}",
                listed(paths)
            ),
            RefusalCause::Ignored { paths } => format!(
                "files that git ignores in {place} would be overwritten by the landing: {}",
                listed(paths)
            ),
            RefusalCause::LargeObjects => {
                format!("the objects of Git LFS could not be stored for {place}")
            }
            RefusalCause::NoSpace => format!("there is no space left to write in {place}"),
            RefusalCause::ReadOnly => format!("the file system of {place} is read-only"),
            RefusalCause::Permission => format!("files of {place} may not be written by this user"),
            RefusalCause::CheckoutMoved { now } => {
                let now = now
                    .as_ref()
                    .map_or("a detached HEAD".to_owned(), |now| format!("`{now}`"));
                format!("the checkout in {place} was switched to {now} while the landing ran")
            }
            RefusalCause::WorktreeGone { path } => format!(
                "the target is checked out in the worktree `{path}`, whose directory is gone"
            ),
            RefusalCause::Other if self.is_of_a_push() => format!("the push to {place} failed"),
            RefusalCause::Other => format!("git could not move the target's branch in {place}"),
        }
    }

    /// How to fix it.
    #[must_use]
    pub fn fix(&self) -> String {
        let fixed = match &self.cause {
            RefusalCause::Declined => {
                "change the hook or the rule there, or let whoever may push land it"
            }
            RefusalCause::Denied => {
                "see that `git push` works here without a question (a key in the agent, a credential \
                 helper, the right to push), or set another `push` in the policy"
            }
            RefusalCause::Stale => {
                "see that the remote's fetch and push addresses (`git remote -v`) are one repository, \
                 and that a mirror between them is up to date"
            }
            RefusalCause::CheckedOutThere => {
                "push to a bare repository, or set `receive.denyCurrentBranch` to `updateInstead` there"
            }
            RefusalCause::RemoteStorage => {
                "look at the disk, the permissions and the lock files of that repository"
            }
            RefusalCause::Unanswered { .. } => "look at the hooks and the log of the remote",
            RefusalCause::TargetGone(missing) => return missing.fix(),
            RefusalCause::LocalHook => {
                "look at the repository's `reference-transaction` hook (`git rev-parse --git-path hooks`)"
            }
            RefusalCause::Locked { .. } => {
                "let it finish; if no git runs there any more, remove the file"
            }
            RefusalCause::Signing => {
                "see that `git commit -S` works there without a terminal (`gpg.program`, \
                 `user.signingKey`, an unlocked agent), or set `commit.gpgSign` to false"
            }
            RefusalCause::Unfinished { operation } => {
                return format!("end it there with {}", operation.ends_with());
            }
            RefusalCause::Untracked { .. } => "move or remove these files, or commit them",
            RefusalCause::Ignored { .. } => "move or remove these files",
            RefusalCause::LargeObjects if self.is_of_a_push() => {
                "make `git lfs push` work in your repository"
            }
            RefusalCause::LargeObjects => "see that git-lfs can write its store there",
            RefusalCause::NoSpace => "make space there",
            RefusalCause::ReadOnly => "mount it writable",
            RefusalCause::Permission => "change the owner or the mode of what git names",
            RefusalCause::CheckoutMoved { .. } => {
                "see whether the branch that is checked out now was moved (`git reflog`), and reset it if so"
            }
            RefusalCause::WorktreeGone { .. } => {
                "bring the directory back, or run `git worktree prune`"
            }
            RefusalCause::Other => "remove what git names as the cause",
        };
        fixed.to_owned()
    }
}

impl fmt::Display for Refusal {
    /// What happened, where, and in git's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        if self.words.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.words)
    }
}

/// Of what git printed, so many characters are kept.
const MAX_WORDS: usize = 2000;

/// What git printed, without what is only of use at a terminal.
fn said(words: &str) -> String {
    let cleaned = super::clean(words);
    let kept: Vec<_> = cleaned
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && *line != "remote:")
        // It holds the remote's address, and says nothing else.
        .filter(|line| !line.starts_with("error: failed to push some refs to"))
        .collect();
    super::end_of(&kept.join("\n"), MAX_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_of_a_repository_speaks_of_no_push() {
        let place = || LandingPlace::Repository("/home/me/repo".into());
        let paths: Vec<RepoPath> = vec!["a.txt".parse().expect("a path")];
        let causes = [
            RefusalCause::LocalHook,
            RefusalCause::Locked {
                file: "/home/me/repo/.git/index.lock".into(),
                age: Some(3),
            },
            RefusalCause::Signing,
            RefusalCause::Unfinished {
                operation: Operation::Rebase,
            },
            RefusalCause::Untracked {
                paths: paths.clone(),
            },
            RefusalCause::Ignored { paths },
            RefusalCause::LargeObjects,
            RefusalCause::NoSpace,
            RefusalCause::ReadOnly,
            RefusalCause::Permission,
            RefusalCause::CheckoutMoved { now: None },
            RefusalCause::WorktreeGone {
                path: "/gone".into(),
            },
            RefusalCause::Other,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for cause in causes {
            let refusal = Refusal::new(cause, place());
            let told = format!("{refusal}; {}", refusal.fix());
            assert!(!told.contains("push") && !told.contains("remote"), "{told}");
            assert!(seen.insert(told.clone()), "said of another cause: {told}");
        }
    }

    #[test]
    fn words_lose_addresses_and_what_is_only_for_a_terminal() {
        let words = "remote: \u{1b}[31mprotected        \nremote: \n\
                     error: failed to push some refs to 'https://me:secret@host/r.git'";
        let refusal = Refusal::new(
            RefusalCause::Declined,
            LandingPlace::Remote("origin".to_owned()),
        );
        let told = refusal.with_words(words).to_string();
        assert!(told.contains("the remote `origin` declined"), "{told}");
        assert!(
            told.contains("protected") && !told.contains("secret"),
            "{told}"
        );
    }
}
