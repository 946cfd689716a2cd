//! The sessions of our own children.
//!
//! While a child has not been waited for, its number is nobody else's, and so is its session's: whoever is in that session was
//! started by that child, and by no other. So most of what runs can be told apart without reading a file.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::sweep::Target;

/// The markers of our children, by the numbers of the sessions that they lead.
static SESSIONS: Mutex<BTreeMap<i32, Option<String>>> = Mutex::new(BTreeMap::new());

fn sessions() -> MutexGuard<'static, BTreeMap<i32, Option<String>>> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session of a child that has not been waited for. To be dropped when it has.
#[derive(Debug)]
pub(super) struct Session(i32);

impl Session {
    /// Of the child with this number, which leads it.
    pub(super) fn of(leader: i32, mark: Option<String>) -> Self {
        sessions().insert(leader, mark);
        Self(leader)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        sessions().remove(&self.0);
    }
}

/// Whether the processes of a session are meant; `None` if it is no child's of ours, so that each of them has to be asked.
pub(super) fn are_meant(session: i32, target: &Target) -> Option<bool> {
    let sessions = sessions();
    let mark = sessions.get(&session)?.as_ref();
    let meant = |(mark, wanted): (&String, &String)| {
        if target.whole {
            mark == wanted
        } else {
            mark.starts_with(wanted.as_str())
        }
    };
    Some(mark.zip(target.mark.as_ref()).is_some_and(meant))
}
