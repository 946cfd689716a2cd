//! The tasks of the roadmap, and lists of what is to be done for them: a look at what is due costs what is due, however long
//! the roadmap is.
//!
//! The lists follow from the entries alone. Who changes an entry says so by [`Tasks::get_mut`]; [`Tasks::file`], at the end of
//! each fold, brings the lists up to date.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use super::{
    entry::{Active, Phase, TaskEntry},
    fence::Fence,
    freeze::after,
    step::{Asked, Step},
};
use crate::model::{Contract, HoldReason, Policy, Span, TaskId, Timestamp};

/// What a task may be listed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Its turn has not come.
    Waiting,
    /// The same, and all that it comes after has landed.
    Free,
    /// An attempt is under way.
    Active,
    /// A person is asked.
    Held,
    /// The target contains it.
    Landed,
    /// It is no longer wanted, or wanted again.
    Withdrawn,
    /// Something is to be asked for, or to be looked at again, whatever the time.
    Due,
    /// An agent runs, or is about to for the first time.
    TakesSession,
    /// Its work came back, and it waits for a session.
    WaitsForSession,
    /// It is in the landing lane.
    InLane,
    /// It waits for the lane.
    Queued,
    /// It waits for the lane, and could not be judged on some tip.
    Stuck,
}

const LISTS: usize = List::Stuck as usize + 1;

/// What a time in an entry means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Clock {
    /// A waiting task waits until then.
    Until,
    /// A turn began then.
    TurnBegan,
    /// The task's wall time is used up then.
    WallEnds,
    /// A person was asked then.
    AskedAt,
}

impl Clock {
    /// How far behind the clock must be for something to be due.
    pub(super) fn distance(self, policy: &Policy) -> Span {
        match self {
            Self::Until | Self::WallEnds => Span(0),
            Self::TurnBegan => policy.limits.turn,
            Self::AskedAt => policy.notify.remind,
        }
    }
}

/// All that the lists hold of one entry.
#[derive(Debug, Clone, Default, PartialEq)]
struct Place {
    lists: u16,
    clocks: [Option<(Clock, Timestamp)>; 2],
}

/// The roadmap's tasks, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    entries: Vec<TaskEntry>,
    positions: HashMap<TaskId, usize, foldhash::fast::RandomState>,
    /// Who comes after each.
    dependents: Vec<Vec<usize>>,
    /// How many of those that each comes after have not landed.
    missing: Vec<usize>,
    places: Vec<Place>,
    lists: [BTreeSet<usize>; LISTS],
    clocks: BTreeSet<(Clock, Timestamp, usize)>,
    /// The paths and resources that are taken.
    fence: Fence,
    /// Under which contract each has taken its own.
    occupied: Vec<Option<Arc<Contract>>>,
    /// Changed since they were filed.
    touched: Vec<usize>,
}

/// All else follows from the entries.
impl PartialEq for Tasks {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Tasks {
    pub(super) fn new(entries: Vec<TaskEntry>) -> Self {
        let positions: HashMap<_, _, _> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.task.id.clone(), at))
            .collect();
        let mut dependents = vec![Vec::new(); entries.len()];
        let mut missing = vec![0; entries.len()];
        for (at, entry) in entries.iter().enumerate() {
            missing[at] = after(&entry.task).len();
            // What is not in the roadmap never lands.
            for before in after(&entry.task).iter().filter_map(|id| positions.get(id)) {
                dependents[*before].push(at);
            }
        }
        let (places, occupied) = (
            vec![Place::default(); entries.len()],
            vec![None; entries.len()],
        );
        let touched = (0..entries.len()).collect();
        let mut tasks = Self {
            entries,
            positions,
            dependents,
            missing,
            places,
            occupied,
            touched,
            ..Self::default()
        };
        tasks.file();
        tasks
    }

    /// The entries alone.
    pub(super) fn take(&mut self) -> Vec<TaskEntry> {
        std::mem::take(self).entries
    }

    pub(super) fn entries(&self) -> &[TaskEntry] {
        &self.entries
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<&TaskEntry> {
        self.positions.get(id).map(|at| &self.entries[*at])
    }

    /// To change it; [`Self::file`] must follow.
    pub(super) fn get_mut(&mut self, id: &TaskId) -> Option<&mut TaskEntry> {
        let at = *self.positions.get(id)?;
        self.touched.push(at);
        Some(&mut self.entries[at])
    }

    /// To change all of them; [`Self::file`] must follow.
    pub(super) fn all_mut(&mut self) -> &mut [TaskEntry] {
        self.touched = (0..self.entries.len()).collect();
        &mut self.entries
    }

    /// Brings the lists up to date.
    pub(super) fn file(&mut self) {
        while let Some(at) = self.touched.pop() {
            self.fence_in(at);
            let place = Place::of(&self.entries[at], self.missing[at]);
            let before = std::mem::replace(&mut self.places[at], place.clone());
            if before == place {
                continue;
            }
            let mut changed = before.lists ^ place.lists;
            while changed != 0 {
                let list = changed.trailing_zeros();
                changed &= changed - 1;
                if place.lists & (1 << list) == 0 {
                    self.lists[list as usize].remove(&at);
                } else {
                    self.lists[list as usize].insert(at);
                }
            }
            if before.clocks != place.clocks {
                for (clock, time) in before.clocks.into_iter().flatten() {
                    self.clocks.remove(&(clock, time, at));
                }
                self.clocks.extend(
                    place
                        .clocks
                        .iter()
                        .flatten()
                        .map(|(clock, time)| (*clock, *time, at)),
                );
            }
            if before.has(List::Landed) != place.has(List::Landed) {
                for after in &self.dependents[at] {
                    let missing = &mut self.missing[*after];
                    *missing = if place.has(List::Landed) {
                        *missing - 1
                    } else {
                        *missing + 1
                    };
                }
                self.touched.extend_from_slice(&self.dependents[at]);
            }
        }
        debug_assert!(self.is_filed(), "lists follow from the entries");
    }

    /// Whether the lists are what they would be if they were made anew.
    fn is_filed(&self) -> bool {
        self.entries.iter().enumerate().all(|(at, entry)| {
            let landed = |id: &TaskId| self.get(id).is_some_and(TaskEntry::has_landed);
            let missing = after(&entry.task).iter().filter(|id| !landed(id)).count();
            let place = Place::of(entry, missing);
            let on =
                |list: usize| self.lists[list].contains(&at) == (place.lists & (1 << list) != 0);
            let clocks = self.clocks.iter().filter(|(.., of)| *of == at).count()
                == place.clocks.iter().flatten().count();
            self.missing[at] == missing && self.places[at] == place && (0..LISTS).all(on) && clocks
        })
    }

    /// Brings the fence up to date for one entry.
    fn fence_in(&mut self, at: usize) {
        let (before, now) = (
            &mut self.occupied[at],
            self.entries[at]
                .occupying()
                .map(|attempt| &attempt.contract),
        );
        if before.as_ref().map(Arc::as_ptr) == now.map(Arc::as_ptr) {
            return;
        }
        if let Some(contract) = before.take() {
            self.fence.remove(at, &contract);
        }
        if let Some(contract) = now {
            self.fence.add(at, contract);
            *before = Some(Arc::clone(contract));
        }
    }

    /// The paths and resources that are taken.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The first other task whose attempt has paths or resources of this contract.
    pub(super) fn in_the_way(&self, id: &TaskId, contract: &Contract) -> Option<&TaskId> {
        let at = self.place(id)?;
        let fence = &self.fence;
        let obstacle = fence.obstacle(at, &contract.allow, &contract.resources)?;
        Some(&self.entries[obstacle.at].task.id)
    }

    /// The place of a task.
    pub(super) fn place(&self, id: &TaskId) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// How many are on the list.
    pub(super) fn count(&self, list: List) -> usize {
        self.lists[list as usize].len()
    }

    /// The places of those on the list, in the roadmap's order.
    pub(super) fn places(&self, list: List) -> impl Iterator<Item = usize> {
        self.lists[list as usize].iter().copied()
    }

    /// Those on the list, in the roadmap's order.
    pub(super) fn on(&self, list: List) -> impl Iterator<Item = &TaskEntry> {
        self.places(list).map(|at| &self.entries[at])
    }

    /// Those with an attempt under way.
    pub(super) fn active(&self) -> impl Iterator<Item = &Active> {
        self.on(List::Active)
            .filter_map(|entry| match &entry.phase {
                Phase::Active(active) => Some(&**active),
                Phase::Waiting(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => {
                    None
                }
            })
    }

    /// The places of those whose clock stands at `until` or before.
    pub(super) fn up_to(&self, clock: Clock, until: Timestamp) -> impl Iterator<Item = usize> {
        self.clocks
            .range((clock, Timestamp(0), 0)..=(clock, until, usize::MAX))
            .map(|(_, _, at)| *at)
    }

    /// The first time at which this clock stands for any: after `from`, if there is one.
    pub(super) fn first_after(&self, clock: Clock, from: Option<Timestamp>) -> Option<Timestamp> {
        let from = from.map_or(Bound::Included((clock, Timestamp(0), 0)), |from| {
            Bound::Excluded((clock, from, usize::MAX))
        });
        let mut times = self.clocks.range((
            from,
            Bound::Included((clock, Timestamp(u64::MAX), usize::MAX)),
        ));
        times.next().map(|(_, time, _)| *time)
    }
}

impl Place {
    fn has(&self, list: List) -> bool {
        self.lists & (1 << list as u16) != 0
    }

    fn of(entry: &TaskEntry, missing: usize) -> Self {
        let mut place = Self::default();
        let mut list = |list: List, is: bool| place.lists |= u16::from(is) << list as u16;
        let wanted = entry.withdrawn.is_none();
        list(List::Withdrawn, !wanted || entry.unticked);
        let mut due = entry.report == Some(Asked::Due)
            || entry.cleanups.values().any(|asked| *asked == Asked::Due);
        match &entry.phase {
            Phase::Waiting(waiting) => {
                list(List::Waiting, true);
                list(List::Free, wanted && missing == 0);
                place.clocks[0] = (waiting.until.0 > 0).then_some((Clock::Until, waiting.until));
            }
            Phase::Active(active) => {
                let step = &active.step;
                list(List::Active, true);
                list(List::TakesSession, step.takes_session());
                list(List::WaitsForSession, step.waits_for_session());
                list(List::InLane, step.in_lane());
                if let Step::Merge {
                    asked: Asked::Due,
                    reviewed,
                } = step
                {
                    list(List::Queued, true);
                    list(List::Stuck, !reviewed.red.is_empty());
                } else {
                    due |= step.asked() == Asked::Due;
                }
                if let Some(working) = step.working().filter(|working| working.stopping.is_none()) {
                    let wall_ends = entry
                        .wall_left(active)
                        .map(|left| (Clock::WallEnds, working.began.after(left)));
                    place.clocks = [Some((Clock::TurnBegan, working.began)), wall_ends];
                }
            }
            Phase::Held(held) => {
                list(List::Held, true);
                due |= matches!(held.hold.about, HoldReason::TipRed { .. });
                place.clocks[0] = Some((Clock::AskedAt, held.asked));
            }
            Phase::Landed(_) => list(List::Landed, true),
            Phase::Parked { .. } => {}
        }
        list(List::Due, due);
        place
    }
}
