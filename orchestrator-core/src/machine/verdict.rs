//! How reviews, gates and evidence become a verdict.

use std::collections::BTreeMap;

use crate::model::{
    Approval, Authority, Change, ClaimedEvidence, Completion, Contract, Evidence, Finding,
    FindingId, GateReport, Grant, Granted, HandoffReport, HandoffStatus, HoldItem, HoldReason,
    Item, Observation, Opinion, Policy, Question, RepoPath, Review, Severity, Submission, TurnEnd,
    Verdict, Waiver, WhenUnavailable,
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
            Some(HoldItem {
                what: Item::Reviewer(review.reviewer.clone()),
                text: format!("reviewer `{}` could not look: {reason}", review.reviewer),
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
        let reason = || {
            handoff
                .reason
                .clone()
                .unwrap_or_else(|| "no reason was given".to_owned())
        };
        let reject = |reason, retry| Verdict::Reject {
            reason,
            retry,
            findings: Vec::new(),
        };
        match handoff.status {
            HandoffStatus::Done => {}
            HandoffStatus::Blocked => return reject(reason(), false),
            HandoffStatus::Failed => {
                return reject(format!("the worker gave up: {}", reason()), true);
            }
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
        let items = errors().map(Item::finding).collect();
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
            let text = format!(
                "nobody has said that the work is complete: {}",
                cut_off(ended)
            );
            let about = HoldReason::Incomplete {
                ended: ended.clone(),
            };
            Verdict::Escalate(Box::new(Question::new(about, text)))
        }
        (Some(_), _) | (None, None) => Verdict::Accept,
    }
}

/// How the turn ended after which nobody said that the work is complete.
fn cut_off(ended: &TurnEnd) -> String {
    if ended.is_complete() {
        format!("turn {} ended without a handoff", ended.turn)
    } else {
        ended.in_words()
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
    let of = |claim| (claim, Evidence::of(claim, claimed, reports, observations));
    let open = contract
        .claims
        .iter()
        .map(of)
        .filter(|(_, evidence)| !evidence.label().is_direct());
    let items = open.map(|(claim, evidence)| HoldItem {
        what: Item::Claim(claim.clone()),
        text: format!(
            "`{}` ({}) is {}: {}",
            claim.id,
            claim.text,
            evidence.label(),
            evidence.reason()
        ),
    });
    let unproven: Vec<HoldItem> = items
        .filter(|item| !item.what.is_waived_by(waivers))
        .collect();
    if !unproven.is_empty() {
        let claims = unproven.iter().map(|item| item.text.clone()).collect();
        return ask(HoldReason::Unproven { claims }, unproven);
    }
    let asked = unasked_for(case);
    if !asked.is_empty() {
        let texts: Vec<_> = asked
            .iter()
            .map(|(path, why)| format!("`{path}` ({why})"))
            .collect();
        let text = format!(
            "this changes what other tools are told to do, and the contract does not name it: {}",
            texts.join("; ")
        );
        let about = HoldReason::Authority {
            paths: asked.into_keys().collect(),
        };
        return Verdict::Escalate(Box::new(Question::new(about, text)));
    }
    if contract.approve.contains(&Approval::Landing) && !case.is_granted(&Granted::Landing) {
        let text = "the contract asks for a person's approval before landing";
        let about = HoldReason::Approval(Approval::Landing);
        return Verdict::Escalate(Box::new(Question::new(about, text)));
    }
    Verdict::Accept
}

/// A question about items that a person may waive.
fn ask(about: HoldReason, items: Vec<HoldItem>) -> Verdict {
    let texts: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
    let texts = texts.join("; ");
    let text = if let HoldReason::Unproven { .. } = about {
        format!("may this land though not all of it is proven? {texts}")
    } else if let HoldReason::Repeated { findings } = &about {
        let ids: Vec<_> = findings.iter().map(ToString::to_string).collect();
        format!(
            "it was sent back over the same before ({}): {texts}",
            ids.join(", ")
        )
    } else {
        texts
    };
    Verdict::Escalate(Box::new(Question { about, text, items }))
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

/// Changed files by which other tools are told what to do, each with what it decides: neither the contract nor a person has let
/// the task change them.
fn unasked_for(case: &CandidateCase<'_>) -> BTreeMap<RepoPath, &'static str> {
    let touched = case
        .changes
        .iter()
        .flat_map(Change::touched)
        .filter(|path| !case.is_granted(&Granted::Change((*path).clone())));
    touched
        .filter_map(|path| {
            case.authority
                .asks(path, &case.contract.allow)
                .map(|why| (path.clone(), why))
        })
        .collect()
}
