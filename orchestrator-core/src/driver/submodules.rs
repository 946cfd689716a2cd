//! What is said of submodules that a worker moved.

use super::host::Host;
use crate::{
    git::Moved,
    model::{Change, CommitId, Finding, Mode, Severity, with_source},
};

impl Host {
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
}
