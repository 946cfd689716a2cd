//! Claude Code's own sandbox, which runs commands in bubblewrap and lets them reach no network.

use std::{collections::BTreeMap, path::Path};

use orchestrator_core::{
    agent::{BubblewrapFault, try_bubblewrap},
    port::AgentError,
};
use serde_json::{Value, json};

use crate::settings::ClaudeSandbox;

/// What a worker in the sandbox has to know: files that it masks look like untracked devices.
pub(crate) const SANDBOX_RULE: &str = "\n- Your commands run in a sandbox without a network. Add files to a commit by their names: \
                                       `git add --all` and `git add .` fail in it.\n";

/// Settings by which commands run in the sandbox, and never without it. They may write the workspace, the attempt's repository but for
/// its hooks and configuration, and `out`. Where each call is judged by others, those in the sandbox are as well.
pub(crate) fn sandbox_settings(out: &Path, judged: bool) -> Value {
    json!({ "sandbox": {
        "enabled": true,
        "failIfUnavailable": true,
        "autoAllowBashIfSandboxed": !judged,
        "allowUnsandboxedCommands": false,
        "network": { "allowedDomains": [] },
        "filesystem": { "allowWrite": [out.to_string_lossy()] },
    } })
}

/// Whether the sandbox is used, as it was asked for and as it works here; and why not, where it could be done without.
///
/// # Errors
/// [`AgentError::Misconfigured`] where it is required and cannot work.
pub(crate) async fn try_sandbox(
    wanted: ClaudeSandbox,
    environment: &BTreeMap<String, String>,
) -> Result<Result<bool, (String, String)>, AgentError> {
    if wanted == ClaudeSandbox::Off {
        return Ok(Ok(false));
    }
    match (try_bubblewrap(environment, &["socat"]).await, wanted) {
        (Ok(()), _) => Ok(Ok(true)),
        (Err(AgentError::Misconfigured { what, fix }), ClaudeSandbox::Best) => Ok(Err((what, fix))),
        (Err(error), _) => Err(error),
    }
}

/// How the answer of a command begins where Claude Code cannot make the sandbox, such as where `socat` does not work.
pub(crate) const NOT_INITIALIZED: &str = "Sandbox is required but failed to initialize";

/// That a turn's commands failed because of the sandbox, with the fix.
pub(crate) fn broken_words(words: &str) -> String {
    if words.starts_with(NOT_INITIALIZED) {
        return format!("its sandbox cannot work here: {words}; fix: see whether `socat` works");
    }
    let fault = BubblewrapFault::of(words).unwrap_or(BubblewrapFault::Other);
    format!(
        "its sandbox cannot work here: {fault}: {words}; fix: {}",
        fault.fix()
    )
}
