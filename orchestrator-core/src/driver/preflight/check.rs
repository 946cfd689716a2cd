//! One line of a preflight, and all of them in the order in which they are known.

use std::{fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

/// What was looked at before a run, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at, in words that stay the same from version to version, such as `push` or `gate unit`.
    pub name: String,
    /// How it is.
    pub outcome: CheckOutcome,
    /// What was found, for a person.
    pub what: String,
    /// How to set it right, where something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How something is that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckOutcome {
    /// As it should be.
    Passed,
    /// A run starts, and a person should know.
    Warning,
    /// A run would not start, or would certainly waste money.
    Failed,
    /// It was not looked at, for the reason that is given.
    Skipped,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub fn passed(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(name, CheckOutcome::Passed, what, None)
    }

    /// A run starts, and a person should know.
    #[must_use]
    pub fn warning(
        name: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(name, CheckOutcome::Warning, what, Some(fix.into()))
    }

    /// A run would not start, or would certainly waste money. No fix, where `what` says it.
    #[must_use]
    pub fn failed(name: impl Into<String>, what: impl Into<String>, fix: Option<String>) -> Self {
        Self::new(name, CheckOutcome::Failed, what, fix)
    }

    /// It was not looked at.
    #[must_use]
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, CheckOutcome::Skipped, why, None)
    }

    fn new(
        name: impl Into<String>,
        outcome: CheckOutcome,
        what: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self {
            name: name.into(),
            outcome,
            what: what.into(),
            fix,
        }
    }
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// Name, finding and fix on one line, as far as the finding is one.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "; fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// A preflight under way. Dropping it ends it; [`stop`](Self::stop) also waits until all that it started is gone.
#[derive(Debug)]
pub struct Preflight {
    checks: mpsc::Receiver<Check>,
    task: Option<JoinHandle<()>>,
    stopped: Arc<Notify>,
}

impl Preflight {
    pub(super) fn new(
        checks: mpsc::Receiver<Check>,
        task: JoinHandle<()>,
        stopped: Arc<Notify>,
    ) -> Self {
        Self {
            checks,
            task: Some(task),
            stopped,
        }
    }

    /// Ends it, such as a gate that runs. When this returns, no process and no file of it is left.
    pub async fn stop(mut self) {
        self.stopped.notify_one();
        // Nobody listens any more.
        self.checks.close();
        if let Some(task) = self.task.take() {
            drop(task.await);
        }
    }

    /// The next check, as soon as it is known; `None` when there is none any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Check> {
        if let Some(check) = self.checks.recv().await {
            return Some(check);
        }
        let ended = self.task.as_mut()?.await;
        self.task = None;
        let error = ended.err()?;
        // What was not looked at must not look as if it were well.
        let what = format!("a bug in the orchestrator: {error}");
        Some(Check::failed("preflight", what, None))
    }

    /// All checks, when all are known.
    pub async fn all(mut self) -> Vec<Check> {
        let mut all = Vec::new();
        while let Some(check) = self.next().await {
            all.push(check);
        }
        all
    }
}

impl Drop for Preflight {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
