//! The backend: which program, with what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentEntry, AgentProgram, Permissions, SettingError, is_installed},
    model::AgentWarning,
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Turn, TurnRequest},
};

use crate::{conversation::Conversation, settings::AcpSettings};

/// An agent that speaks the protocol on its standard input and output.
///
/// ```
/// use backend_acp::{AcpBackend, Permissions};
///
/// let opencode = AcpBackend::new("opencode", "/usr/local/bin/opencode").args(["acp"]).env("HOME", "/var/lib/worker");
/// let gemini = AcpBackend::new("gemini", "gemini").args(["--acp"]).mode("yolo").permissions(Permissions::deny(["fetch"]));
/// # let _ = (opencode, gemini);
/// ```
#[derive(Debug, Clone)]
pub struct AcpBackend {
    name: String,
    program: AgentProgram,
    arguments: Vec<String>,
    mode: Option<String>,
    permissions: Permissions,
    resumes: bool,
    version: Vec<String>,
}

impl AcpBackend {
    /// This program, under a name for people. A program without a slash is looked for on the `PATH`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: AgentProgram::new(program),
            arguments: Vec::new(),
            mode: None,
            permissions: Permissions::default(),
            resumes: true,
            version: vec!["--version".to_owned()],
        }
    }

    /// As a policy says.
    ///
    /// # Errors
    /// [`SettingError`] where `run` names no program.
    pub fn from_settings(settings: AcpSettings, agent: &AgentEntry) -> Result<Self, SettingError> {
        let example = r#"["opencode", "acp"]"#;
        let (program, arguments) = AgentProgram::of_run(settings.run, example, agent)?;
        let mut backend = Self::new(agent.name.as_str(), "").args(arguments);
        backend.program = program;
        backend.mode = settings.mode;
        Ok(backend)
    }

    /// Adds arguments, such as `acp` or `--acp`.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable that the agent sees besides those that the policy allows, such as `HOME` or its key.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.program.env(name, value);
        self
    }

    /// Sets the mode in which each session works, by the agent's own id, such as `yolo`.
    #[must_use]
    pub fn mode(mut self, id: impl Into<String>) -> Self {
        self.mode = Some(id.into());
        self
    }

    /// Sets what the agent is allowed when it asks; everything where nothing is set.
    #[must_use]
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }

    /// Says that this agent cannot load a session: each turn of an attempt begins anew.
    #[must_use]
    pub fn without_resume(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// Says beyond which silence, with no tool in flight, something is wrong with this agent.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.program.silence = Some(silence);
        self
    }

    /// Sets the arguments at which it tells its version and ends; `--version` where nothing is set. With none, it is not asked.
    #[must_use]
    pub fn version_args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.version = arguments.into_iter().map(Into::into).collect();
        self
    }
}

#[async_trait]
impl AgentBackend for AcpBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let least = self.program.capabilities().with_counting(Counting::Varies);
        if self.resumes {
            least.with_resume()
        } else {
            least
        }
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let hint = "give the path of an agent that speaks the Agent Client Protocol";
        if self.version.is_empty() {
            is_installed(&self.program.path, hint)?;
            return Ok(Probe::found(None));
        }
        match self.program.version(&self.version, hint).await {
            Ok(version) => Ok(Probe::found(version)),
            Err(error @ (AgentError::Spawn(_) | AgentError::Other(_))) => {
                let mut probe = Probe::found(None);
                probe.warnings.push(AgentWarning::Other {
                    what: error.to_string(),
                    fix: None,
                });
                Ok(probe)
            }
            Err(error) => Err(error),
        }
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        if request.resume.is_some() && !self.resumes {
            return Err(AgentError::Unsupported("go on with a session"));
        }
        let conversation = Conversation::new(&request, self.mode.clone(), self.permissions.clone());
        let process = self.program.process(&request).args(&self.arguments);
        process.start(conversation)
    }
}
