//! What sessions have cost, for agents that count over a whole session and not over a turn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::{SessionRef, Usage};

/// What each session of a backend has cost so far; its clones share it. It lives as long as this process: what was spent before is not
/// known then.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Mutex<HashMap<SessionRef, Usage>>>);

impl Spent {
    /// What a session has cost, as far as it was told; nothing for one that is not known.
    #[must_use]
    pub fn by(&self, session: &SessionRef) -> Usage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(session).copied().unwrap_or_default()
    }

    /// Sets what a session has cost in all.
    pub fn keep(&self, session: SessionRef, all: Usage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session, all);
    }
}
