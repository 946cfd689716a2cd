//! The morning report: what was delivered, on which evidence, what waits for whom, and what went wrong.
//!
//! ```text
//! ledger ──► stories, snapshot, figures ──► Report ──► page ──┬──► Markdown
//!                                                             └──► HTML, with the timeline as a picture
//! ```
//!
//! Both are written from the same page, so that neither says what the other does not.

mod events;
mod figures;
mod html;
mod markdown;
mod page;
mod timeline;

pub use figures::Figures;

use serde::Serialize;

use self::events::events;
use super::{Snapshot, TaskStory, stories};
use crate::{
    machine::{ReplayError, replay},
    model::{Record, TaskId, Timestamp},
};

/// All that a page is made from. JSON, version 1; times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this format: 1.
    pub version: u32,
    /// From when on things are told.
    pub from: Timestamp,
    /// When the last of them was recorded.
    pub to: Timestamp,
    /// How everything stands.
    pub snapshot: Snapshot,
    /// What was done, in numbers.
    pub figures: Figures,
    /// What happened to each task since then.
    pub tasks: Vec<TaskStory>,
    /// What happened to the run as a whole.
    pub events: Vec<RunEvent>,
}

/// Something that happened to the run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// When it was recorded.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
    /// Whether it stands in the timeline: its orchestrator died, or another run began.
    pub marks: bool,
}

impl Report {
    /// What a ledger tells, since some time or from its beginning.
    ///
    /// # Errors
    /// When the records do not fit together.
    pub fn of<'a>(
        entries: impl IntoIterator<Item = (Timestamp, &'a Record)> + Clone,
        since: Option<Timestamp>,
    ) -> Result<Self, ReplayError> {
        let state = replay(entries.clone().into_iter().map(|(_, record)| record))?;
        let all = entries.clone().into_iter();
        let times = || {
            entries
                .clone()
                .into_iter()
                .map(|(at, _)| at)
                .filter(|at| at.0 > 0)
        };
        let from = since.or_else(|| times().next()).unwrap_or_default();
        let to = times().last().unwrap_or_default();
        let mut tasks = stories(all);
        for task in &mut tasks {
            task.attempts
                .retain(|attempt| attempt.ended.is_none_or(|ended| ended >= from));
            task.holds
                .retain(|story| story.ended.is_none_or(|ended| ended >= from));
        }
        let events = events(entries, from);
        Ok(Self {
            version: 1,
            from,
            to,
            snapshot: Snapshot::of(&state),
            figures: Figures::of(&tasks),
            tasks,
            events,
        })
    }

    /// One task with all that it rests on, as Markdown; `None` for one that is not known.
    #[must_use]
    pub fn task_to_markdown(&self, task: &TaskId) -> Option<String> {
        self.tasks
            .iter()
            .find(|story| story.id == *task)
            .map(|story| markdown::render(&page::of_task(self, story)))
    }

    /// The report as Markdown, for a terminal or a page of a forge.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        markdown::render(&page::of(self))
    }

    /// As one HTML page that needs nothing else: no script, no font, no picture from elsewhere.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::render(&page::of(self))
    }
}
