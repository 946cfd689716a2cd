//! What keeps an agent from working, whatever its task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an agent cannot be used now. It belongs to the agent, and not to a task: all of its tasks wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trouble {
    /// The limit of its account is used up.
    UsageLimit,
    /// Its service is overloaded, or cannot be reached.
    Outage {
        /// In its words.
        reason: String,
    },
    /// It is not logged in, its key is bad, or it is not installed.
    Login {
        /// In its words.
        reason: String,
    },
    /// It cannot work with its settings.
    Misconfigured {
        /// In its words.
        reason: String,
    },
    /// It speaks a protocol that its backend does not know.
    Drifted {
        /// What was not understood.
        detail: String,
    },
    /// It failed in the same way on several tasks.
    Failing {
        /// How.
        detail: String,
    },
}

impl Trouble {
    /// Whether it ends by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::UsageLimit | Self::Outage { .. } => true,
            Self::Login { .. }
            | Self::Misconfigured { .. }
            | Self::Drifted { .. }
            | Self::Failing { .. } => false,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UsageLimit => f.write_str("its usage limit is reached"),
            Self::Outage { reason } => write!(f, "its service cannot be used: {reason}"),
            Self::Login { reason } => write!(f, "it cannot log in: {reason}"),
            Self::Misconfigured { reason } => {
                write!(f, "it cannot work with its settings: {reason}")
            }
            Self::Drifted { detail } => {
                write!(
                    f,
                    "it speaks a protocol that its backend does not know: {detail}"
                )
            }
            Self::Failing { detail } => write!(f, "it fails on every task: {detail}"),
        }
    }
}
