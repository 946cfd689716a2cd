//! Tasks from code.

use async_trait::async_trait;

use crate::{
    model::{AttemptId, ContentHash, RepoPath, Task, TaskId},
    port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
};

/// A fixed list of tasks, for embedders whose roadmap lives elsewhere. Nothing lands with a task but its work.
#[derive(Debug, Clone, Default)]
pub struct TaskList {
    tasks: Vec<Task>,
}

impl TaskList {
    /// These tasks, in this order.
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        Self {
            tasks: tasks.into_iter().collect(),
        }
    }
}

#[async_trait]
impl TaskSource for TaskList {
    async fn snapshot(&self, _: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        let revision = ContentHash::of_json(&self.tasks).to_string();
        Ok(SourceSnapshot {
            revision,
            tasks: self.tasks.clone(),
        })
    }

    async fn landing_edits(
        &self,
        _: &TaskId,
        _: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        Ok(Vec::new())
    }

    async fn report(&self, _: &TaskId, _: &AttemptId, _: &Outcome) -> Result<(), SourceError> {
        Ok(())
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        Vec::new()
    }
}
