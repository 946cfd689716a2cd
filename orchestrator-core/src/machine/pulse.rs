//! Whether an agent still works, judged from what a heartbeat sees.

use super::{
    context::{Context, IllegalEvent},
    entry::Active,
    plan::stop_reason,
    step::Working,
};
use crate::model::{Effect, EffectId, Policy, Pulse, Record, StopReason, Timestamp, TurnSight};

/// How a turn looks. A person's limit for silence holds for every agent; without one, the backend's own.
fn pulse(policy: &Policy, working: &Working, seen: &TurnSight, at: Timestamp) -> Pulse {
    let (_, nudged) = working.nudges;
    // Who was reminded gets as long again.
    let silent = at.since(nudged.map_or(seen.active, |nudged| nudged.max(seen.active)));
    match policy.limits.stall.or(seen.silence) {
        _ if seen.alive == Some(false) => Pulse::Gone,
        _ if seen.tool_in_flight => Pulse::Active,
        Some(patience) if silent >= patience => Pulse::Stalled,
        _ if at.since(seen.active) < policy.limits.heartbeat => Pulse::Active,
        Some(_) => Pulse::Quiet,
        None => Pulse::Unknown,
    }
}

impl Context<'_> {
    /// What follows from a look at a running turn.
    pub(super) fn turn_seen(
        &self,
        active: &Active,
        turn: EffectId,
        seen: &TurnSight,
    ) -> Vec<Record> {
        let Some(working) = active.step.working() else {
            return Vec::new();
        };
        let attempt = || active.attempt.id.clone();
        let moved = seen.head.filter(|head| active.attempt.head != Some(*head));
        let moved = moved.map(|head| Record::HeadSeen {
            attempt: attempt(),
            head,
        });
        let pulse = pulse(self.policy, working, seen, self.at);
        let changed = (pulse != working.pulse).then(|| Record::PulseSeen {
            attempt: attempt(),
            pulse,
        });
        let stuck = match pulse {
            Pulse::Stalled => Some(StopReason::Stalled),
            // Its end may be on the way.
            Pulse::Gone if working.pulse == Pulse::Gone => Some(StopReason::Gone),
            Pulse::Gone | Pulse::Unknown | Pulse::Active | Pulse::Quiet => None,
        };
        let follows = stop_reason(self, active, stuck, seen.usage).map(|why| {
            if why == StopReason::Stalled && working.nudges.0 < self.policy.limits.nudges {
                Effect::Nudge {
                    attempt: attempt(),
                    turn,
                }
            } else {
                Effect::StopTurn {
                    attempt: attempt(),
                    turn,
                    why,
                }
            }
        });
        moved
            .into_iter()
            .chain(changed)
            .chain(follows.map(|what| self.request(what)))
            .collect()
    }

    /// An agent that cannot be spoken to is stopped at once.
    pub(super) fn nudged(
        &self,
        effect: EffectId,
        heard: bool,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let Effect::Nudge { attempt, turn } = what else {
                return None;
            };
            let working = self
                .state
                .task(&attempt.task)
                .and_then(|entry| entry.active()?.step.working());
            // The turn may have ended, or been told to stop, while it was spoken to.
            let deaf = !heard
                && working
                    .is_some_and(|working| working.effect == *turn && working.stopping.is_none());
            let stop = Effect::StopTurn {
                attempt: attempt.clone(),
                turn: *turn,
                why: StopReason::Stalled,
            };
            Some(deaf.then(|| self.request(stop)).into_iter().collect())
        })
    }

    fn request(&self, what: Effect) -> Record {
        Record::Requested {
            effect: EffectId(self.state.last_effect + 1),
            at: self.at,
            what,
        }
    }
}
