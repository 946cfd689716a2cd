//! What we do ourselves and what takes its time, such as a gate or a push.

use std::{fmt, time::Duration};

use crate::model::{CommitId, GateName, Span, TreeId, clean};

/// Something that we do, and that may take long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LongStep {
    /// The target is fetched, and the roadmap read.
    Fetch,
    /// A workspace is made.
    Prepare,
    /// A set-up command of the policy runs.
    SetUp {
        /// The command, its words joined by spaces.
        command: String,
    },
    /// A reviewer looks at the work.
    Review {
        /// Its name.
        reviewer: String,
    },
    /// The work is merged into the target's tip, which is fetched before.
    Merge,
    /// A gate runs on a candidate.
    Gate {
        /// Which.
        gate: GateName,
        /// On which tree.
        tree: TreeId,
    },
    /// A gate runs on the target's own tip.
    TipGate {
        /// Which.
        gate: GateName,
        /// On which commit.
        tip: CommitId,
    },
    /// A landing is pushed, or made the tip of the repository's branch.
    Land,
    /// A workspace is cleaned up.
    CleanUp,
    /// The run is told to stop: landings are waited for, and processes ended.
    Stop,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It begins. Told of gates and set-up commands; of the others only what follows, if they take long.
    Began,
    /// It goes on. Told after 15 s, then at growing pauses of at most 10 min.
    GoesOn {
        /// For how long it has gone on.
        so_far: Duration,
        /// What it waits for, such as a lock that another git holds.
        waits_for: Option<String>,
    },
    /// It has ended.
    Ended {
        /// How long it took.
        took: Duration,
        /// Whether it passed; `None` where that is no question.
        passed: Option<bool>,
    },
}

impl LongStep {
    /// Whether its beginning and its end are told however short it is.
    pub(super) fn is_always_told(&self) -> bool {
        match self {
            Self::SetUp { .. } | Self::Gate { .. } | Self::TipGate { .. } => true,
            Self::Fetch
            | Self::Prepare
            | Self::Review { .. }
            | Self::Merge
            | Self::Land
            | Self::CleanUp
            | Self::Stop => false,
        }
    }
}

impl fmt::Display for LongStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch => f.write_str("fetching the target"),
            Self::Prepare => f.write_str("making the workspace"),
            Self::SetUp { command } => write!(f, "set-up `{}`", clean(command)),
            Self::Review { reviewer } => write!(f, "review by `{}`", clean(reviewer)),
            Self::Merge => f.write_str("merging into the target's tip"),
            Self::Gate { gate, tree } => write!(f, "gate {gate} on tree {}", tree.short()),
            Self::TipGate { gate, tip } => write!(f, "gate {gate} on the tip {}", tip.short()),
            Self::Land => f.write_str("landing"),
            Self::CleanUp => f.write_str("cleaning the workspace up"),
            Self::Stop => f.write_str("stopping"),
        }
    }
}

impl fmt::Display for Stage {
    /// What comes after the step in a line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began => f.write_str("begins"),
            Self::GoesOn { so_far, waits_for } => {
                write!(f, "has gone on for {}", roughly(*so_far))?;
                match waits_for {
                    Some(what) => write!(f, "; it waits for {}", clean(what)),
                    None => Ok(()),
                }
            }
            Self::Ended { took, passed } => {
                let how = match passed {
                    Some(true) => "passed",
                    Some(false) => "failed",
                    None => "ended",
                };
                write!(f, "{how} after {}", roughly(*took))
            }
        }
    }
}

/// A time for people: `800 ms`, `12 s`, `3 min`, `2 h 5 min`.
#[must_use]
pub fn roughly(time: Duration) -> String {
    Span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).in_words()
}
