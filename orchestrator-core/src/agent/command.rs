//! Any program as an agent.
//!
//! It runs in the workspace with the prompt on its standard input, and sees the allowed environment plus the variables that
//! [`TurnRequest::variables`] lists. Lines on its standard output are activity. Exit status 0 is "completed"; anything else is "crashed", with
//! the end of its standard error. A further turn runs it again in the same workspace: that counts as resuming.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AgentEntry, AgentProgram, Ended, LineWords, Protocol, Reply, SettingError, is_installed,
};
use crate::{
    model::{DoneBy, TurnOutcome},
    port::{AgentBackend, AgentError, Capabilities, Probe, Turn, TurnRequest},
    process::{Exit, Line},
};

/// The longest line that is kept of an agent's output, in bytes.
const MAX_LINE: usize = 4096;

/// Any program that keeps the command protocol.
#[derive(Debug, Clone)]
pub struct CommandAgent {
    program: AgentProgram,
    arguments: Vec<String>,
}

/// Any program that keeps the command protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[non_exhaustive]
pub(crate) struct CommandSettings {
    /// Program and arguments; never a shell line.
    pub run: Vec<String>,
    /// What says that its work is complete.
    #[serde(default)]
    pub done: DoneBy,
}

impl CommandAgent {
    /// This program, with these arguments. A relative program with a slash is looked for in the workspace.
    pub fn new<A: Into<String>>(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: AgentProgram::new(program.into()),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// As a policy says.
    ///
    /// # Errors
    /// [`SettingError`] where `run` names no program.
    pub(crate) fn from_settings(
        settings: CommandSettings,
        agent: &AgentEntry,
    ) -> Result<Self, SettingError> {
        let (program, arguments) = AgentProgram::of_run(settings.run, r#"["./agent.sh"]"#, agent)?;
        Ok(Self { program, arguments })
    }

    /// Adds variables that it sees besides the environment of a turn.
    #[must_use]
    pub fn envs(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.program.environment.extend(variables);
        self
    }
}

#[async_trait]
impl AgentBackend for CommandAgent {
    fn name(&self) -> &str {
        "command"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least().with_resume()
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        is_installed(
            &self.program.path,
            "give the path of a program that can be run, or one that is on the PATH",
        )?;
        Ok(Probe::found(None))
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let plain = Plain {
            session: request.attempt.to_string(),
            prompt: request.prompt.clone(),
            words: LineWords::default(),
        };
        let process = self.program.process(&request);
        process
            .args(&self.arguments)
            .line_limit(MAX_LINE)
            .start(plain)
    }
}

/// Lines for people, and an exit status.
#[derive(Debug)]
struct Plain {
    session: String,
    prompt: String,
    words: LineWords,
}

impl Protocol for Plain {
    fn begin(&mut self, reply: &mut Reply) {
        reply.started(&self.session);
        reply.write(&self.prompt);
        reply.close();
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        let said = self.words.line(&String::from_utf8_lossy(&line.bytes));
        if said.is_empty() {
            reply.alive();
        }
        for words in said {
            reply.activity(&words);
        }
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        match ended.exit {
            Exit::Code(0) => TurnOutcome::Completed,
            Exit::Code(_) | Exit::Signal(_) => TurnOutcome::Crashed {
                detail: ended.detail(),
            },
        }
    }
}
