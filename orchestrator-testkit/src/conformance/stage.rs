//! Where the clauses for agents are played: one program in the agent's place, with its workspace, and what is heard of it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use orchestrator_core::{
    model::{AttemptId, TaskId, TurnOutcome},
    port::{AgentBackend, Turn, TurnRequest, Update},
    process::marked,
};
use tempfile::TempDir;

use super::{
    Checked, Violation,
    agent::{AgentFixture, Phrase},
    must,
};
use crate::{Play, Step, play::fresh_mark};

/// What a stopped agent may take, in the clauses: enough to see whether it is used up by one that does not want to end.
pub(super) const GRACE: Duration = Duration::from_millis(200);
pub(super) const HANDOFF: &str = r#"{"version":1,"task":"C1","attempt":1,"status":"done"}"#;

/// One agent in its place: a program, a workspace, a backend.
pub(super) struct Stage<'a> {
    pub(super) directory: TempDir,
    pub(super) program: PathBuf,
    pub(super) backend: Arc<dyn AgentBackend>,
    pub(super) fixture: &'a dyn AgentFixture,
}

impl<'a> Stage<'a> {
    pub(super) fn new(fixture: &'a dyn AgentFixture, play: Play) -> Result<Self, Violation> {
        Self::in_directory(tempfile::tempdir()?, fixture, play)
    }

    /// In a directory that the play knows.
    pub(super) fn in_directory(
        directory: TempDir,
        fixture: &'a dyn AgentFixture,
        play: Play,
    ) -> Result<Self, Violation> {
        let play = fixture
            .answers()
            .iter()
            .fold(play, |play, (argument, answer)| {
                play.answering(argument, answer)
            });
        let program = play.install(fixture.player(), directory.path(), "agent");
        let backend = fixture.backend(&program);
        Ok(Self {
            directory,
            program,
            backend,
            fixture,
        })
    }

    pub(super) fn mark(&self) -> String {
        fresh_mark(self.directory.path())
    }

    /// A request for task `C<number>`, with places and a marker of its own: who ends sweeps all that bear his.
    pub(super) fn request(&self, number: u32) -> Result<TurnRequest, Violation> {
        let home = self.directory.path().join(number.to_string());
        let (workspace, out) = (home.join("workspace"), home.join("out"));
        for directory in [&workspace, &out, &home.join("streams")] {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(out.join("contract.json"), "{}")?;
        let attempt = AttemptId {
            task: TaskId::new(format!("C{number}"))?,
            number: 1,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("ALLOWED".to_owned(), "yes".to_owned()),
        ]);
        let mark = format!("{}-{number}", self.mark());
        let request = TurnRequest::new(
            attempt,
            "Do as you are told.\n",
            workspace,
            out.join("handoff.json"),
            mark,
        );
        Ok(request
            .with_environment(environment)
            .with_streams(home.join("streams")))
    }

    pub(super) async fn start(&self) -> Result<Box<dyn Turn>, Violation> {
        Ok(self.backend.start(self.request(1)?).await?)
    }

    pub(super) fn alive(&self) -> usize {
        marked(&self.mark()).len()
    }

    pub(super) fn nobody_lives(&self, when: &str) -> Checked {
        let alive = self.alive();
        must(alive == 0, || {
            format!("{alive} of the turn's processes live {when}")
        })
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // A wrong implementation leaves processes; a test does not.
        let mark = self.mark();
        for pid in marked(&mark) {
            drop(
                std::process::Command::new("kill")
                    .args(["-9", &pid.to_string()])
                    .status(),
            );
        }
    }
}

/// The steps for a phrase that every agent has.
pub(super) fn steps(
    fixture: &dyn AgentFixture,
    phrase: Phrase<'_>,
) -> Result<Vec<Step>, Violation> {
    fixture.phrase(phrase).ok_or_else(|| {
        Violation(format!(
            "the fixture has no {phrase:?}, which every agent has"
        ))
    })
}

/// The session begins, these things are done and said, and the turn is ended.
pub(super) fn whole(fixture: &dyn AgentFixture, middle: &[Phrase<'_>]) -> Result<Play, Violation> {
    begun(fixture, middle)
        .and_then(|play| Ok(play.then(steps(fixture, Phrase::End { handoff: HANDOFF })?)))
}

/// The same without its end.
pub(super) fn begun(fixture: &dyn AgentFixture, middle: &[Phrase<'_>]) -> Result<Play, Violation> {
    Ok(Play::new(steps(
        fixture,
        Phrase::Begin {
            session: "conformance",
        },
    )?)
    .then(all_steps(fixture, middle)?))
}

/// The steps for several phrases, one behind the other.
pub(super) fn all_steps(
    fixture: &dyn AgentFixture,
    phrases: &[Phrase<'_>],
) -> Result<Vec<Step>, Violation> {
    let all: Result<Vec<_>, _> = phrases
        .iter()
        .map(|phrase| steps(fixture, *phrase))
        .collect();
    Ok(all?.concat())
}

/// What a turn said, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) sessions: Vec<String>,
    pub(super) said: Vec<String>,
    pub(super) outcome: Option<TurnOutcome>,
}

impl Heard {
    pub(super) fn take(&mut self, update: Update) -> Checked {
        must(self.outcome.is_none(), || {
            format!("after its end it said {update:?}")
        })?;
        match update {
            Update::Started { session } => self.sessions.push(session.0),
            Update::Activity { text } => self.said.push(text),
            Update::Ended { outcome } => self.outcome = Some(outcome),
            _ => {}
        }
        Ok(())
    }

    /// Where each of these was said, each behind the one before.
    pub(super) fn has_in_order<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Checked {
        let mut said = self.said.iter();
        for text in texts {
            must(said.any(|line| line.contains(text)), || {
                format!(
                    "`{}` was not told, or not in its order",
                    text.escape_debug()
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn completed(&self) -> Checked {
        must(self.outcome == Some(TurnOutcome::Completed), || {
            format!("it ended with {:?}, not completed", self.outcome)
        })
    }
}

/// Everything up to the end, and what comes after it.
pub(super) async fn heard(turn: &mut dyn Turn) -> Result<Heard, Violation> {
    let mut heard = Heard::default();
    while let Some(update) = turn.next().await {
        heard.take(update)?;
    }
    must(heard.outcome.is_some(), || {
        "its updates ran out without an end".to_owned()
    })?;
    for _ in 0..2 {
        let more = turn.next().await;
        must(more.is_none(), || format!("after `None` it said {more:?}"))?;
    }
    Ok(heard)
}

/// Reads until something with this text was said.
pub(super) async fn until_said(turn: &mut dyn Turn, text: &str) -> Checked {
    let mut heard = Heard::default();
    while !heard.said.last().is_some_and(|line| line.contains(text)) {
        let update = turn
            .next()
            .await
            .ok_or_else(|| Violation(format!("its updates ran out before `{text}`")))?;
        must(!matches!(update, Update::Ended { .. }), || {
            format!("it ended before `{text}`: {update:?}")
        })?;
        heard.take(update)?;
    }
    Ok(())
}
