//! What the examples share: a live view of a run, and how a command prints.
//!
//! On a terminal, a spinner for each task under way; elsewhere, a plain line for each thing that was decided.

// What panics where nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod checks;
mod output;

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrator_core::{
    driver::{LongStep, Notice, Stage, roughly},
    model::{AttemptId, Effect, Record, Timestamp, Verdict, WorkspaceFate, clean},
    status::Snapshot,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

pub use checks::print_checks;
pub use output::{NOBODY_READS, complain, print};

/// Shows a run on standard error until it ends.
pub async fn show(mut notices: Receiver<Notice>) {
    let mut view = View::new();
    loop {
        match notices.recv().await {
            Ok(Notice::Recorded(entry)) => {
                if let Some((attempt, line)) = describe(&entry.record) {
                    view.line(attempt, &line, &entry.record);
                }
                if matches!(entry.record, Record::RunEnded { .. }) {
                    break;
                }
            }
            Ok(Notice::Activity { attempt, text }) => view.activity(&attempt, &text),
            Ok(Notice::Observed { attempt, what }) => {
                view.print(&format!("warning: {attempt}: {what}"));
            }
            Ok(Notice::Gap { missed, .. }) => view.print(&format!(
                "warning: {missed} heartbeats were missed, for a cause unknown"
            )),
            Ok(Notice::Drift {
                attempt,
                towards,
                paths,
            }) => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                view.print(&format!(
                    "warning: {attempt} drifts towards {towards}: it touches {}",
                    paths.join(", ")
                ));
            }
            Ok(Notice::Progress {
                attempt,
                step,
                stage,
            }) => view.progress(attempt.as_ref(), &step, &stage),
            Ok(Notice::Warning(warning)) => view.print(&format!("warning: {warning}")),
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                view.print(&format!("({missed} lines were too fast to be shown)"));
            }
            Err(RecvError::Closed) => break,
        }
    }
}

/// Each open question with all that it can be decided on, to be printed.
#[must_use]
pub fn holds(snapshot: &Snapshot) -> String {
    let asked = snapshot
        .tasks
        .iter()
        .filter_map(|task| Some((task, task.hold.as_ref()?)));
    let told = asked.map(|(task, hold)| {
        let question = hold.question.replace('\n', "\n  ");
        let brief: String = hold
            .brief
            .to_string()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect();
        let options: Vec<_> = hold.options.iter().map(|option| option.as_str()).collect();
        let answer = format!(
            "supervise answer {} {} [--note TEXT]",
            hold.id,
            options.join("|")
        );
        format!(
            "\n{} asks about {} ({}):\n  {question}\n{brief}  answer with: {answer}\n",
            hold.id, task.id, task.title
        )
    });
    told.collect()
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

    fn line(&mut self, attempt: Option<&AttemptId>, line: &str, record: &Record) {
        let text = attempt.map_or_else(
            || line.to_owned(),
            |attempt| format!("{:<8} {line}", attempt.to_string()),
        );
        let text = clean(&text);
        let Some((all, bars)) = &mut self.bars else {
            return self.print(&text);
        };
        if let Record::HoldOpened { hold } = record {
            // Nobody works on it until it is answered.
            bars.extract_if(|attempt, _| attempt.task == hold.task)
                .for_each(|(_, bar)| bar.finish_and_clear());
        }
        let Some(attempt) = attempt else {
            return self.print(&text);
        };
        let notable = match record {
            Record::Judged { verdict, .. } => !matches!(verdict, Verdict::Accept),
            Record::RepairAsked { .. } | Record::TipReported { .. } => true,
            _ => false,
        };
        if notable {
            // What would be gone with the next line of the bar.
            drop(all.println(&text));
        }
        let over = matches!(
            record,
            Record::Landed { .. } | Record::AttemptEnded { .. } | Record::WorkspaceSettled { .. }
        );
        if over {
            bars.remove(attempt)
                .into_iter()
                .for_each(|bar| bar.finish_and_clear());
            return self.print(&text);
        }
        let bar = bars.entry(attempt.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}").expect("a valid template"),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(text);
    }

    /// Says that a gate begins, that something takes long, and how what took long has ended.
    fn progress(&mut self, attempt: Option<&AttemptId>, step: &LongStep, stage: &Stage) {
        let is_gate = matches!(step, LongStep::Gate { .. } | LongStep::TipGate { .. });
        // How a gate ended is recorded, and shown as that.
        if is_gate && matches!(stage, Stage::Ended { .. }) {
            return;
        }
        let line = match attempt {
            Some(attempt) => format!("{:<8} {step} {stage}", attempt.to_string()),
            None => format!("{step} {stage}"),
        };
        let line = clean(&line);
        match (&self.bars, attempt) {
            (Some((_, bars)), Some(attempt)) if bars.contains_key(attempt) => {
                bars[attempt].set_message(line);
            }
            _ => self.print(&line),
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
        let line = format!("{:<8} says: {}", attempt.to_string(), clean(text));
        match &self.bars {
            Some((_, bars)) => bars
                .get(attempt)
                .into_iter()
                .for_each(|bar| bar.set_message(line.clone())),
            None => self.print(&line),
        }
    }
}

/// Such as `14:05 UTC`.
fn moment(at: Timestamp) -> String {
    let [hours, minutes, _] = at.time_of_day();
    format!("{hours:02}:{minutes:02} UTC")
}

/// What a record means to somebody who watches; `None` for what only the machine needs.
fn describe(record: &Record) -> Option<(Option<&AttemptId>, String)> {
    Some(match record {
        Record::RunOpened {
            opened, resumed, ..
        } => (
            None,
            format!(
                "run {} {}",
                opened.run,
                if *resumed { "goes on" } else { "begins" }
            ),
        ),
        Record::PackageEntered {
            reason, package, ..
        } => {
            let name = package.as_ref().map_or_else(
                || "tasks without a package".to_owned(),
                |name| format!("package {name}"),
            );
            (None, format!("{name}: {reason}"))
        }
        Record::Dispatched {
            attempt,
            base,
            contract,
            failover,
            ..
        } => {
            let agent = match failover {
                Some(failover) => format!("{} {failover};", contract.agent),
                None => contract.agent.to_string(),
            };
            let (base, title) = (base.short(), &contract.title);
            let line = format!("dispatched to {agent} from {base}: {title}");
            (Some(attempt), line)
        }
        Record::Requested { what, .. } => return requested(what),
        Record::Submitted {
            attempt,
            submission,
            ended,
            completion,
            ..
        } => {
            let state = match completion {
                Some(_) => String::new(),
                None => format!(", not said to be complete: {ended}"),
            };
            let (commits, files) = (submission.commits, submission.changes.len());
            (
                Some(attempt),
                format!("left {commits} commit(s), {files} file(s){state}"),
            )
        }
        Record::Continued { attempt, ended, .. } => {
            (Some(attempt), format!("its session goes on: {ended}"))
        }
        Record::Completed {
            attempt,
            completion,
        } => (Some(attempt), format!("is complete: {completion}")),
        Record::AgentTroubled {
            agent,
            trouble,
            until,
            ..
        } => {
            let then = match until {
                Some(until) => format!("its tasks wait until {}", moment(*until)),
                None => "its tasks wait for a person".to_owned(),
            };
            (None, format!("agent {agent}: {trouble}; {then}"))
        }
        Record::AgentRecovered {
            agent,
            from: Some(_),
        } => (None, format!("agent {agent} can be used again")),
        Record::GateReported { attempt, report } => (
            Some(attempt),
            format!(
                "gate {}: {} after {}",
                report.gate.name,
                if report.passed() {
                    "passed".to_owned()
                } else {
                    report.outcome.to_string()
                },
                roughly(report.took.to_std())
            ),
        ),
        Record::RepairAsked { attempt, why } => {
            (Some(attempt), format!("is asked for its handoff: {why}"))
        }
        Record::TipReported { attempt, report } => {
            let how = if report.passed() {
                "passed"
            } else {
                "failed as well"
            };
            let took = roughly(report.took.to_std());
            let gate = &report.gate.name;
            (
                Some(attempt),
                format!("gate {gate} on the target's own tip: {how} after {took}"),
            )
        }
        Record::BaselineReported { tip, report } => (
            None,
            format!(
                "gate {} on the target at {}: {}",
                report.gate.name,
                tip.short(),
                report.outcome
            ),
        ),
        Record::RoadmapRefused { tip, why } => (
            None,
            format!(
                "the roadmap at {} cannot be used, so nothing new begins: {why}",
                tip.short()
            ),
        ),
        Record::TargetRewritten { from, tip } => {
            let (from, tip) = (from.short(), tip.short());
            (
                None,
                format!(
                    "the target was rewritten: {tip} does not have {from}, and nothing of that is merged again"
                ),
            )
        }
        Record::CarriedOver {
            attempt,
            submission,
        } => {
            let base = submission.base.short();
            (
                Some(attempt),
                format!("the target has dropped its base: its changes are committed on {base}"),
            )
        }
        Record::Reopened { task, .. } => (None, format!("{task} is to be done again")),
        Record::Withdrawn { task, why } => (None, format!("{task} is no longer wanted: {why:?}")),
        Record::RemoteAway { why, .. } => {
            let why = why.lines().next().unwrap_or_default();
            (
                None,
                format!("the remote cannot be reached, and is asked again: {why}"),
            )
        }
        Record::RemoteBack => (None, "the remote can be reached again".to_owned()),
        Record::ClockJumped { by, .. } => (
            None,
            format!(
                "the clock jumped {by}: the machine slept, or its clock was set; limits count the time awake"
            ),
        ),
        Record::Judged {
            attempt, verdict, ..
        } => match verdict {
            Verdict::Accept => (Some(attempt), "accepted".to_owned()),
            Verdict::Revise { findings } => {
                (Some(attempt), format!("sent back: {}", first(findings)))
            }
            Verdict::Reject { reason, .. } => (Some(attempt), format!("rejected: {reason}")),
            Verdict::Escalate(question) => (
                Some(attempt),
                format!("a person must say: {}", question.text),
            ),
        },
        Record::Landed { attempt, commit } => {
            (Some(attempt), format!("landed as {}", commit.short()))
        }
        Record::AttemptEnded {
            attempt, reason, ..
        } => (Some(attempt), format!("ended: {reason}")),
        Record::HoldOpened { hold } => (
            None,
            format!(
                "{} waits for a person: {}: {}",
                hold.task, hold.id, hold.question
            ),
        ),
        Record::AnswerRefused { answer, why } => (
            None,
            format!("the answer to {} was refused: {why}", answer.hold),
        ),
        Record::Parked { task, reason, .. } => (None, format!("{task} is parked: {reason}")),
        Record::WorkspaceSettled {
            attempt,
            fate: WorkspaceFate::Kept { reason },
        } => (Some(attempt), format!("its workspace stays: {reason}")),
        Record::ModeSet(mode) => (None, format!("mode: {mode}")),
        Record::RunEnded { reason, .. } => (None, format!("the run ended: {reason}")),
        _ => return None,
    })
}

fn requested(what: &Effect) -> Option<(Option<&AttemptId>, String)> {
    Some(match what {
        Effect::RunTurn { attempt, turn, .. } => (Some(attempt), format!("turn {turn} runs")),
        Effect::Merge { attempt, .. } => {
            (Some(attempt), "is merged into the target's tip".to_owned())
        }
        Effect::StopTurn { attempt, why, .. } => (Some(attempt), format!("is stopped: {why}")),
        _ => return None,
    })
}

fn first(findings: &[orchestrator_core::model::Finding]) -> String {
    findings
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}
