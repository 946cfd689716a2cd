//! The target's history: whether all that counts is still in it (law 15).
//!
//! Whenever the tip moves by another hand than ours, the last tip that was checked is looked for in
//! the new history. Where it is missing, the target was rewritten, and every landing is looked for.

use std::sync::Arc;

use super::{
    context::{Context, IllegalEvent},
    entry::{Active, Held, Phase, TaskEntry, Then},
    plan::Plan,
    state::State,
};
use crate::model::{
    Carried, CommitId, Effect, EffectId, HoldReason, MissingCommit, Record, Submission,
};

impl Plan<'_> {
    /// Whether all that counts is known to be in the tip's history.
    pub(super) fn knows_history(&self) -> bool {
        let state = self.cx.state;
        state.tip.is_some() && state.history.checked == state.tip
    }

    /// Has the tip's history looked through, where that is due.
    pub(super) fn history(&mut self) {
        let state = self.cx.state;
        let (Some(tip), Some(checked)) = (state.tip, state.history.checked) else {
            return;
        };
        if state.history.checking.is_some() || self.knows_history() {
            return;
        }

        let mut commits: Vec<CommitId> =
            dropped_landings(state).map(|(_, commit)| commit).collect();
        if state.history.rewritten {
            commits.extend(landings(state).map(|(_, commit)| commit));
        } else {
            commits.push(checked);
        }
        self.request(Effect::CheckHistory { tip, commits });
    }
}

impl Context<'_> {
    /// What follows from a look at the target's history.
    pub(super) fn history_checked(
        &self,
        effect: EffectId,
        missing: &[MissingCommit],
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let Effect::CheckHistory { tip, commits } = what else {
                return None;
            };
            let mut records = self.restored(commits, missing);
            if self.state.history.rewritten {
                records.extend(self.moved_or_dropped(*tip, missing));
                records.push(Record::HistoryKept { tip: *tip });
                return Some(records);
            }

            let checked = self.state.history.checked;
            records.push(
                match missing.iter().find(|gone| Some(gone.commit) == checked) {
                    Some(gone) => Record::TargetRewritten {
                        from: gone.commit,
                        tip: *tip,
                    },
                    None => Record::HistoryKept { tip: *tip },
                },
            );
            Some(records)
        })
    }

    /// Landings that were dropped, and that the target has again.
    fn restored(&self, looked_for: &[CommitId], missing: &[MissingCommit]) -> Vec<Record> {
        let mut records = Vec::new();
        for (held, commit) in dropped_landings(self.state) {
            let gone = missing.iter().find(|gone| gone.commit == commit);
            let again = gone.map_or(Some(commit), |gone| gone.again);
            let (true, Some(again)) = (looked_for.contains(&commit), again) else {
                continue;
            };
            let hold = held.hold.id;
            records.push(Record::HoldAnswered {
                hold,
                answer: None,
                at: self.at,
            });
            if again != commit {
                let task = held.hold.task.clone();
                records.push(Record::LandingMoved {
                    task,
                    commit: Some(again),
                });
            }
        }
        records
    }

    /// What became of each landing that the rewritten target does not have: it is another commit
    /// there, or a person is asked. Nothing of it is done again unasked.
    fn moved_or_dropped(&self, tip: CommitId, missing: &[MissingCommit]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut id = self.state.next_hold();
        for (entry, commit) in landings(self.state) {
            let Some(gone) = missing.iter().find(|gone| gone.commit == commit) else {
                continue;
            };
            let task = entry.task.id.clone();
            if gone.again.is_some() {
                records.push(Record::LandingMoved {
                    task,
                    commit: gone.again,
                });
                continue;
            }
            let about = HoldReason::LandingDropped { commit, tip };
            records.push(self.ask_as(id, &task, about.into()));
            id.0 += 1;
        }
        records
    }

    /// An attempt's work was committed anew.
    pub(super) fn carried_over(
        &self,
        active: &Active,
        work: &Submission,
        carried: Carried,
    ) -> Record {
        let attempt = active.attempt.id.clone();
        Record::CarriedOver {
            attempt,
            submission: Arc::new(work.as_carried(carried)),
        }
    }
}

/// Tasks that landed, with the commits by which they did.
fn landings(state: &State) -> impl Iterator<Item = (&TaskEntry, CommitId)> {
    state.tasks().iter().filter_map(|entry| match &entry.phase {
        Phase::Landed(landed) => Some((entry, landed.commit?)),
        Phase::Waiting(_) | Phase::Active(_) | Phase::Held(_) | Phase::Parked { .. } => None,
    })
}

/// Tasks of which a person is asked, since the target has dropped their landings.
fn dropped_landings(state: &State) -> impl Iterator<Item = (&Held, CommitId)> {
    state.tasks().iter().filter_map(|entry| match &entry.phase {
        Phase::Held(held) => match &held.then {
            Then::Landed(landed) => Some((&**held, landed.commit?)),
            Then::Wait(_) | Then::Resume(_) => None,
        },
        Phase::Waiting(_) | Phase::Active(_) | Phase::Landed(_) | Phase::Parked { .. } => None,
    })
}
