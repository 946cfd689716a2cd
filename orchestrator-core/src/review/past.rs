//! Findings of the history.

use crate::model::{CommitId, Finding, PastChange};

/// Adds what was found in a commit before the head, unless the same is found elsewhere already.
pub(super) fn add_past(
    findings: &mut Vec<Finding>,
    found: Vec<Finding>,
    past: &PastChange,
    onto: CommitId,
) {
    for finding in found {
        if !findings
            .iter()
            .any(|known| known.rule == finding.rule && known.path == finding.path)
        {
            findings.push(finding.only_in(past.commit, onto));
        }
    }
}
