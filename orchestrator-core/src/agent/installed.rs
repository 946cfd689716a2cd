//! Whether an agent's program is there, and what it says of itself.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    port::AgentError,
    process::{Exit, OutputLimits, Spawn, can_run, run_to_end, why_not_run},
};

/// How long a program may take to tell its version: some start a whole runtime first.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a program is there and can be run: by its path, or on our `PATH`. One that is named relative to the repository cannot be looked
/// for before there is a workspace, and that is `false`, and no error.
///
/// # Errors
/// [`AgentError::NotInstalled`], with the mend; [`AgentError::CannotRun`] for one that is there.
pub fn is_installed(program: &Path, mend: &str) -> Result<bool, AgentError> {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') && !program.is_absolute() {
        return Ok(false);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = |_| AgentError::NotInstalled {
        program: program.to_string_lossy().into_owned(),
        mend: mend.to_owned(),
    };
    can_run(program.as_os_str(), Path::new("/"), Some(&path)).map_err(missing)?;
    if let Some(why) = why_not_run(program.as_os_str(), Path::new("/"), Some(&path)) {
        let program = program.to_string_lossy().into_owned();
        return Err(AgentError::CannotRun { program, why });
    }
    Ok(true)
}

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
    let spawn = Spawn::new(program, "/")
        .args(arguments.iter().map(AsRef::as_ref))
        .envs([("PATH", path)])
        .envs(environment);
    let limits = OutputLimits {
        head: 1000,
        tail: 1000,
    };
    let told = run_to_end(spawn, &[], PATIENCE, limits)
        .await
        .map_err(AgentError::Spawn)?;
    let version = told.stdout.end(200);
    if told.exit == Some(Exit::Code(0)) && !version.is_empty() {
        return Ok(version);
    }
    Err(AgentError::Other(format!(
        "it does not tell its version: {}",
        told.stderr.end(200)
    )))
}

/// The variables of these names, from this process's environment.
///
/// # Errors
/// The first name of one that is not there, or is no text.
pub(super) fn named_variables(names: &[String]) -> Result<BTreeMap<String, String>, String> {
    names
        .iter()
        .map(|name| {
            std::env::var(name)
                .map(|value| (name.clone(), value))
                .map_err(|_| name.clone())
        })
        .collect()
}
