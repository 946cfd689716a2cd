//! The backend: which Codex, with what.

use std::{path::PathBuf, sync::Arc, time::Duration};

use orchestrator_core::{
    agent::{AgentEntry, AgentProgram, Protocol, SettingError},
    port::TurnRequest,
};

use tokio::sync::OnceCell;

use crate::{
    conversation::Conversation,
    sandbox::quoted,
    settings::{CodexProtocol, CodexSandbox, CodexSettings},
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
    pub(crate) program: AgentProgram,
    pub(crate) sandbox: CodexSandbox,
    pub(crate) protocol: Option<CodexProtocol>,
    pub(crate) settings: Vec<String>,
    /// What the program says of itself.
    pub(crate) version: Arc<OnceCell<String>>,
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
        let mut program = AgentProgram::new("codex");
        program.silence = Some(SILENCE);
        Self {
            program,
            sandbox: CodexSandbox::default(),
            protocol: None,
            settings: Vec::new(),
            version: Arc::default(),
        }
    }

    /// As a policy says.
    ///
    /// # Errors
    /// None: whatever the type allows can be meant.
    pub fn from_settings(
        settings: CodexSettings,
        agent: &AgentEntry,
    ) -> Result<Self, SettingError> {
        let mut backend = Self::new().sandbox(settings.sandbox);
        let program = settings.program;
        backend.program.configure(program, settings.model, agent);
        backend.protocol = settings.protocol;
        backend.settings = settings.config;
        Ok(backend)
    }

    /// Sets the program: npm's script, or the native one behind it.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program.path = program.into();
        self.version = Arc::default();
        self
    }

    /// Sets the model; Codex's own choice where nothing is set.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.program.model = Some(model.into());
        self
    }

    /// Sets how commands are held back.
    #[must_use]
    pub fn sandbox(mut self, sandbox: CodexSandbox) -> Self {
        self.sandbox = sandbox;
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
        self.program.env(name, value);
        self
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; ten minutes where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.program.silence = Some(silence);
        self
    }

    /// What reads the events of one turn of `codex exec`, for who runs the program by other means, such as in a container; [`start`](orchestrator_core::port::AgentBackend::start) runs
    /// it here.
    #[must_use]
    pub fn protocol(&self, request: &TurnRequest) -> impl Protocol + use<> {
        Conversation::new(request, self.program.model.as_deref(), None, None)
    }
}
