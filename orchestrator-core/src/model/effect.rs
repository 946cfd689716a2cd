//! What the machine asks for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Ask, AttemptId, BackendName, CommitId, EffectId, GateSpec, Landing, SessionRef, SessionUsage,
    StopReason, TaskId, TreeId,
};

/// What the machine wants done. Each has an id and gets exactly one closing event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    },
    /// Ask the reviewers about a commit.
    Review {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit.
        head: CommitId,
    },
    /// Build the candidate on the target's present tip.
    Merge {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit that the attempt's own work begins after.
        base: CommitId,
        /// The commit.
        head: CommitId,
    },
    /// Run one gate on the candidate's tree.
    RunGate {
        /// For which attempt.
        attempt: AttemptId,
        /// The tree.
        tree: TreeId,
        /// The gate, from the frozen contract.
        gate: GateSpec,
    },
    /// Run a gate that is red on the candidate on the tip that the candidate was built on.
    CheckTip {
        /// For which attempt.
        attempt: AttemptId,
        /// The tip.
        tip: CommitId,
        /// The gate.
        gate: GateSpec,
    },
    /// Run a gate that applies by default on the target's tip, for no attempt: at the start of a run, beside the first workers.
    CheckBaseline {
        /// The tip.
        tip: CommitId,
        /// The gate.
        gate: GateSpec,
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
        /// The worker's head, where its work landed as a commit of ours instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carried: Option<CommitId>,
    },
    /// Tell the task's source how it went.
    Report {
        /// The task.
        task: TaskId,
        /// The last attempt.
        attempt: AttemptId,
        /// The commit, if it landed.
        landed: Option<CommitId>,
    },
}
