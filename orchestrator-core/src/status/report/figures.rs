//! What was done, in numbers: accepted change, and what it has cost.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    model::{BackendName, Span, Spend},
    status::{AttemptEnd, PhaseKind, TaskStory, costs},
};

/// Attempts by what came of them, and what an accepted change has cost. How many workers there were is no figure.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Attempts that landed.
    pub accepted: u32,
    /// Times that work was sent back to its session.
    pub revised: u32,
    /// Attempts that were looked at and not good enough.
    pub rejected: u32,
    /// Attempts that came to nothing otherwise.
    pub abandoned: u32,
    /// Attempts that their worker gave back.
    pub blocked: u32,
    /// Questions that a person was asked.
    pub held: u32,
    /// Of those, the ones that still wait.
    pub waiting_for_a_person: u32,
    /// Accepted attempts among those that are over; `None` before the first is.
    pub accepted_change_rate: Option<f64>,
    /// Attempts for each accepted change, those that came to nothing included; `None` without one.
    pub attempts_per_accepted: Option<f64>,
    /// Time of agents at work for each accepted change, likewise.
    pub work_per_accepted: Option<Span>,
    /// What all attempts have used, by agent; agents that reviewed their work are among them.
    pub used: BTreeMap<BackendName, Spend>,
}

impl Figures {
    pub(super) fn of(tasks: &[TaskStory]) -> Self {
        let mut figures = Self::default();
        let mut work = 0_u64;
        for attempt in tasks.iter().flat_map(|task| &task.attempts) {
            match attempt.end {
                AttemptEnd::UnderWay => {}
                AttemptEnd::Accepted { .. } => figures.accepted += 1,
                AttemptEnd::Rejected { .. } => figures.rejected += 1,
                AttemptEnd::Blocked { .. } => figures.blocked += 1,
                AttemptEnd::Abandoned { .. } => figures.abandoned += 1,
            }
            figures.revised += attempt.revisions;
            for (agent, spend) in &attempt.used {
                let known = figures.used.entry(agent.clone()).or_default();
                *known = std::mem::take(known).plus(spend);
            }
            let worked = attempt
                .phases
                .iter()
                .filter(|phase| phase.what == PhaseKind::Working);
            work += worked
                .filter_map(|phase| Some(phase.to?.since(phase.from).0))
                .sum::<u64>();
        }
        for story in tasks.iter().flat_map(|task| &task.holds) {
            figures.held += 1;
            figures.waiting_for_a_person += u32::from(story.ended.is_none());
        }
        let over = figures.accepted + figures.rejected + figures.blocked + figures.abandoned;
        let rate = |of: f64, among: u32| (among > 0).then(|| of / f64::from(among));
        figures.accepted_change_rate = rate(f64::from(figures.accepted), over);
        figures.attempts_per_accepted = rate(f64::from(over), figures.accepted);
        let accepted = u64::from(figures.accepted);
        figures.work_per_accepted = work.checked_div(accepted).map(Span);
        figures
    }

    /// Name and value of each, for people.
    pub(super) fn rows(&self) -> Vec<[String; 2]> {
        let number = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
        };
        let used = costs::sum(self.used.values());
        let each = used.for_each(self.accepted);
        let rate = self
            .accepted_change_rate
            .map_or_else(|| "–".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        [
            ("accepted", self.accepted.to_string()),
            ("revised", self.revised.to_string()),
            ("rejected", self.rejected.to_string()),
            ("abandoned", self.abandoned.to_string()),
            ("blocked", self.blocked.to_string()),
            (
                "held",
                format!("{} ({} still open)", self.held, self.waiting_for_a_person),
            ),
            ("accepted-change rate", rate),
            (
                "attempts for each accepted change",
                number(self.attempts_per_accepted),
            ),
            (
                "time of agents for each",
                self.work_per_accepted
                    .map_or_else(|| "–".to_owned(), super::page::roughly),
            ),
            ("tokens for each", each.tokens_text()),
            ("money for each", each.money_text()),
            ("tokens in all", used.tokens_text()),
            ("money in all", used.money_text()),
        ]
        .map(|(name, value)| [name.to_owned(), value])
        .into()
    }
}
