//! One gate from its start to its end.

use std::{collections::BTreeMap, path::Path};

use crate::{
    model::{ContentHash, Environment, GateOutcome, GateSpec},
    process::{Captured, Exit, OutputLimits, Spawn, run_to_end},
};

/// What is kept of each stream of a gate, in bytes: from its beginning, and from its end.
const KEPT: OutputLimits = OutputLimits {
    head: 4 << 20,
    tail: 4 << 20,
};

/// What a gate did.
#[derive(Debug)]
#[non_exhaustive]
pub struct GateRun {
    /// How it ended.
    pub outcome: GateOutcome,
    /// What it printed.
    pub stdout: Captured,
    /// What it complained.
    pub stderr: Captured,
    /// The SHA-256 of the variables that it saw, its marker left out.
    pub environment: ContentHash,
}

impl GateRun {
    /// Of a gate that was not started.
    #[must_use]
    pub(crate) fn not_started(
        outcome: GateOutcome,
        environment: &BTreeMap<String, String>,
    ) -> Self {
        Self {
            outcome,
            stdout: Captured::default(),
            stderr: Captured::default(),
            environment: environment_hash(environment),
        }
    }
}

/// The variables of this process that a policy lets workers and gates see.
#[must_use]
pub(crate) fn visible_environment(environment: &Environment) -> BTreeMap<String, String> {
    environment
        .allow
        .iter()
        .filter_map(|key| Some((key.clone(), std::env::var(key).ok()?)))
        .collect()
}

/// What a report says of the environment that its gate saw: the SHA-256 of the variables, its marker and those of its place left out.
pub(crate) fn environment_hash(environment: &BTreeMap<String, String>) -> ContentHash {
    ContentHash::of_json(environment)
}

/// Runs one gate in a directory that holds the tree. It sees `environment`, a marker, and `variables`, which belong to the place and are
/// not part of what its report says of the environment; git commands in it find no repository above. Whatever it leaves running is
/// killed.
pub async fn run_gate(
    gate: &GateSpec,
    directory: &Path,
    environment: &BTreeMap<String, String>,
    variables: &BTreeMap<String, String>,
    mark: &str,
) -> GateRun {
    let (Some(program), arguments) = (gate.run.first(), gate.run.get(1..).unwrap_or_default())
    else {
        let outcome = GateOutcome::NotStarted {
            reason: "it names no program".to_owned(),
        };
        return GateRun::not_started(outcome, environment);
    };
    // Git takes no relative ceiling.
    let directory = &std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let ceiling = directory.parent().unwrap_or(directory);
    let spawn = Spawn::new(program, directory)
        .args(arguments)
        .envs(environment)
        .envs(variables)
        .envs([("GIT_CEILING_DIRECTORIES", ceiling)])
        .marked(mark);
    match run_to_end(spawn, &[], gate.timeout.to_std(), KEPT).await {
        Ok(finished) => {
            let outcome = match finished.exit {
                Some(Exit::Code(code)) => GateOutcome::Exited { code },
                Some(Exit::Signal(signal)) => GateOutcome::Signalled { signal },
                None => GateOutcome::TimedOut,
            };
            GateRun {
                outcome,
                stdout: finished.stdout,
                stderr: finished.stderr,
                environment: environment_hash(environment),
            }
        }
        Err(error) => {
            let outcome = GateOutcome::NotStarted {
                reason: format!("`{program}`: {error}"),
            };
            GateRun::not_started(outcome, environment)
        }
    }
}
