//! What a task asks for that the policy does not have.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{BackendName, ClaimId, GateName};

/// Why a contract cannot be frozen. Checked for a whole roadmap before anything starts.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContractError {
    /// The task names a gate that the policy does not have.
    #[error("the policy has no gate `{gate}`{}: define it there, as `[gates.{gate}]`, or name another", list(.known))]
    UnknownGate {
        /// The gate.
        gate: GateName,
        /// The policy's gates.
        known: Vec<GateName>,
    },
    /// The task names an agent that is not there.
    #[error("there is no agent `{agent}`{}: name one of them, or define it in the policy, as `[agents.{agent}]`", list(.known))]
    UnknownAgent {
        /// The agent.
        agent: BackendName,
        /// The agents that are.
        known: Vec<BackendName>,
    },
    /// No path may change.
    #[error("`allow` is empty, so that no work could be accepted: name paths, or leave it out")]
    NothingAllowed,
    /// Two claims bear one id.
    #[error("claim `{claim}` is there twice: give one of them another id")]
    DuplicateClaim {
        /// The id.
        claim: ClaimId,
    },
    /// A limit below which nothing can be done.
    #[error("`budget.{key}` is zero, so that nothing could be done: give more, or leave it out")]
    NoBudget {
        /// The key.
        key: String,
    },
    /// Neither the task nor the policy says which agent.
    #[error("no agent is named: set `agent` beneath the task or `default_agent` in the policy")]
    NoAgent,
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "; it has none".to_owned()
    } else {
        format!("; known are {}", names.join(", "))
    }
}
