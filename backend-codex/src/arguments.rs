//! What Codex is started with.

use std::path::Path;

use orchestrator_core::{port::TurnRequest, process::MARK_VARIABLE};

use crate::sandbox::quoted;

/// What every worker is told: no agents of its own, no network, nothing of the user's own set-up, nothing sent elsewhere. Each by `-c`, since
/// an unknown name is a warning there.
const SETTINGS: &[&str] = &[
    "approval_policy=\"never\"",
    "agents.enabled=false",
    "web_search=\"disabled\"",
    "shell_environment_policy.inherit=\"core\"",
    "allow_login_shell=false",
    "features.unbounded_connection_retries=false",
    "features.plugins=false",
    "features.apps=false",
    "features.hooks=false",
    "features.goals=false",
    "features.shell_snapshot=false",
    "analytics.enabled=false",
    "check_for_update_on_startup=false",
];

/// So much of the rules fits into one argument, of which the kernel takes 128 KiB, quoted as it is; in bytes.
const MOST_ON_A_LINE: usize = 50 << 10;

/// The arguments of `codex exec`.
pub(crate) fn exec(
    request: &TurnRequest,
    schema: Option<&Path>,
    model: Option<&str>,
    settings: &[String],
    held_back: Vec<String>,
) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "exec",
        "--json",
        "--ignore-user-config",
        "--color",
        "never",
        "--skip-git-repo-check",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("-C", request.workspace.to_string_lossy().into_owned());
    if let Some(schema) = schema {
        option("--output-schema", schema.to_string_lossy().into_owned());
    }
    if let Some(model) = model {
        option("-m", model.to_owned());
    }
    arguments.extend(configured(request, settings));
    arguments.extend(held_back);
    if let Some(session) = &request.resume {
        arguments.extend(["resume".to_owned(), session.0.clone(), "-".to_owned()]);
    }
    arguments
}

/// The arguments of `codex app-server`. All else is said in the conversation.
pub(crate) fn app_server(
    request: &TurnRequest,
    settings: &[String],
    held_back: &[String],
) -> Vec<String> {
    let held_back = held_back
        .iter()
        .flat_map(|setting| ["-c".to_owned(), setting.clone()]);
    ["app-server".to_owned()]
        .into_iter()
        .chain(configured(request, settings))
        .chain(held_back)
        .collect()
}

/// Settings that hold for both protocols, as options; the later ones count.
fn configured(request: &TurnRequest, settings: &[String]) -> Vec<String> {
    let ours = SETTINGS.iter().map(ToString::to_string);
    ours.chain([seen_by_commands(request)])
        .chain(rules(request))
        .chain(settings.iter().cloned())
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
}

/// What holds for the whole session. A developer's message is said anew when the conversation was
/// compacted; a long prompt is cut then.
fn rules(request: &TurnRequest) -> Option<String> {
    let end = request.rules.floor_char_boundary(MOST_ON_A_LINE);
    let rules = Some(&request.rules[..end]).filter(|rules| !rules.is_empty())?;
    Some(format!("developer_instructions={}", quoted(rules)))
}

/// Commands see what the policy allows, and our marker; what Codex itself was given stays with it.
fn seen_by_commands(request: &TurnRequest) -> String {
    let mut seen = request.environment.clone();
    seen.extend(
        request
            .variables()
            .map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned())),
    );
    seen.insert(MARK_VARIABLE.to_owned(), request.mark.clone());
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, value)| format!("{}={}", quoted(name), quoted(value)))
        .collect();
    format!("shell_environment_policy.set={{{}}}", seen.join(","))
}
