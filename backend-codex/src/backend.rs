//! The backend: which Codex, with what.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentProcess, Protocol, Spent, named_variables, strict_schema, told_version},
    model::{CodexProtocol, CodexSandbox, CodexSpec},
    port::{AgentBackend, AgentError, Capabilities, Probe, Silence, Turn, TurnRequest},
};
use tokio::sync::OnceCell;

use crate::{
    app_server::{self, AppServer, Begin, Held},
    arguments,
    choice::{Home, KNOWN, chosen, is_known},
    conversation::Conversation,
    install::find,
    sandbox::{Places, flags, preflight, quoted},
};

/// Beyond so much silence with no tool in flight something is wrong: its own limit for a silent stream is five minutes.
const SILENCE: Duration = Duration::from_secs(600);

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
    protocol: Option<CodexProtocol>,
    settings: Vec<String>,
    environment: BTreeMap<String, String>,
    silence: Duration,
    spent: Spent,
    /// What the preflight found, once for each configuration.
    tried: Arc<OnceCell<CodexSandbox>>,
    /// What the program says of itself.
    version: Arc<OnceCell<String>>,
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
            protocol: None,
            settings: Vec::new(),
            environment: BTreeMap::new(),
            silence: SILENCE,
            spent: Spent::default(),
            tried: Arc::default(),
            version: Arc::default(),
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
        backend.protocol = spec.protocol;
        backend.settings.clone_from(&spec.config);
        backend.environment.extend(named_variables(&spec.env)?);
        Ok(backend)
    }

    /// Sets the program: npm's script, or the native one behind it.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self.version = Arc::default();
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
        self.tried = Arc::default();
        self
    }

    /// Sets how it is spoken to; where nothing is set, by version and configuration: [`app-server`](CodexProtocol::AppServer) for versions that
    /// were tried, with a home that has no `config.toml`, and [`exec`](CodexProtocol::Exec) otherwise.
    #[must_use]
    pub fn with_protocol(mut self, protocol: CodexProtocol) -> Self {
        self.protocol = Some(protocol);
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
        self.tried = Arc::default();
        self
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; ten minutes where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// What reads the events of one turn of `codex exec`, for who runs the program by other means, such as in a container; [`start`](AgentBackend::start) runs
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

    /// How commands are held back here, found out at the first turn.
    async fn tried_sandbox(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<CodexSandbox, AgentError> {
        let find_out = async || match self.sandbox {
            CodexSandbox::Profile => {
                let together = environment
                    .iter()
                    .chain(&self.environment)
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                preflight(program, &together).await
            }
            given => Ok(given),
        };
        self.tried.get_or_try_init(find_out).await.copied()
    }

    /// The protocol of the next turn.
    ///
    /// # Errors
    /// Where `app-server` is set, and cannot be used.
    async fn chosen(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<CodexProtocol, AgentError> {
        let home = Home::of(&[environment, &self.environment]);
        match self.protocol {
            Some(CodexProtocol::Exec) => Ok(CodexProtocol::Exec),
            Some(CodexProtocol::AppServer) => match home.hinders() {
                None => Ok(CodexProtocol::AppServer),
                Some(reason) => Err(AgentError::Misconfigured { reason }),
            },
            None => Ok(chosen(&self.version(program).await?, &home)),
        }
    }

    /// The program's version, found out once.
    async fn version(&self, program: &Path) -> Result<String, AgentError> {
        let find_out = async || {
            let told = told_version(program, &["--version"], &self.environment).await?;
            Ok(told.trim_start_matches("codex-cli ").to_owned())
        };
        self.version.get_or_try_init(find_out).await.cloned()
    }

    /// One `codex exec`.
    fn start_exec(
        &self,
        process: AgentProcess,
        request: &TurnRequest,
        held_back: Vec<String>,
    ) -> Result<Box<dyn Turn>, AgentError> {
        let files = tempfile::tempdir().map_err(AgentError::Spawn)?;
        let schema = request
            .schema
            .as_ref()
            .map(|schema| (files.path().join("schema.json"), strict_schema(schema)));
        if let Some((path, schema)) = &schema {
            std::fs::write(path, schema.to_string()).map_err(AgentError::Spawn)?;
        }
        let schema = schema.as_ref().map(|(path, _)| path.as_path());
        let model = self.model.as_deref();
        let arguments = arguments::exec(request, schema, model, &self.settings, held_back);
        let conversation = Conversation::new(
            request.prompt.clone(),
            request.resume.clone(),
            self.spent.clone(),
            Some(files),
        );
        process.args(arguments).start(conversation)
    }

    /// One `codex app-server`.
    fn start_app_server(
        &self,
        process: AgentProcess,
        request: &TurnRequest,
        held: Held,
        places: &Places<'_>,
    ) -> Result<Box<dyn Turn>, AgentError> {
        let held_back = app_server::settings(held, places);
        let arguments = arguments::app_server(request, &self.settings, &held_back);
        let begin = Begin::new(request, self.model.clone(), held);
        process.args(arguments).start(AppServer::new(begin))
    }
}

#[async_trait]
impl AgentBackend for CodexBackend {
    fn name(&self) -> &str {
        "codex"
    }

    /// Where no protocol is set, a turn may be one that listens.
    fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::least()
            .with_resume()
            .with_silence(Silence::Beyond(self.silence));
        match self.protocol {
            Some(CodexProtocol::Exec) => capabilities,
            Some(CodexProtocol::AppServer) | None => capabilities.with_input(),
        }
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let found = find(&self.program)?;
        let version = self.version(&found.program).await?;
        // What the policy lets an agent see is not known here: a home that is named there is looked at again when a turn starts.
        let protocol = self.chosen(&found.program, &BTreeMap::new()).await?;
        let mut probe = Probe::found(Some(version.clone()));
        if !is_known(&version) {
            probe.warnings.push(format!(
                "version {version} of codex was never tried with this backend; {}x were. It is spoken to by `{}`",
                KNOWN.join("x and "),
                name(protocol),
            ));
        }
        probe.warnings.extend(
            found
                .missing
                .iter()
                .map(|file| format!("{file} is not there: commands will fail")),
        );
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let found = find(&self.program)?;
        let protocol = self.chosen(&found.program, &request.environment).await?;
        let sandbox = if request.read_only {
            self.sandbox
        } else {
            self.tried_sandbox(&found.program, &request.environment)
                .await?
        };
        let places = Places {
            workspace: &request.workspace,
            repository: &request.repository,
            out: request.handoff.parent().unwrap_or(&request.workspace),
            attempt: &request.attempt,
        };
        if !request.read_only && sandbox != CodexSandbox::Off {
            places.make().map_err(AgentError::Spawn)?;
        }
        // It tells times as a clock on the wall does: this is the wall.
        let process = AgentProcess::new(&found.program, &request)
            .envs([("TZ", "UTC")])
            .envs(&self.environment);
        match protocol {
            CodexProtocol::Exec => {
                let held_back = flags(sandbox, &places, request.read_only);
                self.start_exec(process, &request, held_back)
            }
            CodexProtocol::AppServer => {
                let held = Held::of(sandbox, request.read_only);
                self.start_app_server(process, &request, held, &places)
            }
        }
    }
}

/// As a policy has it.
fn name(protocol: CodexProtocol) -> &'static str {
    match protocol {
        CodexProtocol::Exec => "exec",
        CodexProtocol::AppServer => "app-server",
    }
}
