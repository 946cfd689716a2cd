//! The command line of one turn, and the files that it names.

use std::{fmt::Display, fs, io, path::PathBuf};

use orchestrator_core::{agent::strict_schema, port::TurnRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    backend::{ClaudeBackend, merge},
    features::Features,
    sandbox::{SANDBOX_RULE, sandbox_settings},
};

/// Tools that only look.
pub(crate) const LOOKING: [&str; 3] = ["Glob", "Grep", "Read"];
/// Tools that write files: these are never allowed beforehand, so that where they write is always judged.
const WRITING: [&str; 3] = ["Edit", "NotebookEdit", "Write"];

/// What is the same in every turn.
const FIXED: [&str; 7] = [
    "-p",
    "--output-format=stream-json",
    "--input-format=stream-json",
    "--verbose",
    "--setting-sources=",
    "--strict-mcp-config",
    "--disable-slash-commands",
];

/// How a turn is started on this machine.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) features: Features,
    /// Whether commands run in its own sandbox.
    pub(crate) sandboxed: bool,
    /// Where its files are, as long as the turn runs.
    pub(crate) files: Option<TempDir>,
}

impl Setup {
    /// Writes the files that the turn's command line names, for this user's eyes alone.
    pub(crate) fn write_files(
        &mut self,
        backend: &ClaudeBackend,
        request: &TurnRequest,
    ) -> io::Result<()> {
        let rules = self.rules(request);
        let servers = backend.servers_of(request);
        if rules.is_empty() && servers.is_empty() {
            return Ok(());
        }
        let directory = tempfile::tempdir()?;
        if !rules.is_empty() {
            fs::write(directory.path().join(RULES), rules)?;
        }
        if !servers.is_empty() {
            let servers: serde_json::Map<String, Value> = servers.clone().into_iter().collect();
            let config = json!({ "mcpServers": servers });
            fs::write(directory.path().join(SERVERS), config.to_string())?;
        }
        self.files = Some(directory);
        Ok(())
    }

    /// What goes where the compaction of a conversation does not reach.
    fn rules(&self, request: &TurnRequest) -> String {
        let more = if self.sandboxed { SANDBOX_RULE } else { "" };
        format!("{}{more}", request.rules)
    }

    /// A file of the turn's, if it was written.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.files.as_ref()?.path().join(name);
        file.is_file().then_some(file)
    }
}

const RULES: &str = "rules.md";
const SERVERS: &str = "servers.json";

/// The command line of a turn.
pub(crate) fn arguments(
    backend: &ClaudeBackend,
    request: &TurnRequest,
    setup: &Setup,
) -> Vec<String> {
    let judged = backend.judges(request);
    let mut line = Line(FIXED.map(str::to_owned).to_vec());
    line.option("tools", backend.tools_of(request).join(","));
    line.option("allowedTools", beforehand(backend, request).join(","));
    line.option("settings", settings(backend, request, setup));
    let asks = judged || request.read_only;
    let mode = if asks { "default" } else { "acceptEdits" };
    line.option("permission-mode", mode);
    if judged {
        line.option("permission-prompt-tool", "stdio");
    }
    if request.read_only {
        read_only(&mut line, request, setup.features);
    }
    models(&mut line, backend, setup.features);
    if let Some(rules) = setup.file(RULES) {
        rules_option(&mut line, rules, setup.features);
    }
    if let Some(servers) = setup.file(SERVERS) {
        line.option("mcp-config", servers.display());
    }
    if let Some(schema) = &request.schema {
        line.option("json-schema", strict_schema(schema));
    }
    if let Some(turns) = backend.max_turns {
        line.option("max-turns", turns);
    }
    if let Some(usd) = backend.max_usd {
        line.option("max-budget-usd", usd);
    }
    if let Some(session) = &request.resume {
        line.option("resume", &session.0);
    }
    line.0
}

struct Line(Vec<String>);

impl Line {
    /// With a sign between, so that nothing is taken for an option or for one more of a list.
    fn option(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("--{name}={value}"));
    }
}

/// The tools that need not be asked for. What servers offer is allowed, unless each call is judged.
fn beforehand(backend: &ClaudeBackend, request: &TurnRequest) -> Vec<String> {
    let judged = backend.judges(request);
    let tools = backend.tools_of(request).into_iter().filter(|tool| {
        if judged {
            LOOKING.contains(tool)
        } else {
            !WRITING.contains(tool)
        }
    });
    let servers = backend.servers_of(request).keys().filter(|_| !judged);
    tools
        .map(str::to_owned)
        .chain(servers.map(|name| format!("mcp__{name}")))
        .collect()
}

fn settings(backend: &ClaudeBackend, request: &TurnRequest, setup: &Setup) -> Value {
    if !setup.sandboxed {
        return backend.settings.clone();
    }
    let out = request.handoff.parent().unwrap_or(&request.workspace);
    let mut settings = sandbox_settings(out, backend.judges(request));
    merge(&mut settings, backend.settings.clone());
    settings
}

/// The mode in which newer versions only read: file tools keep to the working directory and to where the turn's files are.
fn read_only(line: &mut Line, request: &TurnRequest, features: Features) {
    if features.restricted {
        line.0.push("--restricted".to_owned());
        if let Some(beside) = request.contract.parent() {
            line.option("add-dir", beside.display());
        }
    }
    if features.permission_prompts {
        line.option("permission-prompts", "none");
    }
}

fn models(line: &mut Line, backend: &ClaudeBackend, features: Features) {
    if let Some(model) = &backend.program.model {
        line.option("model", model);
    }
    if let Some(model) = backend
        .fallback_model
        .as_ref()
        .filter(|_| features.fallback_model)
    {
        line.option("fallback-model", model);
    }
    if let Some(effort) = backend.effort.filter(|_| features.effort) {
        line.option("effort", effort.as_str());
    }
}

/// Where no file can be named, the text itself is, as far as a command line holds it.
fn rules_option(line: &mut Line, file: PathBuf, features: Features) {
    if features.rules_file {
        return line.option("append-system-prompt-file", file.display());
    }
    let text = fs::read_to_string(file).unwrap_or_default();
    let end = text.floor_char_boundary(MOST_ON_A_LINE);
    line.option("append-system-prompt", &text[..end]);
}

/// The kernel takes 128 KiB for one argument.
const MOST_ON_A_LINE: usize = 100 << 10;
