//! Agents that cannot be used now: why, and until when.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    machine::{State, Troubled},
    model::{BackendName, Timestamp, clean},
};

/// An agent that cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AgentView {
    /// Its name in `[agents]`.
    pub name: BackendName,
    /// Why it cannot be used, and when it is used again, in words.
    pub what: String,
    /// Since when: milliseconds since 1970-01-01T00:00:00Z.
    pub since: u64,
    /// When it is tried again, likewise; `null`: when a person has answered.
    pub until: Option<u64>,
    /// Whether the agent itself named that time, such as the reset of its limit.
    pub named: bool,
}

/// All of them, in the order of their names; seen at `now`, those whose time is over are left out.
pub(super) fn agents(state: &State, now: Option<Timestamp>) -> Vec<AgentView> {
    let all = state.agents_in_trouble();
    let troubled = all.filter(|(_, troubled)| now.is_none_or(|now| !troubled.is_over(now)));
    troubled
        .map(|(name, troubled)| AgentView {
            name: name.clone(),
            what: clean(&in_words(name, troubled, now)),
            since: troubled.since.0,
            until: troubled.until.map(|until| until.0),
            named: troubled.named,
        })
        .collect()
}

/// Why an agent cannot be used, and until when.
pub(super) fn trouble(
    state: &State,
    agent: &BackendName,
    now: Option<Timestamp>,
) -> Option<String> {
    let troubled = state.agent(agent)?.trouble.as_ref()?;
    Some(in_words(agent, troubled, now))
}

fn in_words(agent: &BackendName, troubled: &Troubled, now: Option<Timestamp>) -> String {
    let what = troubled
        .trouble
        .with_its_end(troubled.until, troubled.named, now);
    format!("agent `{agent}`: {what}")
}
