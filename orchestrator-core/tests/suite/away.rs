//! A source and a reviewer that cannot be reached for a moment, as a tracker on a network cannot.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{AttemptId, EndReason, Finding, Record, RepoPath, Task, TaskId},
    port::{
        LandingEdit, Outcome, ReviewError, ReviewRequest, Reviewer, SourceError, SourceSnapshot,
        TaskSource, TreeView,
    },
    review::standard,
    source::TaskList,
};
use orchestrator_testkit::run_checked;

use crate::common::{WORK, builder, sandbox};

/// Fails once at everything that it is asked.
#[derive(Debug)]
struct Away {
    inner: TaskList,
    asked: [AtomicU32; 3],
}

impl Away {
    fn fails(&self, call: usize) -> Result<(), SourceError> {
        let first = self.asked[call].fetch_add(1, Ordering::Relaxed) == 0;
        let away = || SourceError::Unavailable("the tracker is away".to_owned());
        if first { Err(away()) } else { Ok(()) }
    }
}

#[async_trait]
impl TaskSource for Away {
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        // Before a run begins it is an error.
        if self.asked[0].fetch_add(1, Ordering::Relaxed) == 1 {
            return Err(SourceError::Unavailable("the tracker is away".to_owned()));
        }
        self.inner.snapshot(tree).await
    }

    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        self.fails(1)?;
        self.inner.landing_edits(task, tree).await
    }

    async fn report(
        &self,
        task: &TaskId,
        attempt: &AttemptId,
        outcome: &Outcome,
    ) -> Result<(), SourceError> {
        self.fails(2)?;
        self.inner.report(task, attempt, outcome).await
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        self.inner.own_paths()
    }
}

/// A reviewer that cannot look so often.
#[derive(Debug)]
struct Busy(AtomicU32);

#[async_trait]
impl Reviewer for Busy {
    fn name(&self) -> &str {
        "busy"
    }

    async fn review(&self, _: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        match left {
            Ok(_) => Err(ReviewError::Unavailable("it is busy".to_owned())),
            Err(_) => Ok(Vec::new()),
        }
    }
}

#[tokio::test]
async fn source_that_is_away_for_a_moment_is_asked_again() {
    let sandbox = sandbox(&[]);
    let source = Away {
        inner: TaskList::new([Task::new("A".parse().expect("an id"), "Task A")]),
        asked: Default::default(),
    };
    let source = Arc::new(source);
    let builder = builder(&sandbox, WORK, "")
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .source(source.clone());
    let orchestrator = builder.build().await.expect("begins");
    let report = orchestrator.run().await.expect("runs");
    assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
    let asked = source
        .asked
        .each_ref()
        .map(|count| count.load(Ordering::Relaxed));
    assert!(asked[0] > 2, "{asked:?}");
    assert_eq!(asked[1..], [2, 2]);
}

#[tokio::test]
async fn reviewer_that_is_busy_for_a_moment_is_asked_again_and_one_that_stays_so_is_a_question() {
    for (failures, ended) in [(2, EndReason::Complete), (3, EndReason::WaitingForAPerson)] {
        let sandbox = sandbox(&[("A", "")]);
        let reviewers: Vec<Arc<dyn Reviewer>> = standard()
            .into_iter()
            .chain([Arc::new(Busy(AtomicU32::new(failures))) as Arc<dyn Reviewer>])
            .collect();
        let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "").reviewers(reviewers)).await;
        assert_eq!(
            outcome.report.ended, ended,
            "{:#?}",
            outcome.report.snapshot
        );
        let reviewed = |record: &&Record| matches!(record, Record::Reviewed { .. });
        assert_eq!(outcome.records().filter(reviewed).count(), 1);
    }
}
