//! The backend: which Claude Code, with what.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentEntry, AgentProgram, Permissions, Protocol, SettingError},
    model::AgentWarning,
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Turn, TurnRequest},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    arguments::{LOOKING, Setup, arguments},
    conversation::{Conversation, Given},
    features::Features,
    sandbox::try_sandbox,
    session::Sessions,
    settings::{ClaudeEffort, ClaudePermissions, ClaudeSandbox, ClaudeSettings},
};

/// The versions that were tried, first and last: `2.1.` and these.
const TRIED: (u32, u32) = (197, 332);
/// Beyond so much silence with no tool in flight something is wrong: its own limit for a silent stream is five minutes.
const SILENCE: Duration = Duration::from_secs(600);
/// After so much silence it is asked whether it lives.
const ASKING: Duration = Duration::from_secs(30);

const TOOLS: [&str; 6] = ["Bash", "Edit", "Glob", "Grep", "Read", "Write"];

/// Nothing is sent elsewhere, nothing goes on behind our back, and a service that is away is not waited for by the hour.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
    ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
    ("CLAUDE_CODE_MAX_RETRIES", "4"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("BASH_DEFAULT_TIMEOUT_MS", "600000"),
    ("BASH_MAX_TIMEOUT_MS", "1800000"),
];

/// Claude Code.
///
/// ```
/// use backend_claude::{ClaudeBackend, Permissions};
///
/// let claude = ClaudeBackend::new().model("claude-sonnet-4-5").max_usd(2.0).permissions(Permissions::within_contract());
/// # let _ = claude;
/// ```
#[derive(Debug, Clone)]
pub struct ClaudeBackend {
    pub(crate) program: AgentProgram,
    pub(crate) fallback_model: Option<String>,
    pub(crate) effort: Option<ClaudeEffort>,
    tools: Vec<String>,
    servers: BTreeMap<String, Value>,
    permissions: Option<Permissions>,
    sandbox: ClaudeSandbox,
    pub(crate) max_turns: Option<u32>,
    pub(crate) max_usd: Option<f64>,
    pub(crate) settings: Value,
    asking: Duration,
    /// What this program knows, once it was asked.
    features: Arc<OnceCell<Features>>,
}

impl Default for ClaudeBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl ClaudeBackend {
    /// The `claude` on the `PATH`, however it came there.
    #[must_use]
    pub fn new() -> Self {
        let mut program = AgentProgram::new("claude");
        program.silence = Some(SILENCE);
        for (name, value) in ENVIRONMENT {
            program.env(name, value);
        }
        Self {
            program,
            fallback_model: None,
            effort: None,
            servers: BTreeMap::new(),
            sandbox: ClaudeSandbox::default(),
            features: Arc::default(),
            tools: TOOLS.map(str::to_owned).to_vec(),
            permissions: None,
            max_turns: None,
            max_usd: None,
            settings: json!({
                "attribution": { "commit": "", "pr": "" },
                "permissions": { "deny": ["Bash(git push *)", "Bash(git push)"] },
            }),
            asking: ASKING,
        }
    }

    /// As a policy says.
    ///
    /// # Errors
    /// [`SettingError`] for what cannot be meant.
    pub fn from_settings(
        settings: ClaudeSettings,
        agent: &AgentEntry,
    ) -> Result<Self, SettingError> {
        settings.check()?;
        let own = Value::Object(settings.settings.into_iter().collect());
        let mut backend = Self::new().settings(own);
        let program = settings.program;
        backend.program.configure(program, settings.model, agent);
        backend.fallback_model = settings.fallback_model;
        backend.effort = settings.effort;
        backend.servers = settings.mcp_servers;
        backend.sandbox = settings.sandbox;
        backend.max_turns = settings.max_turns;
        backend.max_usd = settings.max_usd;
        if !settings.tools.is_empty() {
            backend.tools = settings.tools;
        }
        if settings.permissions == ClaudePermissions::Contract {
            backend.permissions = Some(Permissions::within_contract());
        }
        if let Some(directory) = settings.config_dir {
            backend = backend.config_dir(directory);
        }
        Ok(backend)
    }

    /// Sets the program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program.path = program.into();
        self.features = Arc::default();
        self
    }

    /// Sets the model; where nothing is set, Claude Code's own choice, which differs from version to version and from login to login.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.program.model = Some(model.into());
        self
    }

    /// Sets the model that is used while the other is overloaded; several, in their order, separated by commas.
    #[must_use]
    pub fn fallback_model(mut self, model: impl Into<String>) -> Self {
        self.fallback_model = Some(model.into());
        self
    }

    /// Sets how much its model thinks; Claude Code's own choice where nothing is set.
    #[must_use]
    pub fn effort(mut self, effort: ClaudeEffort) -> Self {
        self.effort = Some(effort);
        self
    }

    /// Adds an MCP server, as Claude Code's `mcpServers` has it. No others are started, and a turn that only reads has none.
    #[must_use]
    pub fn mcp_server(mut self, name: impl Into<String>, server: Value) -> Self {
        self.servers.insert(name.into(), server);
        self
    }

    /// Sets whether commands run in its own sandbox.
    #[must_use]
    pub fn sandbox(mut self, sandbox: ClaudeSandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Sets the tools that it has, by its own names: `Bash`, `Edit`, `Glob`, `Grep`, `Read` and `Write` where nothing is set. No others are
    /// offered to the model, or run if it calls them.
    #[must_use]
    pub fn tools<T: Into<String>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.tools = tools.into_iter().map(Into::into).collect();
        self
    }

    /// Lets this decide on each call of a tool that does more than look, at the moment at which it is tried. What it refuses, the agent is
    /// told, and is a finding about its work. Where nothing is set, Claude Code's own rules decide alone.
    #[must_use]
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// Sets the most steps of the model in one turn.
    #[must_use]
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.max_turns = Some(turns);
        self
    }

    /// Sets the most that one turn may cost, in US dollars by its own count; it is looked at after each answer of the model.
    #[must_use]
    pub fn max_usd(mut self, usd: f64) -> Self {
        self.max_usd = Some(usd);
        self
    }

    /// Adds settings as Claude Code's settings file has them. Objects are merged with what is there, and lists joined.
    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        merge(&mut self.settings, settings);
        self
    }

    /// Sets where its sessions and its login are, by `CLAUDE_CONFIG_DIR`; `~/.claude` where nothing is set.
    #[must_use]
    pub fn config_dir(self, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into().to_string_lossy().into_owned();
        self.env("CLAUDE_CONFIG_DIR", directory)
    }

    /// Adds a variable that Claude Code and the commands that it runs see, such as its key.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.program.env(name, value);
        self
    }

    /// Passes these variables of this process on to Claude Code, where they are set.
    #[must_use]
    pub fn allow_env<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        names
            .into_iter()
            .fold(self, |backend, name| match std::env::var(name.as_ref()) {
                Ok(value) => backend.env(name.as_ref(), value),
                Err(_) => backend,
            })
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; ten minutes where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.program.silence = Some(silence);
        self
    }

    /// Sets after how much silence it is asked whether it lives; half a minute where nothing is set. One that leaves ten such questions
    /// without an answer has failed.
    #[must_use]
    pub fn asking_after(mut self, silence: Duration) -> Self {
        self.asking = silence;
        self
    }

    /// What reads the events of one turn and answers them, for who runs the program by other means, such as in a container;
    /// [`start`](AgentBackend::start) runs it here.
    #[must_use]
    pub fn protocol(&self, request: &TurnRequest) -> impl Protocol + use<> {
        self.conversation(request, None)
    }

    fn conversation(&self, request: &TurnRequest, setup: Option<Setup>) -> Conversation {
        let tools = self.tools_of(request).into_iter();
        let given = Given {
            tools: tools.map(str::to_owned).collect(),
            servers: self.servers_of(request).keys().cloned().collect(),
            permissions: self.permissions.clone(),
            sandboxed: setup.as_ref().is_some_and(|setup| setup.sandboxed),
            _files: setup.and_then(|setup| setup.files),
        };
        Conversation::new(request, given)
    }

    /// The tools of a turn: one that only reads has those that look.
    pub(crate) fn tools_of(&self, request: &TurnRequest) -> Vec<&str> {
        let tools = self.tools.iter().map(String::as_str);
        tools
            .filter(|tool| !request.read_only || LOOKING.contains(tool))
            .collect()
    }

    /// The MCP servers of a turn: one that only reads has none, since what their tools do is not known.
    pub(crate) fn servers_of(&self, request: &TurnRequest) -> &BTreeMap<String, Value> {
        static NONE: BTreeMap<String, Value> = BTreeMap::new();
        if request.read_only {
            &NONE
        } else {
            &self.servers
        }
    }

    /// Whether each call that does more than look is judged.
    pub(crate) fn judges(&self, request: &TurnRequest) -> bool {
        self.permissions.is_some() && !request.read_only
    }

    /// The sandbox that is wanted: also one that its own settings switch on.
    fn wanted_sandbox(&self) -> ClaudeSandbox {
        let by_settings = self.settings["sandbox"]["enabled"] == true;
        match self.sandbox {
            ClaudeSandbox::Off if by_settings => ClaudeSandbox::Required,
            wanted => wanted,
        }
    }

    /// What this program knows.
    async fn known(&self, environment: &BTreeMap<String, String>) -> Result<Features, AgentError> {
        let ask = || Features::of(&self.program.path, environment);
        self.features.get_or_try_init(ask).await.copied()
    }

    /// How a turn is started here. A version is asked what it knows only where that makes a difference.
    async fn setup(&self, request: &TurnRequest) -> Result<Setup, AgentError> {
        let environment = self.program.environment_in(&request.environment);
        let sandboxed = if request.read_only {
            false
        } else {
            let tried = try_sandbox(self.wanted_sandbox(), &environment).await?;
            tried.unwrap_or(false)
        };
        let matters = request.read_only
            || sandboxed
            || !request.rules.is_empty()
            || self.effort.is_some()
            || self.fallback_model.is_some();
        let features = if matters {
            self.known(&environment).await?
        } else {
            Features::default()
        };
        let mut setup = Setup {
            features,
            sandboxed,
            files: None,
        };
        setup
            .write_files(self, request)
            .map_err(AgentError::Spawn)?;
        Ok(setup)
    }

    /// What was asked for and this version does not know.
    fn left_out(&self, features: Features, version: &str) -> Vec<AgentWarning> {
        let wanted = [
            ("effort", self.effort.is_some() && !features.effort),
            (
                "fallback_model",
                self.fallback_model.is_some() && !features.fallback_model,
            ),
        ];
        let unknown = wanted.into_iter().filter(|(_, unknown)| *unknown);
        unknown
            .map(|(setting, _)| AgentWarning::LeftOut {
                setting: setting.to_owned(),
                version: version.to_owned(),
            })
            .collect()
    }
}

/// What is there stays, unless it is said anew.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (into, from) => *into = from,
    }
}

#[async_trait]
impl AgentBackend for ClaudeBackend {
    fn name(&self) -> &str {
        "claude"
    }

    fn capabilities(&self) -> Capabilities {
        let least = self.program.capabilities().with_resume().with_input();
        least.with_counting(Counting::TokensAndMoney)
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = BTreeMap::from([("PATH".to_owned(), path)]);
        self.probe_in(&environment).await
    }

    async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        let hint = "npm install -g @anthropic-ai/claude-code, or give the path of the program";
        let Some(told) = self.program.version(&["--version"], hint).await? else {
            return Ok(Probe::found(None));
        };
        let version = told.split_whitespace().next().unwrap_or_default();
        let mut probe = Probe::found(Some(version.to_owned()));
        let patch = version
            .strip_prefix("2.1.")
            .and_then(|patch| patch.parse::<u32>().ok());
        if !patch.is_some_and(|patch| (TRIED.0..=TRIED.1).contains(&patch)) {
            let (first, last) = TRIED;
            probe.warnings.push(AgentWarning::UntriedVersion {
                program: "claude".to_owned(),
                version: version.to_owned(),
                tried: format!("2.1.{first} to 2.1.{last}"),
            });
        }
        let together = self.program.environment_in(environment);
        if self.effort.is_some() || self.fallback_model.is_some() {
            let features = self.known(&together).await?;
            probe.warnings.extend(self.left_out(features, version));
        }
        if let Err((why, fix)) = try_sandbox(self.wanted_sandbox(), &together).await? {
            probe.warnings.push(AgentWarning::NoSandbox { why, fix });
        }
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let setup = self.setup(&request).await?;
        let sessions = Sessions::of(&self.program.environment_in(&request.environment));
        // INT is what it ends its commands at; on TERM, some versions leave them.
        self.program
            .process(&request)
            .args(arguments(self, &request, &setup))
            .asking_after(self.asking)
            .dying_with_us("INT")
            .counting_by(sessions, &request)
            .await
            .start(self.conversation(&request, Some(setup)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_merged() {
        let backend = ClaudeBackend::new().settings(
            json!({ "permissions": { "deny": ["WebFetch"] }, "attribution": { "pr": "x" }, "sandbox": { "enabled": true } }),
        );
        let expected = json!({
            "attribution": { "commit": "", "pr": "x" },
            "permissions": { "deny": ["Bash(git push *)", "Bash(git push)", "WebFetch"] },
            "sandbox": { "enabled": true },
        });
        assert_eq!(backend.settings, expected);
    }
}
