//! Reminders to go on, and whether they helped: folded from records, for the report and for a screen.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{AttemptId, Effect, Pulse, Record, StopReason, Timestamp};

/// One reminder to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NudgeStory {
    /// When the agent was reminded.
    pub at: Timestamp,
    /// What came of it; `None` while that is open, and where the turn was stopped for another reason.
    pub end: Option<NudgeEnd>,
}

/// What came of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NudgeEnd {
    /// The agent went on.
    Helped,
    /// It stayed silent, or could not be spoken to, and its turn was stopped.
    InVain,
}

impl NudgeStory {
    /// In words, such as: after which it went on.
    #[must_use]
    pub fn in_words(&self) -> &'static str {
        match self.end {
            Some(NudgeEnd::Helped) => "reminded to go on, after which it went on",
            Some(NudgeEnd::InVain) => "reminded to go on, in vain: its turn was stopped",
            None => "reminded to go on",
        }
    }
}

/// Reminders whose outcome is open.
#[derive(Debug, Default)]
pub struct Nudges {
    open: BTreeMap<AttemptId, Timestamp>,
}

/// What a record says of a reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nudged {
    /// The agent is reminded.
    Begun(Timestamp),
    /// What came of the last reminder.
    Ended(NudgeEnd),
}

impl Nudges {
    /// Folds one record.
    pub fn fold(&mut self, record: &Record) -> Option<(AttemptId, Nudged)> {
        match record {
            Record::Requested {
                what: Effect::Nudge { attempt, .. },
                at,
                ..
            } => {
                self.open.insert(attempt.clone(), *at);
                Some((attempt.clone(), Nudged::Begun(*at)))
            }
            Record::Requested {
                what: Effect::StopTurn { attempt, why, .. },
                ..
            } => {
                self.open.remove(attempt)?;
                let is_silent = matches!(why, StopReason::Stalled | StopReason::Gone);
                is_silent.then(|| (attempt.clone(), Nudged::Ended(NudgeEnd::InVain)))
            }
            Record::PulseSeen {
                attempt,
                pulse: Pulse::Active,
            }
            | Record::HeadSeen { attempt, .. }
            | Record::TurnEnded { attempt, .. } => {
                self.open.remove(attempt)?;
                Some((attempt.clone(), Nudged::Ended(NudgeEnd::Helped)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EffectId;

    fn asked(what: Effect) -> Record {
        Record::Requested {
            effect: EffectId(9),
            at: Timestamp(7),
            what,
        }
    }

    #[test]
    fn nudge_helped_or_did_not() {
        let attempt: AttemptId = "A#1".parse().expect("an id");
        let nudge = || {
            asked(Effect::Nudge {
                attempt: attempt.clone(),
                turn: EffectId(1),
            })
        };
        let stop = |why| {
            asked(Effect::StopTurn {
                attempt: attempt.clone(),
                turn: EffectId(1),
                why,
            })
        };
        let pulse = |pulse| Record::PulseSeen {
            attempt: attempt.clone(),
            pulse,
        };
        let mut nudges = Nudges::default();
        let mut fold = |record: Record| nudges.fold(&record).map(|(_, nudged)| nudged);
        assert_eq!(fold(pulse(Pulse::Active)), None);
        assert_eq!(fold(nudge()), Some(Nudged::Begun(Timestamp(7))));
        assert_eq!(fold(pulse(Pulse::Quiet)), None);
        let helped = Some(Nudged::Ended(NudgeEnd::Helped));
        assert_eq!(fold(pulse(Pulse::Active)), helped);
        assert_eq!(fold(pulse(Pulse::Active)), None);
        fold(nudge());
        let in_vain = Some(Nudged::Ended(NudgeEnd::InVain));
        assert_eq!(fold(stop(StopReason::Stalled)), in_vain);
        fold(nudge());
        assert_eq!(fold(stop(StopReason::Deadline)), None);
    }
}
