//! The state as people and other programs see it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    AgentView, Brief, Doing,
    agents::{agents, trouble},
};
use crate::{
    machine::{
        Active, Asked, Attempt, Held, Phase, State, Step, TaskEntry, Then, Working, choices,
    },
    model::{
        BackendName, ClaimId, CommitId, EndReason, Evidence, GateReport, HoldId, HoldOption, Label,
        PackageName, Pulse, RunId, RunMode, Spend, Surface, TaskId, Timestamp,
    },
};

/// A run at one moment. JSON, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Snapshot {
    /// The version of this format: 1.
    pub version: u32,
    /// The run; `null` before the first.
    pub run: Option<RunId>,
    /// Whether new work may start.
    pub mode: RunMode,
    /// Why the run ended; `null` while it goes on.
    pub ended: Option<EndReason>,
    /// What a person should know beside the tasks: what is not pushed and so no part of the run, and gates that fail on the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What each agent has used over all runs, for the tasks that are in the roadmap.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<BackendName, Spend>,
    /// Agents that cannot be used: why, and until when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentView>,
    /// All tasks, in the roadmap's order.
    pub tasks: Vec<TaskView>,
}

/// One task at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TaskView {
    /// The task's id in the roadmap.
    pub id: TaskId,
    /// The package that it belongs to; `null` for none.
    pub package: Option<PackageName>,
    /// The first line of the task, without its id.
    pub title: String,
    /// Where it stands.
    pub state: TaskState,
    /// How the agent looks, while one works: known since the last heartbeat.
    pub pulse: Option<Pulse>,
    /// How many attempts there were, over all runs.
    pub attempts: u32,
    /// The merge commit, if it landed.
    pub landed_commit: Option<CommitId>,
    /// Why it stands there, where there is something to say.
    pub reason: Option<String>,
    /// How the last turn of its work ended, and who says that the work is complete.
    pub last_turn: Option<String>,
    /// What we do for it ourselves just now, such as a gate that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// What the last verdict found wrong.
    pub findings: Vec<String>,
    /// What was observed about its claims.
    pub evidence: Vec<EvidenceView>,
    /// What its attempts have used over all runs: by the attempt's number, then by agent. Agents that
    /// reviewed its work are among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<u32, BTreeMap<BackendName, Spend>>,
    /// The question that waits for a person.
    pub hold: Option<HoldView>,
    /// Where the work of attempts that did not land is, by their numbers: a ref in `trusted.git` of the state directory, or a
    /// workspace that could not go.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<u32, String>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskState {
    /// For its turn to come.
    Waiting,
    /// Its workspace is made.
    Preparing,
    /// An agent works on it.
    Working,
    /// What the agent left is looked at.
    Reviewing,
    /// It is merged, gated and pushed.
    Landing,
    /// The target contains it.
    Landed,
    /// A person is asked.
    Held,
    /// Stopped for good in this run.
    Parked,
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Working => "working",
            Self::Reviewing => "reviewing",
            Self::Landing => "landing",
            Self::Landed => "landed",
            Self::Held => "held",
            Self::Parked => "parked",
        })
    }
}

/// What was observed about one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct EvidenceView {
    /// The claim's id in the contract.
    pub claim: ClaimId,
    /// Where it is to be seen.
    pub surface: Surface,
    /// `direct`, `proxy` or `blocked`: computed just now, and never read back.
    #[schemars(with = "String")]
    pub label: Label,
    /// The observation, or why there is none.
    pub reason: String,
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        Self {
            claim: evidence.claim().clone(),
            surface: evidence.surface().clone(),
            label: evidence.label(),
            reason: evidence.reason().to_owned(),
        }
    }
}

/// A question that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HoldView {
    /// By this the answer names it.
    pub id: HoldId,
    /// What is asked.
    pub question: String,
    /// What may be answered.
    pub options: Vec<HoldOption>,
    /// Since when: milliseconds since 1970-01-01T00:00:00Z.
    pub since: u64,
    /// What to decide it on.
    pub brief: Brief,
}

impl Snapshot {
    /// The state as it is. Times are moments alone, so that it is the same whenever it is made.
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self::made(state, None)
    }

    /// The state as a person reads it at `now`, who is also told how long it is until something.
    #[must_use]
    pub fn at(state: &State, now: Timestamp) -> Self {
        Self::made(state, Some(now))
    }

    fn made(state: &State, now: Option<Timestamp>) -> Self {
        Self {
            version: 1,
            run: state.run().map(|run| run.id.clone()),
            mode: state.mode(),
            ended: state.ended(),
            remarks: remarks(state),
            used: state.costs(),
            agents: agents(state, now),
            tasks: state
                .tasks()
                .iter()
                .map(|entry| view(state, entry, now).cleaned())
                .collect(),
        }
    }

    /// Whether every task has landed.
    #[must_use]
    pub fn all_landed(&self) -> bool {
        self.tasks
            .iter()
            .all(|task| task.state == TaskState::Landed)
    }
}

/// What was told, and what gates say of the target as it is.
fn remarks(state: &State) -> Vec<String> {
    let failing = state.tip_reports().iter().filter(|report| !report.passed());
    let failing = failing.map(|report| {
        format!(
            "gate {} fails on the target: {}",
            report.gate.name, report.outcome
        )
    });
    state.remarks().iter().cloned().chain(failing).collect()
}

fn view(state: &State, entry: &TaskEntry, now: Option<Timestamp>) -> TaskView {
    let (task_state, landed_commit, reason, hold) = match &entry.phase {
        Phase::Waiting(_) => (
            TaskState::Waiting,
            None,
            why_waiting(state, entry, now),
            None,
        ),
        Phase::Active(active) => (
            step_state(&active.step),
            None,
            why_active(state, active, now),
            None,
        ),
        Phase::Held(held) => (
            TaskState::Held,
            None,
            Some(held.hold.question()),
            Some(hold_view(state, entry, held)),
        ),
        Phase::Landed(landed) => {
            let how = match landed.by {
                None => "ticked in the roadmap before",
                Some(_) => "the target has dropped its commit, and a person let it count",
            };
            let before = landed.commit.is_none().then(|| how.to_owned());
            (TaskState::Landed, landed.commit, before, None)
        }
        Phase::Parked { reason, hold } => {
            let again = hold.map(|hold| format!("; `answer {hold} retry` takes it up again"));
            (
                TaskState::Parked,
                None,
                Some(format!("{reason}{}", again.unwrap_or_default())),
                None,
            )
        }
    };
    let stay = entry
        .leftovers
        .iter()
        .map(|(number, why)| format!("the workspace of attempt {number} stays: {why}"));
    let reason: Vec<_> = reason.into_iter().chain(stay).collect();
    TaskView {
        id: entry.task.id.clone(),
        package: entry.task.package.clone(),
        title: entry.task.title.clone(),
        state: task_state,
        pulse: entry
            .active()
            .and_then(|active| Some(active.step.working()?.pulse)),
        attempts: entry.last_attempt,
        landed_commit,
        last_turn: last_turn(entry),
        reason: (!reason.is_empty()).then(|| reason.join("; ")),
        doing: entry.active().and_then(|active| Doing::of(state, active)),
        findings: entry.findings.iter().map(ToString::to_string).collect(),
        evidence: evidence(state, entry),
        used: entry.costs.clone(),
        hold,
        kept: kept(entry),
    }
}

/// Where the work of attempts that did not land is.
fn kept(entry: &TaskEntry) -> BTreeMap<u32, String> {
    let refs = entry
        .kept_refs
        .iter()
        .map(|(number, name)| (*number, format!("as {name} in trusted.git")));
    let stay = entry
        .leftovers
        .iter()
        .map(|(number, why)| (*number, format!("its workspace stays: {why}")));
    refs.chain(stay).collect()
}

/// How the last turn of the work ended, and who says that it is complete.
fn last_turn(entry: &TaskEntry) -> Option<String> {
    let attempt = match &entry.phase {
        Phase::Landed(landed) => landed.by.as_ref()?,
        Phase::Active(_) | Phase::Held(_) => entry.occupying()?,
        Phase::Waiting(_) | Phase::Parked { .. } => return None,
    };
    let ended = attempt.ended.as_ref()?;
    Some(match &attempt.completion {
        Some(completion) => format!("{ended}; {completion}"),
        None => format!("{ended}; nobody has said that the work is complete"),
    })
}

/// What keeps an attempt that is not worked on.
fn why_active(state: &State, active: &Active, now: Option<Timestamp>) -> Option<String> {
    let step = &active.step;
    let stopped = || {
        let is_stopped = state.ended() == Some(EndReason::Stopped);
        is_stopped.then(|| "stopped; continues at the next start".to_owned())
    };
    match step {
        Step::TurnDue { .. } => {
            let trouble = trouble(state, &active.attempt.contract.agent, now).or_else(stopped);
            if trouble.is_some() {
                return trouble;
            }
        }
        Step::Working(_) | Step::Collect { .. } if state.ended().is_some() => return stopped(),
        _ => {}
    }
    let waits = matches!(
        step,
        Step::Merge {
            asked: Asked::Due,
            ..
        } | Step::Land {
            asked: Asked::Due,
            ..
        }
    );
    if let Some(away) = state.away().filter(|_| waits) {
        return Some(format!("the remote cannot be reached: {}", away.why));
    }
    if let Some(working) = step.working() {
        return why_working(working);
    }
    if state.is_stuck(active) {
        return Some("the target itself is red: a person was asked".to_owned());
    }
    let failover = active.attempt.failover.as_ref();
    failover.map(|failover| format!("by `{}` {failover}", active.attempt.contract.agent))
}

/// What there is to say of an agent that works: that it is stopped, or was reminded to go on.
fn why_working(working: &Working) -> Option<String> {
    if let Some(why) = working.stopping {
        return Some(format!("it is being stopped: {why}"));
    }
    let (_, Some(at)) = working.nudges else {
        return None;
    };
    Some(match working.pulse {
        Pulse::Active => format!("silent for too long, and reminded to go on at {at}: it goes on"),
        Pulse::Stalled | Pulse::Gone => {
            format!("silent for too long: it was reminded to go on at {at}")
        }
        Pulse::Quiet | Pulse::Unknown => format!("it was reminded to go on at {at}"),
    })
}

fn why_waiting(state: &State, entry: &TaskEntry, now: Option<Timestamp>) -> Option<String> {
    let after = entry.task.keys.after.as_deref().unwrap_or_default();
    let missing: Vec<_> = after
        .iter()
        .filter(|id| !state.task(id).is_some_and(TaskEntry::has_landed))
        .map(TaskId::as_str)
        .collect();
    if !missing.is_empty() {
        return Some(format!("after {}", missing.join(", ")));
    }
    let refused = state.roadmap().refused.as_ref();
    let agent = || {
        let only = || state.run().filter(|run| run.backends.len() == 1);
        let only = || only().and_then(|run| run.backends.keys().next());
        trouble(state, entry.task.keys.agent.as_ref().or_else(only)?, now)
    };
    refused
        .map(|(tip, why)| format!("the roadmap cannot be used at {}: {why}", tip.short()))
        .or_else(agent)
        .or_else(|| entry.last_failure.as_ref().map(ToString::to_string))
}

fn step_state(step: &Step) -> TaskState {
    match step {
        Step::Prepare(_) => TaskState::Preparing,
        Step::TurnDue { .. } | Step::Working(_) => TaskState::Working,
        Step::Collect { .. } | Step::Review { .. } => TaskState::Reviewing,
        Step::Merge { .. } | Step::Gate(_) | Step::Land { .. } => TaskState::Landing,
    }
}

fn hold_view(state: &State, entry: &TaskEntry, held: &Held) -> HoldView {
    let (hold, brief) = (&held.hold, Brief::of(state, entry, held));
    HoldView {
        id: hold.id,
        question: hold.question(),
        options: choices(hold).map(|(option, _)| option).collect(),
        since: hold.since.0,
        brief,
    }
}

fn evidence(state: &State, entry: &TaskEntry) -> Vec<EvidenceView> {
    match &entry.phase {
        Phase::Landed(landed) => landed
            .by
            .as_ref()
            .map_or_else(Vec::new, |attempt| labelled(attempt, landed.reports())),
        Phase::Active(active) => of_active(state, active),
        Phase::Held(held) => match &held.then {
            Then::Resume(active) => of_active(state, active),
            Then::Wait(_) | Then::Landed(_) => Vec::new(),
        },
        Phase::Waiting(_) | Phase::Parked { .. } => Vec::new(),
    }
}

fn of_active(state: &State, active: &Active) -> Vec<EvidenceView> {
    let reports = state.candidate_reports(active);
    // Before the first report nothing was looked at, which is not the same as "blocked".
    if reports.is_empty() {
        Vec::new()
    } else {
        labelled(&active.attempt, reports)
    }
}

pub(super) fn labelled(attempt: &Attempt, reports: &[GateReport]) -> Vec<EvidenceView> {
    let of = |claim| {
        EvidenceView::from(&Evidence::of(
            claim,
            &attempt.claimed,
            reports,
            &attempt.observations,
        ))
    };
    attempt.contract.claims.iter().map(of).collect()
}
