//! Tasks that a person has written down where a run does not look: in commits that are not pushed, or in a file that is not committed.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Check, CheckOutcome};
use crate::{
    driver::{BuildError, world::World},
    git::{Destination, UserRepository},
    model::{CommitId, RepoPath, Roadmap, Task, TaskId},
    port::{SourceError, TreeView},
};

/// So many tasks are named.
const NAMED: usize = 5;

/// The person's own repository as a source reads it.
#[derive(Debug)]
struct Theirs<'a> {
    user: &'a UserRepository,
    /// At a commit, or as the checkout is.
    at: Option<CommitId>,
}

#[async_trait]
impl TreeView for Theirs<'_> {
    fn revision(&self) -> String {
        self.at
            .map_or_else(|| "the checkout".to_owned(), |at| at.short().to_string())
    }

    async fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, SourceError> {
        let unavailable = |why: &dyn std::fmt::Display| SourceError::Unavailable(why.to_string());
        match self.at {
            Some(commit) => self
                .user
                .file_at(commit, path)
                .await
                .map_err(|error| unavailable(&error)),
            None => self
                .user
                .working_file(path)
                .map_err(|error| unavailable(&error)),
        }
    }
}

/// What is no part of the run, and a person may take for one.
const NOT_PART: [&str; 2] = ["unpushed commits", "unpushed tasks"];

/// The remarks among these checks.
pub(in crate::driver) fn remarks_of(checks: &[Check]) -> Vec<String> {
    let remarks = checks
        .iter()
        .filter(|check| check.outcome == CheckOutcome::Warning && NOT_PART.contains(&&*check.name));
    remarks.map(|check| check.what.clone()).collect()
}

impl World {
    /// What a person has now that is no part of the run, whose target is at this tip; `None` where that cannot be told.
    pub(in crate::driver) async fn remarks(&self, tip: CommitId) -> Option<Vec<String>> {
        let roadmap = self.lane.load_roadmap(tip).await.ok()?;
        let commits = self.unpushed(tip).await.ok()?;
        let tasks = self.tasks_elsewhere(&roadmap).await.ok()?;
        Some(remarks_of(&[commits, tasks]))
    }

    /// Tasks of the roadmap that are new or written otherwise where a run does not look.
    pub(super) async fn tasks_elsewhere(&self, roadmap: &Roadmap) -> Result<Check, BuildError> {
        let user = self.lane.trusted.user();
        let target = self.lane.trusted.target();
        let (theirs, pushed) = match self.lane.trusted.destination() {
            Destination::Remote { name, .. } => (format!("{name}/{target}"), true),
            Destination::Local => (target.to_string(), false),
        };
        if user.complete().await.is_err() {
            let why = "history is cut off here, and cannot tell what is new";
            return Ok(Check::skipped("unpushed tasks", why));
        }
        let mut known = by_id(&roadmap.tasks);
        let mut said = Vec::new();
        let local = user.tip(target).await.ok();
        if let Some(local) = local.filter(|local| pushed && *local != roadmap.tip) {
            let tasks = self.changed(local, Some(local), roadmap.tip, &known).await;
            said.extend(described(
                &tasks,
                &known,
                &format!("on your branch {target}"),
                &theirs,
            ));
            known.extend(by_id(&tasks));
        }
        if let (Some(_), Ok(head)) = (user.root(), user.head().await) {
            let tasks = self.changed(head, None, roadmap.tip, &known).await;
            let place = format!("in your working copy{}", self.file());
            said.extend(described(&tasks, &known, &place, &theirs));
        }
        if said.is_empty() {
            let what = format!("all that were found are on {theirs}");
            return Ok(Check::passed("unpushed tasks", what));
        }
        let what = format!("{}: not part of this run", said.join("; "));
        let fix = if pushed { "commit and push" } else { "commit" };
        Ok(Check::warning("unpushed tasks", what, fix))
    }

    /// The file that the roadmap is read from, for messages.
    fn file(&self) -> String {
        let file = self.lane.source.own_paths().into_iter().next();
        file.map(|path| format!(" of {path}")).unwrap_or_default()
    }

    /// Tasks that a person wrote or changed at a place since it left the target's history, and that the target does not have so.
    async fn changed(
        &self,
        from: CommitId,
        at: Option<CommitId>,
        tip: CommitId,
        known: &BTreeMap<TaskId, Task>,
    ) -> Vec<Task> {
        let user = self.lane.trusted.user();
        let now = self.tasks_at(user, at).await;
        let base = user.merge_base(&self.lane.trusted, from, tip).await;
        let before = match base.ok().flatten() {
            Some(base) => by_id(&self.tasks_at(user, Some(base)).await),
            None => BTreeMap::new(),
        };
        let same = |known: &BTreeMap<TaskId, Task>, task: &Task| {
            known
                .get(&task.id)
                .is_some_and(|known| is_same(known, task))
        };
        let new = now
            .into_iter()
            .filter(|task| !task.done && !same(&before, task) && !same(known, task));
        new.collect()
    }

    /// The tasks at a commit, or in the checkout. What cannot be read there is half written, and no task yet.
    async fn tasks_at(&self, user: &UserRepository, at: Option<CommitId>) -> Vec<Task> {
        let read = self.lane.source.snapshot(&Theirs { user, at }).await;
        read.map(|snapshot| snapshot.tasks).unwrap_or_default()
    }
}

fn by_id(tasks: &[Task]) -> BTreeMap<TaskId, Task> {
    let pairs = tasks.iter().map(|task| (task.id.clone(), task.clone()));
    pairs.collect()
}

/// Whether the same is wanted, wherever it stands and whether it was done.
fn is_same(one: &Task, other: &Task) -> bool {
    let place = other.place.clone();
    let done = other.done;
    Task {
        place,
        done,
        ..one.clone()
    } == *other
}

/// Which tasks are at a place and not on the target, and which are there otherwise.
fn described(
    tasks: &[Task],
    known: &BTreeMap<TaskId, Task>,
    place: &str,
    target: &str,
) -> Vec<String> {
    let (changed, new): (Vec<_>, Vec<_>) =
        tasks.iter().partition(|task| known.contains_key(&task.id));
    let new = names(&new).map(|(names, verb)| format!("{names} {verb} {place}, not on {target}"));
    let changed = names(&changed)
        .map(|(names, verb)| format!("{names} {verb} written otherwise {place} than on {target}"));
    new.into_iter().chain(changed).collect()
}

/// Their names, and the verb that goes with them.
fn names(tasks: &[&Task]) -> Option<(String, &'static str)> {
    let first: Vec<_> = tasks
        .iter()
        .take(NAMED)
        .map(|task| task.id.to_string())
        .collect();
    let mut names = first.join(", ");
    if tasks.len() > NAMED {
        names += &format!(" and {} more", tasks.len() - NAMED);
    }
    let verb = if tasks.len() == 1 { "is" } else { "are" };
    (!tasks.is_empty()).then_some((names, verb))
}
