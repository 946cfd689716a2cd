//! The backend: which program, with what.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentProcess, is_installed, named_variables, told_version},
    model::{AgentWarning, CursorSpec},
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Silence, Turn, TurnRequest},
};

use crate::{conversation::Conversation, guard};

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
    program: PathBuf,
    model: Option<String>,
    sandbox: bool,
    config_dir: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    silence: Duration,
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
        Self {
            program: "cursor-agent".into(),
            model: None,
            sandbox: false,
            config_dir: None,
            environment: BTreeMap::new(),
            silence: SILENCE,
        }
    }

    /// As the policy says; variables that it names are taken from this process's environment.
    ///
    /// # Errors
    /// The name of a variable that is not there.
    pub fn from_spec(spec: &CursorSpec) -> Result<Self, String> {
        let mut backend = Self::new().sandbox(spec.sandbox);
        backend.program = spec.program.as_ref().map_or(backend.program, PathBuf::from);
        backend.model.clone_from(&spec.model);
        backend.config_dir = spec.config_dir.as_ref().map(PathBuf::from);
        backend.environment.extend(named_variables(&spec.env)?);
        Ok(backend)
    }

    /// Sets the program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets the model. Where nothing is set, it is the one that was used last, by anybody; what is set, becomes that, in the configuration
    /// that the program uses: see [`config_dir`](Self::config_dir).
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
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
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets beyond which silence, with no tool in flight, something is wrong; a quarter of an hour where nothing is set.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.silence = silence;
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
        if let Some(model) = &self.model {
            option("--model", model.clone());
        }
        // Last: its value may be left out, and then it would eat what follows.
        if let Some(session) = &request.resume {
            option("--resume", session.0.clone());
        }
        arguments
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.environment.clone();
        variables.retain(|name, value| name != KEY || !value.is_empty());
        let directory = self
            .config_dir
            .iter()
            .map(|directory| directory.to_string_lossy().into_owned());
        variables.extend(directory.map(|directory| ("CURSOR_CONFIG_DIR".to_owned(), directory)));
        variables.extend([("NO_OPEN_BROWSER".to_owned(), "1".to_owned())]);
        variables
    }

    /// What it says of its login: free, and not always right where a key is used.
    async fn not_logged_in(
        &self,
        program: &Path,
        variables: &BTreeMap<String, String>,
    ) -> Option<String> {
        if variables.contains_key(KEY) {
            return None;
        }
        match told_version(program, &["status"], variables).await {
            Ok(status) if !status.to_lowercase().contains("not logged in") => None,
            Ok(_) => Some(format!(
                "cursor-agent is not logged in: `cursor-agent login`, or set {KEY}"
            )),
            Err(error) => Some(format!(
                "whether cursor-agent is logged in, it does not say: {error}"
            )),
        }
    }
}

#[async_trait]
impl AgentBackend for CursorBackend {
    fn name(&self) -> &str {
        "cursor"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
            .with_resume()
            .with_counting(Counting::Tokens)
            .with_silence(Silence::Beyond(self.silence))
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        if !is_installed(
            &self.program,
            "install Cursor's agent (https://cursor.com/cli), or give the path of the program",
        )? {
            return Ok(Probe::found(None));
        }
        let variables = self.variables();
        let version = told_version(&self.program, &["--version"], &variables).await?;
        let mut probe = Probe::found(Some(version.clone()));
        probe.warnings.push(AgentWarning::Other {
            what: format!(
                "cursor-agent {version} was never run with this backend, as no version was: it is built to recordings of others (2026.01 and 2026.07)"
            ),
            fix: None,
        });
        let login = self.not_logged_in(&self.program, &variables).await;
        probe
            .warnings
            .extend(login.map(|what| AgentWarning::Other { what, fix: None }));
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        if let Some(directory) = &self.config_dir {
            guard::place(directory).map_err(AgentError::Spawn)?;
        }
        let process = AgentProcess::new(&self.program, &request)
            .args(self.arguments(&request))
            .envs(self.variables());
        process.start(Conversation::new(&request))
    }
}
