//! The backend: which program, with what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentProcess, Permissions, is_installed, told_version},
    model::AgentWarning,
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Silence, Turn, TurnRequest},
};

use crate::conversation::Conversation;

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
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    mode: Option<String>,
    permissions: Permissions,
    resumes: bool,
    silence: Option<Duration>,
    version: Vec<String>,
}

impl AcpBackend {
    /// This program, under a name for people. A program without a slash is looked for on the `PATH`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            mode: None,
            permissions: Permissions::default(),
            resumes: true,
            silence: None,
            version: vec!["--version".to_owned()],
        }
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
        self.environment.insert(name.into(), value.into());
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
        self.silence = Some(silence);
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
        let least = Capabilities::least().with_counting(Counting::Varies);
        let known = if self.resumes {
            least.with_resume()
        } else {
            least
        };
        self.silence.map_or(known.clone(), |silence| {
            known.with_silence(Silence::Beyond(silence))
        })
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let there = is_installed(
            &self.program,
            "give the path of an agent that speaks the Agent Client Protocol",
        )?;
        if !there || self.version.is_empty() {
            return Ok(Probe::found(None));
        }
        Ok(
            match told_version(&self.program, &self.version, &self.environment).await {
                Ok(version) => Probe::found(Some(version)),
                Err(error) => {
                    let mut probe = Probe::found(None);
                    probe.warnings.push(AgentWarning::Other {
                        what: error.to_string(),
                        fix: None,
                    });
                    probe
                }
            },
        )
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        if request.resume.is_some() && !self.resumes {
            return Err(AgentError::Unsupported("go on with a session"));
        }
        let conversation = Conversation::new(&request, self.mode.clone(), self.permissions.clone());
        AgentProcess::new(&self.program, &request)
            .args(&self.arguments)
            .envs(&self.environment)
            .start(conversation)
    }
}
