//! The agent in the box keeps the contract of its port.

use std::{path::Path, sync::Arc};

use orchestrator_core::{AgentBackend, CommandAgent};
use orchestrator_testkit::{
    Player, Step, agent_conformance,
    conformance::agent::{AgentFixture, Phrase},
    scripted_worker,
};

scripted_worker!();

#[derive(Debug)]
struct Command;

impl AgentFixture for Command {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        Arc::new(CommandAgent::new(program.to_string_lossy(), [""; 0]))
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        match phrase {
            Phrase::Begin { .. } => Some(vec![Step::HearAll]),
            Phrase::Say(text) => Some(vec![Step::line(text)]),
            Phrase::Unknown => Some(vec![Step::line("any line is as good as any other")]),
            Phrase::End { handoff } => Some(vec![Step::Handoff(handoff.into()), Step::Exit(0)]),
            // Its session is the workspace, and it does not listen.
            _ => None,
        }
    }
}

agent_conformance!(Command);
