//! What is done for attempts on one machine: their workspaces, their agents, and the processes of both.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Instrument as _;

use super::{
    RunError,
    effects::Sink,
    keeper::Keeper,
    leftovers::Sweeper,
    marks::Survivors,
    ports::PortRanges,
    step::LongStep,
    turn_watch::{TurnJob, TurnWatch},
};
use crate::{
    git::{Trusted, Workspaces},
    model::{AttemptId, BackendName, Effect, EffectId, EventKind, Policy, WorkspaceFate},
    port::{AgentBackend, TurnInput},
    process::Moment,
};

/// What an agent that has gone silent is told.
const NUDGE: &str = "Nothing was heard of you for a long time. Go on with the task; if you are done, commit and write the handoff.";

/// Performs the effects that need a workspace.
#[derive(Debug)]
pub(super) struct Host {
    /// As [`World::mark`](super::world::World::mark).
    pub(super) mark: String,
    pub(super) policy: Arc<Policy>,
    pub(super) environment: Arc<BTreeMap<String, String>>,
    /// Whose objects workspaces borrow, and which takes heads in.
    pub(super) trusted: Arc<Trusted>,
    pub(super) workspaces: Workspaces,
    pub(super) backends: BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    pub(super) evidence: Keeper,
    /// Which ports workspaces and gates have.
    pub(super) ports: Arc<PortRanges>,
    pub(super) sweeper: Sweeper,
    /// What earlier runs on this ledger had left running.
    pub(super) survivors: Survivors,
    /// Moments before this run started anything for an attempt.
    pub(super) begun: Mutex<BTreeMap<AttemptId, Moment>>,
    pub(super) turns: Mutex<HashMap<EffectId, Arc<TurnWatch>>>,
    /// What the agent of each attempt said last, cut short.
    pub(super) last_words: Mutex<HashMap<AttemptId, String>>,
    /// Turns that were told to stop, perhaps before they were among the above.
    pub(super) told_to_stop: Mutex<HashSet<EffectId>>,
}

impl Host {
    pub(super) async fn perform(&self, what: Effect, sink: Sink) -> Result<EventKind, RunError> {
        let effect = sink.effect;
        Ok(match what {
            Effect::Prepare { attempt, base } => {
                let progress = sink.progress(Some(&attempt));
                let workspace = self.workspaces.of(&attempt);
                let made = self.prepare(&workspace, base, &progress);
                let made = progress.during(LongStep::Prepare, made).await;
                EventKind::Prepared {
                    effect,
                    failure: made.err(),
                }
            }
            Effect::RunTurn {
                attempt,
                turn,
                backend,
                resume,
                used,
                ask,
                contract,
                base,
                predecessor,
                advice,
            } => {
                let span = tracing::info_span!("turn", %backend, turn);
                let job = TurnJob {
                    attempt,
                    contract,
                    base,
                    predecessor,
                    advice,
                    turn,
                    backend,
                    resume,
                    used,
                    ask,
                };
                self.run_turn(job, &sink).instrument(span).await
            }
            Effect::Nudge { turn, .. } => EventKind::Nudged {
                effect,
                heard: self.nudge(turn).await,
            },
            Effect::StopTurn { turn, .. } => {
                self.stop_turn(turn).await;
                EventKind::StopSent { effect }
            }
            Effect::Collect {
                attempt,
                turn,
                contract,
                base,
            } => {
                let workspace = self.workspaces.of(&attempt);
                let handoff = self.take_handoff(&workspace, turn).await?;
                // What it said is mostly on the disk before its work has been gathered.
                let (kept, result) = tokio::join!(
                    self.keep_turn(&workspace, turn, handoff.kept.as_ref()),
                    self.collect(&workspace, &contract, base, turn, &handoff)
                );
                EventKind::Collected {
                    effect,
                    result: result?,
                    kept: kept?,
                }
            }
            Effect::CleanUp {
                attempt,
                tip,
                carried,
                ..
            } => {
                let cleaned = self.clean_up(&attempt, tip, carried);
                let progress = sink.progress(Some(&attempt));
                let fate = progress.during(LongStep::CleanUp, cleaned).await;
                if matches!(fate, WorkspaceFate::Removed { .. }) {
                    self.ports.release(&attempt);
                }
                self.sweeper.begin();
                EventKind::CleanedUp { effect, fate }
            }
            Effect::ReadRoadmap { .. }
            | Effect::CheckHistory { .. }
            | Effect::Review { .. }
            | Effect::Merge { .. }
            | Effect::RunGate { .. }
            | Effect::CancelGate { .. }
            | Effect::Land { .. }
            | Effect::Report { .. } => return Err(RunError::WrongPerformer(effect)),
        })
    }

    /// Reminds an agent to go on. False if it could not be told.
    async fn nudge(&self, turn: EffectId) -> bool {
        let Some(watch) = self.watched(turn) else {
            return false;
        };
        let reminder = TurnInput::Nudge(NUDGE.to_owned());
        watch.control.send(reminder).await.is_ok()
    }

    async fn stop_turn(&self, turn: EffectId) {
        // A turn that is just being started looks here when it has been.
        self.told_to_stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(turn);
        if let Some(watch) = self.watched(turn) {
            watch.control.stop(self.policy.limits.grace.to_std()).await;
        }
    }

    /// Remembers that nothing of an attempt was started before now, unless it is known to have begun.
    pub(super) fn begin(&self, attempt: &AttemptId) {
        if let Some(now) = Moment::now() {
            self.begun
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(attempt.clone())
                .or_insert(now);
        }
    }

    /// A turn that runs.
    fn watched(&self, turn: EffectId) -> Option<Arc<TurnWatch>> {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&turn)
            .cloned()
    }
}
