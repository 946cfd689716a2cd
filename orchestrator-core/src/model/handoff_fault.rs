//! What is wrong with the handoff of an attempt that has a commit.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ClaimId, TurnEnd, listed};

/// Why the session is asked for its handoff again.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandoffFault {
    /// There is no handoff.
    #[error("there is none{}", end(.stopped.as_ref()))]
    Missing {
        /// How the turn ended, where the loop stopped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<TurnEnd>,
    },
    /// The handoff cannot be read.
    #[error("it cannot be read: {reason}{}", end(.stopped.as_ref()))]
    Unreadable {
        /// What the reader says of it.
        reason: String,
        /// How the turn ended, where the loop stopped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<TurnEnd>,
    },
    /// The handoff says nothing of some claims of the contract.
    #[error("its `evidence` says nothing of {}: say of each whether it holds, and how you know", listed(.claims))]
    ClaimsLeftOut {
        /// The claims.
        claims: Vec<ClaimId>,
    },
}

fn end(stopped: Option<&TurnEnd>) -> String {
    stopped.map_or_else(String::new, |ended| format!("; {ended}"))
}
