//! The backend: which Codex, with what.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentProcess, Protocol, Spent, named_variables, strict_schema, told_version},
    model::{AgentWarning, CodexSandbox, CodexSpec},
    port::{AgentBackend, AgentError, Capabilities, Probe, Silence, Turn, TurnRequest},
    process::MARK_VARIABLE,
};

use crate::{
    conversation::Conversation,
    install::find,
    preflight::{Tried, try_reader, try_worker},
    sandbox::{Places, flags, quoted},
};

/// The versions that were tried.
const TRIED: [&str; 2] = ["0.169.", "0.171."];
/// Beyond so much silence with no tool in flight something is wrong: its own limit for a silent stream is five minutes.
const SILENCE: Duration = Duration::from_secs(600);

/// So much of the rules fits into one argument, of which the kernel takes 128 KiB, quoted as it is; in bytes.
const MOST_ON_A_LINE: usize = 50 << 10;

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

/// OpenAI Codex.
///
/// ```
/// use backend_codex::CodexBackend;
///
/// let codex = CodexBackend::new().model("gpt-6.1-sol").home("/var/lib/workers/codex");
/// # let _ = codex;
/// ```
#[derive(Debug, Clone)]
pub struct CodexBackend {
    program: PathBuf,
    model: Option<String>,
    sandbox: CodexSandbox,
    settings: Vec<String>,
    environment: BTreeMap<String, String>,
    silence: Duration,
    spent: Spent,
}

impl Default for CodexBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl CodexBackend {
    /// The `codex` on the `PATH`, as npm or anybody else has put it there.
    #[must_use]
    pub fn new() -> Self {
        Self {
            program: "codex".into(),
            model: None,
            sandbox: CodexSandbox::default(),
            settings: Vec::new(),
            environment: BTreeMap::new(),
            silence: SILENCE,
            spent: Spent::default(),
        }
    }

    /// As the policy says; variables that it names are taken from this process's environment.
    ///
    /// # Errors
    /// The name of a variable that is not there.
    pub fn from_spec(spec: &CodexSpec) -> Result<Self, String> {
        let mut backend = Self::new().sandbox(spec.sandbox);
        backend.program = spec.program.as_ref().map_or(backend.program, PathBuf::from);
        backend.model.clone_from(&spec.model);
        backend.settings.clone_from(&spec.config);
        backend.environment.extend(named_variables(&spec.env)?);
        Ok(backend)
    }

    /// Sets the program: npm's script, or the native one behind it.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets the model; Codex's own choice where nothing is set.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets how commands are held back.
    #[must_use]
    pub fn sandbox(mut self, sandbox: CodexSandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Adds a setting of Codex's configuration, `key=value` with the value as TOML.
    #[must_use]
    pub fn config(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Sets another provider of models, which speaks the Responses API at this address, with a key in this variable of [`env`](Self::env).
    #[must_use]
    pub fn provider(self, name: &str, url: &str, key: &str) -> Self {
        let setting =
            |what: &str, value: &str| format!("model_providers.{name}.{what}={}", quoted(value));
        self.config(format!("model_provider={}", quoted(name)))
            .config(setting("name", name))
            .config(setting("base_url", url))
            .config(setting("wire_api", "responses"))
            .config(setting("env_key", key))
    }

    /// Sets `CODEX_HOME`, where logins and sessions are; it must exist.
    #[must_use]
    pub fn home(self, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into().to_string_lossy().into_owned();
        self.env("CODEX_HOME", directory)
    }

    /// Adds a variable that Codex sees, and the commands that it runs do not, such as its key.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; ten minutes where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// What reads the events of one turn, for who runs the program by other means, such as in a container; [`start`](AgentBackend::start) runs
    /// it here.
    #[must_use]
    pub fn protocol(&self, request: &TurnRequest) -> impl Protocol + use<> {
        Conversation::new(
            request.prompt.clone(),
            request.resume.clone(),
            self.spent.clone(),
            None,
        )
    }

    /// How the commands of a turn are held back here.
    async fn tried_sandbox(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
        read_only: bool,
    ) -> Result<Tried, AgentError> {
        let mut together = environment.clone();
        together.extend(self.environment.clone());
        if read_only {
            try_reader(program, self.sandbox, &together).await
        } else {
            try_worker(program, self.sandbox, &together).await
        }
    }

    fn arguments(
        &self,
        held_back: Vec<String>,
        request: &TurnRequest,
        schema: Option<&Path>,
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
        if let Some(model) = &self.model {
            option("-m", model.clone());
        }
        // Commands see what the policy allows, and our marker; what Codex itself was given stays with it.
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
        // A developer's message is said anew when the conversation was compacted; a long prompt is cut then.
        let end = request.rules.floor_char_boundary(MOST_ON_A_LINE);
        let rules = Some(&request.rules[..end]).filter(|rules| !rules.is_empty());
        let rules = rules.map(|rules| format!("developer_instructions={}", quoted(rules)));
        let settings = SETTINGS.iter().map(ToString::to_string);
        let settings = settings
            .chain([format!(
                "shell_environment_policy.set={{{}}}",
                seen.join(",")
            )])
            .chain(rules)
            .chain(self.settings.iter().cloned());
        settings.for_each(|setting| option("-c", setting));
        arguments.extend(held_back);
        if let Some(session) = &request.resume {
            arguments.extend(["resume".to_owned(), session.0.clone(), "-".to_owned()]);
        }
        arguments
    }
}

#[async_trait]
impl AgentBackend for CodexBackend {
    fn name(&self) -> &str {
        "codex"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
            .with_resume()
            .with_silence(Silence::Beyond(self.silence))
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        self.probe_in(&of_ours()).await
    }

    async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        let found = find(&self.program)?;
        let told = told_version(&found.program, &["--version"], &self.environment).await?;
        let version = told.trim_start_matches("codex-cli ").to_owned();
        let mut probe = Probe::found(Some(version.clone()));
        if !TRIED.iter().any(|tried| version.starts_with(tried)) {
            probe.warnings.push(AgentWarning::UntriedVersion {
                program: "codex".to_owned(),
                version,
                tried: TRIED.map(|tried| format!("{tried}x")).join(", "),
            });
        }
        let missing = found.missing.into_iter();
        probe
            .warnings
            .extend(missing.map(|file| AgentWarning::MissingFile { file }));
        let tried = self
            .tried_sandbox(&found.program, environment, false)
            .await?;
        if let Some(why) = tried.instead_since {
            let used = "narrow".to_owned();
            probe
                .warnings
                .push(AgentWarning::WeakerSandbox { used, why });
        }
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let found = find(&self.program)?;
        let tried = self
            .tried_sandbox(&found.program, &request.environment, request.read_only)
            .await?;
        let sandbox = tried.sandbox;
        let files = tempfile::tempdir().map_err(AgentError::Spawn)?;
        let schema = request
            .schema
            .as_ref()
            .map(|schema| (files.path().join("schema.json"), strict_schema(schema)));
        if let Some((path, schema)) = &schema {
            std::fs::write(path, schema.to_string()).map_err(AgentError::Spawn)?;
        }
        let out = request.handoff.parent().unwrap_or(&request.workspace);
        let places = Places {
            workspace: &request.workspace,
            repository: &request.repository,
            out,
            attempt: &request.attempt,
        };
        if !request.read_only && sandbox != CodexSandbox::Off {
            places.make().map_err(AgentError::Spawn)?;
        }
        let held_back = flags(sandbox, &places, request.read_only);
        let arguments = self.arguments(
            held_back,
            &request,
            schema.as_ref().map(|(path, _)| path.as_path()),
        );
        let conversation = Conversation::new(
            request.prompt.clone(),
            request.resume.clone(),
            self.spent.clone(),
            Some(files),
        );
        // It tells times as a clock on the wall does: this is the wall.
        let process = AgentProcess::new(&found.program, &request)
            .args(arguments)
            .envs([("TZ", "UTC")]);
        process.envs(&self.environment).start(conversation)
    }
}

/// What Codex sees of our environment where nobody says otherwise.
fn of_ours() -> BTreeMap<String, String> {
    let named = ["PATH", "HOME", "TMPDIR"];
    let set = named
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    set.collect()
}
