//! What a record speaks of, found in the state to be changed.

use thiserror::Error;

use super::{
    entry::{Active, Phase, TaskEntry},
    state::State,
    tasks::List,
};
use crate::model::{AttemptId, CommitId, HoldId, TaskId, TreeId};

/// A record that does not fit the state: the ledger was not written by this machine, or was put together wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the record does not fit: {what} {subject}")]
pub struct Misfit {
    what: &'static str,
    subject: String,
}

pub(super) fn misfit(what: &'static str, subject: &dyn ToString) -> Misfit {
    Misfit {
        what,
        subject: subject.to_string(),
    }
}

pub(super) fn entry_mut<'a>(
    state: &'a mut State,
    id: &TaskId,
) -> Result<&'a mut TaskEntry, Misfit> {
    state
        .tasks
        .get_mut(id)
        .ok_or_else(|| misfit("no such task:", id))
}

pub(super) fn held_mut(state: &mut State, hold: HoldId) -> Result<&mut TaskEntry, Misfit> {
    let task = state.held(hold).map(|(entry, _)| entry.task.id.clone());
    entry_mut(state, &task.ok_or_else(|| misfit("no such hold:", &hold))?)
}

pub(super) fn active_mut<'a>(
    state: &'a mut State,
    id: &AttemptId,
) -> Result<&'a mut Active, Misfit> {
    match &mut entry_mut(state, &id.task)?.phase {
        Phase::Active(active) if active.attempt.id == *id => Ok(active),
        Phase::Active(_)
        | Phase::Waiting(_)
        | Phase::Held(_)
        | Phase::Landed(_)
        | Phase::Parked { .. } => Err(misfit("not under way:", id)),
    }
}

/// The target's tip, and its tree, where that is known already.
pub(super) fn set_tip(state: &mut State, tip: CommitId, tree: Option<TreeId>) {
    if state.tip != Some(tip) {
        state.tip = Some(tip);
        state.tip_tree = tree;
        forget_other_trees(state);
    }
    state.tip_tree = tree.or(state.tip_tree);
    // Before the first tip nothing of ours can be missing.
    state.history.checked.get_or_insert(tip);
}

/// Reports count as long as something may be decided by them: of the tip, and of candidates that have yet to land.
fn forget_other_trees(state: &mut State) {
    let active = state.tasks.on(List::Active);
    let open = active.chain(state.tasks.on(List::Held));
    let candidates = open.filter_map(|entry| entry.active()?.step.tree());
    let needed = candidates.chain(state.tip_tree).collect();
    state.gates.keep_trees(&needed);
}
