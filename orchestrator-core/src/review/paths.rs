//! Whether the change keeps to the contract's paths.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    model::{Change, ChangeKind, Contract, Finding, Mode, RepoPath, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// Judges every changed path, both sides of a rename, against the contract; refuses submodules, and symbolic links that
/// leave the repository.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContractPaths;

/// A link's target longer than this is none that a file system takes.
const MAX_LINK: u64 = 4096;

/// What the contract has against these changes, as far as it can be told without reading a file.
#[must_use]
pub fn path_findings(contract: &Contract, changes: &[Change]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for change in changes {
        for path in change.touched() {
            if let Err(why) = contract.permits(path) {
                findings.push(Finding::new(Severity::Error, "paths/contract", why).at(path.clone()));
            }
        }
        if change.new.is_some_and(|new| new.mode == Mode::Submodule) {
            let why = "a submodule: add the files themselves, or ask for a contract that says otherwise";
            findings.push(Finding::new(Severity::Error, "paths/submodule", why).at(change.path.clone()));
        }
    }
    if let Some(most) = contract.budget.files.filter(|most| changes.len() > *most as usize) {
        let why = format!("{} files are changed, and the contract allows {most}", changes.len());
        findings.push(Finding::new(Severity::Error, "size/files", why));
    }
    findings
}

#[async_trait]
impl Reviewer for ContractPaths {
    fn name(&self) -> &str {
        "contract-paths"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let mut findings = path_findings(&request.contract, &request.submission.changes);
        for change in &request.submission.changes {
            let Some(link) = change.new.filter(|new| new.mode == Mode::Symlink) else { continue };
            let target = request.view.blob(link.id, MAX_LINK).await?;
            if target.is_none_or(|target| leaves(&change.path, &target)) {
                let why = "a symbolic link that points out of the repository";
                findings.push(Finding::new(Severity::Error, "paths/symlink", why).at(change.path.clone()));
            }
        }
        findings.extend(case_clashes(request).await?);
        Ok(findings)
    }
}

/// New paths that some file systems cannot tell from others.
async fn case_clashes(request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
    let new = |change: &&Change| matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed { .. });
    let new: Vec<_> = request.submission.changes.iter().filter(new).map(|change| &change.path).collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let folded = |path: &RepoPath| String::from_utf8_lossy(path.as_bytes()).to_lowercase();
    let mut known: BTreeMap<String, Vec<RepoPath>> = BTreeMap::new();
    for path in request.view.paths().await? {
        known.entry(folded(&path)).or_default().push(path);
    }
    let clash = |path: &&RepoPath| {
        let other = known.get(&folded(path))?.iter().find(|other| other != path)?;
        let why = format!("its name differs from that of `{other}` only in case: some systems take them for one");
        Some(Finding::new(Severity::Error, "paths/case", why).at((*path).clone()))
    };
    Ok(new.iter().filter_map(clash).collect())
}

/// Whether a link at `path` points out of the repository.
fn leaves(path: &RepoPath, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return true;
    }
    let mut depth = path.as_bytes().iter().filter(|byte| **byte == b'/').count();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_point_anywhere_within_the_repository() {
        let path: RepoPath = "a/b/link".parse().expect("a path");
        for (target, expected) in
            [("x", false), ("../../x", false), ("../../../x", true), ("/etc", true), ("..//./c/../../../d", true), ("", true)]
        {
            assert_eq!(leaves(&path, target.as_bytes()), expected, "{target}");
        }
    }
}
