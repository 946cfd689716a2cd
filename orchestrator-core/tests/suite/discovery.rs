//! Each heartbeat looks at what is there, remembers no ids, and names what it finds; what follows from it is decided elsewhere.

use std::{fs, path::Path, time::Duration};

use orchestrator_core::{
    driver::{Notice, Orchestrator, WorkspaceFault},
    model::{EndReason, HandoffReport, Record},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, shell_worker};

use crate::common::{self, Live, WORK, builder, make_fifo, policy, sandbox};

/// Runs a worker that does something odd, says `odd`, and waits to be let go; what is observed meanwhile must be this.
async fn odd(
    script: &str,
    expected: WorkspaceFault,
    meanwhile: impl FnOnce(&Sandbox),
) -> (Sandbox, RunOutcome) {
    let sandbox = sandbox(&[("A", "")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = script.replace("WAIT", &format!("echo odd; read go < '{}'", fifo.display()));
    let worker = shell_worker(sandbox.path(), "worker", &script);
    let mut policy = policy(&worker, "");
    policy.limits.attempts = 1;
    let mut live = Live::start(&sandbox, Orchestrator::builder().policy(policy)).await;
    // Heard by another ear: what is observed before the worker has said so counts as well.
    let mut words = live.handle.subscribe();
    let odd = async {
        while !matches!(words.recv().await.expect("goes on"), Notice::Activity { text, .. } if text == "odd")
        {
        }
    };
    tokio::time::timeout(Duration::from_secs(60), odd)
        .await
        .expect("it is odd");
    meanwhile(&sandbox);
    let seen = live.until(|notice| match notice {
        Notice::Observed { attempt, what } => Some((attempt.to_string(), *what)),
        _ => None,
    });
    let (attempt, what) = seen.await;
    assert_eq!(what, expected, "{attempt}");
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    (sandbox, outcome)
}

#[tokio::test]
async fn a_worktree_that_left_its_branch_is_named_and_what_is_elsewhere_does_not_count() {
    let script = "echo a > A.txt; commit c; git checkout -q --detach; echo b > A.txt; commit elsewhere; WAIT; handoff done";
    let (sandbox, outcome) = odd(script, WorkspaceFault::OffBranch, |_| {}).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("A.txt"), "a");
    let named = outcome.records().any(|record| match record {
        Record::Submitted { submission, .. } => submission
            .findings
            .iter()
            .any(|finding| finding.rule == "commit/branch"),
        _ => false,
    });
    assert!(named);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_named_and_what_was_committed_counts() {
    let script = format!("{WORK}; here=$PWD; cd /; rm -rf \"$here\"; WAIT");
    let (sandbox, outcome) = odd(&script, WorkspaceFault::TreeGone, |_| {}).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("A.txt"), "A");
}

#[tokio::test]
async fn a_branch_that_cannot_be_read_is_named_and_ends_the_attempt() {
    let script = format!(
        "{WORK}; r=$(git rev-parse --git-common-dir)/refs/heads/attempt/A/1; rm $r; mkfifo $r; WAIT"
    );
    let (_sandbox, outcome) = odd(&script, WorkspaceFault::HeadUnreadable, |_| {}).await;
    assert_eq!(outcome.task("A").state, TaskState::Parked);
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(reason.contains("it is no regular file"), "{reason}");
}

#[tokio::test]
async fn commits_that_were_rewritten_are_named_and_the_last_count() {
    let sandbox = sandbox(&[("A", "")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!(
        "echo a > A.txt; commit one; echo first; read go < '{0}'; echo b > A.txt; git add .; git commit -q --amend -m two; echo second; \
         read go < '{0}'; handoff done",
        fifo.display()
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    // The first commit must have been seen before it is gone.
    let base = git(&sandbox.remote(), &["rev-parse", "main"]);
    live.recorded(
        |record| matches!(record, Record::HeadSeen { head, .. } if head.to_string() != base),
    )
    .await;
    common::let_go(&fifo).await;
    let seen = live.until(|notice| match notice {
        Notice::Observed { what, .. } => Some(*what),
        _ => None,
    });
    assert_eq!(seen.await, WorkspaceFault::Rewritten);
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("A.txt"), "b");
}

#[tokio::test]
async fn a_workspace_of_nobody_is_named_and_left_alone() {
    let plant = |sandbox: &Sandbox| {
        let tree = sandbox.state().join("attempts/Z-9/tree");
        fs::create_dir_all(&tree).expect("makes");
        fs::write(tree.join("work.txt"), "somebody's").expect("writes");
    };
    let (sandbox, outcome) = odd(&format!("WAIT; {WORK}"), WorkspaceFault::Orphan, plant).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let kept = sandbox.state().join("attempts/Z-9/tree/work.txt");
    assert_eq!(
        fs::read_to_string(kept).expect("is left alone"),
        "somebody's"
    );
}

#[tokio::test]
async fn commit_under_a_session_that_never_ends_is_reviewed_and_does_not_land() {
    let sandbox = sandbox(&[("A", "")]);
    let worker = shell_worker(
        sandbox.path(),
        "worker",
        &WORK.replace("handoff done", "sleep 1000"),
    );
    let mut policy = policy(&worker, "");
    policy.limits.stall = Some("300ms".parse().expect("a span"));
    let live = Live::start(&sandbox, Orchestrator::builder().policy(policy)).await;
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    let hold = outcome.task("A").hold.clone().expect("a person is asked");
    assert!(
        hold.question.contains("nobody has said") && hold.question.contains("silent"),
        "{}",
        hold.question
    );
    let missing = outcome
        .records()
        .any(|record| matches!(record, Record::Submitted { submission, .. } if submission.handoff == HandoffReport::Missing));
    assert!(missing, "and the missing handoff is named");
}

#[tokio::test]
async fn a_look_remembers_no_ids() {
    // Whatever lies in the directory of workspaces is found, by a lookout that was told nothing.
    let sandbox = sandbox(&[("A", "")]);
    let mut live = Live::start(
        &sandbox,
        builder(
            &sandbox,
            &format!("echo ready; read go < '{}'", fifo(sandbox.path())),
            "",
        ),
    )
    .await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "ready").then_some(())
    })
    .await;
    let base = git(&sandbox.remote(), &["rev-parse", "main"])
        .parse()
        .expect("an id");
    let workspaces = orchestrator_core::git::Workspaces::beneath(&sandbox.state());
    let objects =
        orchestrator_core::git::Objects::open(&sandbox.state().join("trusted.git")).expect("opens");
    let looks = orchestrator_core::git::Lookout::new(workspaces, objects)
        .look()
        .expect("looks");
    let found: Vec<_> = looks
        .iter()
        .map(|look| {
            (
                look.attempt.to_string(),
                look.tree,
                look.on_branch,
                look.head,
            )
        })
        .collect();
    assert_eq!(found, [("A#1".to_owned(), true, true, Some(base))]);
    assert!(live.handle.stop().await);
    assert_eq!(live.end().await.report.ended, EndReason::Stopped);
}

fn fifo(directory: &Path) -> String {
    let path = directory.join("never");
    make_fifo(&path);
    path.display().to_string()
}

#[tokio::test]
async fn orchestrator_that_died_is_told_as_not_running() {
    let sandbox = sandbox(&[("A", "")]);
    let builder = |script: &str| {
        let worker = shell_worker(sandbox.path(), "worker", script);
        let mut policy = policy(&worker, "");
        policy.limits.heartbeat = "1ms".parse().expect("a span");
        Orchestrator::builder().policy(policy)
    };
    let mut live = Live::start(&sandbox, builder("sleep 1000")).await;
    live.recorded(|record| matches!(record, Record::SessionSeen { .. }))
        .await;
    live.die().await;
    let mut live = Live::start(&sandbox, builder(WORK)).await;
    let (from, to) = live
        .until(|notice| match notice {
            Notice::NotRunning { from, to } => Some((*from, *to)),
            Notice::Gap { .. } => panic!("its own death is no gap: {notice:?}"),
            _ => None,
        })
        .await;
    assert!(from <= to && from.0 > 0, "{from} {to}");
    assert_eq!(live.end().await.report.ended, EndReason::Complete);
}
