//! A roadmap in a file with a line for each task: `id;title;paths;state`, where `state` is `open` or `done`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use orchestrator_core::{
    Task, TaskId,
    model::{AttemptId, ContractKeys, RepoPath},
    port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
};

/// Reads the tasks from one file of the repository; a task that lands is `done` there from then on.
#[derive(Debug)]
pub(crate) struct CsvRoadmap {
    path: RepoPath,
    /// What would be told to an issue tracker: by task and attempt, so that a second report says nothing new.
    reports: Mutex<BTreeMap<(TaskId, u32), String>>,
}

impl CsvRoadmap {
    /// The file at this path.
    pub(crate) fn new(path: RepoPath) -> Self {
        Self {
            path,
            reports: Mutex::default(),
        }
    }

    /// What was reported so far, a line each.
    pub(crate) fn reports(&self) -> Vec<String> {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    async fn lines(&self, tree: &dyn TreeView) -> Result<Vec<String>, SourceError> {
        let missing = || SourceError::Missing {
            path: self.path.to_string(),
            revision: tree.revision(),
        };
        let content = tree.read(&self.path).await?.ok_or_else(missing)?;
        let text = String::from_utf8(content).map_err(|_| self.invalid(1, "it is not UTF-8"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn invalid(&self, line: usize, why: impl Into<String>) -> SourceError {
        SourceError::Invalid {
            path: self.path.to_string(),
            line,
            why: why.into(),
        }
    }

    fn task(&self, number: usize, line: &str) -> Result<Task, SourceError> {
        let wrong = |why: String| self.invalid(number, why);
        let [id, title, paths, state] = line.split(';').collect::<Vec<_>>()[..] else {
            return Err(wrong(
                "four fields are wanted: `id;title;paths;state`".to_owned(),
            ));
        };
        let id = TaskId::new(id).map_err(|error| wrong(error.to_string()))?;
        let allow = paths
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>();
        let keys = ContractKeys {
            allow: Some(allow.map_err(|error| wrong(format!("{error}")))?),
            ..ContractKeys::default()
        };
        let mut task = Task::new(id, title).with_keys(keys);
        task.place = Some(format!("{}:{number}", self.path));
        task.done = match state {
            "open" => false,
            "done" => true,
            other => {
                return Err(wrong(format!(
                    "the state is `open` or `done`, not `{other}`"
                )));
            }
        };
        Ok(task)
    }
}

#[async_trait]
impl TaskSource for CsvRoadmap {
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        let lines = self.lines(tree).await?;
        let tasks = (1..)
            .zip(&lines)
            .map(|(number, line)| self.task(number, line))
            .collect::<Result<_, _>>()?;
        Ok(SourceSnapshot {
            revision: tree.revision(),
            tasks,
        })
    }

    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        let mut lines = self.lines(tree).await?;
        let own = format!("{task};");
        let cannot = || SourceError::CannotEdit {
            path: self.path.to_string(),
            task: task.clone(),
            why: "is not in it".to_owned(),
        };
        let line = lines
            .iter_mut()
            .find(|line| line.starts_with(&own))
            .ok_or_else(cannot)?;
        let Some(open) = line.strip_suffix(";open") else {
            return Ok(Vec::new());
        };
        *line = format!("{open};done");
        Ok(vec![LandingEdit {
            path: self.path.clone(),
            content: (lines.join("\n") + "\n").into_bytes(),
        }])
    }

    async fn report(
        &self,
        task: &TaskId,
        attempt: &AttemptId,
        outcome: &Outcome,
    ) -> Result<(), SourceError> {
        let told = match outcome {
            Outcome::Landed { commit } => format!("{task} landed as {}", commit.short()),
            Outcome::Parked { reason } => format!("{task} was given up: {reason}"),
            other => format!("{task}: {other:?}"),
        };
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((task.clone(), attempt.number), told);
        Ok(())
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        vec![self.path.clone()]
    }
}
