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
    pub(crate) task: Task,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// The number of the last attempt, over all runs; 0 before the first.
    pub(crate) last_attempt: u32,
    /// Attempts of this run that count against the limit.
    pub(crate) counted: u32,
    /// What its turns have used in this run.
    pub(crate) spent: Spend,
    /// What its attempts have used.
    pub(crate) costs: TaskCosts,
    /// The wall time of its turns in this run.
    pub(crate) wall: Span,
    /// The findings of the last verdict.
    pub(crate) findings: Vec<Finding>,
    /// What a person has allowed, whatever attempt it is: an agent's start, changes of files.
    pub(crate) grants: Vec<Grant>,
    /// How often it was sent back over each finding of a reviewer, since a person last spoke about that.
    pub(crate) rejections: BTreeMap<FindingId, u32>,
    /// Why the last attempt ended without a landing.
    pub(crate) last_failure: Option<EndCause>,
    /// How many attempts in a row have filled their context and committed nothing.
    pub(crate) filled: u32,
    /// How often in this run another agent took it over in the middle of an attempt.
    pub(crate) passed_on: u32,
    /// Workspaces of attempts that are over and have yet to be settled.
    pub(crate) cleanups: BTreeMap<u32, Asked>,
    /// Workspaces that stayed, by attempt, and why.
    pub(crate) leftovers: BTreeMap<u32, String>,
    /// Refs that keep the heads of attempts which did not land.
    pub(crate) kept_refs: BTreeMap<u32, String>,
    /// What its attempts have left that could be of use to the next.
    pub(crate) predecessor: Option<Arc<Predecessor>>,
    /// What is kept of its turns, by attempt.
    pub(crate) kept: BTreeMap<u32, Vec<KeptArtifact>>,
    /// Why it is no longer wanted, if it is not.
    pub(crate) withdrawn: Option<Withdrawal>,
    /// Whether it has landed, and its tick was taken away since: a person wants it done again,
    /// unless its landing was dropped together with the tick.
    pub(crate) unticked: bool,
    /// Whether the source is still to be told of the end.
    pub(crate) report: Option<Asked>,
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
    pub(crate) until: Timestamp,
    /// Whether that is a time of day that somebody named, which no jump of the clock moves.
    pub(crate) named: bool,
    /// What a person said to the last attempt's question.
    pub(crate) advice: Option<String>,
}

/// A task that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The question.
    pub(crate) hold: Hold,
    /// When the person was asked last.
    pub(crate) asked: Timestamp,
    /// What it goes on with.
    pub(crate) then: Then,
}

impl Held {
    /// When the person is asked again, unless they answer.
    pub(super) fn remind_at(&self, policy: &Policy) -> Timestamp {
        self.asked.after(policy.notify.remind)
    }

    /// What it goes on with.
    #[must_use]
    pub fn then(&self) -> &Then {
        &self.then
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
    pub(crate) by: Option<Attempt>,
    /// The merge commit, likewise; `None` also where a person let it count without one.
    pub(crate) commit: Option<CommitId>,
    /// By which intent, likewise.
    pub(crate) landing: Option<Arc<Landing>>,
}

impl LandedTask {
    /// What its gates said of the landed tree.
    #[must_use]
    pub fn reports(&self) -> &[GateReport] {
        let landing = self.landing.as_ref();
        landing.map_or(&[], |landing| &landing.acceptance.gates)
    }

    /// The merge commit, likewise; `None` also where a person let it count without one.
    #[must_use]
    pub fn commit(&self) -> Option<CommitId> {
        self.commit
    }
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// Which, and under what.
    pub(crate) attempt: Attempt,
    /// How far it is.
    pub(crate) step: Step,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which.
    pub(crate) id: AttemptId,
    /// Under which contract.
    pub(crate) contract: Arc<Contract>,
    /// The pinned base.
    pub(crate) base: CommitId,
    /// When it began.
    pub(crate) began: Timestamp,
    /// In place of which agent its contract's agent works, and why; `None` for the task's own.
    pub(crate) failover: Option<Failover>,
    /// The session of its turns, once the agent has named it.
    pub(crate) session: Option<SessionRef>,
    /// What is known of the use of that session.
    pub(crate) used: SessionUsage,
    /// Its head, as last seen in its own repository, or as we committed it anew.
    pub(crate) head: Option<CommitId>,
    /// The worker's head, where we committed its work anew.
    pub(crate) carried: Option<CommitId>,
    /// What an attempt before left that could be of use.
    pub(crate) predecessor: Option<Arc<Predecessor>>,
    /// The commit of ours that keeps what it has not committed.
    pub(crate) rescued: Option<CommitId>,
    /// What a person said to the question of the attempt before.
    pub(crate) advice: Option<String>,
    /// Whether it was asked for a missing handoff: that is done once.
    pub(crate) repaired: bool,
    /// Turns for the handoff alone, or with which it went on after it was cut off: they are no revisions.
    pub(crate) extra_turns: u32,
    /// How often in a row it went on after it was cut off, and from which head.
    pub(crate) continued: Option<(u32, Option<CommitId>)>,
    /// How the turn ended that left the work.
    pub(crate) ended: Option<TurnEnd>,
    /// By whom the work was confirmed to be complete.
    pub(crate) completion: Option<Completion>,
    /// What the worker says that it has proven.
    pub(crate) claimed: Vec<ClaimedEvidence>,
    /// Whether it ended a turn with nothing committed: it is sent back for that once.
    pub(crate) idle: bool,
    /// What was noticed while its turns ran.
    pub(crate) noticed: Vec<Finding>,
    /// What a person allowed of the head that is looked at.
    pub(crate) grants: Vec<Grant>,
    /// What a person let pass of the head that is looked at.
    pub(crate) waivers: Vec<Waiver>,
    /// What a person has seen of it.
    pub(crate) observations: Vec<Observation>,
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

    /// What its attempts have used.
    #[must_use]
    pub fn costs(&self) -> &TaskCosts {
        &self.costs
    }

    /// Attempts of this run that count against the limit.
    #[must_use]
    pub fn counted(&self) -> u32 {
        self.counted
    }

    /// What a person has allowed, whatever attempt it is: an agent's start, changes of files.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Refs that keep the heads of attempts which did not land.
    #[must_use]
    pub fn kept_refs(&self) -> &BTreeMap<u32, String> {
        &self.kept_refs
    }

    /// The number of the last attempt, over all runs; 0 before the first.
    #[must_use]
    pub fn last_attempt(&self) -> u32 {
        self.last_attempt
    }

    /// How often in this run another agent took it over in the middle of an attempt.
    #[must_use]
    pub fn passed_on(&self) -> u32 {
        self.passed_on
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// How often it was sent back over each finding of a reviewer, since a person last spoke about that.
    #[must_use]
    pub fn rejections(&self) -> &BTreeMap<FindingId, u32> {
        &self.rejections
    }

    /// Whether the source is still to be told of the end.
    #[must_use]
    pub fn report(&self) -> Option<Asked> {
        self.report
    }

    /// What its turns have used in this run.
    #[must_use]
    pub fn spent(&self) -> &Spend {
        &self.spent
    }

    /// As its source tells it now.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Why it is no longer wanted, if it is not.
    #[must_use]
    pub fn withdrawn(&self) -> Option<Withdrawal> {
        self.withdrawn
    }
}

impl Active {
    /// Which, and under what.
    #[must_use]
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// How far it is.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.step
    }
}

impl Attempt {
    /// What a person said to the question of the attempt before.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The pinned base.
    #[must_use]
    pub fn base(&self) -> CommitId {
        self.base
    }

    /// Under which contract.
    #[must_use]
    pub fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// What a person allowed of the head that is looked at.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Which.
    #[must_use]
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    /// What an attempt before left that could be of use.
    #[must_use]
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.predecessor.as_deref()
    }

    /// What a person let pass of the head that is looked at.
    #[must_use]
    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }
}

impl Waiting {
    /// Not before this.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}
