//! One orchestrator: what it is made of, what it would do, and its run from begin to end.

use std::{
    fs::File,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
};

use tokio::sync::{broadcast, mpsc};

use super::{
    BuildError, Check, Handle, Inbox, Notice, clock::now, handle::Request, recorder::Recorder,
    world::World,
};
use crate::{
    gate::environment_hash,
    git::{Destination, GitError},
    machine::{Phase, State, TaskEntry, apply, decide, readiness},
    model::{
        Checkout, EndReason, Event, EventKind, Opened, PackageName, Record, Roadmap, TaskId,
        Timestamp,
    },
    status::Snapshot,
};

/// One orchestrator on one repository, ready to run.
#[derive(Debug)]
pub struct Orchestrator {
    pub(super) world: Arc<World>,
    pub(super) state: State,
    pub(super) recorder: Recorder,
    pub(super) inbox: Inbox,
    pub(super) wait: bool,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) requests: (mpsc::Sender<Request>, mpsc::Receiver<Request>),
    /// When a run that died, and goes on with this one, was last heard of.
    pub(super) silent_since: Option<Timestamp>,
    /// When the ledger was last written.
    pub(super) written: Option<Timestamp>,
    /// What a person should know before it runs.
    pub(super) warnings: Vec<Check>,
    /// The repository's and the state directory's, held for as long as we live.
    pub(super) locks: [File; 2],
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
    /// What the end of the run no longer waited for, after its time was over: a process that cannot be killed, an agent's backend that
    /// does not come back, a disk. Empty as a rule. Drop the runtime with `shutdown_timeout`, or it waits for those all the same.
    pub abandoned: Vec<String>,
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

/// The seed that a hash map of the standard library gets from the system: good enough for names and jitter, on every system.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Orchestrator {
    pub(super) fn new(
        world: World,
        state: State,
        recorder: Recorder,
        inbox: Inbox,
        wait: bool,
        locks: [File; 2],
    ) -> Self {
        let (notices, requests) = (broadcast::Sender::new(4096), mpsc::channel(64));
        let (world, silent_since, written) = (Arc::new(world), None, None);
        Self {
            world,
            state,
            recorder,
            inbox,
            wait,
            notices,
            requests,
            silent_since,
            written,
            warnings: Vec::new(),
            locks,
        }
    }

    pub(super) fn warned(mut self, warnings: Vec<Check>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What was found before it runs that a person should know of. Subscribers hear the same as [`Notice::Warning`] when it runs.
    #[must_use]
    pub fn warnings(&self) -> &[Check] {
        &self.warnings
    }

    pub(super) fn silent_since(mut self, last: Option<Timestamp>) -> Self {
        self.silent_since = last;
        self
    }

    pub(super) fn written(mut self, last: Option<Timestamp>) -> Self {
        self.written = last;
        self
    }

    /// A handle to speak to the run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            requests: self.requests.0.clone(),
            notices: self.notices.clone(),
        }
    }
}

impl World {
    pub(super) fn opened(&self, wait: bool) -> EventKind {
        let backends = self
            .host
            .backends
            .iter()
            .map(|(name, backend)| (name.clone(), backend.capabilities().resume));
        let (run, policy) = (self.run.clone(), self.policy.hash());
        EventKind::Opened(Opened {
            run,
            policy,
            environment: environment_hash(&self.environment),
            seed: random(),
            backends: backends.collect(),
            wait,
            baseline: true,
        })
    }

    pub(super) async fn checkout(&self) -> Result<Checkout, GitError> {
        match self.lane.trusted.destination() {
            Destination::Remote { .. } => Ok(Checkout::Untouched),
            Destination::Local => {
                let trusted = &self.lane.trusted;
                trusted.user().checkout(trusted.target()).await
            }
        }
    }
}

/// What a run would do first.
pub(super) async fn planned(
    world: &World,
    mut state: State,
    roadmap: Roadmap,
    wait: bool,
) -> Result<Vec<PlannedTask>, BuildError> {
    let (at, policy) = (now(), &*world.policy);
    let checkout = world.checkout().await?;
    let tell = |state: &mut State, kind: EventKind| -> Result<Vec<Record>, BuildError> {
        let records = decide(state, Event { at, kind }, policy)?;
        records.iter().try_for_each(|record| apply(state, record))?;
        Ok(records)
    };
    for kind in [world.opened(wait), EventKind::CheckoutSeen(checkout)] {
        tell(&mut state, kind)?;
    }
    apply(&mut state, &Record::RoadmapRead(roadmap))?;
    let before = state.clone();
    let records = tell(&mut state, EventKind::Tick)?;
    let first = |id: &TaskId| {
        records.iter().find_map(|record| match record {
            Record::Dispatched {
                attempt,
                contract,
                failover,
                ..
            } if attempt.task == *id => Some(match failover {
                Some(failover) => format!("starts now, with {} {failover}", contract.agent),
                None => format!("starts now, with {}", contract.agent),
            }),
            Record::HoldOpened { hold } if hold.task == *id => {
                Some(format!("asks a person: {}", hold.question()))
            }
            _ => None,
        })
    };
    let planned = |entry: &TaskEntry| {
        // What starts now is in the way of what does not.
        let waits = || match readiness(&state, entry, policy, at) {
            Ok(()) => "waits for a free session, or for its package".to_owned(),
            Err(not_ready) => format!("waits: {not_ready}"),
        };
        let what = match &entry.phase {
            Phase::Landed(_) => "has landed".to_owned(),
            Phase::Waiting(_) => first(&entry.task.id).unwrap_or_else(waits),
            Phase::Active(_) => "goes on".to_owned(),
            Phase::Held(held) => format!("waits for a person: {}", held.hold.question()),
            Phase::Parked { reason, .. } => format!("is parked: {reason}"),
        };
        let task = &entry.task;
        PlannedTask {
            id: task.id.clone(),
            title: task.title.clone(),
            package: task.package.clone(),
            what,
        }
    };
    Ok(before.tasks().iter().map(planned).collect())
}
