//! The backend: which program, with what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentEntry, AgentProgram, SettingError, told_version},
    model::AgentWarning,
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Turn, TurnRequest},
};

use crate::{conversation::Conversation, guard, settings::CursorSettings};

/// It tries a service that is away again for up to a quarter of an hour, without a word; then it says so itself.
const SILENCE: Duration = Duration::from_secs(900);
/// By this variable it finds its key; one that is empty counts as a bad one.
const KEY: &str = "CURSOR_API_KEY";

/// Cursor's agent.
///
/// ```
/// use backend_cursor::CursorBackend;
///
/// let cursor = CursorBackend::new().model("composer-2").config_dir("/var/lib/workers/cursor");
/// # let _ = cursor;
/// ```
#[derive(Debug, Clone)]
pub struct CursorBackend {
    program: AgentProgram,
    sandbox: bool,
    config_dir: Option<PathBuf>,
}

impl Default for CursorBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl CursorBackend {
    /// The `cursor-agent` on the `PATH`. Its other name, `agent`, is often something else, and `cursor` is the editor.
    #[must_use]
    pub fn new() -> Self {
        let mut program = AgentProgram::new("cursor-agent");
        program.silence = Some(SILENCE);
        Self {
            program,
            sandbox: false,
            config_dir: None,
        }
    }

    /// As a policy says.
    ///
    /// # Errors
    /// None: whatever the type allows can be meant.
    pub fn from_settings(
        settings: CursorSettings,
        agent: &AgentEntry,
    ) -> Result<Self, SettingError> {
        let mut backend = Self::new().sandbox(settings.sandbox);
        let program = settings.program;
        backend.program.configure(program, settings.model, agent);
        backend.config_dir = settings.config_dir.map(PathBuf::from);
        Ok(backend)
    }

    /// Sets the program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program.path = program.into();
        self
    }

    /// Sets the model. Where nothing is set, it is the one that was used last, by anybody; what is set, becomes that, in the configuration
    /// that the program uses: see [`config_dir`](Self::config_dir).
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.program.model = Some(model.into());
        self
    }

    /// Switches its own sandbox on. It keeps a worker from committing, since the repository of a workspace is outside of it.
    #[must_use]
    pub fn sandbox(mut self, on: bool) -> Self {
        self.sandbox = on;
        self
    }

    /// Gives workers a configuration of their own, by `CURSOR_CONFIG_DIR`: the user's is neither read nor changed. Unless they are there, two
    /// files are left in it that refuse a push: `cli-config.json` and `hooks.json`. Whether they are obeyed, and whether a login that was made
    /// elsewhere counts, is unverified; a key in `CURSOR_API_KEY` should.
    #[must_use]
    pub fn config_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config_dir = Some(directory.into());
        self
    }

    /// Adds a variable that the agent and the commands that it runs see, such as its key.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.program.env(name, value);
        self
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; a quarter of an hour where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.program.silence = Some(silence);
        self
    }

    fn arguments(&self, request: &TurnRequest) -> Vec<String> {
        let mut arguments: Vec<String> = ["-p", "--output-format", "stream-json", "--trust"]
            .map(str::to_owned)
            .to_vec();
        if !request.read_only {
            arguments.push("--force".to_owned());
        }
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if request.read_only {
            option("--mode", "ask".to_owned());
        }
        option(
            "--workspace",
            request.workspace.to_string_lossy().into_owned(),
        );
        option(
            "--sandbox",
            if self.sandbox { "enabled" } else { "disabled" }.to_owned(),
        );
        if let Some(model) = &self.program.model {
            option("--model", model.clone());
        }
        // Last: its value may be left out, and then it would eat what follows.
        if let Some(session) = &request.resume {
            option("--resume", session.0.clone());
        }
        arguments
    }

    /// The program with all that it sees.
    fn seen(&self) -> AgentProgram {
        let mut program = self.program.clone();
        program
            .environment
            .retain(|name, value| name != KEY || !value.is_empty());
        if let Some(directory) = &self.config_dir {
            program.env("CURSOR_CONFIG_DIR", directory.to_string_lossy());
        }
        program.env("NO_OPEN_BROWSER", "1");
        program
    }
}

/// What it says of its login: free, and not always right where a key is used.
async fn not_logged_in(program: &AgentProgram) -> Option<String> {
    if program.environment.contains_key(KEY) {
        return None;
    }
    match told_version(&program.path, &["status"], &program.environment).await {
        Ok(status) if !status.to_lowercase().contains("not logged in") => None,
        Ok(_) => Some(format!(
            "cursor-agent is not logged in: `cursor-agent login`, or set {KEY}"
        )),
        Err(error) => Some(format!(
            "whether cursor-agent is logged in, it does not say: {error}"
        )),
    }
}

#[async_trait]
impl AgentBackend for CursorBackend {
    fn name(&self) -> &str {
        "cursor"
    }

    fn capabilities(&self) -> Capabilities {
        let least = self.program.capabilities().with_resume();
        least.with_counting(Counting::Tokens)
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let program = self.seen();
        let hint =
            "install Cursor's agent (https://cursor.com/cli), or give the path of the program";
        let Some(version) = program.version(&["--version"], hint).await? else {
            return Ok(Probe::found(None));
        };
        let mut probe = Probe::found(Some(version.clone()));
        probe.warnings.push(AgentWarning::Other {
            what: format!(
                "cursor-agent {version} was never run with this backend, as no version was: it is built to recordings of others (2026.01 and 2026.07)"
            ),
            fix: None,
        });
        let login = not_logged_in(&program).await;
        probe
            .warnings
            .extend(login.map(|what| AgentWarning::Other { what, fix: None }));
        Ok(probe)
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        if let Some(directory) = &self.config_dir {
            guard::place(directory).map_err(AgentError::Spawn)?;
        }
        let process = self.seen().process(&request);
        let process = process.args(self.arguments(&request));
        process.start(Conversation::new(&request))
    }
}
