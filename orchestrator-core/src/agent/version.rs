//! What an agent's program says of itself.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    port::AgentError,
    process::{Exit, OutputLimits, Spawn, run_to_end},
};

/// How long a program may take to tell its version: some start a whole runtime first.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program prints when it is run with these arguments, such as `--version`: at most 200 characters. It sees our `PATH` and this
/// environment, and nothing else of ours.
///
/// # Errors
/// [`AgentError::Spawn`] when it cannot be run; [`AgentError::Other`] when it fails, says nothing or does not end.
pub async fn told_version<A: AsRef<str>>(
    program: &Path,
    arguments: &[A],
    environment: &BTreeMap<String, String>,
) -> Result<String, AgentError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let spawn = Spawn::new(program, "/").args(arguments.iter().map(AsRef::as_ref)).envs([("PATH", path)]).envs(environment);
    let limits = OutputLimits { head: 1000, tail: 1000 };
    let told = run_to_end(spawn, &[], PATIENCE, limits).await.map_err(AgentError::Spawn)?;
    let version = told.stdout.end(200);
    if told.exit == Some(Exit::Code(0)) && !version.is_empty() {
        return Ok(version);
    }
    Err(AgentError::Other(format!("it does not tell its version: {}", told.stderr.end(200))))
}
