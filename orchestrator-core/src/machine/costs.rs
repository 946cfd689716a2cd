//! What turns and reviews have used: by task, attempt and agent, and in the run.

use std::collections::BTreeMap;

use crate::model::{BackendName, Spend};

/// What the attempts of a task have used over all runs: by the attempt's number, then by agent.
/// Agents that reviewed its work are among them.
pub type TaskCosts = BTreeMap<u32, BTreeMap<BackendName, Spend>>;
