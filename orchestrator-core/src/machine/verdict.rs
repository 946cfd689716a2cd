//! How reviews, gates and evidence become a verdict.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Approval, Authority, Change, Claim, ClaimedEvidence, Completion, Contract, Evidence,
    EvidenceBasis, Finding, FindingId, GateReport, Grant, Granted, HandoffReport, HandoffStatus,
    HoldItem, HoldReason, Item, Observation, Opinion, Policy, PrivilegedPath, Question, Review,
    Severity, Submission, TurnEnd, Verdict, Waiver, WhenUnavailable,
};

/// A head that was looked at.
#[derive(Debug, Clone, Copy)]
pub struct HeadCase<'a> {
    /// What git says of it, and the worker's claims.
    pub work: &'a Submission,
    /// What reviewers said of it.
    pub reviews: &'a [Review],
    /// What a person let pass.
    pub waivers: &'a [Waiver],
    /// How often the task was sent back over each finding.
    pub rejections: &'a BTreeMap<FindingId, u32>,
    /// How the turn ended that left it.
    pub ended: Option<&'a TurnEnd>,
    /// By whom it was confirmed to be complete.
    pub completion: Option<&'a Completion>,
}

/// What follows for a head from what reviewers said of it. `Accept` means: good enough to be merged and gated.
///
/// 1. A reviewer that could not look: a person must say whether to go on without it.
/// 2. The worker itself says blocked or failed: rejected, with its reason.
/// 3. A finding of severity `error` that nobody waived: back to the worker, with all findings that are more than notes; or,
///    where the same was the reason before, to a person. What an agent calls an error counts if the policy counts agents.
/// 4. Fewer agents could look than must: a person must say, unless the policy has said so.
/// 5. Nobody has said that it is complete: a person must.
#[must_use]
pub fn head_verdict(case: &HeadCase<'_>, policy: &Policy) -> Verdict {
    let HeadCase {
        work,
        reviews,
        waivers,
        rejections,
        ended,
        completion,
    } = *case;
    let silent = |review: &Review| match &review.opinion {
        Opinion::Unavailable { reason }
            if !Item::Reviewer(review.reviewer.clone()).is_waived_by(waivers) =>
        {
            Some(HoldItem::Reviewer {
                name: review.reviewer.clone(),
                reason: reason.clone(),
            })
        }
        Opinion::Unavailable { .. } | Opinion::Looked { .. } => None,
    };
    let (agents, checks): (Vec<&Review>, Vec<&Review>) =
        reviews.iter().partition(|review| review.by_agent.is_some());
    let missing: Vec<HoldItem> = checks.iter().filter_map(|review| silent(review)).collect();
    if !missing.is_empty() {
        return ask(HoldReason::Review, missing);
    }
    if let HandoffReport::Read(handoff) = &work.handoff {
        let said = || handoff.reason.clone();
        match handoff.status {
            HandoffStatus::Done => {}
            HandoffStatus::Blocked => return Verdict::Blocked { said: said() },
            HandoffStatus::Failed => return Verdict::GaveUp { said: said() },
        }
    }
    let counted: &[&Review] = if policy.reviewers.count == 0 {
        &[]
    } else {
        &agents
    };
    let found = checks
        .iter()
        .chain(counted)
        .flat_map(|review| review.findings());
    let found = work
        .findings
        .iter()
        .chain(found)
        .filter(|finding| !Item::Finding(finding.id()).is_waived_by(waivers));
    let mut findings: Vec<Finding> = found
        .filter(|finding| finding.severity > Severity::Note)
        .cloned()
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let errors = || {
        findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
    };
    if errors().next().is_some() {
        let before = |finding: &&Finding| {
            rejections.get(&finding.id()).map_or(0, |times| *times) + 1
                >= policy.limits.same_finding
        };
        let again: Vec<FindingId> = errors().filter(before).map(Finding::id).collect();
        if again.is_empty() {
            return Verdict::Revise { findings };
        }
        let items = errors().cloned().map(HoldItem::Finding).collect();
        return ask(HoldReason::Repeated { findings: again }, items);
    }
    let looked = agents
        .iter()
        .filter(|review| matches!(review.opinion, Opinion::Looked { .. }))
        .count();
    let missing: Vec<HoldItem> = agents.iter().filter_map(|review| silent(review)).collect();
    let too_few = looked < policy.reviewers.count as usize
        && policy.reviewers.unavailable == WhenUnavailable::Ask;
    if too_few && !missing.is_empty() {
        return ask(HoldReason::Review, missing);
    }
    match (completion, ended) {
        (None, Some(ended)) => {
            let ended = ended.clone();
            ask(HoldReason::Incomplete { ended }, Vec::new())
        }
        (Some(_), _) | (None, None) => Verdict::Accept,
    }
}

/// The agent reviewer that says that the work is complete, where the policy gives it that authority.
pub(super) fn confirmed_by(reviews: &[Review], policy: &Policy) -> Option<Completion> {
    let confirms = |review: &&Review| {
        let by_agent = review.by_agent.as_ref();
        by_agent.is_some_and(|by| by.complete == Some(true))
    };
    let review = reviews
        .iter()
        .find(confirms)
        .filter(|_| policy.reviewers.confirm)?;
    Some(Completion::Reviewer {
        name: review.reviewer.clone(),
    })
}

/// A candidate whose gates have all run.
#[derive(Debug, Clone, Copy)]
pub struct CandidateCase<'a> {
    /// What was to be kept.
    pub contract: &'a Contract,
    /// What the worker says that it has proven.
    pub claimed: &'a [ClaimedEvidence],
    /// What gates said of its tree.
    pub reports: &'a [GateReport],
    /// How it differs from the tip.
    pub changes: &'a [Change],
    /// Which files it does not name a person is asked about.
    pub authority: &'a Authority,
    /// What a person allowed the task.
    pub of_task: &'a [Grant],
    /// What a person allowed of its head.
    pub of_head: &'a [Grant],
    /// What a person let pass.
    pub waivers: &'a [Waiver],
    /// What a person has seen.
    pub observations: &'a [Observation],
}

impl CandidateCase<'_> {
    fn is_granted(&self, what: &Granted) -> bool {
        what.is_among(self.of_task) || what.is_among(self.of_head)
    }
}

/// What follows for a candidate whose gates have all run.
///
/// 1. A red gate: back to the worker, unless the tip is to blame.
/// 2. A claim that neither a gate nor a person observed on its own surface: a person must say whether it may land as it is.
/// 3. A change of files by which other tools are told what to do, which the contract does not name: a person is asked, once for
///    each of them.
/// 4. The contract asks for approval before landing: a person is asked.
#[must_use]
pub fn candidate_verdict(case: &CandidateCase<'_>) -> Verdict {
    let CandidateCase {
        contract,
        claimed,
        reports,
        waivers,
        observations,
        ..
    } = *case;
    let findings = red_findings(reports);
    if !findings.is_empty() {
        return Verdict::Revise { findings };
    }
    let is_open = |claim: &&Claim| {
        let evidence = Evidence::of(claim, claimed, reports, observations);
        !evidence.label().is_direct() && !Item::Claim(claim.id.clone()).is_waived_by(waivers)
    };
    let open = contract.claims.iter().filter(is_open);
    let unproven: Vec<HoldItem> = open
        .map(|claim| HoldItem::Claim {
            claim: claim.clone(),
            basis: EvidenceBasis::of(claim, claimed, reports, observations),
        })
        .collect();
    if !unproven.is_empty() {
        return ask(HoldReason::Unproven, unproven);
    }
    let paths = unasked_for(case);
    if !paths.is_empty() {
        return ask(HoldReason::Authority { paths }, Vec::new());
    }
    if contract.approve.contains(&Approval::Landing) && !case.is_granted(&Granted::Landing) {
        return ask(HoldReason::Approval(Approval::Landing), Vec::new());
    }
    Verdict::Accept
}

/// A question, about items that a person may waive where there are some.
fn ask(about: HoldReason, items: Vec<HoldItem>) -> Verdict {
    Verdict::Escalate(Box::new(Question { about, items }))
}

/// One finding for each red gate.
pub(super) fn red_findings(reports: &[GateReport]) -> Vec<Finding> {
    let red = reports.iter().filter(|report| !report.passed());
    red.map(|report| {
        let mut message = format!(
            "{}: `{}`\n{}",
            report.outcome,
            report.gate.run.join(" "),
            report.tail.trim_end()
        );
        let lacked = report.lacked.suspected(&report.tail);
        if !lacked.is_nothing() {
            message.push_str("\nNote: unlike a command in the workspace, it ran ");
            message.push_str(&lacked.named().join(", "));
        }
        Finding::new(
            Severity::Error,
            format!("gate/{}", report.gate.name),
            message,
        )
    })
    .collect()
}

/// Changed files by which other tools are told what to do, each once: neither the contract nor a
/// person has let the task change them.
fn unasked_for(case: &CandidateCase<'_>) -> Vec<PrivilegedPath> {
    let touched: BTreeSet<_> = case.changes.iter().flat_map(Change::touched).collect();
    touched
        .into_iter()
        .filter(|path| !case.is_granted(&Granted::Change((*path).clone())))
        .filter_map(|path| {
            let kind = case.authority.asks(path, &case.contract.allow)?;
            let path = path.clone();
            Some(PrivilegedPath { path, kind })
        })
        .collect()
}
