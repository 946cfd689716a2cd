//! What is known of one agent.

use crate::model::{Shift, TaskId, Timestamp, Trouble};

/// What is known of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentState {
    /// Why it cannot be used, if it cannot.
    pub(crate) trouble: Option<Troubled>,
    /// How it failed last, and on which tasks, one after another.
    pub(crate) failed: Option<(String, Vec<TaskId>)>,
    /// When it could be used again, last.
    pub(crate) recovered: Option<Timestamp>,
}

/// An agent that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Troubled {
    /// Why.
    pub(crate) trouble: Trouble,
    /// Since when.
    pub(crate) since: Timestamp,
    /// When this was found last.
    pub(crate) found: Timestamp,
    /// When it is tried again; `None`: when a person has answered.
    pub(crate) until: Option<Timestamp>,
    /// Whether that is a time of day that the agent named.
    pub(crate) named: bool,
    /// How often in a row it was tried in vain.
    pub(crate) tries: u32,
    /// Whether a person was asked about it.
    pub(crate) asked: bool,
}

impl AgentState {
    /// Whether it is still so in another run: a time that was named, or an open question.
    pub(super) fn keep_for_next_run(&self, at: Timestamp) -> bool {
        let troubled = self.trouble.as_ref();
        troubled.is_some_and(|troubled| troubled.asked || troubled.named && !troubled.is_over(at))
    }

    /// Whether nothing is wrong with it.
    pub(super) fn is_faultless(&self) -> bool {
        self.trouble.is_none() && self.failed.is_none()
    }

    /// Why it cannot be used, if it cannot.
    #[must_use]
    pub fn trouble(&self) -> Option<&Troubled> {
        self.trouble.as_ref()
    }
}

impl Troubled {
    /// Whether the agent may be tried.
    #[must_use]
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }

    /// The clock was moved: a pause keeps its length.
    pub(super) fn moved(&mut self, by: Shift) {
        self.found = self.found.moved(by);
        if !self.named {
            self.until = self.until.map(|until| until.moved(by));
        }
    }

    /// Whether that is a time of day that the agent named.
    #[must_use]
    pub fn named(&self) -> bool {
        self.named
    }

    /// Why.
    #[must_use]
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// When it is tried again; `None`: when a person has answered.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}
