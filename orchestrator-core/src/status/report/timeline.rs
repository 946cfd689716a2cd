//! When what was done, and when somebody was asked.

use super::{
    Report,
    page::{formatted, time},
};
use crate::{
    model::Timestamp,
    status::{AttemptEnd, PhaseKind},
};

/// Rows of bars over one axis of time.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) rows: Vec<Row>,
    /// Where its orchestrator died, or a run began.
    pub(super) marks: Vec<(Timestamp, String)>,
    /// Round times on the axis, with their names.
    pub(super) ticks: Vec<(Timestamp, String)>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
    /// A word on how it ended.
    pub(super) end: &'static str,
}

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) what: PhaseKind,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) note: String,
}

impl Timeline {
    /// How far along the axis a time is: 0 to 1.
    pub(super) fn at(&self, time: Timestamp) -> f64 {
        let all = self.to.since(self.from).0.max(1);
        let part = time.since(self.from).0.min(all);
        // A page is not precise to the millisecond of a year.
        #[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
        let place = part as f64 / all as f64;
        place
    }
}

/// The word for a bar, and its letter where there are no colours.
pub(super) fn word(what: PhaseKind) -> (&'static str, char) {
    match what {
        PhaseKind::Preparing => ("preparing", '.'),
        PhaseKind::Working => ("working", '='),
        PhaseKind::Reviewing => ("reviewing", 'r'),
        PhaseKind::Landing => ("landing", '>'),
        PhaseKind::Asking => ("waiting for a person", '?'),
    }
}

pub(super) const KINDS: [PhaseKind; 5] = [
    PhaseKind::Preparing,
    PhaseKind::Working,
    PhaseKind::Reviewing,
    PhaseKind::Landing,
    PhaseKind::Asking,
];

pub(super) fn timeline(report: &Report) -> Timeline {
    let (from, to) = (report.from, report.to);
    let bar = |what: PhaseKind, begun: Timestamp, ended: Option<Timestamp>, about: &str| {
        let (begun, ended) = (begun.max(from), ended.unwrap_or(to).max(from));
        let note = format!(
            "{about}: {} from {} to {}",
            word(what).0,
            time(begun),
            time(ended)
        );
        Bar {
            what,
            from: begun,
            to: ended,
            note,
        }
    };
    let mut rows = Vec::new();
    for task in &report.tasks {
        for attempt in &task.attempts {
            let name = attempt.id.to_string();
            let bars = attempt
                .phases
                .iter()
                .map(|phase| bar(phase.what, phase.from, phase.to, &name))
                .collect();
            let end = match attempt.end {
                AttemptEnd::Accepted { .. } => "landed",
                AttemptEnd::Rejected { .. } => "rejected",
                AttemptEnd::Blocked { .. } => "given back",
                AttemptEnd::Abandoned { .. } => "came to nothing",
                AttemptEnd::UnderWay
                    if attempt
                        .phases
                        .last()
                        .is_some_and(|last| last.what == PhaseKind::Asking) =>
                {
                    "waits"
                }
                AttemptEnd::UnderWay => "goes on",
            };
            rows.push(Row { name, bars, end });
        }
        // Questions before an attempt, or after one that is over: no attempt's bar shows them.
        let during = |at: Timestamp| {
            task.attempts
                .iter()
                .any(|attempt| attempt.began <= at && attempt.ended.is_none_or(|ended| at < ended))
        };
        for story in task.holds.iter().filter(|story| !during(story.hold.since)) {
            let name = format!("{} {}", task.id, story.hold.id);
            let bars = vec![bar(PhaseKind::Asking, story.hold.since, story.ended, &name)];
            rows.push(Row {
                name,
                bars,
                end: if story.ended.is_some() {
                    "answered"
                } else {
                    "waits"
                },
            });
        }
    }
    rows.sort_by_key(|row| row.bars.first().map(|bar| bar.from));
    let marks = report
        .events
        .iter()
        .filter(|event| event.marks)
        .map(|event| (event.at, event.what.clone()))
        .collect();
    Timeline {
        from,
        to,
        rows,
        marks,
        ticks: ticks(from, to),
    }
}

/// At most eight round times.
fn ticks(from: Timestamp, to: Timestamp) -> Vec<(Timestamp, String)> {
    const STEPS: [u64; 16] = [
        1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400, 604_800,
    ];
    let seconds = to.since(from).0 / 1000;
    let step = STEPS
        .into_iter()
        .find(|step| seconds / step <= 8)
        .unwrap_or(604_800)
        * 1000;
    let format = if step < 60_000 {
        "%H:%M:%S"
    } else if step < 86_400_000 {
        "%H:%M"
    } else {
        "%m-%d"
    };
    let first = from.0.div_ceil(step);
    let all = (first..=to.0 / step)
        .take(64)
        .map(|number| Timestamp(number * step));
    all.map(|at| (at, formatted(at, format))).collect()
}
