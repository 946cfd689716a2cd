//! Telling a person that they are asked, by a command of theirs.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::broadcast;

use super::{handle::Notice, world::World};
use crate::{
    machine::State,
    model::{EndReason, HoldId, Record},
    process::{Exit, OutputLimits, Spawn, run_to_end},
    status::{HoldView, Snapshot, TaskView},
};

/// How long the command may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is kept of what it prints, in bytes.
const KEPT: OutputLimits = OutputLimits {
    head: 0,
    tail: 2048,
};

/// What the command reads: one line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    version: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
enum What {
    Asked {
        task: String,
        title: String,
        hold: Box<HoldView>,
    },
    Reminded {
        task: String,
        title: String,
        hold: Box<HoldView>,
    },
    Ended {
        reason: EndReason,
        landed: usize,
        tasks: usize,
    },
}

impl Message {
    /// What a record is worth telling; `state` has it applied.
    pub(super) fn of(record: &Record, state: &State) -> Option<Self> {
        let question = |id: HoldId| {
            let snapshot = Snapshot::of(state);
            snapshot.tasks.into_iter().find_map(
                |TaskView {
                     id: task,
                     title,
                     hold,
                     ..
                 }| {
                    let hold = hold.filter(|hold| hold.id == id)?;
                    Some((task.to_string(), title, Box::new(hold)))
                },
            )
        };
        let what = match record {
            Record::HoldOpened { hold } => {
                let (task, title, hold) = question(hold.id)?;
                What::Asked { task, title, hold }
            }
            Record::Reminded { hold, .. } => {
                let (task, title, hold) = question(*hold)?;
                What::Reminded { task, title, hold }
            }
            Record::RunEnded { reason, .. } => {
                let landed = state
                    .tasks()
                    .iter()
                    .filter(|entry| entry.has_landed())
                    .count();
                What::Ended {
                    reason: *reason,
                    landed,
                    tasks: state.tasks().len(),
                }
            }
            _ => return None,
        };
        Some(Self { version: 1, what })
    }
}

impl World {
    /// Runs the policy's command for the record of this number. That it fails is told, and stops nothing.
    pub(super) async fn tell_person(
        self: Arc<Self>,
        message: Message,
        number: u64,
        notices: broadcast::Sender<Notice>,
    ) {
        let Some((program, arguments)) = self.policy.notify.run.split_first() else {
            return;
        };
        let mut line =
            serde_json::to_vec(&message).expect("our own data has string keys and serialises");
        line.push(b'\n');
        let spawn = Spawn::new(program, "/")
            .args(arguments)
            .envs(&*self.environment)
            .marked(format!("{}notify.{number}.", self.mark));
        let why = match run_to_end(spawn, &line, DEADLINE, KEPT).await {
            Ok(finished) => match finished.exit {
                Some(Exit::Code(0)) => return,
                Some(exit) => format!("{exit}: {}", finished.stderr.end(400)),
                None => format!("it took longer than {} s", DEADLINE.as_secs()),
            },
            Err(error) => error.to_string(),
        };
        drop(notices.send(Notice::Warning(format!(
            "`{program}` could not tell a person: {why}"
        ))));
    }
}
