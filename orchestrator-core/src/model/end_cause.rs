//! Why an attempt ended without a landing, and why a task is parked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    BackendName, CommitId, ContractError, Finding, HoldReason, RepoPath, Span, StopReason, Trouble,
    TurnEnd,
};

/// Why an attempt ended without a landing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndCause {
    /// Its workspace could not be made.
    NotPrepared {
        /// Why.
        why: String,
    },
    /// Its work could not be read.
    Unreadable {
        /// Why.
        why: String,
    },
    /// Its work was found wrong, and no turn was left.
    Rejected(Findings),
    /// Gates failed on a tip that is newer than its base.
    RejectedOn {
        /// The tip.
        tip: CommitId,
        /// What failed.
        findings: Findings,
    },
    /// It conflicts with the target.
    Conflict {
        /// The tip.
        tip: CommitId,
        /// The paths that both changed.
        paths: Vec<RepoPath>,
    },
    /// Its worker gave up.
    GaveUp {
        /// What it says.
        said: Option<String>,
    },
    /// Its agent failed.
    AgentFailed {
        /// What the agent printed, or how its process ended.
        detail: String,
    },
    /// The agent's context was full.
    ContextFull,
    /// The agent did not find its session again.
    SessionLost,
    /// Its turn was stopped.
    Stopped {
        /// Why; `None` where nobody asked for it.
        why: Option<StopReason>,
    },
    /// Its turn was cut off before anything was committed, and cannot go on.
    CutOff(TurnEnd),
    /// Its turn was cut off with work that is not complete, and cannot go on.
    Unfinished(TurnEnd),
    /// Its agent cannot be used, and another takes the task over.
    PassedOn {
        /// Its agent.
        agent: BackendName,
        /// What is wrong with it.
        trouble: Trouble,
        /// The agent that goes on.
        to: BackendName,
    },
    /// The task is no longer wanted.
    Withdrawn,
    /// A person wants another attempt.
    Person {
        /// Why, in the person's words.
        note: Option<String>,
    },
    /// A person parked the task.
    Parked {
        /// Why, in the person's words.
        note: Option<String>,
    },
    /// A person is asked, and only another attempt can follow.
    Asked(Box<HoldReason>),
    /// The task may have no more, and is parked.
    Exhausted {
        /// What is used up.
        limit: UsedUp,
        /// How it ended itself.
        last: Box<EndCause>,
    },
}

/// The findings by which an attempt was rejected: the first, and how many more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The most severe one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Box<Finding>>,
    /// How many there are beside it.
    pub others: usize,
}

/// What a task has used up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UsedUp {
    /// All of so many attempts.
    Attempts(u32),
    /// Its wall time.
    Wall(Span),
    /// Its tokens.
    Tokens(u64),
    /// Its money, in US dollars.
    Usd(f64),
}

// A budget is never NaN.
impl Eq for UsedUp {}

/// Why a task is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParkReason {
    /// The roadmap no longer has it.
    Removed,
    /// It cannot have a contract.
    NoContract(ContractError),
    /// It may have no more.
    Exhausted {
        /// What is used up.
        limit: UsedUp,
        /// How the last attempt ended.
        last: Box<EndCause>,
    },
    /// A person parked it.
    Person {
        /// Why, in the person's words.
        note: Option<String>,
    },
}

impl EndCause {
    /// The agent that goes on with the task, where this one's cannot be used.
    #[must_use]
    pub fn passed_to(&self) -> Option<&BackendName> {
        match self {
            Self::PassedOn { to, .. } => Some(to),
            _ => None,
        }
    }
}

impl Findings {
    /// The first of these, and how many more.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        Self {
            first: findings.first().cloned().map(Box::new),
            others: findings.len().saturating_sub(1),
        }
    }
}

impl UsedUp {
    /// That it is used up, and how the last attempt ended.
    pub(super) fn with_last(self, last: &EndCause) -> String {
        match self {
            // That one attempt is all there is explains nothing.
            Self::Attempts(1) => last.to_string(),
            Self::Attempts(_) => format!("{self}; the last: {last}"),
            Self::Wall(_) | Self::Tokens(_) | Self::Usd(_) => {
                format!("{self}; the last attempt: {last}")
            }
        }
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPrepared { why } => write!(f, "its workspace could not be made: {why}"),
            Self::Unreadable { why } => f.write_str(why),
            Self::Rejected(findings) => write!(f, "{findings}"),
            Self::RejectedOn { tip, findings } => write!(
                f,
                "on {}, which is newer than its base: {findings}",
                tip.short()
            ),
            Self::Conflict { tip, paths } => {
                let names: Vec<_> = paths.iter().map(ToString::to_string).collect();
                write!(f, "conflict with {} in {}", tip.short(), names.join(", "))
            }
            Self::GaveUp { said } => {
                let said = said.as_deref().unwrap_or("no reason was given");
                write!(f, "the worker gave up: {said}")
            }
            Self::AgentFailed { detail } => write!(f, "the agent failed: {detail}"),
            Self::ContextFull => f.write_str("the agent's context was full"),
            Self::SessionLost => f.write_str("the agent did not find its session again"),
            Self::Stopped { why: None } => f.write_str("the turn was stopped"),
            Self::Stopped { why: Some(why) } => write!(f, "the turn was stopped: {why}"),
            Self::CutOff(ended) => write!(f, "{ended}"),
            Self::Unfinished(ended) => write!(f, "its work was not finished: {ended}"),
            Self::PassedOn { agent, trouble, to } => {
                write!(f, "agent `{agent}`: {trouble}; `{to}` takes the task over")
            }
            Self::Withdrawn => f.write_str("the task is no longer wanted"),
            Self::Person { note } => {
                let note = note.as_deref().unwrap_or("another attempt is to be made");
                write!(f, "a person says: {note}")
            }
            Self::Parked { note } => write_parked(f, note.as_deref()),
            Self::Asked(about) => f.write_str(&about.question(&[])),
            Self::Exhausted { limit, last } => f.write_str(&limit.with_last(last)),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.first, self.others) {
            (None, _) => f.write_str("rejected"),
            (Some(first), 0) => write!(f, "{first}"),
            (Some(first), others) => write!(f, "{first} (and {others} more)"),
        }
    }
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempts(limit) => write!(f, "{limit} attempts are used up"),
            Self::Wall(wall) => write!(f, "its wall time of {wall} is used up"),
            Self::Tokens(tokens) => write!(f, "its {tokens} tokens are used up"),
            Self::Usd(usd) => write!(f, "its {usd} US dollars are used up"),
        }
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("removed from the roadmap"),
            Self::NoContract(error) => write!(f, "{error}"),
            Self::Exhausted { limit, last } => f.write_str(&limit.with_last(last)),
            Self::Person { note } => write_parked(f, note.as_deref()),
        }
    }
}

fn write_parked(f: &mut fmt::Formatter<'_>, note: Option<&str>) -> fmt::Result {
    f.write_str("parked by a person")?;
    match note {
        Some(note) => write!(f, ": {note}"),
        None => Ok(()),
    }
}
