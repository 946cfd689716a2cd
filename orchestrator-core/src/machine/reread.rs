//! The roadmap as it is now, over the roadmap as it was.
//!
//! What has not begun simply follows it. What is under way goes on under its frozen contract, and is withdrawn if it is no
//! longer wanted; what landed stays landed, unless its tick was taken away again.

use std::collections::BTreeMap;

use super::{
    apply::set_tip,
    state::{Phase, RoadmapState, State, TaskEntry, Waiting},
    tasks::Tasks,
};
use crate::model::{Roadmap, Task, TaskId, Withdrawal};

pub(super) fn read_roadmap(state: &mut State, roadmap: &Roadmap) {
    let mut before: BTreeMap<TaskId, TaskEntry> =
        state.tasks.take().into_iter().map(|entry| (entry.task.id.clone(), entry)).collect();
    let mut entries = Vec::with_capacity(roadmap.tasks.len());
    for task in &roadmap.tasks {
        let entry = match before.remove(&task.id) {
            None => TaskEntry::new(task.clone()),
            Some(entry) => entry.told_again(task.clone()),
        };
        entries.push(entry);
    }
    // What the roadmap no longer has stays where work of ours is in it; a task that never began is simply gone.
    let begun = before.into_values().filter(|entry| entry.last_attempt > 0);
    entries.extend(begun.map(|mut entry| {
        match entry.phase {
            Phase::Waiting(_) => entry.phase = Phase::Parked { reason: "removed from the roadmap".to_owned() },
            Phase::Active(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => {}
        }
        entry.withdrawn = Some(Withdrawal::Removed);
        entry
    }));
    state.tasks = Tasks::new(entries);
    if state.roadmap.read_at.is_none() {
        set_tip(state, roadmap.tip);
    }
    state.roadmap = RoadmapState { reading: None, read_at: Some(roadmap.tip), refused: None };
}

impl TaskEntry {
    /// As the roadmap tells it now. What is under way goes on under its frozen contract.
    fn told_again(self, task: Task) -> Self {
        let (was_done, done) = (self.task.done, task.done);
        let mut entry = Self { task, withdrawn: None, ..self };
        match &entry.phase {
            Phase::Waiting(_) | Phase::Parked { .. } if done => entry.phase = Self::ticked(),
            Phase::Active(_) | Phase::Held(_) if done => entry.withdrawn = Some(Withdrawal::Ticked),
            // A tick that was taken away again: a person wants it done anew.
            Phase::Landed(_) if was_done && !done => entry.phase = Phase::Waiting(Waiting::default()),
            Phase::Parked { .. } if self.withdrawn.is_some() => entry.phase = Phase::Waiting(Waiting::default()),
            Phase::Waiting(_) | Phase::Active(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => {}
        }
        entry
    }
}
