//! What is known, folded from records.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    agent_state::AgentState,
    consequence::{choices, consequence},
    entry::{Held, Phase, TaskEntry},
    gates::{GateBook, RunningGate},
    tasks::{List, Tasks},
};
use crate::model::{
    Answer, AnswerError, BackendName, Checkout, CommitId, ContentHash, Effect, EffectId, EndReason,
    GateName, Hold, HoldId, HoldOption, HoldReason, PackageName, ReviewerChoice, RunId, RunMode,
    Spend, TaskId, Timestamp, TreeId,
};

/// All that the machine knows. Changed by [`apply`](super::apply) alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(super) run: Option<RunInfo>,
    pub(super) mode: RunMode,
    pub(super) ended: Option<EndReason>,
    pub(super) roadmap: RoadmapState,
    pub(super) tip: Option<CommitId>,
    pub(super) history: History,
    /// The tip's tree, where it is known.
    pub(super) tip_tree: Option<TreeId>,
    /// What gates said of trees.
    pub(super) gates: GateBook,
    /// The gate that runs.
    pub(super) gate_run: Option<RunningGate>,
    /// The gates that were asked for on a tip by itself in this run.
    pub(super) baseline: BTreeSet<GateName>,
    /// What a person has that is no part of the run, as last told.
    pub(super) remarks: Vec<String>,
    pub(super) away: Option<Away>,
    pub(super) checkout: Option<Checkout>,
    /// `None` before the first dispatch; then the package, which may be "none".
    pub(super) package: Option<Option<PackageName>>,
    pub(super) tasks: Tasks,
    pub(super) open: BTreeMap<EffectId, Effect>,
    /// When each of them was asked for.
    pub(super) asked_at: BTreeMap<EffectId, Timestamp>,
    /// Of open reviews: who was asked last, and since when they look.
    pub(super) reviewers: BTreeMap<EffectId, Reviewing>,
    pub(super) last_effect: u64,
    pub(super) last_hold: u32,
    /// Agents of which something is known that keeps them, or may keep them, from working.
    pub(super) agents: BTreeMap<BackendName, AgentState>,
}

/// A reviewer that looks at a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewing {
    /// Its name.
    pub(crate) reviewer: String,
    /// For an agent: how it stands to the agent whose work it is.
    pub(crate) choice: Option<ReviewerChoice>,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// The run that goes on, or went on last.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Its id.
    pub(crate) id: RunId,
    /// The hash of the policy under which it was opened last.
    pub(crate) policy: ContentHash,
    /// The seed for jitter.
    pub(crate) seed: u64,
    /// Whether it goes on while only a person can bring it on.
    pub(crate) wait: bool,
    /// Whether gates that apply by default are run on the target itself beside the first workers.
    pub(crate) baseline: bool,
    /// The agents, and whether each can resume a session.
    pub(crate) backends: BTreeMap<BackendName, bool>,
    /// When it began; a jump of the clock moves it, so that its wall time is counted in time awake.
    pub(crate) began: Timestamp,
    /// Attempts dispatched in it.
    pub(crate) attempts: u32,
    /// What its turns have used.
    pub(crate) spent: Spend,
}

/// How far the roadmap is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoadmapState {
    /// The effect that reads it just now.
    pub(crate) reading: Option<EffectId>,
    /// The tip that it was read at last; `None` before the first time in this run.
    pub(crate) read_at: Option<CommitId>,
    /// The tip at which it cannot be used as it is, and why.
    pub(crate) refused: Option<(CommitId, String)>,
}

/// How far the target's history is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The last tip of which all that counts is known to be in its history; `None` before the
    /// first tip is seen.
    pub(crate) checked: Option<CommitId>,
    /// The effect that looks through it just now.
    pub(crate) checking: Option<EffectId>,
    /// Whether an earlier tip is missing, so that every landing has to be looked for.
    pub(crate) rewritten: bool,
}

/// The remote cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// When this was found first.
    pub(crate) since: Timestamp,
    /// In git's words.
    pub(crate) why: String,
    /// How often it was asked in vain.
    pub(crate) tries: u32,
    /// When it is asked again.
    pub(crate) until: Timestamp,
}

impl State {
    /// The run that goes on, or went on last.
    #[must_use]
    pub fn run(&self) -> Option<&RunInfo> {
        self.run.as_ref()
    }

    /// Whether new work may start.
    #[must_use]
    pub fn mode(&self) -> RunMode {
        self.mode
    }

    /// Why the run ended; `None` while it goes on.
    #[must_use]
    pub fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    /// The target's tip, as last seen.
    #[must_use]
    pub fn tip(&self) -> Option<CommitId> {
        self.tip
    }

    /// The tip's tree; `None` until it is known.
    #[must_use]
    pub fn tip_tree(&self) -> Option<TreeId> {
        self.tip_tree
    }

    /// What gates said of trees.
    #[must_use]
    pub fn gates(&self) -> &GateBook {
        &self.gates
    }

    /// What a person has that is no part of the run, such as commits that are not pushed.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// How far the target's history is known.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether the remote cannot be reached, since when, and why.
    #[must_use]
    pub fn away(&self) -> Option<&Away> {
        self.away.as_ref()
    }

    /// How far the roadmap is known.
    #[must_use]
    pub fn roadmap(&self) -> &RoadmapState {
        &self.roadmap
    }

    /// The package that work is taken from; `None` before the first dispatch.
    #[must_use]
    pub fn package(&self) -> Option<&Option<PackageName>> {
        self.package.as_ref()
    }

    /// All tasks, in the roadmap's order.
    #[must_use]
    pub fn tasks(&self) -> &[TaskEntry] {
        self.tasks.entries()
    }

    /// One task.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&TaskEntry> {
        self.tasks.get(id)
    }

    /// The effects that were asked for and have no closing event yet.
    #[must_use]
    pub fn open_effects(&self) -> &BTreeMap<EffectId, Effect> {
        &self.open
    }

    /// When an open effect was asked for.
    #[must_use]
    pub fn asked_at(&self, effect: EffectId) -> Option<Timestamp> {
        self.asked_at.get(&effect).copied()
    }

    /// Who looks at a change by an open effect, where it is an agent or takes long.
    #[must_use]
    pub fn reviewer(&self, effect: EffectId) -> Option<&Reviewing> {
        self.reviewers.get(&effect)
    }

    /// All questions that wait for a person.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.tasks
            .on(List::Held)
            .filter_map(|entry| match &entry.phase {
                Phase::Held(held) => Some(&held.hold),
                Phase::Waiting(_) | Phase::Active(_) | Phase::Landed(_) | Phase::Parked { .. } => {
                    None
                }
            })
    }

    /// Whether this answers a question that waits, by one of its options.
    ///
    /// # Errors
    /// Why not.
    pub fn accepts(&self, answer: &Answer) -> Result<(), AnswerError> {
        match self.parked(answer.hold) {
            Some(_) if answer.option == HoldOption::Retry => Ok(()),
            Some(entry) => Err(AnswerError::Parked {
                task: entry.task.id.clone(),
            }),
            None => self.asked(answer).map(|_| ()),
        }
    }

    /// The task that a person has parked by their answer to this question.
    pub(super) fn parked(&self, hold: HoldId) -> Option<&TaskEntry> {
        let by_this = |entry: &&TaskEntry| matches!(entry.phase, Phase::Parked { hold: Some(by), .. } if by == hold);
        self.tasks.entries().iter().find(by_this)
    }

    pub(super) fn asked(&self, answer: &Answer) -> Result<(&TaskEntry, &Held), AnswerError> {
        let Some((entry, held)) = self.held(answer.hold) else {
            let open = self.holds().map(|hold| hold.id).collect();
            return Err(if (1..=self.last_hold).contains(&answer.hold.0) {
                AnswerError::Over { open }
            } else {
                AnswerError::UnknownHold { open }
            });
        };
        let hold = &held.hold;
        if consequence(hold, answer.option).is_none() {
            return Err(AnswerError::UnknownOption {
                option: answer.option,
                known: choices(hold).map(|(option, _)| option).collect(),
            });
        }
        if answer.option == HoldOption::Adopt
            && let Some(redefined) = &hold.redefined
            && let Some(other) = self.tasks.in_the_way(&entry.task.id, &redefined.contract)
        {
            return Err(AnswerError::InTheWay {
                task: other.clone(),
            });
        }
        let known: Vec<_> = hold
            .items
            .iter()
            .map(|item| item.what().to_string())
            .collect();
        if let Some(unknown) = answer.items.iter().find(|item| !known.contains(item)) {
            return Err(AnswerError::UnknownItem {
                item: unknown.clone(),
                known,
            });
        }
        let partly =
            !answer.items.is_empty() && known.iter().any(|item| !answer.items.contains(item));
        if partly && matches!(hold.about, HoldReason::Repeated { .. }) {
            return Err(AnswerError::NotAllFindings);
        }
        Ok((entry, held))
    }

    pub(super) fn held(&self, id: HoldId) -> Option<(&TaskEntry, &Held)> {
        self.tasks
            .on(List::Held)
            .find_map(|entry| match &entry.phase {
                Phase::Held(held) if held.hold.id == id => Some((entry, &**held)),
                Phase::Held(_)
                | Phase::Waiting(_)
                | Phase::Active(_)
                | Phase::Landed(_)
                | Phase::Parked { .. } => None,
            })
    }

    pub(super) fn next_hold(&self) -> HoldId {
        HoldId(self.last_hold + 1)
    }

    /// What each agent has used over all runs, for all tasks that are known.
    #[must_use]
    pub fn costs(&self) -> BTreeMap<BackendName, Spend> {
        let mut sum: BTreeMap<_, Spend> = BTreeMap::new();
        let attempts = self.tasks().iter().flat_map(|entry| entry.costs.values());
        for (agent, spend) in attempts.flatten() {
            let known = sum.entry(agent.clone()).or_default();
            *known = std::mem::take(known).plus(spend);
        }
        sum
    }
}

impl Away {
    /// When this was found first.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// How often it was asked in vain.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// When it is asked again.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

impl History {
    /// The last tip of which all that counts is known to be in its history; `None` before the
    /// first tip is seen.
    #[must_use]
    pub fn checked(&self) -> Option<CommitId> {
        self.checked
    }
}

impl RunInfo {
    /// Attempts dispatched in it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}
