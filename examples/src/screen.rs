//! The lines of a run: one for each thing that happened, and none of them twice.

use std::collections::BTreeMap;

use orchestrator_core::{
    driver::{LongStep, Notice, Stage},
    model::{
        AttemptId, BackendName, Findings, HoldReason, Record, Timestamp, Trouble, Verdict,
        clean_line, start_of,
    },
    status::{NudgeEnd, Nudged, Nudges},
};

use super::records::describe;

/// The longest line, in characters: the report has all of what is longer.
const LONGEST: usize = 1000;

/// One line, and the attempt that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) text: String,
}

impl Line {
    fn of(attempt: Option<&AttemptId>, text: impl AsRef<str>) -> Self {
        let attempt = attempt.cloned();
        let text = text.as_ref();
        let text = match &attempt {
            Some(attempt) => format!("{:<8} {text}", attempt.to_string()),
            None => text.to_owned(),
        };
        let text = one_line(&text);
        Self { attempt, text }
    }
}

/// A text on one line: its lines joined, and cut where it is very long.
pub(crate) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.collect::<Vec<_>>().join(" | ");
    start_of(&clean_line(&lines), LONGEST).replace('\n', " ")
}

/// What was told so far, as far as it keeps something from being told again.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// Why an attempt was rejected, or ended: the question, or the parking, that follows says the same.
    reason: Option<String>,
    is_away: bool,
    agents: BTreeMap<BackendName, (Trouble, Option<Timestamp>)>,
    nudges: Nudges,
}

impl Screen {
    /// What a record is to somebody who watches; `None` where it tells nothing new.
    pub(crate) fn record(&mut self, record: &Record) -> Option<Line> {
        let nudged = self.nudges.fold(record);
        if let Some((attempt, Nudged::Ended(end))) = &nudged {
            let text = match (end, record) {
                (NudgeEnd::Helped, Record::TurnEnded { .. }) => "ended its turn after the reminder",
                (NudgeEnd::Helped, _) => "goes on after the reminder",
                (NudgeEnd::InVain, _) => {
                    "is stopped: the reminder was in vain, and it is still silent"
                }
            };
            return Some(Line::of(Some(attempt), text));
        }
        if self.is_told(record) {
            return None;
        }
        if let Some(text) = self.without_its_reason(record) {
            return Some(Line::of(None, text));
        }
        let (attempt, text) = describe(record)?;
        Some(Line::of(attempt, text))
    }

    /// Whether nothing is new about it.
    fn is_told(&mut self, record: &Record) -> bool {
        match record {
            Record::RemoteAway { .. } => std::mem::replace(&mut self.is_away, true),
            Record::RemoteBack => {
                self.is_away = false;
                false
            }
            Record::AgentTroubled {
                agent,
                trouble,
                at,
                until,
                ..
            } => {
                let now = (trouble.clone(), *until);
                let before = self.agents.insert(agent.clone(), now);
                // Tasks that find out at the same time tell one thing.
                before.is_some_and(|(known, lasts)| {
                    known == *trouble && lasts.is_none_or(|lasts| lasts > *at)
                })
            }
            Record::AgentRecovered { agent, .. } => {
                self.agents.remove(agent);
                false
            }
            Record::Judged { verdict, .. } => {
                if let Verdict::Reject { findings } = verdict {
                    self.reason = Some(Findings::of(findings).to_string());
                }
                false
            }
            Record::AttemptEnded { cause, .. } => {
                let reason = cause.to_string();
                let before = self.reason.replace(reason.clone());
                before.is_some_and(|before| reason.contains(&before))
            }
            _ => false,
        }
    }

    /// A question, or a parking, whose reason was told just before.
    fn without_its_reason(&mut self, record: &Record) -> Option<String> {
        match record {
            Record::HoldOpened { hold } => {
                let told = self.reason.take();
                if let HoldReason::Agent { agent, .. } = &hold.about {
                    return Some(format!(
                        "{} waits for a person: {}: see to agent {agent}",
                        hold.task, hold.id
                    ));
                }
                let is_told = told.is_some_and(|told| told == hold.question());
                is_told.then(|| format!("{} waits for a person: {}", hold.task, hold.id))
            }
            Record::Parked { task, reason, .. } => {
                let told = self.reason.take();
                let is_told = told.is_some_and(|told| told == reason.to_string());
                is_told.then(|| format!("{task} is parked"))
            }
            _ => None,
        }
    }

    /// The same for all else but records and what agents say.
    pub(crate) fn notice(notice: &Notice) -> Option<Line> {
        match notice {
            Notice::Observed { attempt, what } => Some(warning(format!("{attempt}: {what}"))),
            // The jump is recorded, and told as that.
            Notice::Gap { jumped: true, .. } => None,
            Notice::Gap { since, missed, .. } => Some(warning(format!(
                "{missed} heartbeats were missed since {since}: this process was held up, and the \
                 cause is not known"
            ))),
            Notice::NotRunning { from, to } => Some(Line::of(
                None,
                format!(
                    "the orchestrator was not running from {} to {}, {}",
                    from.to_the_second(),
                    to.to_the_second(),
                    to.since(*from).in_words()
                ),
            )),
            Notice::Drift {
                attempt,
                towards,
                paths,
            } => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                Some(warning(format!(
                    "{attempt} drifts towards {towards}: it touches {}",
                    paths.join(", ")
                )))
            }
            Notice::Progress {
                attempt,
                step,
                stage,
            } => progress(attempt.as_ref(), step, stage),
            Notice::Warning(text) => Some(warning(text)),
            _ => None,
        }
    }

    /// What an agent says.
    pub(crate) fn activity(attempt: &AttemptId, text: &str) -> Line {
        Line::of(Some(attempt), format!("says: {}", one_line(text)))
    }
}

fn warning(text: impl AsRef<str>) -> Line {
    Line::of(None, format!("warning: {}", text.as_ref()))
}

/// That a gate begins, that something takes long, and how what took long has ended.
fn progress(attempt: Option<&AttemptId>, step: &LongStep, stage: &Stage) -> Option<Line> {
    let is_gate = matches!(step, LongStep::Gate { .. } | LongStep::TipGate { .. });
    // How a gate ended is recorded, and shown as that.
    if is_gate && matches!(stage, Stage::Ended { .. }) {
        return None;
    }
    Some(Line::of(attempt, format!("{step} {stage}")))
}

#[cfg(test)]
mod tests;
