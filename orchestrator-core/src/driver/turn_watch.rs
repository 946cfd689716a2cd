//! What a turn is given, and what is known of it while it runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    model::{
        Ask, AttemptId, BackendName, CommitId, Contract, Predecessor, SessionRef, SessionUsage,
        Span, TurnUsage,
    },
    port::TurnControl,
};

/// What is known of a turn while it runs: not worth an event each, and read at every heartbeat.
#[derive(Debug)]
pub(super) struct TurnWatch {
    pub(super) control: Arc<dyn TurnControl>,
    pub(super) attempt: AttemptId,
    pub(super) inner: Mutex<Watched>,
}

#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// When there was a sign of life: no time of day, so that nobody can set it.
    pub(super) active: Instant,
    pub(super) tools: BTreeSet<String>,
    pub(super) usage: TurnUsage,
    /// The silence beyond which something is wrong, as the backend says.
    pub(super) silence: Option<Span>,
}

impl TurnWatch {
    pub(super) fn read(&self) -> Watched {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A sign of life.
    pub(super) fn touch(&self, change: impl FnOnce(&mut Watched)) {
        let mut watched = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        watched.active = Instant::now();
        change(&mut watched);
    }

    /// So much of what the clock counted until now was a sleep, which is no silence of the agent's. A sign of life that came since the
    /// end of it stays what it is.
    pub(super) fn slept(&self, asleep: Duration) {
        let mut watched = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        watched.active = (watched.active + asleep).min(Instant::now());
    }
}

/// Which turn, of what.
#[derive(Debug)]
pub(super) struct TurnJob {
    pub(super) attempt: AttemptId,
    pub(super) contract: Arc<Contract>,
    pub(super) base: CommitId,
    pub(super) predecessor: Option<Arc<Predecessor>>,
    pub(super) advice: Option<String>,
    pub(super) turn: u32,
    pub(super) backend: BackendName,
    pub(super) resume: Option<SessionRef>,
    pub(super) used: SessionUsage,
    pub(super) ask: Ask,
}
