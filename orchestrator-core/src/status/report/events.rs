//! What happened to a run as a whole.

use std::collections::BTreeMap;

use super::RunEvent;
use crate::model::{BackendName, Record, Timestamp, Trouble};

/// What happened from `from` on, in the order of the records.
pub(super) fn events<'a>(
    entries: impl IntoIterator<Item = (Timestamp, &'a Record)>,
    from: Timestamp,
) -> Vec<RunEvent> {
    let mut known = Known::default();
    let mut events = Vec::new();
    for (at, record) in entries {
        let event = known.event(at, record);
        known.last = Some(at);
        events.extend(event.filter(|event| event.at >= from));
    }
    events
}

/// What is known so far, so that nothing is told twice.
#[derive(Default)]
struct Known {
    last: Option<Timestamp>,
    is_away: bool,
    agents: BTreeMap<BackendName, (Trouble, Option<Timestamp>)>,
}

impl Known {
    fn event(&mut self, at: Timestamp, record: &Record) -> Option<RunEvent> {
        let what = match record {
            Record::RunOpened { resumed: true, .. } => self.taken_up(at),
            Record::RunOpened { opened, .. } => format!("run {} began", opened.run),
            Record::RoadmapRefused { tip, why } => {
                format!("the roadmap could not be used at {}: {why}", tip.short())
            }
            Record::RemoteAway { .. } if std::mem::replace(&mut self.is_away, true) => return None,
            Record::RemoteAway { why, .. } => format!("the remote could not be reached: {why}"),
            Record::RemoteBack => {
                self.is_away = false;
                "the remote could be reached again".to_owned()
            }
            Record::ClockJumped { by, .. } => {
                format!("the clock jumped {by}, and the limits of time with it")
            }
            Record::ModeSet(mode) => format!("the mode became {mode}"),
            Record::PackageEntered { package, why } => match package {
                Some(name) => format!("work went on in package {name}: {why}"),
                None => format!("work went on with tasks without a package: {why}"),
            },
            Record::AgentTroubled {
                agent,
                trouble,
                at: seen,
                until,
                named,
                ..
            } => {
                let before = self.agents.insert(agent.clone(), (trouble.clone(), *until));
                // Tasks that find out at the same time are one event.
                let is_known = |(known, lasts): (Trouble, Option<Timestamp>)| {
                    known == *trouble && lasts.is_some_and(|lasts| lasts > *seen)
                };
                if before.is_some_and(is_known) {
                    return None;
                }
                let what = trouble.with_its_end(*until, *named, Some(*seen));
                format!("agent {agent} could not be used: {what}")
            }
            Record::AgentRecovered {
                agent,
                from: Some(_),
                ..
            } => {
                self.agents.remove(agent);
                format!("agent {agent} could be used again")
            }
            Record::AnswerRefused { answer, why } => {
                format!("an answer to {} was refused: {why}", answer.hold)
            }
            Record::RunEnded { reason, .. } => format!("the run ended: {reason}"),
            _ => return None,
        };
        let marks = matches!(record, Record::RunOpened { .. });
        Some(RunEvent { at, what, marks })
    }

    fn taken_up(&self, at: Timestamp) -> String {
        let away = match self.last {
            Some(last) if last <= at => format!(
                "the orchestrator was not running from {} to {}, {}",
                last.to_the_second(),
                at.to_the_second(),
                at.since(last).in_words()
            ),
            Some(_) | None => "the orchestrator was not running for a time".to_owned(),
        };
        format!("{away}: it had died, or was stopped in the middle; another took the run up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PackageChange;

    const NOON: u64 = 951_825_600_000;

    fn told(records: &[(u64, Record)]) -> Vec<String> {
        let entries = records.iter().map(|(at, record)| (Timestamp(*at), record));
        let events = events(entries, Timestamp(0)).into_iter();
        events.map(|event| event.what).collect()
    }

    fn limited(at: u64, until: u64, named: bool) -> (u64, Record) {
        let record = Record::AgentTroubled {
            agent: "codex".parse().expect("a name"),
            trouble: Trouble::UsageLimit,
            at: Timestamp(at),
            until: Some(Timestamp(until)),
            named,
            tries: 1,
        };
        (at, record)
    }

    #[test]
    fn limit_is_told_once_with_its_reset() {
        let reset = NOON + 7_500_000;
        let told = told(&[
            limited(NOON, reset, true),
            limited(NOON + 1, reset, true),
            limited(reset, reset + 60_000, false),
        ]);
        assert_eq!(
            told,
            [
                "agent codex could not be used: its usage limit is reached; it is reset at \
                 2000-02-29 14:05 UTC, in 2 h 5 min",
                "agent codex could not be used: its usage limit is reached, and it does not say \
                 when that is reset; it is tried again at 2000-02-29 14:06 UTC, in 60 s",
            ]
        );
    }

    #[test]
    fn tasks_without_a_package_have_no_name_of_one() {
        let entered = Record::PackageEntered {
            package: None,
            why: PackageChange::FirstReady,
        };
        assert_eq!(
            told(&[(NOON, entered)]),
            ["work went on with tasks without a package: it has the first ready task"]
        );
    }

    #[test]
    fn remote_that_is_away_is_told_once() {
        let away = || Record::RemoteAway {
            why: "no route".to_owned(),
            at: Timestamp(NOON),
            until: Timestamp(NOON),
        };
        let records = [(NOON, away()), (NOON, away()), (NOON, Record::RemoteBack)];
        let expected = [
            "the remote could not be reached: no route",
            "the remote could be reached again",
        ];
        assert_eq!(told(&records), expected);
    }
}
