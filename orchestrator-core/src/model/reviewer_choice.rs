//! Which agent reviews a change, seen from the agent that made it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BackendName;

/// How an agent that reviews stands to the agent whose work it is. Agents are told apart by their
/// names in `[agents]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReviewerChoice {
    /// It is another agent.
    Other,
    /// It is another agent, asked in place of the worker's own, which the policy names as well.
    InPlaceOf {
        /// The worker's agent.
        worker: BackendName,
    },
    /// It is the worker's own agent: the policy names no other, or no other could look.
    WorkersOwn,
}

impl fmt::Display for ReviewerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("another agent than the worker's"),
            Self::InPlaceOf { worker } => {
                write!(f, "in place of the worker's own agent `{worker}`")
            }
            Self::WorkersOwn => f.write_str("the worker's own agent, for lack of another"),
        }
    }
}
