//! What is said of submodules: those that a worker moved, and those that stay empty.

use super::effects::{World, with_source};
use crate::{
    git::{GitError, Moved},
    model::{Change, CommitId, Finding, Mode, Severity},
};

/// Something about a repository that a person is told before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// What is so.
    pub(super) what: String,
    /// What changes it.
    pub(super) fix: String,
}

impl World {
    /// What is wrong with the submodules that these changes move: nobody else gets a commit that their remote has not.
    pub(super) async fn moved_submodules(&self, changes: &[Change]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for change in changes {
            let is_moved = change.old.is_some_and(|old| old.mode == Mode::Submodule);
            let link = change.new.filter(|new| new.mode == Mode::Submodule);
            let Some(link) = link.filter(|_| is_moved) else {
                continue;
            };
            let path = &change.path;
            let commit = CommitId(link.id.0);
            let at = commit.short();
            let why = match self.trusted.moved_submodule(path, commit).await {
                Ok(None | Some(Moved::InRemote)) => continue,
                Ok(Some(Moved::NotInRemote)) => {
                    format!("commit {at} of submodule `{path}` is not in its remote: push it first")
                }
                Ok(Some(Moved::Unknown(why))) => {
                    format!(
                        "whether commit {at} of submodule `{path}` is in its remote cannot be seen: {why}"
                    )
                }
                Err(error) => format!(
                    "whether commit {at} of submodule `{path}` is in its remote cannot be seen: {}",
                    with_source(&error)
                ),
            };
            let finding = Finding::new(Severity::Error, "submodule/remote", why);
            findings.push(finding.at(path.clone()));
        }
        findings
    }

    /// Submodules of the target that nobody will see filled, as a fact to be told at the start.
    ///
    /// # Errors
    /// When the target's tree cannot be read.
    pub(super) async fn empty_submodules(&self, tip: CommitId) -> Result<Option<Fact>, GitError> {
        if self.policy.setup.submodules {
            return Ok(None);
        }
        let links = self.trusted.gitlinks(self.trusted.tree_of(tip)?).await?;
        let names: Vec<_> = links
            .iter()
            .take(5)
            .map(|(path, _)| format!("`{path}`"))
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        Ok(Some(Fact {
            what: format!(
                "the target has submodules that stay empty in workspaces and gates: {}",
                names.join(", ")
            ),
            fix: "set `submodules = true` in `[setup]` of the policy".to_owned(),
        }))
    }
}
