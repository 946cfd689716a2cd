//! Operations of git that a person has begun and not finished.

use std::path::{Path, PathBuf};

use super::{GitError, UserRepository, output::path_of};
use crate::model::{BranchName, Operation};

impl UserRepository {
    /// The operation of git that is begun and not finished on a branch, and the worktree that it is in. Seen by the
    /// files that git keeps for it.
    ///
    /// # Errors
    /// As `git worktree list`.
    pub async fn operation(
        &self,
        branch: &BranchName,
    ) -> Result<Option<(Operation, PathBuf)>, GitError> {
        let checkout = self.checkout_of(branch).await?;
        Ok(self.unfinished(branch, checkout.as_deref()))
    }

    pub(super) fn unfinished(
        &self,
        branch: &BranchName,
        checkout: Option<&Path>,
    ) -> Option<(Operation, PathBuf)> {
        let linked = std::fs::read_dir(self.git_dir().join("worktrees"));
        let linked = linked.into_iter().flatten().flatten();
        let git_dirs = linked.map(|entry| entry.path());
        let own = [self.git_dir().to_owned()];
        own.into_iter().chain(git_dirs).find_map(|git_dir| {
            let worktree = self.worktree_of(&git_dir);
            let is_checkout = checkout.is_some_and(|checkout| checkout == worktree);
            Some((operation_in(&git_dir, branch, is_checkout)?, worktree))
        })
    }

    /// The directory of the worktree with this git directory.
    fn worktree_of(&self, git_dir: &Path) -> PathBuf {
        // A linked one names its `.git` file; the main one is where the common git directory is.
        let named = std::fs::read(git_dir.join("gitdir")).ok().map(|bytes| {
            let path = git_dir.join(path_of(bytes.trim_ascii_end()));
            path.parent().map(Path::to_owned).unwrap_or(path)
        });
        let main = || {
            let is_dotgit = git_dir.file_name().is_some_and(|name| name == ".git");
            git_dir
                .parent()
                .filter(|_| is_dotgit)
                .unwrap_or(git_dir)
                .to_owned()
        };
        named.unwrap_or_else(main)
    }
}

/// The operation that is not finished in a worktree with this git directory, if it is about the branch.
fn operation_in(git_dir: &Path, branch: &BranchName, is_checkout: bool) -> Option<Operation> {
    let is_there = |name: &str| git_dir.join(name).symlink_metadata().is_ok();
    let names_branch = |name: &str| {
        std::fs::read_to_string(git_dir.join(name)).is_ok_and(|text| {
            let named = text.trim_end();
            named == branch.full() || named == branch.to_string()
        })
    };
    // While these go on, HEAD is detached.
    if names_branch("rebase-merge/head-name") || names_branch("rebase-apply/head-name") {
        return Some(Operation::Rebase);
    }
    if names_branch("BISECT_START") {
        return Some(Operation::Bisect);
    }
    if !is_checkout {
        return None;
    }
    let files = [
        ("rebase-apply/applying", Operation::Am),
        ("MERGE_HEAD", Operation::Merge),
        ("CHERRY_PICK_HEAD", Operation::CherryPick),
        ("REVERT_HEAD", Operation::Revert),
    ];
    let found = files.into_iter().find(|(name, _)| is_there(name));
    found.map(|(_, operation)| operation)
}
