//! The roadmap as it is now, over the roadmap as it was.
//!
//! What has not begun simply follows it. What is under way goes on under its frozen contract, and is withdrawn if it is no
//! longer wanted; what landed stays landed, unless its tick was taken away again.

use std::collections::BTreeMap;

use super::{
    context::Context,
    entry::{Phase, TaskEntry, Then},
    freeze::after,
    lookup::{Misfit, entry_mut, set_tip},
    state::{RoadmapState, State},
    tasks::{List, Tasks},
};
use crate::model::{ParkReason, Record, Roadmap, Task, TaskId, Withdrawal};

/// What is recorded of a roadmap that was read: where the same tasks are in the same order, only those that are told
/// otherwise now. A long roadmap in which one line was ticked is not written down as a whole.
pub(super) fn roadmap_record(state: &State, roadmap: Roadmap) -> Record {
    let known = state.tasks.entries();
    let same = |(entry, task): (&TaskEntry, &Task)| {
        entry.task.id == task.id && after(&entry.task) == after(task)
    };
    // One whose attempt has just ended is still to be parked, which only the whole roadmap says.
    let parked = |entry: &TaskEntry| !matches!(entry.phase, Phase::Waiting(_));
    let gone = |entry: &TaskEntry| entry.withdrawn == Some(Withdrawal::Removed) && parked(entry);
    let count = roadmap.tasks.len();
    let alike = state.roadmap.read_at.is_some()
        && known.len() >= count
        && known.iter().zip(&roadmap.tasks).all(same)
        && known[count..].iter().all(gone)
        && known[..count]
            .iter()
            .all(|entry| entry.withdrawn != Some(Withdrawal::Removed));
    if !alike {
        return Record::RoadmapRead(roadmap);
    }
    let mut tasks = roadmap.tasks;
    let mut place = 0;
    tasks.retain(|task| {
        place += 1;
        known[place - 1].differs(task)
    });
    Record::RoadmapChanged(Roadmap { tasks, ..roadmap })
}

impl Context<'_> {
    /// The questions about attempts of which task and policy make another contract than before.
    pub(super) fn redefined(&self, roadmap: &Roadmap) -> Vec<Record> {
        let held = self.state.tasks.on(List::Held);
        let held: BTreeMap<_, _> = held.map(|entry| (&entry.task.id, entry)).collect();
        let mut records = Vec::new();
        if held.is_empty() {
            return records;
        }
        for task in &roadmap.tasks {
            let Some(Phase::Held(held)) = held.get(&task.id).map(|entry| &entry.phase) else {
                continue;
            };
            let Then::Resume(active) = &held.then else {
                continue;
            };
            let redefined = self.redefinition(active, task, &held.hold.about);
            if redefined != held.hold.redefined {
                records.push(Record::HoldRedefined {
                    hold: held.hold.id,
                    redefined,
                });
            }
        }
        records
    }
}

pub(super) fn read_roadmap(state: &mut State, roadmap: &Roadmap) {
    let mut before: BTreeMap<TaskId, TaskEntry> = state
        .tasks
        .take()
        .into_iter()
        .map(|entry| (entry.task.id.clone(), entry))
        .collect();
    let mut entries = Vec::with_capacity(roadmap.tasks.len());
    for task in &roadmap.tasks {
        entries.push(match before.remove(&task.id) {
            None => TaskEntry::new(task.clone()),
            Some(mut entry) => {
                entry.tell_again(task.clone());
                entry
            }
        });
    }
    // What the roadmap no longer has stays where work of ours is in it; a task that never began is simply gone.
    let begun = before.into_values().filter(|entry| entry.last_attempt > 0);
    entries.extend(begun.map(|mut entry| {
        match entry.phase {
            Phase::Waiting(_) => {
                entry.phase = Phase::Parked {
                    reason: ParkReason::Removed,
                    hold: None,
                }
            }
            Phase::Active(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => {}
        }
        entry.withdrawn = Some(Withdrawal::Removed);
        entry.unticked = false;
        entry
    }));
    state.tasks = Tasks::new(entries);
    if state.roadmap.read_at.is_none() || state.tip == Some(roadmap.tip) {
        set_tip(state, roadmap.tip, Some(roadmap.tree));
    }
    state.roadmap = RoadmapState {
        reading: None,
        read_at: Some(roadmap.tip),
        refused: None,
    };
}

/// The same for a roadmap of which only what has changed is told.
pub(super) fn change_roadmap(state: &mut State, changed: &Roadmap) -> Result<(), Misfit> {
    for task in &changed.tasks {
        entry_mut(state, &task.id)?.tell_again(task.clone());
    }
    if state.tip == Some(changed.tip) {
        set_tip(state, changed.tip, Some(changed.tree));
    }
    state.roadmap = RoadmapState {
        reading: None,
        read_at: Some(changed.tip),
        refused: None,
    };
    Ok(())
}

impl TaskEntry {
    /// Whether the roadmap tells it otherwise now, or what follows from what it tells has yet to be drawn.
    fn differs(&self, task: &Task) -> bool {
        self.task != *task || self.withdrawn.is_some() || (task.done && !self.has_landed())
    }

    /// As the roadmap tells it now. What is under way goes on under its frozen contract.
    fn tell_again(&mut self, task: Task) {
        let (was_done, done) = (self.task.done, task.done);
        let withdrawn = self.withdrawn.take();
        self.task = task;
        self.unticked = !done && self.has_landed() && (was_done || self.unticked);
        match &self.phase {
            Phase::Waiting(_) | Phase::Parked { .. } if done => self.phase = Self::ticked(),
            // That it was ticked when its landing was dropped says nothing of what a person wants now.
            Phase::Held(held) if done && was_done && matches!(held.then, Then::Landed(_)) => {}
            Phase::Active(_) | Phase::Held(_) if done => self.withdrawn = Some(Withdrawal::Ticked),
            Phase::Parked { hold: None, .. } if withdrawn.is_some() => {
                self.wait_anew(None);
            }
            Phase::Waiting(_)
            | Phase::Active(_)
            | Phase::Held(_)
            | Phase::Landed(_)
            | Phase::Parked { .. } => {}
        }
    }
}
