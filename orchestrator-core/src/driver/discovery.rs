//! What a heartbeat finds that nobody said, each by its name and told once.
//!
//! Nothing here decides: each observation has its answer elsewhere, and says which.

use std::collections::BTreeSet;

use super::{handle::Notice, workspace_fault::WorkspaceFault};
use crate::{
    git::Look,
    machine::{State, Step},
    model::{AttemptId, Span, Timestamp},
};

/// What was found so far.
#[derive(Debug)]
pub(super) struct Discovery {
    found: BTreeSet<(AttemptId, WorkspaceFault)>,
    /// When the last record of a run was written whose orchestrator died; told once.
    died: Option<Timestamp>,
    /// When the last heartbeat was.
    last: Option<Timestamp>,
    /// Whether the clock jumped since then.
    jumped: bool,
}

impl Discovery {
    /// Beginning where a run that died was last heard of, or from nothing.
    pub(super) fn since(died: Option<Timestamp>) -> Self {
        Self {
            found: BTreeSet::new(),
            died,
            last: None,
            jumped: false,
        }
    }

    /// That there was no orchestrator until now, if one had died.
    pub(super) fn taken_up(&mut self, now: Timestamp) -> Option<Notice> {
        let from = self.died.take()?;
        // A clock that was set back says nothing of how long it was.
        (from <= now).then_some(Notice::NotRunning { from, to: now })
    }

    /// The clock jumped: that explains a gap.
    pub(super) fn jumped(&mut self) {
        self.jumped = true;
    }

    /// What is new in these looks. What was found before and is still so is not told again; what has gone and comes back, is.
    pub(super) fn observed(&mut self, state: &State, looks: &[Look]) -> Vec<Notice> {
        let found: BTreeSet<_> = looks.iter().flat_map(|look| of(state, look)).collect();
        let new = found.difference(&self.found).cloned();
        let notices = new
            .map(|(attempt, what)| Notice::Observed { attempt, what })
            .collect();
        self.found = found;
        notices
    }

    /// A heartbeat came now. How long there was none, if that was much longer than it should be: the machine slept, or was too
    /// busy. Nothing that needed a heartbeat happened meanwhile.
    pub(super) fn gap(&mut self, now: Timestamp, period: Span) -> Option<Notice> {
        let jumped = std::mem::take(&mut self.jumped);
        let last = self.last.replace(now)?;
        let silent = now.since(last);
        let missed = silent.0 / period.0.max(1);
        (missed > MISSED).then(|| Notice::Gap {
            since: last,
            missed: missed - 1,
            jumped,
        })
    }
}

/// So many periods without a heartbeat are a gap. One late heartbeat is none.
const MISSED: u64 = 3;

fn of(state: &State, look: &Look) -> BTreeSet<(AttemptId, WorkspaceFault)> {
    let entry = state.task(&look.attempt.task);
    let ours = entry
        .and_then(|entry| entry.active())
        .filter(|active| active.attempt.id == look.attempt);
    // One that is being made is not yet as it will be lent.
    let active = ours.is_some_and(|active| !matches!(active.step, Step::Prepare(_)));
    let number = look.attempt.number;
    let over = entry.is_some_and(|entry| {
        entry.cleanups.contains_key(&number) || entry.leftovers.contains_key(&number)
    });
    let observations = [
        (
            WorkspaceFault::OffBranch,
            active && look.tree && !look.on_branch,
        ),
        (WorkspaceFault::TreeGone, active && !look.tree),
        (
            WorkspaceFault::HeadUnreadable,
            active && look.head.is_none(),
        ),
        (WorkspaceFault::Unreadable, active && look.unreadable),
        (WorkspaceFault::Rewritten, active && look.rewritten),
        (WorkspaceFault::Orphan, ours.is_none() && !over),
    ];
    let found = observations.into_iter().filter(|(_, is)| *is);
    found
        .map(|(what, _)| (look.attempt.clone(), what))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_heartbeat_is_no_gap_and_a_night_is_one() {
        let mut discovery = Discovery::since(None);
        let mut gap = |at| match discovery.gap(Timestamp(at), Span(1000)) {
            Some(Notice::Gap {
                since,
                missed,
                jumped: false,
            }) => Some((since.0, missed)),
            _ => None,
        };
        assert_eq!((gap(0), gap(1000), gap(4500)), (None, None, None));
        assert_eq!(gap(10_004_500), Some((4500, 9999)));
        assert_eq!(gap(10_005_500), None);
    }

    #[test]
    fn gap_knows_of_a_jump_of_the_clock() {
        let mut discovery = Discovery::since(None);
        assert!(discovery.gap(Timestamp(0), Span(1000)).is_none());
        discovery.jumped();
        let gap = discovery.gap(Timestamp(100_000), Span(1000));
        assert!(matches!(gap, Some(Notice::Gap { jumped: true, .. })));
        let gap = discovery.gap(Timestamp(200_000), Span(1000));
        assert!(matches!(gap, Some(Notice::Gap { jumped: false, .. })));
    }

    #[test]
    fn death_is_no_gap_and_is_told_once() {
        let mut discovery = Discovery::since(Some(Timestamp(5000)));
        let told = discovery.taken_up(Timestamp(65_000));
        let (from, to) = match told {
            Some(Notice::NotRunning { from, to }) => (from.0, to.0),
            other => panic!("{other:?}"),
        };
        assert_eq!((from, to), (5000, 65_000));
        assert!(discovery.taken_up(Timestamp(65_000)).is_none());
        assert!(discovery.gap(Timestamp(65_000), Span(1000)).is_none());
    }
}
