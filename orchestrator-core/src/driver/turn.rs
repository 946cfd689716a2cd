//! One turn from its start to its end.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{
    collect::{handoff_path, streams_dir, turn_name},
    effects::Sink,
    handle::Notice,
    host::Host,
    not_started::not_started,
    turn_watch::{TurnJob, TurnWatch, Watched},
};
use crate::{
    agent::words,
    failpoint::reach,
    git::Workspace,
    model::{AttemptId, Contract, EventKind, Handoff, Span, TurnOutcome, TurnUsage, clean, end_of},
    port::{AgentError, Silence, TurnControl, TurnRequest, Update},
    prompt::{PromptContext, prompt, standing_rules},
    untrusted::{fresh_directory, give},
};

/// What is kept of an agent's last words, in characters.
const MOST_SAID: usize = 1000;

impl Host {
    /// Runs one turn; all that goes wrong is an outcome.
    pub(super) async fn run_turn(&self, job: TurnJob, sink: &Sink) -> EventKind {
        let effect = sink.effect;
        let (outcome, usage) = match self.try_turn(job, sink).await {
            Ok(ended) => ended,
            Err(error) => (not_started(&error), TurnUsage::nothing()),
        };
        EventKind::TurnEnded {
            effect,
            outcome,
            usage,
        }
    }

    async fn try_turn(
        &self,
        job: TurnJob,
        sink: &Sink,
    ) -> Result<(TurnOutcome, TurnUsage), AgentError> {
        let effect = sink.effect;
        let unknown = || AgentError::Other(format!("there is no agent `{}`", job.backend));
        let backend = self.backends.get(&job.backend).ok_or_else(unknown)?;
        let workspace = self.workspaces.of(&job.attempt);
        if !workspace
            .tree()
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_dir())
        {
            // Not the agent's program is missing, but the place to run it: another attempt gets another.
            return Err(AgentError::Other("its workspace is gone".to_owned()));
        }
        let handoff = handoff_path(&workspace, job.turn);
        let streams = streams_dir(&workspace, job.turn);
        let contract = prepared(&workspace, job.turn, &job.contract).await?;
        let context = PromptContext {
            attempt: &job.attempt,
            contract: &job.contract,
            base: job.base,
            handoff: &handoff,
            predecessor: job.predecessor.as_deref(),
            advice: job.advice.as_deref(),
            resumed: job.resume.is_some(),
        };
        let text = prompt(&context, &job.ask);
        let mark = format!("{}{}.{}", self.mark, job.attempt.slug(), job.turn);
        let request = TurnRequest::new(
            job.attempt.clone(),
            text,
            workspace.tree(),
            handoff.clone(),
            mark,
        )
        .with_turn(job.turn, job.resume)
        .with_used(job.used)
        .with_environment(
            self.workers_environment(&workspace)
                .map_err(AgentError::Other)?,
        )
        .with_places(workspace.repository(), contract)
        .with_streams(streams)
        .with_schema(schemars::schema_for!(Handoff).to_value())
        .with_rules(standing_rules(&job.contract));
        self.begin(&job.attempt);
        reach("before turn");
        let mut turn = backend.start(request).await?;
        reach("after turn began");
        let silence = match backend.capabilities().silence {
            Silence::MeansNothing => None,
            Silence::Beyond(time) => {
                Some(Span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
            }
        };
        let inner = Mutex::new(Watched {
            active: Instant::now(),
            tools: BTreeSet::new(),
            usage: TurnUsage::default(),
            silence,
        });
        let watch = Arc::new(TurnWatch {
            control: turn.control(),
            attempt: job.attempt.clone(),
            inner,
        });
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(effect, Arc::clone(&watch));
        if self
            .told_to_stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&effect)
        {
            watch.control.stop(self.policy.limits.grace.to_std()).await;
        }
        let mut outcome = None;
        while let Some(update) = turn.next().await {
            match update {
                Update::Started { session } => {
                    watch.touch(|_| {});
                    sink.tell(EventKind::SessionSeen { effect, session }).await;
                }
                Update::Alive => watch.touch(|_| {}),
                Update::Activity { text } => {
                    watch.touch(|_| {});
                    // Backends of others may not have cleaned it, or say JSON.
                    let Some(text) = words(&clean(&text)) else {
                        continue;
                    };
                    self.heard(&job.attempt, &text);
                    drop(sink.notices.send(Notice::Activity {
                        attempt: job.attempt.clone(),
                        text,
                    }));
                }
                Update::ToolBegan { id, .. } => watch.touch(|watched| {
                    watched.tools.insert(id);
                }),
                Update::ToolEnded { id } => watch.touch(|watched| {
                    watched.tools.remove(&id);
                }),
                Update::Usage(usage) => watch.touch(|watched| watched.usage = usage),
                Update::Finding(finding) => {
                    watch.touch(|_| {});
                    sink.tell(EventKind::Noticed { effect, finding }).await;
                }
                Update::NeedsInput { question } => {
                    // Nobody answers in the middle of a turn: the turn is ended, and the question becomes a hold.
                    outcome = Some(TurnOutcome::NeedsInput { question });
                    watch.control.stop(self.policy.limits.grace.to_std()).await;
                }
                Update::Ended { outcome: ended } => {
                    reach("after turn ended");
                    outcome.get_or_insert(ended);
                }
            }
        }
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&effect);
        self.told_to_stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&effect);
        let drifted = || TurnOutcome::Drifted {
            detail: "it ended without an end".to_owned(),
        };
        Ok((outcome.unwrap_or_else(drifted), watch.read().usage))
    }

    /// Keeps what an agent said last: a person who is asked about the attempt may need it.
    fn heard(&self, attempt: &AttemptId, text: &str) {
        let mut words = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let said: String = end_of(text, MOST_SAID);
        if !said.trim().is_empty() {
            words.insert(attempt.clone(), said);
        }
    }
}

/// Makes the places of a turn, whatever an earlier one left there, and gives it its contract; the path of that.
async fn prepared(
    workspace: &Workspace,
    turn: u32,
    contract: &Contract,
) -> Result<PathBuf, AgentError> {
    let json = serde_json::to_vec_pretty(contract)
        .map_err(|error| AgentError::Other(error.to_string()))?;
    let root = workspace.root().to_owned();
    let prepare = move || -> std::io::Result<PathBuf> {
        for directory in ["out", "streams"] {
            fresh_directory(&root, &[directory, &turn_name(turn)])?;
        }
        give(&root, "contract.json", &json)
    };
    let prepared = tokio::task::spawn_blocking(prepare).await;
    let prepared = prepared.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    prepared.map_err(|error| {
        AgentError::Other(format!(
            "its workspace could not be prepared for the turn: {error}"
        ))
    })
}
