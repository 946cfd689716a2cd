//! The live view: lines on standard error, and on a terminal a spinner for each task under way.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrator_core::{
    driver::Notice,
    model::{AttemptId, Effect, Record, Verdict, clean},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    complain,
    screen::{Line, Screen},
};

/// Shows a run on standard error until it ends. How it ended is for its caller to say.
pub async fn show(mut notices: Receiver<Notice>) {
    let mut view = View::new();
    let mut screen = Screen::default();
    loop {
        match notices.recv().await {
            Ok(Notice::Recorded(entry)) => {
                let line = screen.record(&entry.record);
                view.record(line, &entry.record);
                if matches!(entry.record, Record::RunEnded { .. }) {
                    break;
                }
            }
            Ok(Notice::Activity { attempt, text }) => view.activity(&attempt, &text),
            Ok(notice @ Notice::Progress { .. }) => {
                if let Some(line) = Screen::notice(&notice) {
                    view.passing(&line);
                }
            }
            Ok(notice) => {
                if let Some(line) = Screen::notice(&notice) {
                    view.print(&line.text);
                }
            }
            Err(RecvError::Lagged(missed)) => {
                view.print(&format!("({missed} lines were too fast to be shown)"));
            }
            Err(RecvError::Closed) => break,
        }
    }
}

struct View {
    bars: Option<(MultiProgress, HashMap<AttemptId, ProgressBar>)>,
    /// For each attempt, the second in which it spoke last, and how many lines of that second were shown.
    spoken: HashMap<AttemptId, (Instant, u32)>,
}

/// Of what an agent says in one second, so many lines are shown: some say millions.
const LINES_A_SECOND: u32 = 20;

impl View {
    fn new() -> Self {
        Self {
            bars: stderr()
                .is_terminal()
                .then(|| (MultiProgress::new(), HashMap::new())),
            spoken: HashMap::new(),
        }
    }

    fn print(&self, line: &str) {
        match &self.bars {
            // Drawing on a terminal that went away is no reason to stop a run.
            Some((all, _)) => drop(all.println(clean(line))),
            None => complain(line),
        }
    }

    /// Shows a line, and keeps what is under way as it is after this record.
    fn record(&mut self, line: Option<Line>, record: &Record) {
        let Some((all, bars)) = &mut self.bars else {
            if let Some(line) = line {
                self.print(&line.text);
            }
            return;
        };
        if let Record::HoldOpened { hold } = record {
            // Nobody works on it until it is answered.
            bars.extract_if(|attempt, _| attempt.task == hold.task)
                .for_each(|(_, bar)| bar.finish_and_clear());
        }
        let over = match record {
            Record::Landed { attempt, .. }
            | Record::AttemptEnded { attempt, .. }
            | Record::WorkspaceSettled { attempt, .. } => Some(attempt),
            _ => None,
        };
        if let Some(bar) = over.and_then(|attempt| bars.remove(attempt)) {
            bar.finish_and_clear();
        }
        let Some(Line { attempt, text }) = line else {
            return;
        };
        let Some(attempt) = attempt.filter(|_| over.is_none()) else {
            return self.print(&text);
        };
        if is_notable(record) {
            // What would be gone with the next line of the bar.
            drop(all.println(&text));
        }
        let bar = bars.entry(attempt).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}").expect("a valid template"),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(text);
    }

    /// Shows a line that is gone with the next one of its attempt, where that has a bar.
    fn passing(&mut self, line: &Line) {
        let bar = match (&self.bars, &line.attempt) {
            (Some((_, bars)), Some(attempt)) => bars.get(attempt),
            _ => None,
        };
        match bar {
            Some(bar) => bar.set_message(line.text.clone()),
            None => self.print(&line.text),
        }
    }

    fn activity(&mut self, attempt: &AttemptId, text: &str) {
        let now = Instant::now();
        let (second, shown) = self.spoken.entry(attempt.clone()).or_insert((now, 0));
        if now.duration_since(*second) >= Duration::from_secs(1) {
            (*second, *shown) = (now, 0);
        }
        *shown += 1;
        if *shown > LINES_A_SECOND {
            return;
        }
        let line = Screen::activity(attempt, text);
        let has_bar = self
            .bars
            .as_ref()
            .is_some_and(|(_, bars)| bars.contains_key(attempt));
        // On a terminal, what an agent says has no line of its own.
        if has_bar || self.bars.is_none() {
            self.passing(&line);
        }
    }
}

/// Whether a line stays on a terminal when the next one of its attempt comes.
fn is_notable(record: &Record) -> bool {
    match record {
        Record::Judged { verdict, .. } => !matches!(verdict, Verdict::Accept),
        Record::RepairAsked { .. } | Record::Noticed { .. } => true,
        Record::GateReported { candidate_of, .. } => candidate_of.is_none(),
        Record::Requested { what, .. } => matches!(what, Effect::Nudge { .. }),
        _ => false,
    }
}
