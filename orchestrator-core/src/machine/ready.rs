//! Whether a waiting task could begin.

use super::{
    fence::Fence,
    freeze::{after, allowed, resources},
    state::{Phase, State, TaskEntry, Waiting},
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
    let place = state.tasks.place(&entry.task.id).unwrap_or(usize::MAX);
    ready(state, (place, entry), &[state.tasks.fence()], policy, at).map_err(|(_, why)| why)
}

/// The same for the task at this place, with what was taken in this decision; and the place of the task that is in the way,
/// if one is.
pub(super) fn ready(
    state: &State,
    (place, entry): (usize, &TaskEntry),
    fences: &[&Fence],
    policy: &Policy,
    at: Timestamp,
) -> Result<(), (Option<usize>, NotReady)> {
    let landed = |id: &TaskId| state.task(id).is_some_and(TaskEntry::has_landed);
    let missing: Vec<_> = after(&entry.task).iter().filter(|id| !landed(id)).cloned().collect();
    if !missing.is_empty() {
        return Err((None, NotReady::After(missing)));
    }
    if let Phase::Waiting(Waiting { until, .. }) = entry.phase
        && until > at
    {
        return Err((None, NotReady::Until(until)));
    }
    let (allow, needs) = (allowed(&entry.task, policy), resources(&entry.task, policy));
    let id = |at: usize| &state.tasks.entries()[at].task.id;
    fences.iter().try_for_each(|fence| fence.lets_in(place, allow, needs, id)).map_err(|(other, why)| (Some(other), why))
}
