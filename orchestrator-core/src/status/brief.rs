//! All that a person needs to answer a hold, in one place: a bare question is not enough to decide on (law 11).

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::snapshot::labelled;
use crate::{
    machine::{Active, Held, TaskEntry, Then},
    model::{Approval, HandoffReport, HoldOption, HoldReason, Item, Submission, Trouble, end_of},
};

/// Of changed files, so many are named.
const MAX_FILES: usize = 12;
/// Of what a red gate printed, so many characters are shown.
const MAX_TAIL: usize = 400;

/// What a person decides on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Brief {
    /// Why the question comes just now.
    pub why_now: String,
    /// What was done so far: commits and files; empty where nothing was.
    pub change: Vec<String>,
    /// What was observed: gates, and each claim with its label.
    pub evidence: Vec<String>,
    /// What was not observed, or is in the way.
    pub missing: Vec<String>,
    /// What may be answered, and what follows from it.
    pub options: Vec<Choice>,
    /// What we would do.
    pub recommendation: String,
    /// Where the work is, and what becomes of it.
    pub work: String,
}

/// One answer, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Choice {
    /// The answer.
    pub option: HoldOption,
    /// What follows.
    pub then: String,
}

impl Brief {
    pub(super) fn of(entry: &TaskEntry, held: &Held) -> Self {
        let about = &held.hold.about;
        let active = match &held.then {
            Then::Resume(active) => Some(&**active),
            Then::Wait(_) | Then::Landed(_) => None,
        };
        let work = active.and_then(|active| active.step.submission());
        let reports = active
            .map(|active| active.step.reports())
            .unwrap_or_default();
        let gates = reports.iter().map(|report| {
            let (name, tree) = (&report.gate.name, report.tree.short());
            if report.passed() {
                let flaky = if report.is_flaky() {
                    ", and red before on the same: it is flaky"
                } else {
                    ""
                };
                return format!("gate `{name}`: green, on tree {tree}{flaky}");
            }
            let tail = end_of(&report.tail, MAX_TAIL);
            format!("gate `{name}`: {}, on tree {tree}\n{tail}", report.outcome)
                .trim_end()
                .to_owned()
        });
        // Before it was reviewed nothing was looked at, which is not the same as "blocked".
        let looked_at = active.filter(|active| active.step.reviewed().is_some());
        let claims = looked_at.map(|active| labelled(&active.attempt, reports));
        let claims = claims.into_iter().flatten();
        let (direct, other): (Vec<_>, Vec<_>) = claims.partition(|claim| claim.label.is_direct());
        let say = |claim: &super::EvidenceView| {
            format!("`{}` is {}: {}", claim.claim, claim.label, claim.reason)
        };
        let risks = work.iter().flat_map(|work| match &work.handoff {
            HandoffReport::Read(handoff) => handoff.residual_risks.as_slice(),
            HandoffReport::Missing | HandoffReport::Broken { .. } => &[],
        });
        let items = held
            .hold
            .items
            .iter()
            .filter(|item| !matches!(item.what, Item::Claim(_)));
        let items = items.map(|item| format!("`{}`: {}", item.what, item.text));
        let missing = items
            .chain(other.iter().map(say))
            .chain(risks.map(|risk| format!("the worker sees a risk: {risk}")));
        let choice = |option: &HoldOption| Choice {
            option: *option,
            then: then(about, *option, active.is_some()),
        };
        Self {
            why_now: why_now(about),
            change: work.map(change).unwrap_or_default(),
            evidence: gates.chain(direct.iter().map(say)).collect(),
            missing: missing.chain(in_the_way(about)).collect(),
            options: held.hold.options.iter().map(choice).collect(),
            recommendation: recommendation(about),
            work: fate(entry, active),
        }
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, title: &str, items: &[String]| -> fmt::Result {
            if items.is_empty() {
                return writeln!(f, "{title}: nothing");
            }
            writeln!(f, "{title}:")?;
            items
                .iter()
                .try_for_each(|item| writeln!(f, "  - {}", item.replace('\n', "\n    ")))
        };
        writeln!(f, "Why now: {}", self.why_now)?;
        list(f, "Change", &self.change)?;
        list(f, "Observed", &self.evidence)?;
        list(f, "Missing", &self.missing)?;
        let options: Vec<_> = self
            .options
            .iter()
            .map(|choice| format!("{}: {}", choice.option, choice.then))
            .collect();
        list(f, "Options", &options)?;
        writeln!(f, "We would: {}", self.recommendation)?;
        writeln!(f, "The work: {}", self.work)
    }
}

fn change(work: &Submission) -> Vec<String> {
    let what = format!(
        "{} commit(s), {} file(s), head {}",
        work.commits,
        work.changes.len(),
        work.head
    );
    let files = work
        .changes
        .iter()
        .take(MAX_FILES)
        .map(|change| change.path.to_string());
    let more = work
        .changes
        .len()
        .checked_sub(MAX_FILES)
        .filter(|more| *more > 0)
        .map(|more| format!("and {more} more"));
    [what].into_iter().chain(files).chain(more).collect()
}

fn why_now(about: &HoldReason) -> String {
    match about {
        HoldReason::Approval(Approval::Dispatch) => "the task is next, and its contract asks for approval before an agent starts",
        HoldReason::Approval(Approval::Landing) => "it is reviewed and gated, and its contract asks for approval before it lands",
        HoldReason::Unproven { .. } => "it is reviewed and gated, and no gate here observes what these claims speak of",
        HoldReason::CheckoutDirty { .. } => "landing would have to touch a checkout with uncommitted changes",
        HoldReason::LandingRefused(refusal) if refusal.is_of_a_push() => "it was accepted, and could not be pushed",
        HoldReason::LandingRefused(_) => "it was accepted, and could not be made the target's tip",
        HoldReason::TipRed { .. } => "its candidate failed, and so does the target without it: it cannot be judged",
        HoldReason::Authority { .. } => "it is reviewed and gated, and it touches files by which other tools are told what to do",
        HoldReason::PastReview { .. } => "it is reviewed, and its commit is in the target without a landing of ours",
        HoldReason::LandingDropped { .. } => "the target was rewritten, and its landing is not in it",
        HoldReason::NothingToDo { .. } => "the agent ended its turn without a change",
        HoldReason::Blocked => "the worker gave the task back",
        HoldReason::MergeImpossible { .. } => "it is reviewed, and its candidate could not be built",
        HoldReason::Question => "the agent ended its turn with a question",
        HoldReason::Agent { .. } => "the agent cannot be used, and all of its tasks wait",
        HoldReason::Incomplete { .. } => "its work is reviewed, and its worker did not say that it is complete",
        HoldReason::Review => "its commit is there, and not everybody who must look at it could",
        HoldReason::Repeated { .. } => "its worker was told, and the same was found wrong again",
        HoldReason::Exhausted { .. } => "it has had all the attempts, or all of the budget, that it may have",
    }
    .to_owned()
}

/// What the hold itself says is in the way.
fn in_the_way(about: &HoldReason) -> Vec<String> {
    match about {
        HoldReason::CheckoutDirty { paths } => vec![format!("a clean checkout: {}", joined(paths))],
        HoldReason::LandingRefused(refusal) => vec![refusal.to_string()],
        HoldReason::TipRed { tip, gates } => vec![format!(
            "{} on the target's tip {}",
            joined(gates),
            tip.short()
        )],
        HoldReason::Authority { paths } => vec![format!("a contract that names {}", joined(paths))],
        HoldReason::PastReview { tip } => vec![format!(
            "a word on how it came into the target, seen at {}",
            tip.short()
        )],
        HoldReason::LandingDropped { commit, tip } => {
            vec![format!(
                "commit {} in the history of {}",
                commit.short(),
                tip.short()
            )]
        }
        HoldReason::MergeImpossible { reason } => vec![reason.clone()],
        HoldReason::Exhausted { why } => vec![why.clone()],
        HoldReason::Incomplete { ended } => vec![format!(
            "a handoff that says done; how turn {} ended: {ended}",
            ended.turn
        )],
        HoldReason::Approval(_)
        | HoldReason::Unproven { .. }
        | HoldReason::NothingToDo { .. }
        | HoldReason::Blocked
        | HoldReason::Question
        | HoldReason::Agent { .. }
        | HoldReason::Repeated { .. }
        | HoldReason::Review => Vec::new(),
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn then(about: &HoldReason, option: HoldOption, goes_on: bool) -> String {
    match (option, about) {
        (HoldOption::Approve, HoldReason::Approval(Approval::Dispatch)) => "an agent starts",
        (HoldOption::Approve, HoldReason::Unproven { .. }) => "it lands, and the claims stay labelled as they are",
        (HoldOption::Approve, HoldReason::Review) => {
            "it goes on without the reviewer that could not look: a waiver, under your name"
        }
        (HoldOption::Approve, HoldReason::Repeated { .. }) => "it goes on as it is: each finding is waived, under your name",
        (HoldOption::Approve, HoldReason::Incomplete { .. }) => "it counts as complete, under your name, and goes on to land",
        (HoldOption::Retry, HoldReason::Incomplete { .. }) if goes_on => "the session goes on and reads your note, or another attempt begins with this commit for reference",
        (HoldOption::Retry, HoldReason::Agent { .. }) => "the agent is used again, for all tasks that wait for it",
        (HoldOption::Observed, _) => "it lands, and what you saw is evidence: say what it was, and bring a proof if there is one",
        (HoldOption::Retry, HoldReason::Repeated { .. }) => "another attempt begins, and reads your note: say what was unclear",
        (HoldOption::Retry, HoldReason::Exhausted { .. }) => "it gets as much once more, and another attempt reads your note",
        (HoldOption::Approve, HoldReason::LandingDropped { .. }) => {
            "it counts as done without its commit; tick it in the roadmap as well"
        }
        (HoldOption::Retry, HoldReason::LandingDropped { .. }) => {
            "another attempt does it again on the target as it is now, and reads your note"
        }
        (HoldOption::Park, HoldReason::LandingDropped { .. }) => "it stays undone until you answer `retry`",
        (HoldOption::Done, _) => "the task is ticked, if its gates pass on the target as it is",
        (HoldOption::Retry, HoldReason::NothingToDo { .. }) => "another attempt begins, and reads your note: say what is missing",
        (HoldOption::Approve, _) => "it lands, if the target has not moved in a way that speaks against it",
        (HoldOption::Retry, HoldReason::LandingRefused(refusal)) if refusal.is_of_a_push() => "it is merged, gated and pushed again",
        (HoldOption::Retry, HoldReason::LandingRefused(_)) => "it is merged and gated again, and made the target's tip",
        (HoldOption::Retry, HoldReason::TipRed { .. }) => "the gates run again, on the candidate and, if need be, on the tip",
        (HoldOption::Retry, HoldReason::Review) => "the reviewers are asked again",
        (HoldOption::Retry, _) if goes_on => "the same work is tried again",
        (HoldOption::Retry, _) => "another attempt begins, and reads your note",
        (HoldOption::Park, _) => "the task is given up until you answer `retry`; what was done is kept",
    }
    .to_owned()
}

fn recommendation(about: &HoldReason) -> String {
    let would = match about {
        HoldReason::Approval(_) => "read it and say; nothing that we saw speaks against it",
        HoldReason::Unproven { .. } => {
            "try it where the claim is to be seen, and answer `observed` with what you saw; approve what may land unproven"
        }
        HoldReason::CheckoutDirty { .. } => {
            "commit or stash what is there; the run then goes on by itself"
        }
        HoldReason::LandingRefused(refusal) => return format!("{}; then retry", refusal.fix()),
        HoldReason::TipRed { .. } => {
            "mend the target, or let a task of this roadmap do it: when the tip moves, this ends by itself"
        }
        HoldReason::Authority { .. } => {
            "read these files in the diff, and approve only what you would have written yourself"
        }
        HoldReason::PastReview { .. } => {
            "find out who pushed it; revert it and retry, or tick the task if it may stay"
        }
        HoldReason::LandingDropped { .. } => {
            "park it if it was dropped on purpose; retry if it is still wanted"
        }
        HoldReason::NothingToDo { .. } => {
            "look whether the target has it: answer `done` if it does, `retry` with a note if not"
        }
        HoldReason::Blocked | HoldReason::Question => {
            "retry with what is missing as a note, or mend the task in the roadmap first"
        }
        HoldReason::MergeImpossible { .. } => "mend what is in the way, then retry",
        HoldReason::Agent { trouble, .. } => match trouble {
            Trouble::Login { .. } => "log the agent in, or replace its key, then retry",
            Trouble::Misconfigured { .. } => "correct the agent's settings, then retry",
            Trouble::Drifted { .. } => {
                "install a version of the agent that its backend knows, then retry"
            }
            Trouble::Failing { .. } => "run the agent by hand to see why it fails, then retry",
            Trouble::UsageLimit | Trouble::Outage { .. } => {
                "retry when the agent's service can be used again"
            }
        },
        HoldReason::Incomplete { .. } => {
            "read the change: approve it if it is all that the task wants, else retry. Where this \
             agent never writes a handoff, set `done = \"exit\"` for it in the policy"
        }
        HoldReason::Review => "retry when the reviewer can be reached again",
        HoldReason::Repeated { .. } => {
            "read the findings beside the contract: restate what is meant in a note, and retry"
        }
        HoldReason::Exhausted { .. } => {
            "read how the attempts ended; retry only with a note that changes something"
        }
    };
    would.to_owned()
}

fn fate(entry: &TaskEntry, active: Option<&Active>) -> String {
    if let Some(active) = active {
        let id = &active.attempt.id;
        return format!(
            "attempt {id} waits, with its workspace and its commits; nothing of it is lost by waiting"
        );
    }
    let kept = entry
        .kept_refs
        .values()
        .next_back()
        .map(|name| format!("what the last attempt did is kept as {name}"));
    let stays = entry
        .leftovers
        .iter()
        .next_back()
        .map(|(number, why)| format!("the workspace of attempt {number} stays: {why}"));
    kept.or(stays)
        .unwrap_or_else(|| "nothing was done yet that could be lost".to_owned())
}
