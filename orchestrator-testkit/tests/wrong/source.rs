//! Wrong task sources.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use orchestrator_core::{
    MarkdownRoadmap, TaskId,
    model::{AttemptId, RepoPath},
    port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
};
use orchestrator_testkit::{
    MemoryTree,
    conformance::source::{CLAUSES, SourceFixture, check},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CountsItsRevisions,
    DoublesATask,
    StampsItsEdits,
    TicksAgain,
    TicksAll,
    RemembersTheTree,
    WritesElsewhere,
    EditsForAnybody,
    CountsReports,
    TakesNothingForEmpty,
    IsNotAvailable,
    RemembersWhatWasDropped,
}

#[test]
fn each_clause_of_the_source_suite_catches_a_fault() {
    use Fault::*;
    let faults = [
        ("the_same_tree_gives_the_same_tasks", CountsItsRevisions),
        ("ids_are_unique", DoublesATask),
        ("the_same_tree_gives_the_same_edits", StampsItsEdits),
        ("what_has_landed_needs_no_edits", TicksAgain),
        ("edits_leave_the_other_tasks_alone", TicksAll),
        ("edits_build_on_the_tree_they_are_given", RemembersTheTree),
        ("edits_stay_within_its_own_paths", WritesElsewhere),
        ("a_task_that_is_not_there_gets_no_edit", EditsForAnybody),
        ("a_report_can_be_made_twice", CountsReports),
        ("a_missing_roadmap_is_named", TakesNothingForEmpty),
        ("a_broken_roadmap_is_named", IsNotAvailable),
        ("a_dropped_call_changes_nothing", RemembersWhatWasDropped),
    ];
    super::caught(CLAUSES, &faults, |clause, fault, deadline| {
        check(clause, &Bent(fault), deadline)
    });
}

#[derive(Debug)]
struct Bent(Fault);

const ROADMAP: &str = "- [ ] **A** One\n- [ ] **B** Two\n";

impl SourceFixture for Bent {
    fn source(&self) -> Arc<dyn TaskSource> {
        let inner = MarkdownRoadmap::new("ROADMAP.md".parse().expect("a path"));
        Arc::new(BentSource {
            inner,
            fault: self.0,
            count: AtomicU32::new(0),
            first: Mutex::default(),
        })
    }

    fn tree(&self) -> MemoryTree {
        MemoryTree::new().with("ROADMAP.md", ROADMAP)
    }

    fn broken(&self) -> Option<MemoryTree> {
        Some(MemoryTree::new().with(
            "ROADMAP.md",
            "- [ ] **A** One\n  ```toml\n  nonsense\n  ```\n",
        ))
    }
}

#[derive(Debug)]
struct BentSource {
    inner: MarkdownRoadmap,
    fault: Fault,
    count: AtomicU32,
    /// What it read first.
    first: Mutex<Option<MemoryTree>>,
}

impl BentSource {
    fn count(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl TaskSource for BentSource {
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        if self.fault == Fault::RemembersWhatWasDropped {
            let before = self.count();
            tokio::task::yield_now().await;
            if before == 1 {
                // The first call ended; this one was dropped, if it is not heard of again.
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let mut snapshot = match (self.fault, self.inner.snapshot(tree).await) {
            (Fault::TakesNothingForEmpty, Err(SourceError::Missing { revision, .. })) => {
                return Ok(SourceSnapshot {
                    revision,
                    tasks: Vec::new(),
                });
            }
            (Fault::IsNotAvailable, Err(error)) => {
                return Err(SourceError::Unavailable(error.to_string()));
            }
            (_, snapshot) => snapshot?,
        };
        match self.fault {
            Fault::CountsItsRevisions => snapshot.revision = self.count().to_string(),
            Fault::DoublesATask => snapshot.tasks.extend(snapshot.tasks.first().cloned()),
            Fault::CountsReports => {
                snapshot.revision = self.count.load(Ordering::Relaxed).to_string();
            }
            Fault::RemembersWhatWasDropped => {
                snapshot.revision = self.count.load(Ordering::Relaxed).to_string();
            }
            _ => {}
        }
        Ok(snapshot)
    }

    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        let path: RepoPath = "ROADMAP.md".parse().expect("a path");
        let edit = |content: String| {
            vec![LandingEdit {
                path: path.clone(),
                content: content.into_bytes(),
            }]
        };
        match self.fault {
            Fault::StampsItsEdits => Ok(edit(format!("{ROADMAP}<!-- {} -->\n", self.count()))),
            Fault::TicksAgain => Ok(edit(ROADMAP.replace("[ ]", "[x]"))),
            Fault::EditsForAnybody => Ok(edit(ROADMAP.to_owned())),
            Fault::TicksAll => {
                let text = String::from_utf8_lossy(&tree.read(&path).await?.unwrap_or_default())
                    .replace("[ ]", "[x]");
                Ok(edit(text))
            }
            Fault::RemembersTheTree => {
                let content = tree.read(&path).await?.unwrap_or_default();
                let first = self
                    .first
                    .lock()
                    .expect("no panic")
                    .get_or_insert(MemoryTree::new().with("ROADMAP.md", content))
                    .clone();
                self.inner.landing_edits(task, &first).await
            }
            Fault::WritesElsewhere => {
                let mut edits = self.inner.landing_edits(task, tree).await?;
                edits.extend(edit("done\n".to_owned()).into_iter().map(|mut edit| {
                    edit.path = "DONE.md".parse().expect("a path");
                    edit
                }));
                Ok(edits)
            }
            _ => self.inner.landing_edits(task, tree).await,
        }
    }

    async fn report(
        &self,
        task: &TaskId,
        attempt: &AttemptId,
        outcome: &Outcome,
    ) -> Result<(), SourceError> {
        if self.fault == Fault::CountsReports {
            self.count();
        }
        self.inner.report(task, attempt, outcome).await
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        self.inner.own_paths()
    }
}
