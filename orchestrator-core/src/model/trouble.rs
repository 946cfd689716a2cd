//! What keeps an agent from working, whatever its task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;

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
    /// It is not logged in, or its key is bad.
    Login {
        /// In its words.
        reason: String,
    },
    /// It cannot work with its settings.
    Misconfigured {
        /// In its words.
        reason: String,
    },
    /// Its program, or what that is run with, is not there or cannot be run.
    Missing {
        /// Which program, and what is wrong with it.
        what: String,
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
            | Self::Missing { .. }
            | Self::Drifted { .. }
            | Self::Failing { .. } => false,
        }
    }

    /// The trouble, and when the agent is used again. `until`: that moment, where there is one, and
    /// `named` whether the agent itself named it. `now`: then it is also said how long it still is.
    #[must_use]
    pub fn with_its_end(
        &self,
        until: Option<Timestamp>,
        named: bool,
        now: Option<Timestamp>,
    ) -> String {
        let no_reset = match self {
            Self::UsageLimit if !named => ", and it does not say when that is reset",
            _ => "",
        };
        let then = match until {
            None => "its tasks wait for a person".to_owned(),
            Some(until) => {
                let moment = now.map_or_else(|| until.to_string(), |now| until.seen_at(now));
                let verb = match self {
                    Self::UsageLimit if named => "it is reset at",
                    _ => "it is tried again at",
                };
                format!("{verb} {moment}")
            }
        };
        format!("{self}{no_reset}; {then}")
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
            Self::Missing { what } => f.write_str(what),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_says_when_it_is_reset_or_that_it_does_not_say() {
        let now = Timestamp(951_827_700_000);
        let until = Some(Timestamp(now.0 + 7_500_000));
        let limit = Trouble::UsageLimit;
        assert_eq!(
            limit.with_its_end(until, true, Some(now)),
            "its usage limit is reached; it is reset at 2000-02-29 14:40 UTC, in 2 h 5 min"
        );
        assert_eq!(
            limit.with_its_end(until, false, None),
            "its usage limit is reached, and it does not say when that is reset; it is tried again \
             at 2000-02-29 14:40 UTC"
        );
        assert_eq!(
            limit.with_its_end(None, false, Some(now)),
            "its usage limit is reached, and it does not say when that is reset; its tasks wait for \
             a person"
        );
        let reason = "busy".to_owned();
        assert_eq!(
            Trouble::Outage { reason }.with_its_end(until, false, Some(now)),
            "its service cannot be used: busy; it is tried again at 2000-02-29 14:40 UTC, in 2 h 5 min"
        );
    }
}
