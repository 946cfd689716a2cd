//! What the machine asks for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Ask, AttemptId, BackendName, CommitId, Contract, EffectId, Finding, FindingId, GateHead,
    GateSpec, Landing, ParkReason, Predecessor, SessionRef, SessionUsage, StopReason, Submission,
    TreeId,
};

/// What the machine wants done, with all that is needed to do it. Each has an id and gets exactly one closing event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// Read the roadmap.
    ReadRoadmap {
        /// At this tip, which we have; `None`: the target is fetched first.
        tip: Option<CommitId>,
    },
    /// Look whether commits are in the target's history.
    CheckHistory {
        /// The target's tip.
        tip: CommitId,
        /// An earlier tip, or commits by which tasks landed.
        commits: Vec<CommitId>,
    },
    /// Make the attempt's repository and workspace, from this base.
    Prepare {
        /// For which attempt.
        attempt: AttemptId,
        /// The pinned base.
        base: CommitId,
    },
    /// Run one turn of an agent to its end.
    RunTurn {
        /// For which attempt.
        attempt: AttemptId,
        /// 1 for the first.
        turn: u32,
        /// The agent.
        backend: BackendName,
        /// The session to resume.
        resume: Option<SessionRef>,
        /// What is known of that session's use so far.
        #[serde(default)]
        used: SessionUsage,
        /// What it is asked.
        ask: Ask,
        /// What the worker must keep.
        contract: Arc<Contract>,
        /// The commit that its work begins on.
        base: CommitId,
        /// What an attempt before left that could be of use.
        predecessor: Option<Arc<Predecessor>>,
        /// What a person said to the question of the attempt before.
        advice: Option<String>,
    },
    /// Remind an agent that has gone silent to go on.
    Nudge {
        /// For which attempt.
        attempt: AttemptId,
        /// The [`Effect::RunTurn`] that runs.
        turn: EffectId,
    },
    /// Stop a running turn; its own end follows as [`EventKind::TurnEnded`](super::EventKind::TurnEnded).
    StopTurn {
        /// For which attempt.
        attempt: AttemptId,
        /// The [`Effect::RunTurn`] to be ended.
        turn: EffectId,
        /// Why.
        why: StopReason,
    },
    /// Take the attempt's head, handoff and artifacts in.
    Collect {
        /// For which attempt.
        attempt: AttemptId,
        /// The turn that is over.
        turn: u32,
        /// What the worker must keep.
        contract: Arc<Contract>,
        /// The commit that its work begins on.
        base: CommitId,
    },
    /// Ask the reviewers about a commit.
    Review {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit, and what its worker claims.
        work: Arc<Submission>,
        /// What the worker must keep.
        contract: Arc<Contract>,
        /// The findings of the last verdict on the task.
        before: Vec<Finding>,
    },
    /// Build the candidate on the target's present tip.
    Merge {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit that the attempt's own work begins after.
        base: CommitId,
        /// The commit.
        head: CommitId,
        /// What the worker must keep.
        contract: Arc<Contract>,
        /// The findings that a person let pass.
        waived: Vec<FindingId>,
    },
    /// Run one gate on a tree: a candidate's, or that of the target's tip.
    RunGate {
        /// The tree.
        tree: TreeId,
        /// The gate.
        gate: GateSpec,
        /// At which commit the repository of the gate's directory is, if the gate has one.
        at: GateHead,
        /// Whose candidate the tree is: the gate's caches are those of this attempt. `None` for
        /// the tip, whose gates use the lane's.
        candidate_of: Option<AttemptId>,
        /// In which directory it runs, from 0: one gate runs in each.
        slot: u32,
    },
    /// Stop a gate whose report nobody needs any more.
    CancelGate {
        /// The [`Effect::RunGate`] to be ended.
        gate: EffectId,
    },
    /// Commit the candidate and make it the target's tip.
    Land {
        /// The intent.
        landing: Arc<Landing>,
    },
    /// Remove the attempt's workspace, if that loses nothing.
    CleanUp {
        /// For which attempt.
        attempt: AttemptId,
        /// The target's tip, in which its work may be.
        tip: Option<CommitId>,
        /// The tree that landed, where its work did.
        landed: Option<TreeId>,
        /// The worker's head, where its work landed as a commit of ours instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carried: Option<CommitId>,
    },
    /// Tell the task's source how it went.
    Report {
        /// The last attempt at the task.
        attempt: AttemptId,
        /// How.
        end: TaskEnd,
    },
}

impl Effect {
    /// Whether it runs a gate on the target by itself.
    #[must_use]
    pub fn is_gate_on_tip(&self) -> bool {
        matches!(
            self,
            Self::RunGate {
                candidate_of: None,
                ..
            }
        )
    }

    /// The attempt that the effect belongs to; `None` for one of the run.
    #[must_use]
    pub fn attempt(&self) -> Option<&AttemptId> {
        match self {
            Self::ReadRoadmap { .. } | Self::CheckHistory { .. } | Self::CancelGate { .. } => None,
            Self::RunGate { candidate_of, .. } => candidate_of.as_ref(),
            Self::Prepare { attempt, .. }
            | Self::RunTurn { attempt, .. }
            | Self::Nudge { attempt, .. }
            | Self::StopTurn { attempt, .. }
            | Self::Collect { attempt, .. }
            | Self::Review { attempt, .. }
            | Self::Merge { attempt, .. }
            | Self::CleanUp { attempt, .. }
            | Self::Report { attempt, .. } => Some(attempt),
            Self::Land { landing } => Some(&landing.acceptance.attempt),
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEnd {
    /// The target contains it.
    Landed {
        /// The commit; `None` where a person let it count without one.
        commit: Option<CommitId>,
    },
    /// It was given up in this run.
    Parked {
        /// Why.
        reason: ParkReason,
    },
}
