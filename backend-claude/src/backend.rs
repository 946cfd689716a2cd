//! The backend: which Claude Code, with what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{
        AgentProcess, Permissions, Protocol, is_installed, named_variables, strict_schema,
        told_version,
    },
    model::{ClaudePermissions, ClaudeSpec},
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Silence, Turn, TurnRequest},
};
use serde_json::{Value, json};

use crate::{conversation::Conversation, session::Sessions};

/// The versions that were tried, first and last: `2.1.` and these.
const TRIED: (u32, u32) = (197, 330);
/// Beyond so much silence with no tool in flight something is wrong: its own limit for a silent stream is five minutes.
const SILENCE: Duration = Duration::from_secs(600);
/// After so much silence it is asked whether it lives.
const ASKING: Duration = Duration::from_secs(30);

const TOOLS: [&str; 6] = ["Bash", "Edit", "Glob", "Grep", "Read", "Write"];
/// Tools that only look.
const LOOKING: [&str; 3] = ["Glob", "Grep", "Read"];
/// Tools that write files: these are never allowed beforehand, so that where they write is always judged.
const WRITING: [&str; 3] = ["Edit", "NotebookEdit", "Write"];

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
    program: PathBuf,
    model: Option<String>,
    tools: Vec<String>,
    permissions: Option<Permissions>,
    max_turns: Option<u32>,
    max_usd: Option<f64>,
    settings: Value,
    environment: BTreeMap<String, String>,
    silence: Duration,
    asking: Duration,
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
        Self {
            program: "claude".into(),
            model: None,
            tools: TOOLS.map(str::to_owned).to_vec(),
            permissions: None,
            max_turns: None,
            max_usd: None,
            settings: json!({
                "attribution": { "commit": "", "pr": "" },
                "permissions": { "deny": ["Bash(git push *)", "Bash(git push)"] },
            }),
            environment: ENVIRONMENT
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            silence: SILENCE,
            asking: ASKING,
        }
    }

    /// As the policy says; variables that it names are taken from this process's environment.
    ///
    /// # Errors
    /// The name of a variable that is not there.
    pub fn from_spec(spec: &ClaudeSpec) -> Result<Self, String> {
        let mut backend =
            Self::new().settings(Value::Object(spec.settings.clone().into_iter().collect()));
        backend.program = spec.program.as_ref().map_or(backend.program, PathBuf::from);
        backend.model.clone_from(&spec.model);
        (backend.max_turns, backend.max_usd) = (spec.max_turns, spec.max_usd);
        if !spec.tools.is_empty() {
            backend.tools.clone_from(&spec.tools);
        }
        if spec.permissions == ClaudePermissions::Contract {
            backend.permissions = Some(Permissions::within_contract());
        }
        if let Some(directory) = &spec.config_dir {
            backend = backend.config_dir(directory);
        }
        backend.environment.extend(named_variables(&spec.env)?);
        Ok(backend)
    }

    /// Sets the program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets the model; where nothing is set, Claude Code's own choice, which differs from version to version and from login to login.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
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
        self.environment.insert(name.into(), value.into());
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
        self.silence = silence;
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
        let tools = self
            .tools_of(request)
            .into_iter()
            .map(str::to_owned)
            .collect();
        Conversation::new(request, tools, self.permissions.clone())
    }

    /// The tools of a turn: one that only reads has those that look.
    fn tools_of(&self, request: &TurnRequest) -> Vec<&str> {
        let tools = self.tools.iter().map(String::as_str);
        tools
            .filter(|tool| !request.read_only || LOOKING.contains(tool))
            .collect()
    }

    fn arguments(&self, request: &TurnRequest) -> Vec<String> {
        let judged = self.permissions.is_some() && !request.read_only;
        let tools = self.tools_of(request);
        let beforehand = tools.iter().copied().filter(|tool| {
            if judged {
                LOOKING.contains(tool)
            } else {
                !WRITING.contains(tool)
            }
        });
        let beforehand: Vec<_> = beforehand.collect();
        let fixed = [
            "-p",
            "--output-format=stream-json",
            "--input-format=stream-json",
            "--verbose",
            "--setting-sources=",
            "--strict-mcp-config",
            "--disable-slash-commands",
        ];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
        // With a sign between, so that nothing is taken for an option or for one more of a list.
        let mut option = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
        let mode = if judged || request.read_only {
            "default"
        } else {
            "acceptEdits"
        };
        option("permission-mode", mode.to_owned());
        option("tools", tools.join(","));
        option("allowedTools", beforehand.join(","));
        option("settings", self.settings.to_string());
        if judged {
            option("permission-prompt-tool", "stdio".to_owned());
        }
        if let Some(model) = &self.model {
            option("model", model.clone());
        }
        if let Some(schema) = &request.schema {
            option("json-schema", strict_schema(schema).to_string());
        }
        if let Some(turns) = self.max_turns {
            option("max-turns", turns.to_string());
        }
        if let Some(usd) = self.max_usd {
            option("max-budget-usd", usd.to_string());
        }
        if let Some(session) = &request.resume {
            option("resume", session.0.clone());
        }
        arguments
    }
}

/// What is there stays, unless it is said anew.
fn merge(into: &mut Value, from: Value) {
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
        Capabilities::least()
            .with_resume()
            .with_counting(Counting::TokensAndMoney)
            .with_input()
            .with_silence(Silence::Beyond(self.silence))
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        if !is_installed(
            &self.program,
            "npm install -g @anthropic-ai/claude-code, or give the path of the program",
        )? {
            return Ok(Probe::found(None));
        }
        let told = told_version(&self.program, &["--version"], &self.environment).await?;
        let version = told
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
        let patch = version
            .strip_prefix("2.1.")
            .and_then(|patch| patch.parse::<u32>().ok());
        let mut probe = Probe::found(Some(version.clone()));
        if !patch.is_some_and(|patch| (TRIED.0..=TRIED.1).contains(&patch)) {
            let (first, last) = TRIED;
            let warning = format!(
                "version {version} of claude was never tried with this backend; 2.1.{first} and 2.1.{last} were"
            );
            probe.warnings.push(warning);
        }
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let conversation = self.protocol(&request);
        let process = AgentProcess::new(&self.program, &request)
            .args(self.arguments(&request))
            .envs(&self.environment);
        let sessions = Sessions::of(|name| {
            let own = self.environment.get(name);
            own.or_else(|| request.environment.get(name)).cloned()
        });
        // INT is what it ends its commands at; on TERM, some versions leave them.
        process
            .asking_after(self.asking)
            .dying_with_us("INT")
            .counting_by(sessions, &request)
            .await
            .start(conversation)
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
