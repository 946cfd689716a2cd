//! Where tasks come from.

use std::fmt::Debug;

use async_trait::async_trait;
use thiserror::Error;

use super::ErrorClass;
use crate::model::{AttemptId, CommitId, RepoPath, Task, TaskId};

/// A roadmap.
///
/// # Contract
/// - [`snapshot`](Self::snapshot) gives all tasks in their order, finished ones included. What is ready is not its business.
/// - [`landing_edits`](Self::landing_edits) gives edits that land together with the task, such as its tick: the same edits for
///   the same tree, and none for a tree that has them.
/// - [`report`](Self::report) may be called more than once for one task and attempt, and must then do nothing new.
///
/// # Cancellation
/// Every method may be dropped at any time.
///
/// # Errors
/// [`SourceError`]; a roadmap that cannot be read names the line and the mend.
///
/// # Example
/// A file with a task's id in each line; a line that is gone is done. [The guide](crate::guide::writing_a_source) says what to think of.
///
/// ```
/// use async_trait::async_trait;
/// use orchestrator_core::{
///     Task, TaskId,
///     model::{AttemptId, RepoPath},
///     port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
/// };
///
/// #[derive(Debug)]
/// struct Lines(RepoPath);
///
/// impl Lines {
///     async fn text(&self, tree: &dyn TreeView) -> Result<String, SourceError> {
///         let missing = || SourceError::Missing { path: self.0.to_string(), revision: tree.revision() };
///         Ok(String::from_utf8_lossy(&tree.read(&self.0).await?.ok_or_else(missing)?).into_owned())
///     }
/// }
///
/// #[async_trait]
/// impl TaskSource for Lines {
///     async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
///         let text = self.text(tree).await?;
///         let task = |(line, id)| match TaskId::new(id) {
///             Ok(id) => Ok(Task::new(id.clone(), format!("Do {id}"))),
///             Err(error) => Err(SourceError::Invalid { path: self.0.to_string(), line, why: error.to_string() }),
///         };
///         let tasks = (1..).zip(text.lines()).map(task).collect::<Result<_, _>>()?;
///         Ok(SourceSnapshot { revision: tree.revision(), tasks })
///     }
///
///     async fn landing_edits(&self, task: &TaskId, tree: &dyn TreeView) -> Result<Vec<LandingEdit>, SourceError> {
///         let text = self.text(tree).await?;
///         let rest: String = text.split_inclusive('\n').filter(|line| line.trim_end() != task.as_str()).collect();
///         let edit = LandingEdit { path: self.0.clone(), content: rest.clone().into_bytes() };
///         Ok(if rest == text { Vec::new() } else { vec![edit] })
///     }
///
///     async fn report(&self, _: &TaskId, _: &AttemptId, _: &Outcome) -> Result<(), SourceError> {
///         Ok(())
///     }
///
///     fn own_paths(&self) -> Vec<RepoPath> {
///         vec![self.0.clone()]
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tree = orchestrator_testkit::MemoryTree::new().with("TASKS", "A\nB\n");
/// let source = Lines("TASKS".parse()?);
/// assert_eq!(source.snapshot(&tree).await?.tasks.len(), 2);
/// assert_eq!(source.landing_edits(&TaskId::new("A")?, &tree).await?[0].content, b"B\n");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TaskSource: Debug + Send + Sync + 'static {
    /// The roadmap as it is in this tree.
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError>;

    /// What lands with this task, on top of this tree.
    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError>;

    /// Learns how a task ended.
    async fn report(
        &self,
        task: &TaskId,
        attempt: &AttemptId,
        outcome: &Outcome,
    ) -> Result<(), SourceError>;

    /// Paths of the repository that no worker may change, since the roadmap is read from them.
    fn own_paths(&self) -> Vec<RepoPath>;
}

/// A tree of the repository, read by path. Given to sources; made by the driver.
#[async_trait]
pub trait TreeView: Debug + Send + Sync {
    /// The commit or tree that this is, for messages.
    fn revision(&self) -> String;

    /// The content of a file; `None` if there is none at this path.
    async fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, SourceError>;
}

/// A roadmap as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSnapshot {
    /// The source's own name for this state.
    pub revision: String,
    /// In the roadmap's order.
    pub tasks: Vec<Task>,
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandingEdit {
    /// Which file. Its mode stays as it is.
    pub path: RepoPath,
    /// Its whole content.
    pub content: Vec<u8>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The target contains it.
    Landed {
        /// The merge commit.
        commit: CommitId,
    },
    /// It was given up in this run.
    Parked {
        /// Why.
        reason: String,
    },
}

/// Why a source cannot do what it is asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The roadmap is not there.
    #[error("{path} is not in {revision}: commit it first, and push it where the policy pushes")]
    Missing {
        /// Where it should be.
        path: String,
        /// What was read.
        revision: String,
    },
    /// The roadmap cannot be understood.
    #[error("{path}:{line}: {why}")]
    Invalid {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and the mend.
        why: String,
    },
    /// The landing edits cannot be made.
    #[error("{path}: task `{task}` {why}")]
    CannotEdit {
        /// The file.
        path: String,
        /// The task.
        task: TaskId,
        /// Why not.
        why: String,
    },
    /// The source could not be reached.
    #[error("the roadmap could not be read: {0}")]
    Unavailable(String),
}

impl SourceError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } | Self::Invalid { .. } | Self::CannotEdit { .. } => {
                ErrorClass::NeedsPerson
            }
            Self::Unavailable(_) => ErrorClass::TRANSIENT,
        }
    }
}
