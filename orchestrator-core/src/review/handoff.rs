//! Whether the handoff tells the truth. Every fact in it is compared with git's.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::{
    model::{ChangeKind, ClaimedLabel, Finding, Handoff, HandoffReport, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// Compares the worker's claims with what git says. A missing or unreadable handoff is named, and the commit is reviewed all
/// the same; a false one goes back.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandoffTruth;

#[async_trait]
impl Reviewer for HandoffTruth {
    fn name(&self) -> &str {
        "handoff-truth"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        Ok(match &request.submission.handoff {
            HandoffReport::Missing => {
                vec![Finding::new(
                    Severity::Warning,
                    "handoff/missing",
                    "there is a commit, but no handoff",
                )]
            }
            HandoffReport::Broken { reason } => {
                vec![Finding::new(
                    Severity::Warning,
                    "handoff/broken",
                    format!("the handoff cannot be read: {reason}"),
                )]
            }
            HandoffReport::Read(handoff) => compare(request, handoff),
        })
    }
}

fn compare(request: &ReviewRequest, handoff: &Handoff) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut differs = |rule: &str, what: &str, says: &str, is: &str| {
        if says != is {
            let message = format!("the handoff says {what} `{says}`; it is `{is}`");
            findings.push(Finding::new(
                Severity::Error,
                format!("handoff/{rule}"),
                message,
            ));
        }
    };
    differs("task", "task", &handoff.task, request.attempt.task.as_str());
    if let Some(commit) = &handoff.commit {
        differs(
            "commit",
            "commit",
            commit,
            &request.submission.worker_head().to_string(),
        );
    }
    if let Some(branch) = &handoff.branch {
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        differs("branch", "branch", short, request.attempt.branch().short());
    }
    if handoff.attempt != request.attempt.number {
        // It lies where only this attempt's worker writes, so that its attempt is known.
        let message = format!(
            "the handoff says attempt `{}`; it is taken for that of attempt `{}`",
            handoff.attempt, request.attempt.number
        );
        findings.push(Finding::new(Severity::Note, "handoff/attempt", message));
    }
    if let Some(claimed) = &handoff.changed_files {
        findings.extend(compare_files(request, claimed));
    }
    let known: BTreeSet<_> = request
        .contract
        .claims
        .iter()
        .map(|claim| claim.id.as_str())
        .collect();
    for evidence in handoff
        .evidence
        .iter()
        .filter(|evidence| !known.contains(evidence.claim.as_str()))
    {
        let message = format!(
            "the handoff speaks of a claim `{}` that the contract does not have",
            evidence.claim
        );
        findings.push(Finding::new(Severity::Warning, "handoff/claim", message));
    }
    let gates: BTreeSet<_> = request
        .contract
        .gates
        .iter()
        .map(|gate| gate.name.as_str())
        .collect();
    for gate in handoff
        .gates
        .iter()
        .filter(|gate| !gates.contains(gate.name.as_str()))
    {
        let message = format!(
            "the handoff speaks of a gate `{}` that the contract does not have",
            gate.name
        );
        findings.push(Finding::new(Severity::Warning, "handoff/gate", message));
    }
    let artifacts: BTreeSet<_> = request
        .contract
        .artifacts
        .iter()
        .map(ToString::to_string)
        .collect();
    for artifact in handoff
        .artifacts
        .iter()
        .filter(|artifact| !artifacts.contains(&artifact.name))
    {
        let message = format!(
            "the handoff names an artifact `{}` that the contract does not ask for: it was not kept",
            artifact.name
        );
        findings.push(Finding::new(Severity::Warning, "handoff/artifact", message));
    }
    let unreasoned = handoff.evidence.iter().filter(|evidence| {
        evidence.label == ClaimedLabel::Blocked
            && evidence
                .note
                .as_ref()
                .is_none_or(|note| note.trim().is_empty())
    });
    for evidence in unreasoned {
        let message = format!(
            "the handoff says that `{}` is blocked, and not why",
            evidence.claim
        );
        findings.push(Finding::new(Severity::Warning, "handoff/blocked", message));
    }
    if handoff
        .self_review
        .as_ref()
        .is_none_or(|text| text.trim().is_empty())
    {
        findings.push(Finding::new(
            Severity::Warning,
            "handoff/self-review",
            "the worker did not review its own change",
        ));
    }
    findings
}

fn compare_files(request: &ReviewRequest, claimed: &[String]) -> Vec<Finding> {
    let changes = &request.submission.changes;
    let claimed: BTreeSet<&str> = claimed.iter().map(String::as_str).collect();
    let is: BTreeSet<String> = changes
        .iter()
        .map(|change| change.path.to_string())
        .collect();
    // Of a rename both names may be given, or only the new one.
    let may: BTreeSet<String> = changes
        .iter()
        .filter_map(|change| match &change.kind {
            ChangeKind::Renamed { from } => Some(from.to_string()),
            ChangeKind::Added | ChangeKind::Deleted | ChangeKind::Modified => None,
        })
        .collect();
    let false_claims = claimed
        .iter()
        .filter(|path| !is.contains(**path) && !may.contains(**path));
    let silent = is.iter().filter(|path| !claimed.contains(path.as_str()));
    let false_claims =
        false_claims.map(|path| format!("the handoff says `{path}` was changed; it was not"));
    let silent =
        silent.map(|path| format!("`{path}` was changed, and the handoff does not say so"));
    false_claims
        .chain(silent)
        .map(|message| Finding::new(Severity::Error, "handoff/files", message))
        .collect()
}
