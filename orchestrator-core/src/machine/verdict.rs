//! How reviews, gates and evidence become a verdict.

use std::collections::BTreeSet;

use super::Grant;
use crate::model::{
    Approval, Change, Contract, Evidence, Finding, GateReport, HandoffReport, HandoffStatus, HoldReason, Opinion, Pattern,
    RepoPath, Review, Severity, Submission, Verdict,
};

/// What follows for a head from what reviewers said of it. `Accept` means: good enough to be merged and gated.
///
/// 1. A reviewer that could not look: a person must say whether to go on without it.
/// 2. The worker itself says blocked or failed: rejected, with its reason.
/// 3. A finding of severity `error`: back to the worker, with all findings that are more than notes.
#[must_use]
pub fn head_verdict(work: &Submission, reviews: &[Review], without_unavailable: bool) -> Verdict {
    let mut findings: Vec<&Finding> = work.findings.iter().collect();
    for review in reviews {
        match &review.opinion {
            Opinion::Looked { findings: found } => findings.extend(found),
            Opinion::Unavailable { .. } if without_unavailable => {}
            Opinion::Unavailable { reason } => {
                return Verdict::Escalate { question: format!("reviewer `{}` could not look: {reason}", review.reviewer) };
            }
        }
    }
    if let HandoffReport::Read(handoff) = &work.handoff {
        let reason = || handoff.reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
        match handoff.status {
            HandoffStatus::Done => {}
            HandoffStatus::Blocked => return Verdict::Reject { reason: reason(), retry: false },
            HandoffStatus::Failed => return Verdict::Reject { reason: format!("the worker gave up: {}", reason()), retry: true },
        }
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        let mut findings: Vec<Finding> =
            findings.into_iter().filter(|finding| finding.severity > Severity::Note).cloned().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        return Verdict::Revise { findings };
    }
    Verdict::Accept
}

/// What follows for a candidate whose gates have all run; for `Escalate`, also what the hold is about.
///
/// 1. A red gate: back to the worker, unless the tip is to blame.
/// 2. A claim that no gate observed on its own surface: a person must say whether it may land as it is.
/// 3. A change of what decides how git treats the repository, which the contract does not name: a person is asked.
/// 4. The contract asks for approval before landing: a person is asked.
#[must_use]
pub fn candidate_verdict(
    contract: &Contract,
    reports: &[GateReport],
    changes: &[Change],
    grants: &BTreeSet<Grant>,
) -> (Verdict, Option<HoldReason>) {
    let findings = red_findings(reports);
    if !findings.is_empty() {
        return (Verdict::Revise { findings }, None);
    }
    let unproven: Vec<_> = contract
        .claims
        .iter()
        .map(|claim| (claim, Evidence::of(claim, reports)))
        .filter(|(_, evidence)| !evidence.label().is_direct())
        .map(|(claim, evidence)| format!("`{}` ({}) is {}: {}", claim.id, claim.text, evidence.label(), evidence.reason()))
        .collect();
    if !unproven.is_empty() && !grants.contains(&Grant::Unproven) {
        let question = format!("may this land though not all of it is proven? {}", unproven.join("; "));
        return (Verdict::Escalate { question }, Some(HoldReason::Unproven { claims: unproven }));
    }
    let powerful = powerful(contract, changes);
    if !powerful.is_empty() && !grants.contains(&Grant::Authority) {
        let names: Vec<_> = powerful.iter().map(ToString::to_string).collect();
        let question =
            format!("this changes how git treats the repository ({}), and the contract does not say so", names.join(", "));
        return (Verdict::Escalate { question }, Some(HoldReason::Authority { paths: powerful }));
    }
    if contract.approve.contains(&Approval::Landing) && !grants.contains(&Grant::Landing) {
        let question = "the contract asks for a person's approval before landing".to_owned();
        return (Verdict::Escalate { question }, Some(HoldReason::Approval(Approval::Landing)));
    }
    (Verdict::Accept, None)
}

/// One finding for each red gate.
pub(super) fn red_findings(reports: &[GateReport]) -> Vec<Finding> {
    let red = reports.iter().filter(|report| !report.passed());
    red.map(|report| {
        let message = format!("{}: `{}`\n{}", report.outcome, report.gate.run.join(" "), report.tail.trim_end());
        Finding::new(Severity::Error, format!("gate/{}", report.gate.name), message)
    })
    .collect()
}

/// Changed files by which a repository tells git what to run, fetch or convert, unless the contract allows just that path.
fn powerful(contract: &Contract, changes: &[Change]) -> Vec<RepoPath> {
    let touched = changes.iter().flat_map(Change::touched);
    let powerful = touched.filter(|path| {
        let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
        matches!(name, Some(b".gitattributes" | b".gitmodules")) && !contract.allow.contains(&Pattern::exactly(path))
    });
    powerful.cloned().collect()
}
