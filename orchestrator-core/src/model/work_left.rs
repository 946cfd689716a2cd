//! What a turn left behind, as a person has to know it to decide what follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Collected, CommitId, HandoffReport, HandoffStatus, RepoPath, StopReason, Submission, TurnEnd,
    TurnOutcome,
};

/// How a turn ended, and what it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkLeft {
    /// How the turn ended.
    pub ended: TurnEnd,
    /// How many commits there are on top of the base.
    pub commits: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
    /// Some of the files that are changed and not committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncommitted: Vec<RepoPath>,
    /// The commit of ours that keeps those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<CommitId>,
    /// What there is of a handoff.
    pub handoff: HandoffLeft,
}

/// What there is of a handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandoffLeft {
    /// There is none.
    Missing,
    /// It cannot be read.
    Broken {
        /// Why.
        reason: String,
    },
    /// It was read.
    Says {
        /// The status that it gives.
        status: HandoffStatus,
        /// The reason that it gives.
        reason: Option<String>,
    },
}

impl HandoffLeft {
    /// What is left of this report.
    #[must_use]
    pub fn of(report: &HandoffReport) -> Self {
        match report {
            HandoffReport::Missing => Self::Missing,
            HandoffReport::Broken { reason } => Self::Broken {
                reason: reason.clone(),
            },
            HandoffReport::Read(handoff) => Self::Says {
                status: handoff.status,
                reason: handoff.reason.clone(),
            },
        }
    }
}

impl WorkLeft {
    /// What was found after a turn; `None` where the work could not be taken in, which is another
    /// question.
    #[must_use]
    pub fn of(ended: &TurnEnd, found: &Collected) -> Option<Self> {
        match found {
            Collected::Work(work) => Some(Self::of_work(ended, work)),
            Collected::Nothing {
                handoff,
                uncommitted,
                rescued,
                ..
            } => Some(Self {
                ended: ended.clone(),
                commits: 0,
                head: None,
                uncommitted: uncommitted.clone(),
                kept: *rescued,
                handoff: HandoffLeft::of(handoff),
            }),
            Collected::Refused { .. } | Collected::Unusable { .. } => None,
        }
    }

    /// The same where there are commits.
    #[must_use]
    pub fn of_work(ended: &TurnEnd, work: &Submission) -> Self {
        Self {
            ended: ended.clone(),
            commits: work.commits,
            head: Some(work.head),
            uncommitted: work.uncommitted.clone(),
            kept: None,
            handoff: HandoffLeft::of(&work.handoff),
        }
    }
}

impl TurnEnd {
    /// Who ended the turn, and why, as one sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let turn = self.turn;
        match (&self.outcome, self.stopped) {
            (_, Some(StopReason::Withdrawn)) => {
                format!("turn {turn} was stopped by us: {}", StopReason::Withdrawn)
            }
            (_, Some(why)) => format!("turn {turn} was cut off by us: {why}"),
            (TurnOutcome::Completed, None) => {
                format!("turn {turn} was ended by the agent, as finished")
            }
            (TurnOutcome::NeedsInput { question }, None) => {
                format!("turn {turn} was ended by the agent with a question: {question}")
            }
            (TurnOutcome::Refused { reason }, None) => {
                format!("turn {turn} was declined by the agent: {reason}")
            }
            (TurnOutcome::CapReached { cap }, None) => {
                format!("turn {turn} was cut off by a cap of the agent's own: {cap}")
            }
            (outcome, None) => format!("turn {turn} was cut off: {outcome}"),
        }
    }
}
