//! What a turn that could not be started stands for.

use crate::{
    model::{TurnOutcome, with_source},
    port::{AgentError, ErrorClass},
};

/// The outcome of a turn that did not start.
pub(super) fn not_started(error: &AgentError) -> TurnOutcome {
    let reason = match error {
        // That the agent failed is said by the outcome.
        AgentError::Other(why) => why.clone(),
        error => with_source(error),
    };
    match (error, error.class()) {
        _ if is_missing(error) => TurnOutcome::Missing { what: reason },
        (AgentError::Misconfigured { .. }, _) => TurnOutcome::Misconfigured { reason },
        (_, ErrorClass::Transient { .. }) => TurnOutcome::Overloaded { reason },
        (_, ErrorClass::NeedsPerson) => TurnOutcome::Authentication { reason },
        (_, ErrorClass::Permanent | ErrorClass::Bug) => TurnOutcome::Crashed { detail: reason },
    }
}

/// Whether the agent's program, or what it is run with, is missing: no login helps then.
fn is_missing(error: &AgentError) -> bool {
    let is_absent = matches!(
        error,
        AgentError::NotInstalled { .. } | AgentError::CannotRun { .. }
    );
    let is_spawn = matches!(error, AgentError::Spawn(_));
    is_absent || (is_spawn && error.class() == ErrorClass::NeedsPerson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_follows_the_error() {
        let reason = || "set it".to_owned();
        let wrong = AgentError::Misconfigured {
            what: "it is wrong".to_owned(),
            fix: reason(),
        };
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let away = AgentError::Unavailable { reason: reason() };
        assert_eq!(
            not_started(&wrong),
            TurnOutcome::Misconfigured {
                reason: "it is wrong; fix: set it".to_owned()
            }
        );
        assert!(matches!(
            not_started(&AgentError::Spawn(missing)),
            TurnOutcome::Missing { .. }
        ));
        assert!(matches!(not_started(&away), TurnOutcome::Overloaded { .. }));
        assert_eq!(
            not_started(&AgentError::Other("no".to_owned())),
            TurnOutcome::Crashed {
                detail: "no".to_owned()
            }
        );
    }
}
