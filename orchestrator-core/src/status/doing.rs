//! What is done for a task just now, and since when.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    machine::{Active, State},
    model::{Effect, ReviewerChoice, Timestamp},
};

/// Something that we do for a task ourselves, while its agent does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Doing {
    /// In words, such as: gate `unit` runs.
    pub what: String,
    /// Since when: milliseconds since 1970-01-01T00:00:00Z.
    pub since: u64,
}

impl Doing {
    /// What is done for an attempt, as far as the state tells.
    pub(super) fn of(state: &State, active: &Active) -> Option<Self> {
        let id = &active.attempt.id;
        let open = state.open_effects().iter();
        let in_lane = active.step.in_lane();
        let mut own =
            open.filter(|(_, what)| what.attempt() == Some(id) || in_lane && what.is_gate_on_tip());
        own.find_map(|(effect, what)| {
            let asked = state.asked_at(*effect)?;
            let Some(reviewing) = state.reviewer(*effect) else {
                let what = in_words(what)?;
                return Some(Self::since(what, asked));
            };
            let name = &reviewing.reviewer;
            let what = match &reviewing.choice {
                None | Some(ReviewerChoice::Other) => format!("reviewer `{name}` looks at it"),
                Some(choice) => format!("reviewer `{name}` looks at it ({choice})"),
            };
            Some(Self::since(what, reviewing.since))
        })
    }

    fn since(what: String, since: Timestamp) -> Self {
        Self {
            what,
            since: since.0,
        }
    }
}

impl fmt::Display for Doing {
    /// With the time of day, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hours, minutes, seconds] = Timestamp(self.since).time_of_day();
        write!(
            f,
            "{} since {hours:02}:{minutes:02}:{seconds:02} UTC",
            self.what
        )
    }
}

fn in_words(what: &Effect) -> Option<String> {
    Some(match what {
        Effect::Prepare { .. } => "its workspace is made".to_owned(),
        Effect::Collect { .. } => "its work is taken in".to_owned(),
        Effect::Review { .. } => "it is reviewed".to_owned(),
        Effect::Merge { .. } => "it is merged into the target's tip".to_owned(),
        Effect::RunGate { gate, .. } if what.is_gate_on_tip() => {
            format!("gate `{}` runs on the target's own tip", gate.name)
        }
        Effect::RunGate { gate, .. } => format!("gate `{}` runs", gate.name),
        Effect::Land { .. } => "it lands".to_owned(),
        Effect::CleanUp { .. } => "its workspace is cleaned up".to_owned(),
        // Its agent works, or nobody waits for it.
        Effect::RunTurn { .. }
        | Effect::Nudge { .. }
        | Effect::StopTurn { .. }
        | Effect::ReadRoadmap { .. }
        | Effect::CheckHistory { .. }
        | Effect::CancelGate { .. }
        | Effect::Report { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doing_is_shown_with_its_time() {
        let doing = Doing {
            what: "gate `unit` runs".to_owned(),
            since: 1_000 * (86_400 * 20_000 + 3_600 * 9 + 60 * 5 + 7) + 999,
        };
        assert_eq!(doing.to_string(), "gate `unit` runs since 09:05:07 UTC");
    }
}
