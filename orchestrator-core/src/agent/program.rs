//! What backends of agents that are programs have in common.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{AgentEntry, AgentProcess, SettingError, is_installed, told_version};
use crate::port::{AgentError, Capabilities, Silence, TurnRequest};

/// An agent's program: which one, with which model, what it sees, and how long it may be silent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentProgram {
    /// The program. One without a slash is looked for on the `PATH`.
    pub path: PathBuf,
    /// The model; the program's own choice where nothing is set.
    pub model: Option<String>,
    /// What it sees besides the environment of a turn.
    pub environment: BTreeMap<String, String>,
    /// Beyond so much silence, with no tool in flight, something is wrong.
    pub silence: Option<Duration>,
}

impl AgentProgram {
    /// The program at this path, or of this name on the `PATH`, with nothing set.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            model: None,
            environment: BTreeMap::new(),
            silence: None,
        }
    }

    /// The program of a policy's `run`, with the variables of the agent's `env`, and its arguments. `example` is a value of `run`.
    ///
    /// # Errors
    /// [`SettingError`] where `run` names no program.
    pub fn of_run(
        run: Vec<String>,
        example: &str,
        agent: &AgentEntry,
    ) -> Result<(Self, Vec<String>), SettingError> {
        let mut words = run.into_iter();
        let path = words.next().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| {
            SettingError::new("run", format!("needs a program, as in `run = {example}`"))
        })?;
        let mut program = Self::new(path);
        program.environment = agent.environment.clone();
        Ok((program, words.collect()))
    }

    /// Takes over what a policy says: the program and the model, where it names them, and the
    /// variables of the agent's `env`.
    pub fn configure(
        &mut self,
        program: Option<String>,
        model: Option<String>,
        agent: &AgentEntry,
    ) {
        if let Some(program) = program {
            self.path = program.into();
        }
        self.model = model.or(self.model.take());
        self.environment.extend(agent.environment.clone());
    }

    /// Adds a variable that it sees.
    pub fn env(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.environment.insert(name.into(), value.into());
    }

    /// All that it sees in a turn with this environment.
    #[must_use]
    pub fn environment_in(&self, turn: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut environment = turn.clone();
        environment.extend(self.environment.clone());
        environment
    }

    /// Its process for one turn.
    #[must_use]
    pub fn process(&self, request: &TurnRequest) -> AgentProcess {
        AgentProcess::new(&self.path, request).envs(&self.environment)
    }

    /// What it can do at least: its silence means what was set.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let least = Capabilities::least();
        match self.silence {
            Some(silence) => least.with_silence(Silence::Beyond(silence)),
            None => least,
        }
    }

    /// What it prints at these arguments, such as `--version`; `None` for a program that is named
    /// relative to the workspace, which is not there yet.
    ///
    /// # Errors
    /// [`AgentError::NotInstalled`] with this hint; the errors of [`told_version`].
    pub async fn version(
        &self,
        arguments: &[impl AsRef<str>],
        hint: &str,
    ) -> Result<Option<String>, AgentError> {
        if !is_installed(&self.path, hint)? {
            return Ok(None);
        }
        let told = told_version(&self.path, arguments, &self.environment).await?;
        Ok(Some(told))
    }
}
