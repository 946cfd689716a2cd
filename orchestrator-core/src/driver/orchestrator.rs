//! One orchestrator: what it is made of, what it would do, and its run from begin to end.

use std::{fs::File, sync::Arc};

use tokio::sync::{broadcast, mpsc};
use tracing::Instrument as _;

use super::{
    BuildError, Handle, Inbox, Notice, OrchestratorBuilder, RunError,
    clock::now,
    effects::World,
    handle::Request,
    running::{Running, SURVIVORS},
};
use crate::{
    git::Destination,
    machine::{NotReady, Phase, State, apply, decide, readiness},
    model::{Checkout, EndReason, Event, EventKind, Opened, PackageName, Record, Roadmap, TaskId},
    port::{Epoch, Ledger, Opening, Sequence},
    process::kill_marked,
    status::Snapshot,
};

/// One orchestrator on one repository, ready to run.
#[derive(Debug)]
pub struct Orchestrator {
    pub(super) world: Arc<World>,
    pub(super) state: State,
    pub(super) roadmap: Roadmap,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) epoch: Epoch,
    pub(super) next: Sequence,
    pub(super) inbox: Inbox,
    pub(super) wait: bool,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) requests: (mpsc::Sender<Request>, mpsc::Receiver<Request>),
    /// Held for as long as we live.
    _lock: File,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunReport {
    /// Why.
    pub ended: EndReason,
    /// How everything stands.
    pub snapshot: Snapshot,
    /// The same, whole: equal to the replayed ledger.
    pub state: State,
}

/// What would happen to a task first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTask {
    /// The task.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// Its package.
    pub package: Option<PackageName>,
    /// `starts now`, or why it does not.
    pub what: String,
}

pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    // The system's randomness does not fail once it is there; if it does, time is still better than nothing.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        return now().0;
    }
    u64::from_le_bytes(bytes)
}

impl Orchestrator {
    /// Puts one together.
    #[must_use]
    pub fn builder() -> OrchestratorBuilder {
        OrchestratorBuilder::default()
    }

    #[expect(clippy::too_many_arguments, reason = "the builder's last step, called from one place")]
    pub(super) fn new(
        world: World,
        state: State,
        roadmap: Roadmap,
        ledger: Arc<dyn Ledger>,
        opening: &Opening,
        inbox: Inbox,
        wait: bool,
        lock: File,
    ) -> Self {
        let (epoch, next) = (opening.epoch, opening.next);
        let (notices, requests) = (broadcast::Sender::new(4096), mpsc::channel(64));
        Self { world: Arc::new(world), state, roadmap, ledger, epoch, next, inbox, wait, notices, requests, _lock: lock }
    }

    /// A handle to speak to the run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { requests: self.requests.0.clone(), notices: self.notices.clone() }
    }

    /// The state directory that is used where none is given.
    ///
    /// # Errors
    /// When neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn default_state_dir(git_dir: &std::path::Path) -> Result<std::path::PathBuf, BuildError> {
        super::builder::default_state_dir(git_dir)
    }

    fn opened(&self) -> EventKind {
        let backends = self.world.backends.iter().map(|(name, backend)| (name.clone(), backend.capabilities().resume));
        EventKind::Opened(Opened {
            run: self.world.run.clone(),
            policy: self.world.policy.hash(),
            seed: random(),
            backends: backends.collect(),
            wait: self.wait,
        })
    }

    /// What a run would do first. Starts nothing.
    ///
    /// # Errors
    /// When the person's checkout cannot be read.
    pub async fn plan(&self) -> Result<Vec<PlannedTask>, RunError> {
        let (mut state, at, policy) = (self.state.clone(), now(), &self.world.policy);
        let checkout = self.checkout().await?;
        for kind in [self.opened(), EventKind::CheckoutSeen(checkout)] {
            for record in decide(&state, Event { at, kind }, policy)? {
                apply(&mut state, &record)?;
            }
        }
        apply(&mut state, &Record::RoadmapRead(self.roadmap.clone()))?;
        let records = decide(&state, Event { at, kind: EventKind::Tick }, policy)?;
        let first = |id: &TaskId| {
            records.iter().find_map(|record| match record {
                Record::Dispatched { attempt, contract, .. } if attempt.task == *id => {
                    Some(format!("starts now, with {}", contract.agent))
                }
                Record::HoldOpened { hold } if hold.task == *id => Some(format!("asks a person: {}", hold.question)),
                _ => None,
            })
        };
        let planned = |entry: &crate::machine::TaskEntry| {
            let waits = || match readiness(&state, entry, policy, at) {
                Ok(()) => "waits for a free session, or for its package".to_owned(),
                Err(
                    not_ready @ (NotReady::After(_) | NotReady::Until(_) | NotReady::Overlaps { .. } | NotReady::Resource { .. }),
                ) => {
                    format!("waits: {not_ready}")
                }
            };
            let what = match &entry.phase {
                Phase::Landed(_) => "has landed".to_owned(),
                Phase::Waiting(_) => first(&entry.task.id).unwrap_or_else(waits),
                Phase::Active(_) => "goes on".to_owned(),
                Phase::Held(held) => format!("waits for a person: {}", held.hold.question),
                Phase::Parked { reason } => format!("is parked: {reason}"),
            };
            let task = &entry.task;
            PlannedTask { id: task.id.clone(), title: task.title.clone(), package: task.package.clone(), what }
        };
        Ok(state.tasks().iter().map(planned).collect())
    }

    async fn checkout(&self) -> Result<Checkout, RunError> {
        let trusted = &self.world.trusted;
        match trusted.destination() {
            Destination::Remote { .. } => Ok(Checkout::Untouched),
            Destination::Local => Ok(trusted.user().checkout(trusted.target()).await?),
        }
    }

    /// Runs until there is a reason to end.
    ///
    /// # Errors
    /// [`RunError`] when it cannot go on; what was in flight goes on when the state directory is opened again.
    pub async fn run(self) -> Result<RunReport, RunError> {
        let survivors = kill_marked(&self.world.mark, SURVIVORS).await;
        if survivors > 0 {
            drop(
                self.notices
                    .send(Notice::Warning(format!("{survivors} processes of an earlier run were still alive, and were stopped"))),
            );
        }
        let (first, checkout) = (self.opened(), self.checkout().await?);
        let span = tracing::info_span!("run", id = %self.world.run);
        let mut running = Running::new(self);
        let result = running.go(first, checkout).instrument(span).await;
        // Whatever ended the run: nothing of it lives on.
        running.stop_everything().await;
        let ended = result?;
        let state = running.into_state();
        Ok(RunReport { ended, snapshot: Snapshot::of(&state), state })
    }
}
