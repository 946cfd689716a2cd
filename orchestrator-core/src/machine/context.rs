//! What every decision may look at, and what is common to them.

use thiserror::Error;

use super::{
    entry::{Active, Phase, TaskEntry},
    state::State,
    step::Asked,
};
use crate::model::{Effect, EffectId, Policy, Record, TaskId, Timestamp};

/// An event that cannot have happened: a bug in whoever told it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IllegalEvent {
    /// It came before any [`EventKind::Opened`](crate::model::EventKind::Opened).
    #[error("no run was opened")]
    NotOpened,
    /// The effect was never asked for.
    #[error("effect {0} was never asked for")]
    UnknownEffect(EffectId),
    /// The effect is open, but is of a kind that such an event does not close.
    #[error("effect {0} is of another kind than the event that came for it")]
    WrongKind(EffectId),
}

/// What every decision may look at.
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    pub(super) policy: &'a Policy,
    pub(super) at: Timestamp,
}

impl<'a> Context<'a> {
    /// The open effect; `None` if it was closed before.
    pub(super) fn open(&self, effect: EffectId) -> Result<Option<&'a Effect>, IllegalEvent> {
        if effect.0 == 0 || effect.0 > self.state.last_effect {
            return Err(IllegalEvent::UnknownEffect(effect));
        }
        Ok(self.state.open.get(&effect))
    }

    /// For an event that closes an effect: what `then` says follows, or `None` from it for an effect of another kind.
    pub(super) fn closing(
        &self,
        effect: EffectId,
        then: impl FnOnce(&Effect) -> Option<Vec<Record>>,
    ) -> Result<Vec<Record>, IllegalEvent> {
        let Some(what) = self.open(effect)? else {
            return Ok(vec![Record::Stale { effect }]);
        };
        let follows = then(what).ok_or(IllegalEvent::WrongKind(effect))?;
        Ok([Record::Closed {
            effect,
            interrupted: false,
        }]
        .into_iter()
        .chain(follows)
        .collect())
    }

    /// The same for the effect that a task's step waits for.
    pub(super) fn closing_step(
        &self,
        effect: EffectId,
        then: impl FnOnce(&'a TaskEntry, &'a Active) -> Option<Vec<Record>>,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let (entry, active) = self.waiting_for(what, effect)?;
            then(entry, active)
        })
    }

    /// The task whose step waits for this effect.
    fn waiting_for(&self, what: &Effect, effect: EffectId) -> Option<(&'a TaskEntry, &'a Active)> {
        let entry = self.state.task(&what.attempt()?.task)?;
        match &entry.phase {
            Phase::Active(active) if active.step.asked() == Asked::Open(effect) => {
                Some((entry, active))
            }
            Phase::Active(_)
            | Phase::Waiting(_)
            | Phase::Held(_)
            | Phase::Landed(_)
            | Phase::Parked { .. } => None,
        }
    }

    /// For an event about a turn that runs, which closes nothing.
    pub(super) fn running(
        &self,
        effect: EffectId,
        then: impl FnOnce(&Active) -> Vec<Record>,
    ) -> Result<Vec<Record>, IllegalEvent> {
        let Some(what) = self.open(effect)? else {
            return Ok(vec![Record::Stale { effect }]);
        };
        match (what, self.waiting_for(what, effect)) {
            (Effect::RunTurn { .. }, Some((_, active))) => Ok(then(active)),
            (_, _) => Err(IllegalEvent::WrongKind(effect)),
        }
    }
}

/// A task is to be done that had landed, or was parked.
pub(super) fn reopened(task: &TaskId, advice: Option<String>) -> Record {
    let task = task.clone();
    Record::Reopened { task, advice }
}
