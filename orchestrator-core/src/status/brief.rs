//! All that a person needs to answer a hold, in one place: a bare question is not enough to decide on (law 11).

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    brief_words::{in_the_way, recommendation, then, why_now},
    last_turn::{cut_off_session, last_turn},
    snapshot::labelled,
};
use crate::{
    machine::{Active, Consequence, Held, State, TaskEntry, Then, choices},
    model::{HandoffReport, HoldItem, HoldOption, HoldReason, Submission, WorkLeft, end_of},
};

/// Of changed files, so many are named.
const MAX_FILES: usize = 12;
/// Of what a red gate printed, so many characters are shown.
const MAX_TAIL: usize = 400;

/// What a person decides on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Brief {
    /// Why the question comes just now.
    pub why_now: String,
    /// How the last turn ended, where that is why a person is asked, and what there is: commits, files
    /// that are not committed, a handoff.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_turn: Vec<String>,
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
#[non_exhaustive]
pub struct Choice {
    /// The option that may be answered.
    pub option: HoldOption,
    /// What follows from it, in one sentence.
    pub then: String,
}

impl Brief {
    pub(super) fn of(state: &State, entry: &TaskEntry, held: &Held) -> Self {
        let about = &held.hold.about;
        let active = match &held.then {
            Then::Resume(active) => Some(&**active),
            Then::Wait(_) | Then::Landed(_) => None,
        };
        let work = active.and_then(|active| active.step.submission());
        let reports = active
            .map(|active| state.candidate_reports(active))
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
            .filter(|item| !matches!(item, HoldItem::Claim { .. }));
        let items = items.map(|item| format!("`{}`: {item}", item.what()));
        let missing = items
            .chain(other.iter().map(say))
            .chain(risks.map(|risk| format!("the worker sees a risk: {risk}")));
        let left = held.hold.left.clone().or_else(|| cut_off(about, work));
        let choice = |(option, follows): (HoldOption, Consequence)| Choice {
            option,
            then: then(about, follows, active.is_some(), left.as_ref()),
        };
        Self {
            why_now: why_now(about),
            last_turn: match (&left, about) {
                (Some(left), _) => last_turn(left),
                (None, HoldReason::Agent { .. }) => active.map(cut_off_session).unwrap_or_default(),
                (None, _) => Vec::new(),
            },
            change: work.map(change).unwrap_or_default(),
            evidence: gates.chain(direct.iter().map(say)).collect(),
            missing: missing.chain(in_the_way(about)).collect(),
            options: choices(&held.hold).map(choice).collect(),
            recommendation: recommendation(&held.hold),
            work: fate(entry, active, left.as_ref()),
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
        if !self.last_turn.is_empty() {
            list(f, "The last turn", &self.last_turn)?;
        }
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

/// What the turn left after which nobody said that the work is complete.
fn cut_off(about: &HoldReason, work: Option<&Submission>) -> Option<WorkLeft> {
    let HoldReason::Incomplete { ended } = about else {
        return None;
    };
    work.map(|work| WorkLeft::of_work(ended, work))
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

fn fate(entry: &TaskEntry, active: Option<&Active>, left: Option<&WorkLeft>) -> String {
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
    // Right after the turn, nothing has been moved yet.
    let there = left.and_then(|left| {
        let head = left.head.filter(|_| left.commits > 0);
        let kept = head.or(left.kept)?;
        Some(format!(
            "what the last attempt did is kept in trusted.git, as commit {}",
            kept.short()
        ))
    });
    kept.or(stays)
        .or(there)
        .unwrap_or_else(|| "nothing was done yet that could be lost".to_owned())
}
