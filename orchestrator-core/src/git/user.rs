//! The person's own repository: read, and touched only to advance the target.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    Git, GitError,
    cli::{Call, absolute},
    module_url::is_path,
    output::path_of,
    parse::{Place, parse_status, parse_worktree_of},
};
use crate::{
    model::{BranchName, Checkout, CommitId, Push, RepoPath},
    process::Exit,
};

/// The repository that the roadmap is in.
#[derive(Debug, Clone)]
pub struct UserRepository {
    pub(super) git: Git,
    /// Its common git directory.
    git_dir: PathBuf,
    /// The checkout that it was opened from; `None` for a bare one.
    root: Option<PathBuf>,
    /// What a landing waits for just now.
    pub(super) waits_for: Arc<Mutex<Option<String>>>,
}

/// Where accepted work goes. Read from the person's configuration once, before any worker exists, and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// A remote of the person's repository.
    Remote {
        /// Its name, for messages.
        name: String,
        /// Where the target is read.
        fetch_url: String,
        /// Where it is pushed.
        push_url: String,
    },
    /// The person's repository itself.
    Local,
}

impl UserRepository {
    /// Opens the repository that `path` is in.
    ///
    /// # Errors
    /// [`GitError::Repository`] when there is none, or none that can be worked on.
    pub async fn open(git: Git, path: &Path) -> Result<Self, GitError> {
        let fail = |why: &str| GitError::Repository {
            path: path.display().to_string(),
            why: why.to_owned(),
        };
        let path = path.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                fail("it is not there: name a directory of a git repository")
            }
            _ => fail(&format!("it cannot be opened: {error}")),
        })?;
        let answer = git.call(&path).args(Place::ASKED).answer().await?;
        if answer.exit != Exit::Code(0) {
            // Git has other reasons as well, such as whose it is, and says what to do then.
            let why = if path.ancestors().any(looks_like_a_repository) {
                format!(
                    "it is no git repository that can be used: {}",
                    answer.stderr
                )
            } else {
                "it is no git repository: run `git init` there, or name another directory"
                    .to_owned()
            };
            return Err(fail(&why));
        }
        let place = Place::parse(&answer.stdout);
        if place.format != "sha1" {
            return Err(fail(
                "it uses SHA-256 object ids, which are not supported yet",
            ));
        }
        let root = if place.in_work_tree {
            let call = git.call(&path).args(["rev-parse", "--show-toplevel"]);
            Some(path_of(call.bytes().await?.trim_ascii_end()))
        } else {
            None
        };
        Ok(Self {
            git,
            git_dir: place.git_dir,
            root,
            waits_for: Arc::default(),
        })
    }

    /// Its common git directory: the same for all of its worktrees.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The checkout that it was opened from.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Where git works for the person: the top of the checkout, or the git directory of a bare repository. Relative paths in their
    /// configuration are meant from here.
    #[must_use]
    pub fn base(&self) -> &Path {
        self.root.as_deref().unwrap_or(&self.git_dir)
    }

    pub(super) fn git(&self) -> &Git {
        &self.git
    }

    pub(super) async fn config(&self, key: &str) -> Result<Option<String>, GitError> {
        let answer = self.call().args(["config", "--get", key]).answer().await?;
        match answer.exit {
            Exit::Code(0) => Ok(Some(answer.text())),
            Exit::Code(_) | Exit::Signal(_) => Ok(None),
        }
    }

    pub(super) fn call(&self) -> Call<'_> {
        self.git.call(self.base())
    }

    /// The branch that HEAD names.
    ///
    /// # Errors
    /// [`GitError::Repository`] when HEAD is detached.
    pub async fn head_branch(&self) -> Result<BranchName, GitError> {
        let fail = |why: String| GitError::Repository {
            path: self.git_dir.display().to_string(),
            why,
        };
        let answer = self
            .call()
            .args(["symbolic-ref", "--quiet", "HEAD"])
            .answer()
            .await?;
        if answer.exit != Exit::Code(0) {
            return Err(fail(
                "HEAD is detached: name the branch to land on, as `target` in the policy"
                    .to_owned(),
            ));
        }
        BranchName::new(answer.text()).map_err(|error| fail(error.to_string()))
    }

    /// The tip of one of its branches.
    ///
    /// # Errors
    /// [`GitError::Repository`] when there is no such branch, or no commit yet.
    pub async fn tip(&self, branch: &BranchName) -> Result<CommitId, GitError> {
        let answer = self
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .args([format!("{}^{{commit}}", branch.full())]);
        let id = answer.answer().await?.text().parse();
        id.map_err(|_| GitError::Repository {
            path: self.git_dir.display().to_string(),
            why: format!("it has no branch `{branch}` with a commit on it: commit something first, or name another `target`"),
        })
    }

    /// Checks that all objects are here, so that they can be taken from here.
    ///
    /// # Errors
    /// [`GitError::Repository`] for a shallow or a partial clone, with the mend.
    pub async fn complete(&self) -> Result<(), GitError> {
        let fail = |why: &str| {
            Err(GitError::Repository {
                path: self.git_dir.display().to_string(),
                why: why.to_owned(),
            })
        };
        if self
            .call()
            .args(["rev-parse", "--is-shallow-repository"])
            .text()
            .await?
            == "true"
        {
            return fail(
                "it is a shallow clone, whose history is cut off: run `git fetch --unshallow`, or set `push` to its remote",
            );
        }
        let promisors = self.call().args([
            "config",
            "--get-regexp",
            r"^(extensions\.partialclone|remote\..*\.promisor)$",
        ]);
        if promisors.answer().await?.exit == Exit::Code(0) {
            return fail(
                "it is a partial clone, some of whose objects are elsewhere: clone it whole, or set `push` to its remote",
            );
        }
        Ok(())
    }

    /// Whether git keeps this path, or something beneath it.
    ///
    /// # Errors
    /// As `git ls-files`.
    pub(crate) async fn tracks(&self, path: &RepoPath) -> Result<bool, GitError> {
        self.tracks_in(self.base(), path).await
    }

    /// The same for a path of another worktree.
    pub(super) async fn tracks_in(
        &self,
        checkout: &Path,
        path: &RepoPath,
    ) -> Result<bool, GitError> {
        let call = self
            .git
            .call(checkout)
            .args(["--literal-pathspecs", "ls-files", "-z", "--full-name", "--"])
            .args([path.to_path()]);
        call.bytes().await.map(|listed| !listed.is_empty())
    }

    /// Checks that this directory is nowhere where its content would make the checkout dirty.
    ///
    /// # Errors
    /// [`GitError::Repository`] when it is in the checkout and git does not ignore it.
    pub(crate) async fn keeps_out(&self, directory: &Path) -> Result<(), GitError> {
        let directory = &absolute(directory);
        let there = directory.ancestors().find_map(|known| {
            let rest = directory.strip_prefix(known).ok()?;
            known.canonicalize().ok().map(|known| known.join(rest))
        });
        let Some((root, there)) = self.root.as_ref().zip(there) else {
            return Ok(());
        };
        let inside = there.starts_with(root) && !there.starts_with(&self.git_dir);
        if !inside
            || self
                .call()
                .args(["check-ignore", "--quiet", "--"])
                .args([there.join("lock")])
                .holds()
                .await?
        {
            return Ok(());
        }
        let why = "it is in the checkout, which it would make dirty: give another --state-dir, or let git ignore it".to_owned();
        Err(GitError::Repository {
            path: directory.display().to_string(),
            why,
        })
    }

    /// Where accepted work goes, as the policy says.
    ///
    /// # Errors
    /// [`GitError::Repository`] when there is no such remote.
    pub async fn destination(&self, push: &Push) -> Result<Destination, GitError> {
        let Push::Remote(name) = push else {
            return Ok(Destination::Local);
        };
        let url = async |which: &[&str]| -> Result<String, GitError> {
            let answer = self
                .call()
                .args(["remote", "get-url"])
                .args(which.iter().copied())
                .args(["--", name])
                .answer()
                .await?;
            if answer.exit != Exit::Code(0) {
                let why = format!(
                    "it has no remote `{name}` to push to: add it, or set `push` in the policy"
                );
                return Err(GitError::Repository {
                    path: self.git_dir.display().to_string(),
                    why,
                });
            }
            let url = answer.text();
            if !is_path(&url) {
                return Ok(url);
            }
            // A relative path is meant from the person's repository, and we shall not be there.
            Ok(self.base().join(&url).to_string_lossy().into_owned())
        };
        Ok(Destination::Remote {
            name: name.clone(),
            fetch_url: url(&[]).await?,
            push_url: url(&["--push"]).await?,
        })
    }

    /// The worktree in which a branch is checked out.
    pub(super) async fn checkout_of(
        &self,
        branch: &BranchName,
    ) -> Result<Option<PathBuf>, GitError> {
        let listed = self
            .call()
            .args(["worktree", "list", "--porcelain", "-z"])
            .bytes()
            .await?;
        Ok(parse_worktree_of(&listed, branch))
    }

    /// What landing would find in the checkout of the target. Untracked files are no hindrance: git itself refuses to
    /// overwrite them.
    ///
    /// # Errors
    /// As `git worktree list` and `git status`.
    pub async fn checkout(&self, branch: &BranchName) -> Result<Checkout, GitError> {
        let Some(path) = self.checkout_of(branch).await? else {
            return Ok(Checkout::Untouched);
        };
        let paths = self.changed_in(&path).await?;
        Ok(if paths.is_empty() {
            Checkout::Clean
        } else {
            Checkout::Dirty { paths }
        })
    }

    pub(super) async fn changed_in(&self, checkout: &Path) -> Result<Vec<RepoPath>, GitError> {
        let call = self.git.call(checkout).args([
            "--no-optional-locks",
            "status",
            "--porcelain=v1",
            "-z",
            "--no-renames",
        ]);
        let listed = call
            .args(["--untracked-files=no", "--ignore-submodules=all"])
            .bytes()
            .await?;
        Ok(parse_status(&listed).take(20).collect())
    }
}

/// Whether git would take a directory for a repository, or for the top of a worktree, whatever it then thinks of it.
fn looks_like_a_repository(directory: &Path) -> bool {
    let bare =
        directory.join("HEAD").symlink_metadata().is_ok() && directory.join("objects").is_dir();
    let dotgit = directory.join(".git");
    // Sandboxes leave an empty one where they were started.
    let is_empty = std::fs::read_dir(&dotgit).is_ok_and(|mut entries| entries.next().is_none());
    bare || (dotgit.symlink_metadata().is_ok() && !is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_of_no_repository_is_told_from_one_that_is_broken() {
        let directory = tempfile::tempdir().expect("a directory");
        let git = Git::find().await.expect("git");
        let none = UserRepository::open(git.clone(), directory.path())
            .await
            .expect_err("is none")
            .to_string();
        assert!(
            none.contains("it is no git repository: run `git init` there"),
            "{none}"
        );
        let dotgit = directory.path().join(".git");
        std::fs::create_dir(&dotgit).expect("makes");
        let empty = UserRepository::open(git.clone(), directory.path())
            .await
            .expect_err("is none")
            .to_string();
        assert_eq!(empty, none);
        std::fs::remove_dir(&dotgit).expect("removes");
        std::fs::write(&dotgit, "gitdir: /nowhere\n").expect("writes");
        let broken = UserRepository::open(git, directory.path())
            .await
            .expect_err("is broken")
            .to_string();
        assert!(
            broken.contains("it is no git repository that can be used: fatal:"),
            "{broken}"
        );
    }
}
