//! How a turn went, in words that all backends share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CommitId, Decision, Finding, HandoffFault, Span, Timestamp, Usage};

/// What a turn is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ask {
    /// The task, from the contract.
    Begin,
    /// There is a commit, and its handoff is missing or cannot be read: only that is to be mended.
    Repair {
        /// What is wrong with the handoff.
        why: HandoffFault,
    },
    /// The same task again, with what was found wrong.
    Revise {
        /// In the order in which they were found.
        findings: Vec<Finding>,
    },
    /// The turn before was cut off: the session goes on with the task.
    Continue {
        /// How it ended.
        ended: TurnEnd,
        /// What a person says to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

/// How a turn of an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnd {
    /// The turn's number.
    pub turn: u32,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why we stopped it, if we did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StopReason>,
}

impl TurnEnd {
    /// Whether the agent ended the turn by itself, as one that is finished.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcome == TurnOutcome::Completed
    }
}

impl std::fmt::Display for TurnEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.stopped {
            Some(why) => write!(f, "it was stopped: {why}"),
            None => self.outcome.fmt(f),
        }
    }
}

/// By whom it was confirmed that the work of an attempt is complete (law 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Completion {
    /// By the worker: its handoff says done.
    Handoff,
    /// By the worker: it ended with status 0, which is a statement for an agent with `done = "exit"`.
    ExitStatus,
    /// By an agent reviewer to which the policy gives this authority.
    Reviewer {
        /// Its name.
        name: String,
    },
    /// By a person.
    Person(Decision),
}

impl std::fmt::Display for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Handoff => f.write_str("the handoff says done"),
            Self::ExitStatus => f.write_str("the agent ended with status 0"),
            Self::Reviewer { name } => write!(f, "reviewer `{name}` confirmed it"),
            Self::Person(decision) => {
                write!(f, "{} confirmed it ({})", decision.name(), decision.hold)?;
                match &decision.note {
                    Some(note) => write!(f, ": {note}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// How a turn ended, typed across all backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TurnOutcome {
    /// The agent says that it is finished. A claim; git says whether anything was done.
    Completed,
    /// The agent asks a person.
    NeedsInput {
        /// Its question.
        question: String,
    },
    /// The agent or its model declined the task.
    Refused {
        /// In its words.
        reason: String,
    },
    /// The account's limit is used up: no failure, and no attempt is spent.
    UsageLimited {
        /// When it is said to be reset.
        until: Option<Timestamp>,
    },
    /// The model's service is overloaded or unreachable: no attempt is spent.
    Overloaded {
        /// In its words.
        reason: String,
    },
    /// The agent is not logged in, or its key is bad: a person is needed.
    Authentication {
        /// In its words.
        reason: String,
    },
    /// The conversation has grown beyond what the model takes.
    ContextFull,
    /// The prompt alone is more than the model takes: every session would end in the same way.
    PromptTooLong {
        /// In the agent's words.
        detail: String,
    },
    /// A cap of the agent's own was reached, such as its `max_usd` or `max_turns`: the next turn would
    /// end in the same way.
    CapReached {
        /// Which, and what to change.
        cap: String,
    },
    /// The agent cannot work with its settings: every turn would end in the same way.
    Misconfigured {
        /// In its words.
        reason: String,
    },
    /// The agent's program, or what it is run with, is not there or cannot be run: a person is needed.
    Missing {
        /// Which program, and what is wrong with it.
        what: String,
    },
    /// The agent does not know the session that it was to go on with.
    SessionLost,
    /// The agent's process failed.
    Crashed {
        /// Exit status or signal, and the end of what it wrote to stderr.
        detail: String,
    },
    /// The agent speaks a protocol that its backend does not know.
    Drifted {
        /// What was not understood.
        detail: String,
    },
    /// We stopped it.
    Stopped,
    /// Its orchestrator was stopped, or died, while it ran.
    Interrupted,
}

impl std::fmt::Display for TurnOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::NeedsInput { question } => write!(f, "it asks: {question}"),
            Self::Refused { reason } => write!(f, "declined: {reason}"),
            Self::UsageLimited { until: Some(until) } => {
                write!(f, "its usage limit was reached, until {until}")
            }
            Self::UsageLimited { until: None } => {
                f.write_str("its usage limit was reached, and it did not say when that is reset")
            }
            Self::Overloaded { reason } => write!(f, "its service: {reason}"),
            Self::Authentication { reason } => write!(
                f,
                "it cannot be used until a person has seen to it: {reason}"
            ),
            Self::ContextFull => f.write_str("its context was full"),
            Self::PromptTooLong { detail } => write!(f, "its prompt alone is too long: {detail}"),
            Self::CapReached { cap } => write!(f, "a cap of its own was reached: {cap}"),
            Self::Misconfigured { reason } => {
                write!(f, "it cannot work with its settings: {reason}")
            }
            Self::Missing { what } => f.write_str(what),
            Self::SessionLost => f.write_str("its session was not found again"),
            Self::Crashed { detail } => write!(f, "it failed: {detail}"),
            Self::Drifted { detail } => write!(
                f,
                "it speaks a protocol that its backend does not know: {detail}"
            ),
            Self::Stopped => f.write_str("stopped"),
            Self::Interrupted => f.write_str("the orchestrator ended while it ran"),
        }
    }
}

/// What a heartbeat sees of a running turn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TurnSight {
    /// The last sign of life: an update, or a change in the workspace.
    pub active: Timestamp,
    /// Whether a tool is in flight: then silence is no stall.
    pub tool_in_flight: bool,
    /// The silence beyond which, says the backend, something is wrong; `None` where its silence means nothing.
    pub silence: Option<Span>,
    /// Whether its process lives, where the backend can tell.
    pub alive: Option<bool>,
    /// The attempt's head, read from its repository.
    pub head: Option<CommitId>,
    /// What is known to be used by the turn so far, and by earlier ones of its session that were not counted.
    pub usage: Usage,
}

/// How a running turn looks at a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pulse {
    /// Silent, in a way that cannot be read: the backend knows nothing of the agent's silences, and the policy sets no limit.
    #[default]
    Unknown,
    /// A tool is in flight, or something was said or changed in the workspace since the last heartbeat.
    Active,
    /// Silent, and not yet for too long.
    Quiet,
    /// Silent for too long: it is nudged, then stopped.
    Stalled,
    /// Its process is gone, and the turn has not ended: stopped, if that is still so at the next heartbeat.
    Gone,
}

/// Why we stop a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// It took longer than a turn may.
    Deadline,
    /// It said nothing and changed nothing for longer than the policy's stall limit.
    Stalled,
    /// Its process is gone, and the turn did not end by itself.
    Gone,
    /// A budget is used up.
    Budget,
    /// Its task is no longer wanted: it was removed from the roadmap, or ticked by a person.
    Withdrawn,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deadline => "it took longer than it may",
            Self::Stalled => "it was silent for longer than its limit",
            Self::Gone => "its process was gone, and it did not end",
            Self::Budget => "its budget was used up",
            Self::Withdrawn => "the task is no longer wanted",
        })
    }
}
