//! The agents of a policy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::{Table, de::DeTable};

use super::{AgentKind, BackendName, PolicyError};

/// An agent as the policy names it: its kind, what every kind has, and the settings of its kind.
///
/// Nothing here knows the settings of a kind: [`AgentKinds`](crate::agent::AgentKinds) does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AgentSpec {
    /// What kind of agent it is, such as `command`.
    #[schemars(with = "String")]
    pub kind: AgentKind,
    /// What says that its work is complete, where its kind has a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<DoneBy>,
    /// Variables of our own environment that this agent sees besides those of `[environment]`.
    /// No call of git sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Agents of the policy that take over while this one cannot be used: the first that can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<BackendName>,
    /// The settings of its kind.
    #[serde(flatten)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub(crate) settings: Table,
    /// The lines of the policy's text, from 1: of each key, and of the agent under no key.
    #[serde(skip)]
    pub(crate) lines: BTreeMap<Option<String>, usize>,
}

/// What says that an agent's work is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneBy {
    /// A handoff with the status `done`.
    #[default]
    Handoff,
    /// Exit status 0 with all work committed, too: for simple commands that write no handoff.
    Exit,
}

impl AgentSpec {
    /// An agent of this kind, with no settings.
    #[must_use]
    pub fn new(kind: AgentKind) -> Self {
        Self {
            kind,
            done: None,
            env: Vec::new(),
            failover: Vec::new(),
            settings: Table::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Sets one key of the kind's settings.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<toml::Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// What says that the agent's work is complete.
    #[must_use]
    pub fn done_by(&self) -> DoneBy {
        self.done.unwrap_or_default()
    }

    /// The agents that take over while this one cannot be used, in the order in which they are asked.
    #[must_use]
    pub fn failover(&self) -> &[BackendName] {
        &self.failover
    }

    /// Says what is wrong with the agent of this name: with one key, or with all of it.
    pub(crate) fn wrong(&self, name: &BackendName, key: Option<&str>, why: String) -> PolicyError {
        let place = match key {
            Some(key) => format!("agents.{name}.{key}"),
            None => format!("agents.{name}"),
        };
        // A key within a key's table is on the line of the outer one.
        let outer = key.and_then(|key| key.split('.').next().map(str::to_owned));
        let line = self.lines.get(&outer).or_else(|| self.lines.get(&None));
        match line {
            Some(line) => PolicyError::Syntax {
                line: *line,
                message: format!("`{place}`: {why}"),
            },
            None => PolicyError::Value { key: place, why },
        }
    }
}

/// Notes where each key of each agent is in the policy's text.
pub(super) fn note_lines(text: &str, agents: &mut BTreeMap<BackendName, AgentSpec>) {
    let Ok(policy) = DeTable::parse(text) else {
        return;
    };
    let tables = policy.get_ref().get("agents");
    let Some(tables) = tables.and_then(|tables| tables.get_ref().as_table()) else {
        return;
    };
    for (name, spec) in agents {
        let Some((key, table)) = tables.get_key_value(name.as_str()) else {
            continue;
        };
        spec.lines.insert(None, line_at(text, key.span().start));
        let keys = table.get_ref().as_table();
        for key in keys.into_iter().flat_map(|table| table.keys()) {
            let line = line_at(text, key.span().start);
            spec.lines.insert(Some(key.get_ref().to_string()), line);
        }
    }
}

/// The line of a place in a text, from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    let before = text.get(..at);
    before.map_or(1, |before| before.matches('\n').count() + 1)
}
