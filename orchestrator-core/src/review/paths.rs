//! Whether the change keeps to the contract's paths.

use async_trait::async_trait;

use super::{
    past::add_past,
    tree::{link_finding, name_finding, needs_the_tree, tree_findings},
};
use crate::{
    model::{Change, ChangeKind, Contract, Entry, Finding, Mode, Pattern, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// Judges every changed path, both sides of a rename, against the contract; refuses submodules, symbolic links that leave the
/// repository, also together, and names that some file system takes for another's or for `.git`. What a commit did that a later one
/// took back counts as well.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContractPaths;

/// A link's target longer than this is none that a file system takes.
const MAX_LINK: u64 = 4096;

/// What the contract has against these changes, as far as it can be told without reading a file.
#[must_use]
pub(crate) fn path_findings(contract: &Contract, changes: &[Change]) -> Vec<Finding> {
    let mut findings: Vec<_> = changes
        .iter()
        .flat_map(|change| change_findings(contract, change))
        .collect();
    if let Some(most) = contract
        .budget
        .files
        .filter(|most| changes.len() > *most as usize)
    {
        let why = format!(
            "{} files are changed, and the contract allows {most}",
            changes.len()
        );
        findings.push(Finding::new(Severity::Error, "size/files", why));
    }
    findings
}

fn change_findings(contract: &Contract, change: &Change) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in change.touched() {
        if let Err(why) = contract.permits(path) {
            findings.push(Finding::new(Severity::Error, "paths/contract", why).at(path.clone()));
        }
    }
    if let Some(why) = submodule_is_wrong(contract, change) {
        findings
            .push(Finding::new(Severity::Error, "paths/submodule", why).at(change.path.clone()));
    }
    if matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed { .. }) {
        findings.extend(name_finding(&change.path));
    }
    findings
}

/// Why a submodule may not become what it does. To move one is another repository's code at once, so the contract must name just it.
fn submodule_is_wrong(contract: &Contract, change: &Change) -> Option<String> {
    let is_submodule = |side: Option<Entry>| side.is_some_and(|side| side.mode == Mode::Submodule);
    if !is_submodule(change.new) {
        return None;
    }
    if !is_submodule(change.old) {
        let why = "a submodule: add the files themselves, or let a person add the submodule";
        return Some(why.to_owned());
    }
    let named = Pattern::exactly(&change.path);
    if contract.allow.contains(&named) {
        return None;
    }
    Some(format!(
        "a submodule that is moved: only a contract may allow that which names it, as in `allow = [\"{named}\"]`"
    ))
}

#[async_trait]
impl Reviewer for ContractPaths {
    fn name(&self) -> &str {
        "contract-paths"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let changes = &request.submission.changes;
        let mut findings = path_findings(&request.contract, changes);
        if needs_the_tree(changes) {
            findings.extend(tree_findings(changes, &request.view.shapes().await?));
        }
        let history = request.view.history().await?;
        for past in &history.changes {
            let mut found = change_findings(&request.contract, &past.change);
            if let Some(link) = past.change.new.filter(|new| new.mode == Mode::Symlink) {
                let text = request
                    .view
                    .blob(link.id, MAX_LINK)
                    .await?
                    .unwrap_or_default();
                found.extend(link_finding(&past.change.path, &text));
            }
            add_past(&mut findings, found, past, history.onto);
        }
        Ok(findings)
    }
}
