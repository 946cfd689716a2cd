//! What sessions have cost, for agents that count over a whole session and not over a turn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::Usage;

/// What each session of a backend has cost so far; its clones share it. It lives as long as this process: what was spent before is not
/// known then.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Mutex<HashMap<String, Usage>>>);

impl Spent {
    /// What a session has cost, as far as it was told; nothing for one that is not known.
    #[must_use]
    pub fn by(&self, session: &str) -> Usage {
        self.lock().get(session).copied().unwrap_or_default()
    }

    /// Sets what a session has cost in all, and returns what was known before.
    pub fn keep(&self, session: &str, all: Usage) -> Usage {
        let mut spent = self.lock();
        match spent.get_mut(session) {
            Some(known) => std::mem::replace(known, all),
            None => spent.insert(session.to_owned(), all).unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
