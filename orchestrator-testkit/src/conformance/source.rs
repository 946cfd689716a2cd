//! What every [`TaskSource`] must do.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use orchestrator_core::{
    model::{AttemptId, Task, TaskId},
    port::{ErrorClass, Outcome, SourceSnapshot, TaskSource},
};

use super::{Checked, Violation, must, polled_once, suite};
use crate::MemoryTree;

/// A source, and trees that it reads.
pub trait SourceFixture: Debug + Send + Sync {
    /// The source.
    fn source(&self) -> Arc<dyn TaskSource>;

    /// A tree in which it has two open tasks or more.
    fn tree(&self) -> MemoryTree;

    /// A tree in which what it reads is there and cannot be understood; `None` where it reads nothing from the repository.
    fn broken(&self) -> Option<MemoryTree>;
}

suite! { $ source_conformance in source: SourceFixture;
    /// The same tree gives the same tasks.
    the_same_tree_gives_the_same_tasks,
    /// No two tasks have the same id, and two or more are open.
    ids_are_unique,
    /// The same tree gives the same landing edits.
    the_same_tree_gives_the_same_edits,
    /// A tree that has a task's landing edits gets no more of them.
    what_has_landed_needs_no_edits,
    /// Landing edits change their own task, and leave the others as they are.
    edits_leave_the_other_tasks_alone,
    /// Edits build on the tree that they are given, so that two tasks can land one after the other.
    edits_build_on_the_tree_they_are_given,
    /// Edits change no path but those that the source calls its own.
    edits_stay_within_its_own_paths,
    /// A task that it does not have gets no edit.
    a_task_that_is_not_there_gets_no_edit,
    /// The same report again does nothing new, and is no error.
    a_report_can_be_made_twice,
    /// A roadmap that is not there is a person's to mend, and it is said which.
    a_missing_roadmap_is_named,
    /// So is one that cannot be understood.
    a_broken_roadmap_is_named,
    /// Calls that were dropped change nothing.
    a_dropped_call_changes_nothing,
}

async fn snapshot(
    fixture: &dyn SourceFixture,
) -> Result<(Arc<dyn TaskSource>, MemoryTree, SourceSnapshot), Violation> {
    let (source, tree) = (fixture.source(), fixture.tree());
    let snapshot = source.snapshot(&tree).await?;
    Ok((source, tree, snapshot))
}

/// The first two that are open.
fn open(snapshot: &SourceSnapshot) -> Result<[TaskId; 2], Violation> {
    let open: Vec<_> = snapshot
        .tasks
        .iter()
        .filter(|task| !task.done)
        .map(|task| task.id.clone())
        .take(2)
        .collect();
    open.try_into()
        .map_err(|open| Violation(format!("of two open tasks it has {open:?}")))
}

/// A task without the place where it is written, which another task's edits may move.
fn without_place(task: &Task) -> Task {
    let mut task = task.clone();
    task.place = None;
    task
}

async fn the_same_tree_gives_the_same_tasks(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, first) = snapshot(fixture).await?;
    let second = source.snapshot(&tree).await?;
    must(first == second, || {
        format!("first {first:?}, then {second:?}")
    })?;
    must(!first.revision.is_empty(), || {
        "its revision has no name".to_owned()
    })
}

async fn ids_are_unique(fixture: &dyn SourceFixture) -> Checked {
    let (_, _, snapshot) = snapshot(fixture).await?;
    let ids: BTreeSet<_> = snapshot.tasks.iter().map(|task| &task.id).collect();
    must(ids.len() == snapshot.tasks.len(), || {
        format!("{} tasks have {} ids", snapshot.tasks.len(), ids.len())
    })?;
    open(&snapshot).map(drop)
}

async fn the_same_tree_gives_the_same_edits(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, snapshot) = snapshot(fixture).await?;
    let [task, _] = open(&snapshot)?;
    let (first, second) = (
        source.landing_edits(&task, &tree).await?,
        source.landing_edits(&task, &tree).await?,
    );
    must(first == second, || {
        format!("{task} lands with {} edits, then with others", first.len())
    })
}

async fn what_has_landed_needs_no_edits(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, snapshot) = snapshot(fixture).await?;
    for task in open(&snapshot)? {
        let edits = source.landing_edits(&task, &tree).await?;
        let again = source
            .landing_edits(&task, &tree.clone().edited(&edits))
            .await?;
        must(again.is_empty(), || {
            format!("{task}, which has landed, lands with {again:?} once more")
        })?;
    }
    Ok(())
}

async fn edits_leave_the_other_tasks_alone(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, before) = snapshot(fixture).await?;
    let [landed, _] = open(&before)?;
    let edits = source.landing_edits(&landed, &tree).await?;
    let after = source.snapshot(&tree.edited(&edits)).await?;
    must(after.tasks.len() == before.tasks.len(), || {
        format!(
            "of {} tasks {} are left",
            before.tasks.len(),
            after.tasks.len()
        )
    })?;
    for (old, new) in before.tasks.iter().zip(&after.tasks) {
        let mut expected = without_place(old);
        expected.done |= old.id == landed && !edits.is_empty();
        must(expected == without_place(new), || {
            format!("when {landed} lands, {old:?} becomes {new:?}")
        })?;
    }
    Ok(())
}

async fn edits_build_on_the_tree_they_are_given(fixture: &dyn SourceFixture) -> Checked {
    let (source, mut tree, before) = snapshot(fixture).await?;
    let both = open(&before)?;
    let mut edited = false;
    for task in &both {
        let edits = source.landing_edits(task, &tree).await?;
        edited |= !edits.is_empty();
        tree = tree.edited(&edits);
    }
    let after = source.snapshot(&tree).await?;
    let done: Vec<_> = after
        .tasks
        .iter()
        .filter(|task| both.contains(&task.id) && task.done)
        .collect();
    must(!edited || done.len() == 2, || {
        format!(
            "of two that landed one after the other, {} are done",
            done.len()
        )
    })
}

async fn edits_stay_within_its_own_paths(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, snapshot) = snapshot(fixture).await?;
    let own = source.own_paths();
    for task in open(&snapshot)? {
        for edit in source.landing_edits(&task, &tree).await? {
            must(own.contains(&edit.path), || {
                format!(
                    "{task} lands with an edit of {}, which is none of {own:?}",
                    edit.path
                )
            })?;
        }
    }
    Ok(())
}

async fn a_task_that_is_not_there_gets_no_edit(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, _) = snapshot(fixture).await?;
    let edits = source
        .landing_edits(&TaskId::new("conformance-unknown")?, &tree)
        .await;
    must(edits.as_ref().map_or(true, Vec::is_empty), || {
        format!("a task that is not there lands with {edits:?}")
    })
}

async fn a_report_can_be_made_twice(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, before) = snapshot(fixture).await?;
    let [landed, parked] = open(&before)?;
    let commit = "0123456789abcdef0123456789abcdef01234567".parse()?;
    for (task, outcome) in [
        (landed, Outcome::Landed { commit }),
        (
            parked,
            Outcome::Parked {
                reason: "no".to_owned(),
            },
        ),
    ] {
        let attempt = AttemptId {
            task: task.clone(),
            number: 1,
        };
        source.report(&task, &attempt, &outcome).await?;
        let once = source.snapshot(&tree).await?;
        source.report(&task, &attempt, &outcome).await?;
        let twice = source.snapshot(&tree).await?;
        must(once == twice, || {
            format!("a second report of {task} did something: {once:?}, then {twice:?}")
        })?;
    }
    Ok(())
}

async fn is_refused(fixture: &dyn SourceFixture, tree: &MemoryTree) -> Checked {
    match fixture.source().snapshot(tree).await {
        Ok(snapshot) => must(false, || format!("it was read as {snapshot:?}")),
        Err(error) => {
            must(error.class() == ErrorClass::NeedsPerson, || {
                format!("`{error}` is {:?}", error.class())
            })?;
            let own = fixture.source().own_paths();
            let named = own
                .iter()
                .any(|path| error.to_string().contains(&path.to_string()));
            must(named, || format!("`{error}` names none of {own:?}"))
        }
    }
}

/// Who reads nothing from the repository has the same tasks whatever is there.
async fn reads_nothing(fixture: &dyn SourceFixture) -> Checked {
    let (source, _, full) = snapshot(fixture).await?;
    let empty = source.snapshot(&MemoryTree::new()).await?;
    must(full.tasks == empty.tasks, || {
        "it has other tasks in an empty tree, and cannot be broken".to_owned()
    })
}

async fn a_missing_roadmap_is_named(fixture: &dyn SourceFixture) -> Checked {
    match fixture.broken() {
        Some(_) => is_refused(fixture, &MemoryTree::new()).await,
        None => reads_nothing(fixture).await,
    }
}

async fn a_broken_roadmap_is_named(fixture: &dyn SourceFixture) -> Checked {
    match fixture.broken() {
        Some(tree) => is_refused(fixture, &tree).await,
        None => reads_nothing(fixture).await,
    }
}

async fn a_dropped_call_changes_nothing(fixture: &dyn SourceFixture) -> Checked {
    let (source, tree, before) = snapshot(fixture).await?;
    let [task, _] = open(&before)?;
    polled_once(source.snapshot(&tree)).await;
    polled_once(source.landing_edits(&task, &tree)).await;
    let after = source.snapshot(&tree).await?;
    must(before == after, || {
        format!("before {before:?}, behind calls that were dropped {after:?}")
    })
}
