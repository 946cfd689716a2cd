//! Whether a waiting task could begin.

use super::{
    fence::{Fence, Occupied},
    freeze::{after, allowed, resources},
    state::{Phase, State, TaskEntry, Waiting},
    tasks::List,
};
use crate::model::{Pattern, Policy, ResourceName, TaskId, Timestamp};

/// Why a waiting task is not dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// Tasks that it comes after have not landed.
    After(Vec<TaskId>),
    /// Its next attempt is not due yet.
    Until(Timestamp),
    /// It may change the same paths as an open task.
    Overlaps {
        /// The other task.
        with: TaskId,
        /// A pattern of this task.
        ours: Pattern,
        /// A pattern of the other.
        theirs: Pattern,
    },
    /// An open task holds a resource.
    Resource {
        /// The other task.
        with: TaskId,
        /// The resource.
        resource: ResourceName,
    },
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(tasks) => {
                let tasks: Vec<_> = tasks.iter().map(TaskId::as_str).collect();
                write!(f, "after {}", tasks.join(", "))
            }
            Self::Until(_) => f.write_str("pausing before its next attempt"),
            Self::Overlaps { with, ours, theirs } => write!(f, "`{ours}` overlaps `{theirs}` of {with}"),
            Self::Resource { with, resource } => write!(f, "`{resource}` is held by {with}"),
        }
    }
}

/// Whether a waiting task could be dispatched, slots, package and budgets aside.
///
/// # Errors
/// [`NotReady`] with the first reason why not.
pub fn readiness(state: &State, entry: &TaskEntry, policy: &Policy, at: Timestamp) -> Result<(), NotReady> {
    ready(state, entry, &Fence::around(state.tasks.on(List::Occupying).filter_map(Occupied::of)), policy, at)
}

pub(super) fn ready(state: &State, entry: &TaskEntry, fence: &Fence<'_>, policy: &Policy, at: Timestamp) -> Result<(), NotReady> {
    let landed = |id: &TaskId| state.task(id).is_some_and(TaskEntry::has_landed);
    let missing: Vec<_> = after(&entry.task).iter().filter(|id| !landed(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(NotReady::After(missing));
    }
    if let Phase::Waiting(Waiting { until, .. }) = entry.phase
        && until > at
    {
        return Err(NotReady::Until(until));
    }
    fence.lets_in(&entry.task.id, allowed(&entry.task, policy), resources(&entry.task, policy))
}
