//! Whether a waiting task could begin.

use super::{
    agent_state::Troubled,
    agents::agent_of,
    entry::{Phase, TaskEntry, Waiting},
    failover::stand_in,
    fence::{Fence, Met, Obstacle},
    freeze::{after, allowed, resources},
    state::State,
};
use crate::model::{BackendName, Pattern, Policy, ResourceName, TaskId, Timestamp, Trouble};

/// Why a waiting task is not dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// Tasks that it comes after have not landed.
    After(Vec<TaskId>),
    /// Its next attempt is not due yet.
    Until(Timestamp),
    /// Its agent cannot be used.
    Agent {
        /// Which.
        agent: BackendName,
        /// Why.
        trouble: Trouble,
        /// When it is tried again; `None`: when a person has answered.
        until: Option<Timestamp>,
    },
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
            Self::Agent { agent, trouble, .. } => write!(f, "agent `{agent}`: {trouble}"),
            Self::Overlaps { with, ours, theirs } => {
                write!(f, "`{ours}` overlaps `{theirs}` of {with}")
            }
            Self::Resource { with, resource } => write!(f, "`{resource}` is held by {with}"),
        }
    }
}

/// Whether a waiting task could be dispatched, slots, package and budgets aside.
///
/// # Errors
/// [`NotReady`] with the first reason why not.
pub fn readiness(
    state: &State,
    entry: &TaskEntry,
    policy: &Policy,
    at: Timestamp,
) -> Result<(), NotReady> {
    let place = state.tasks.place(&entry.task.id).unwrap_or(usize::MAX);
    let Some(wait) = waits(state, (place, entry), policy, at) else {
        return Ok(());
    };
    let with = |obstacle: Obstacle<'_>| state.tasks.entries()[obstacle.at].task.id.clone();
    Err(match wait {
        Wait::After(missing) => NotReady::After(missing),
        Wait::Until(until) => NotReady::Until(until),
        Wait::Agent { agent, troubled } => NotReady::Agent {
            agent: agent.clone(),
            trouble: troubled.trouble.clone(),
            until: troubled.until,
        },
        Wait::Behind(obstacle) => match obstacle.what {
            Met::Resource(resource) => NotReady::Resource {
                with: with(obstacle),
                resource: resource.clone(),
            },
            Met::Paths { ours, theirs } => NotReady::Overlaps {
                with: with(obstacle),
                ours: ours.clone(),
                theirs: theirs.clone(),
            },
        },
    })
}

/// What a task waits for.
pub(super) enum Wait<'a> {
    After(Vec<TaskId>),
    Until(Timestamp),
    Agent {
        agent: &'a BackendName,
        troubled: &'a Troubled,
    },
    Behind(Obstacle<'a>),
}

/// What the task at this place waits for, if for anything.
pub(super) fn waits<'a>(
    state: &'a State,
    (place, entry): (usize, &'a TaskEntry),
    policy: &'a Policy,
    at: Timestamp,
) -> Option<Wait<'a>> {
    let landed = |id: &TaskId| state.task(id).is_some_and(TaskEntry::has_landed);
    let missing: Vec<_> = after(&entry.task)
        .iter()
        .filter(|id| !landed(id))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Some(Wait::After(missing));
    }
    let (allow, needs) = (allowed(&entry.task, policy), resources(&entry.task, policy));
    let behind = || {
        state
            .tasks
            .fence()
            .obstacle(place, allow, needs)
            .map(Wait::Behind)
    };
    pause(entry, at)
        .map(Wait::Until)
        .or_else(|| away(state, entry, policy, at))
        .or_else(behind)
}

/// The agent of a waiting task, if it cannot be used, and none in place of it.
pub(super) fn away<'a>(
    state: &'a State,
    entry: &'a TaskEntry,
    policy: &'a Policy,
    at: Timestamp,
) -> Option<Wait<'a>> {
    if state.agents.is_empty() {
        return None;
    }
    let agent = agent_of(state, entry, policy)?;
    let troubled = state.trouble_of(agent, at)?;
    if stand_in(state, policy, agent, at).is_some() {
        return None;
    }
    Some(Wait::Agent { agent, troubled })
}

/// Whether the task at this place waits for nothing, where all that it comes after has landed: `fences` are what is taken, in
/// the state and in this decision. Thousands may be asked at each decision.
pub(super) fn is_ready(
    place: usize,
    entry: &TaskEntry,
    fences: [Option<&Fence>; 2],
    policy: &Policy,
    at: Timestamp,
) -> bool {
    let (allow, needs) = (allowed(&entry.task, policy), resources(&entry.task, policy));
    pause(entry, at).is_none()
        && !fences
            .into_iter()
            .flatten()
            .any(|fence| fence.keeps_out(place, allow, needs))
}

/// Until when a waiting task pauses before its next attempt.
fn pause(entry: &TaskEntry, at: Timestamp) -> Option<Timestamp> {
    let Phase::Waiting(Waiting { until, .. }) = entry.phase else {
        return None;
    };
    (until > at).then_some(until)
}
