//! One task of the roadmap, where it stands, and its attempt.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    costs::TaskCosts,
    step::{Asked, Step},
};
use crate::model::{
    AttemptId, ClaimedEvidence, CommitId, Completion, Contract, EndCause, Failover, Finding,
    FindingId, GateReport, Grant, Granted, Hold, HoldId, KeptArtifact, Landing, Observation,
    ParkReason, Policy, Predecessor, SessionRef, SessionUsage, Span, Spend, Task, TaskEnd,
    Timestamp, TurnEnd, Waiver, Withdrawal,
};

/// One task of the roadmap.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// As its source tells it now.
    pub task: Task,
    /// Where it stands.
    pub phase: Phase,
    /// The number of the last attempt, over all runs; 0 before the first.
    pub last_attempt: u32,
    /// Attempts of this run that count against the limit.
    pub counted: u32,
    /// What its turns have used in this run.
    pub spent: Spend,
    /// What its attempts have used.
    pub costs: TaskCosts,
    /// The wall time of its turns in this run.
    pub wall: Span,
    /// The findings of the last verdict.
    pub findings: Vec<Finding>,
    /// What a person has allowed, whatever attempt it is: an agent's start, changes of files.
    pub grants: Vec<Grant>,
    /// How often it was sent back over each finding of a reviewer, since a person last spoke about that.
    pub rejections: BTreeMap<FindingId, u32>,
    /// Why the last attempt ended without a landing.
    pub last_failure: Option<EndCause>,
    /// How many attempts in a row have filled their context and committed nothing.
    pub filled: u32,
    /// How often in this run another agent took it over in the middle of an attempt.
    pub passed_on: u32,
    /// Workspaces of attempts that are over and have yet to be settled.
    pub cleanups: BTreeMap<u32, Asked>,
    /// Workspaces that stayed, by attempt, and why.
    pub leftovers: BTreeMap<u32, String>,
    /// Refs that keep the heads of attempts which did not land.
    pub kept_refs: BTreeMap<u32, String>,
    /// What its attempts have left that could be of use to the next.
    pub predecessor: Option<Arc<Predecessor>>,
    /// What is kept of its turns, by attempt.
    pub kept: BTreeMap<u32, Vec<KeptArtifact>>,
    /// Why it is no longer wanted, if it is not.
    pub withdrawn: Option<Withdrawal>,
    /// Whether it has landed, and its tick was taken away since: a person wants it done again,
    /// unless its landing was dropped together with the tick.
    pub unticked: bool,
    /// Whether the source is still to be told of the end.
    pub report: Option<Asked>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// For its turn to come.
    Waiting(Waiting),
    /// An attempt is under way.
    Active(Box<Active>),
    /// A person is asked.
    Held(Box<Held>),
    /// The target contains it.
    Landed(Box<LandedTask>),
    /// Stopped: by a limit until the next run, by a person until they take it up again.
    Parked {
        /// Why.
        reason: ParkReason,
        /// The question that a person answered so.
        hold: Option<HoldId>,
    },
}

/// A task whose turn has not come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Not before this.
    pub until: Timestamp,
    /// Whether that is a time of day that somebody named, which no jump of the clock moves.
    pub named: bool,
    /// What a person said to the last attempt's question.
    pub advice: Option<String>,
}

/// A task that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The question.
    pub hold: Hold,
    /// When the person was asked last.
    pub asked: Timestamp,
    /// What it goes on with.
    pub then: Then,
}

impl Held {
    /// When the person is asked again, unless they answer.
    pub(super) fn remind_at(&self, policy: &Policy) -> Timestamp {
        self.asked.after(policy.notify.remind)
    }
}

/// What a held task goes on with.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// It waits for its turn again; its last attempt, if any, is over.
    Wait(Waiting),
    /// Its attempt goes on.
    Resume(Box<Active>),
    /// It counts as landed again.
    Landed(Box<LandedTask>),
}

/// A task that the target contains.
#[derive(Debug, Clone, PartialEq)]
pub struct LandedTask {
    /// By which attempt; `None` where the roadmap had it ticked before.
    pub by: Option<Attempt>,
    /// The merge commit, likewise; `None` also where a person let it count without one.
    pub commit: Option<CommitId>,
    /// By which intent, likewise.
    pub landing: Option<Arc<Landing>>,
}

impl LandedTask {
    /// What its gates said of the landed tree.
    #[must_use]
    pub fn reports(&self) -> &[GateReport] {
        let landing = self.landing.as_ref();
        landing.map_or(&[], |landing| &landing.acceptance.gates)
    }
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// Which, and under what.
    pub attempt: Attempt,
    /// How far it is.
    pub step: Step,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which.
    pub id: AttemptId,
    /// Under which contract.
    pub contract: Arc<Contract>,
    /// The pinned base.
    pub base: CommitId,
    /// When it began.
    pub began: Timestamp,
    /// In place of which agent its contract's agent works, and why; `None` for the task's own.
    pub failover: Option<Failover>,
    /// The session of its turns, once the agent has named it.
    pub session: Option<SessionRef>,
    /// What is known of the use of that session.
    pub used: SessionUsage,
    /// Its head, as last seen in its own repository, or as we committed it anew.
    pub head: Option<CommitId>,
    /// The worker's head, where we committed its work anew.
    pub carried: Option<CommitId>,
    /// What an attempt before left that could be of use.
    pub predecessor: Option<Arc<Predecessor>>,
    /// The commit of ours that keeps what it has not committed.
    pub rescued: Option<CommitId>,
    /// What a person said to the question of the attempt before.
    pub advice: Option<String>,
    /// Whether it was asked for a missing handoff: that is done once.
    pub repaired: bool,
    /// Turns for the handoff alone, or with which it went on after it was cut off: they are no revisions.
    pub extra_turns: u32,
    /// How often in a row it went on after it was cut off, and from which head.
    pub continued: Option<(u32, Option<CommitId>)>,
    /// How the turn ended that left the work.
    pub ended: Option<TurnEnd>,
    /// By whom the work was confirmed to be complete.
    pub completion: Option<Completion>,
    /// What the worker says that it has proven.
    pub claimed: Vec<ClaimedEvidence>,
    /// Whether it ended a turn with nothing committed: it is sent back for that once.
    pub idle: bool,
    /// What was noticed while its turns ran.
    pub noticed: Vec<Finding>,
    /// What a person allowed of the head that is looked at.
    pub grants: Vec<Grant>,
    /// What a person let pass of the head that is looked at.
    pub waivers: Vec<Waiver>,
    /// What a person has seen of it.
    pub observations: Vec<Observation>,
}

impl TaskEntry {
    pub(super) fn new(task: Task) -> Self {
        let phase = if task.done {
            Self::ticked()
        } else {
            Phase::Waiting(Waiting::default())
        };
        Self {
            task,
            phase,
            last_attempt: 0,
            counted: 0,
            spent: Spend::default(),
            costs: TaskCosts::new(),
            wall: Span(0),
            findings: Vec::new(),
            grants: Vec::new(),
            rejections: BTreeMap::new(),
            last_failure: None,
            filled: 0,
            passed_on: 0,
            cleanups: BTreeMap::new(),
            leftovers: BTreeMap::new(),
            kept_refs: BTreeMap::new(),
            predecessor: None,
            kept: BTreeMap::new(),
            withdrawn: None,
            unticked: false,
            report: None,
        }
    }

    /// The roadmap had it ticked: by whom and how it was done is not ours to know.
    pub(super) fn ticked() -> Phase {
        Phase::Landed(Box::new(LandedTask {
            by: None,
            commit: None,
            landing: None,
        }))
    }

    /// The landing of this attempt.
    pub(super) fn landed_by(&self, attempt: &AttemptId) -> Option<&LandedTask> {
        let Phase::Landed(landed) = &self.phase else {
            return None;
        };
        let by = landed.by.as_ref().filter(|by| by.id == *attempt);
        by.map(|_| &**landed)
    }

    /// How it ended. While a person is asked whether a dropped landing counts, it has not.
    pub(super) fn end(&self) -> Option<TaskEnd> {
        match &self.phase {
            Phase::Landed(landed) => Some(TaskEnd::Landed {
                commit: landed.commit,
            }),
            Phase::Parked { reason, .. } => Some(TaskEnd::Parked {
                reason: reason.clone(),
            }),
            Phase::Waiting(_) | Phase::Active(_) | Phase::Held(_) => None,
        }
    }

    /// Whether the target contains it.
    #[must_use]
    pub fn has_landed(&self) -> bool {
        matches!(self.phase, Phase::Landed(_))
    }

    /// Whether anything of it counts against its limits.
    pub(super) fn has_used_limits(&self) -> bool {
        self.counted != u32::from(self.active().is_some())
            || self.passed_on > 0
            || self.wall > Span(0)
            || self.spent != Spend::default()
    }

    /// It waits for its turn as a task that was never begun: a start that a person approved before is
    /// no longer approved.
    pub(super) fn wait_anew(&mut self, advice: Option<String>) {
        self.grants.retain(|grant| grant.what != Granted::Dispatch);
        self.phase = Phase::Waiting(Waiting {
            advice,
            ..Waiting::default()
        });
    }

    /// The attempt whose paths and resources are held: under way, or waiting for a person in the middle of it.
    #[must_use]
    pub fn occupying(&self) -> Option<&Attempt> {
        self.active().map(|active| &active.attempt)
    }

    /// The attempt that is under way or held.
    #[must_use]
    pub fn active(&self) -> Option<&Active> {
        match &self.phase {
            Phase::Active(active) => Some(active),
            Phase::Held(held) => match &held.then {
                Then::Resume(active) => Some(active),
                Then::Wait(_) | Then::Landed(_) => None,
            },
            Phase::Waiting(_) | Phase::Landed(_) | Phase::Parked { .. } => None,
        }
    }

    /// What is left of the wall time that its contract gives it, if that gives any.
    pub(super) fn wall_left(&self, active: &Active) -> Option<Span> {
        active
            .attempt
            .contract
            .budget
            .wall
            .map(|wall| Span(wall.0.saturating_sub(self.wall.0)))
    }

    /// How many attempts one run may spend on it.
    pub(super) fn attempt_limit(&self, policy: &Policy) -> u32 {
        let of = |keys: &crate::model::ContractKeys| keys.budget.and_then(|budget| budget.attempts);
        of(&self.task.keys)
            .or_else(|| of(&policy.defaults))
            .unwrap_or(policy.limits.attempts)
    }
}
