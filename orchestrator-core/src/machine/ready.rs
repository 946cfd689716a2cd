//! Whether a waiting task could begin.

use super::{
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

/// What an open task occupies.
pub(super) struct Occupied<'a> {
    pub(super) task: &'a TaskId,
    pub(super) allow: &'a [Pattern],
    pub(super) resources: &'a [ResourceName],
}

impl<'a> Occupied<'a> {
    pub(super) fn of(entry: &'a TaskEntry) -> Option<Self> {
        let contract = &entry.occupying()?.contract;
        Some(Self { task: &entry.task.id, allow: &contract.allow, resources: &contract.resources })
    }
}

/// Whether a waiting task could be dispatched, slots, package and budgets aside.
///
/// # Errors
/// [`NotReady`] with the first reason why not.
pub fn readiness(state: &State, entry: &TaskEntry, policy: &Policy, at: Timestamp) -> Result<(), NotReady> {
    let occupied: Vec<_> = state.tasks.iter().filter_map(Occupied::of).collect();
    ready(state, entry, &occupied, policy, at)
}

pub(super) fn ready(
    state: &State,
    entry: &TaskEntry,
    occupied: &[Occupied<'_>],
    policy: &Policy,
    at: Timestamp,
) -> Result<(), NotReady> {
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
    let (allow, needs) = (allowed(&entry.task, policy), resources(&entry.task, policy));
    for other in occupied.iter().filter(|other| *other.task != entry.task.id) {
        if let Some(resource) = needs.iter().find(|resource| other.resources.contains(resource)) {
            return Err(NotReady::Resource { with: other.task.clone(), resource: resource.clone() });
        }
        let pairs = allow.iter().flat_map(|ours| other.allow.iter().map(move |theirs| (ours, theirs)));
        if let Some((ours, theirs)) = pairs.into_iter().find(|(ours, theirs)| ours.overlaps(theirs)) {
            return Err(NotReady::Overlaps { with: other.task.clone(), ours: ours.clone(), theirs: theirs.clone() });
        }
    }
    Ok(())
}
