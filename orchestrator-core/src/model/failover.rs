//! Which agents take over from one that cannot be used, as the policy says.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AgentSpec, BackendName, Trouble, listed};

/// Why an attempt was given to another agent than its task's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// The task's own agent.
    pub from: BackendName,
    /// What kept it from being used.
    pub trouble: Trouble,
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in place of `{}`: {}", self.from, self.trouble)
    }
}

/// What is wrong with a `failover` list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum FailoverError {
    #[error("there is no agent `{name}`; {}: name one of them, or add `[agents.{name}]`", others(.known))]
    Unknown {
        name: BackendName,
        known: Vec<BackendName>,
    },
    #[error("`{name}` is listed twice: remove one")]
    Twice { name: BackendName },
    #[error("an agent cannot work in place of itself: remove `{name}`")]
    Itself { name: BackendName },
}

/// Whether each name in a `failover` list is another agent of the policy, and is named once.
///
/// # Errors
/// The agent whose list is wrong, and what is wrong with it.
pub(super) fn check_failover(
    agents: &BTreeMap<BackendName, AgentSpec>,
) -> Result<(), (&BackendName, FailoverError)> {
    for (name, spec) in agents {
        let list = spec.failover();
        for (at, other) in list.iter().enumerate() {
            if other == name {
                let itself = FailoverError::Itself { name: name.clone() };
                return Err((name, itself));
            }
            if !agents.contains_key(other) {
                let known = agents.keys().filter(|known| *known != name);
                let error = FailoverError::Unknown {
                    name: other.clone(),
                    known: known.cloned().collect(),
                };
                return Err((name, error));
            }
            if list[..at].contains(other) {
                let other = other.clone();
                return Err((name, FailoverError::Twice { name: other }));
            }
        }
    }
    Ok(())
}

fn others(known: &[BackendName]) -> String {
    if known.is_empty() {
        return "the policy has no other".to_owned();
    }
    format!("the others are {}", listed(known))
}

#[cfg(test)]
mod tests {
    use crate::model::Policy;

    /// What is wrong with a policy of these agents, each with its list.
    fn wrong(agents: &[(&str, &str)]) -> Option<String> {
        let text: String = agents
            .iter()
            .map(|(name, list)| format!("[agents.{name}]\nkind = \"robot\"\nfailover = [{list}]\n"))
            .collect();
        Policy::parse(&text).err().map(|error| error.to_string())
    }

    #[test]
    fn failover_to_an_unknown_agent_twice_or_to_itself_is_refused_with_a_fix() {
        assert_eq!(
            wrong(&[("a", "\"b\""), ("b", "\"c\""), ("c", "")]),
            None,
            "a list of its own is no loop"
        );
        assert_eq!(
            wrong(&[("a", "\"b\", \"c\""), ("b", "\"c\""), ("c", "")]),
            None
        );
        assert_eq!(
            wrong(&[("a", "\"x\""), ("b", "")]).as_deref(),
            Some(
                "`agents.a.failover`: there is no agent `x`; the others are `b`: name one of them, or add `[agents.x]`"
            )
        );
        assert_eq!(
            wrong(&[("a", "\"b\", \"b\""), ("b", "")]).as_deref(),
            Some("`agents.a.failover`: `b` is listed twice: remove one")
        );
        assert_eq!(
            wrong(&[("a", "\"a\"")]).as_deref(),
            Some("`agents.a.failover`: an agent cannot work in place of itself: remove `a`")
        );
        assert_eq!(wrong(&[("a", "\"b\""), ("b", "\"a\"")]), None);
    }
}
