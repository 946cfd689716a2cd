//! What turns and reviews have used: by task, attempt and agent, and in the run.

use std::collections::BTreeMap;

use super::{
    apply::{Misfit, entry_mut},
    state::State,
};
use crate::model::{AttemptId, BackendName, Spend, TurnUsage};

/// What the attempts of a task have used over all runs: by the attempt's number, then by agent.
/// Agents that reviewed its work are among them.
pub type TaskCosts = BTreeMap<u32, BTreeMap<BackendName, Spend>>;

/// An agent has used so much for an attempt; `settled` of its turns before, whose use was not known,
/// are counted in with that.
pub(super) fn spend(
    state: &mut State,
    attempt: &AttemptId,
    agent: &BackendName,
    usage: &TurnUsage,
    settled: u32,
) -> Result<(), Misfit> {
    let entry = entry_mut(state, &attempt.task)?;
    entry.spent.add(usage, settled);
    let by_agent = entry.costs.entry(attempt.number).or_default();
    by_agent
        .entry(agent.clone())
        .or_default()
        .add(usage, settled);
    if let Some(run) = &mut state.run {
        run.spent.add(usage, settled);
    }
    Ok(())
}

impl State {
    /// What each agent has used over all runs, for all tasks that are known.
    #[must_use]
    pub fn costs(&self) -> BTreeMap<BackendName, Spend> {
        let mut sum: BTreeMap<_, Spend> = BTreeMap::new();
        let attempts = self.tasks().iter().flat_map(|entry| entry.costs.values());
        for (agent, spend) in attempts.flatten() {
            let known = sum.entry(agent.clone()).or_default();
            *known = std::mem::take(known).plus(spend);
        }
        sum
    }
}
