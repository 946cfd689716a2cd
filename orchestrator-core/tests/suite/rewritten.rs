//! The person rewrites the target: nothing of what they dropped comes back (law 15).

use orchestrator_core::{
    driver::{CheckedCommit, Command, CommitKind, Inbox, Orchestrator},
    git::Ancestry,
    model::{EndReason, HoldOption, HoldReason, Record, Size},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked};

use crate::common::{self, Live, WORK, answer, builder, ends, sandbox, turns, verified_target};

/// Shell that runs in the person's clone, as the person would while a worker works.
fn person(sandbox: &Sandbox, script: &str) -> String {
    let user = "-c user.name=O -c user.email=o@example.org";
    let git = format!("git() {{ command git {user} \"$@\"; }}");
    format!("(cd '{}'; {git}; {script})", sandbox.repo().display())
}

/// All paths that any commit of the remote's `main` has.
fn ever(repository: &std::path::Path) -> String {
    git(
        repository,
        &["log", "--format=", "--name-only", "-m", "main"],
    )
}

const NONE: [String; 0] = [];

/// What `verify` finds wrong with the target.
async fn faults(sandbox: &Sandbox) -> Vec<String> {
    let verified = verified_target(sandbox).await;
    let of_commit = |commit: &CheckedCommit| match &commit.what {
        CommitKind::Foreign => Vec::new(),
        CommitKind::Landing { faults, .. } => faults.clone(),
    };
    verified
        .commits
        .iter()
        .flat_map(of_commit)
        .chain(verified.missing.clone())
        .collect()
}

fn carried(outcome: &RunOutcome) -> usize {
    outcome
        .records()
        .filter(|record| matches!(record, Record::CarriedOver { .. }))
        .count()
}

fn rewritten(outcome: &RunOutcome) -> usize {
    outcome
        .records()
        .filter(|record| matches!(record, Record::TargetRewritten { .. }))
        .count()
}

#[tokio::test]
async fn target_that_is_amended_while_work_runs_gets_the_work_alone() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.commit(&[("draft.txt", "first")], "draft");
    let amend = "echo second > draft.txt; git add draft.txt; git commit -q --amend -m final";
    let script = format!("{}; {WORK}", person(&sandbox, amend));
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "push = false")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (turns(&outcome), carried(&outcome)),
        (1, 1),
        "{:?}",
        ends(&outcome)
    );
    let subjects = git(&sandbox.repo(), &["log", "--format=%s", "main"]);
    assert!(!subjects.contains("draft"), "{subjects}");
    assert_eq!(git(&sandbox.repo(), &["show", "main:draft.txt"]), "second");
    assert_eq!(git(&sandbox.repo(), &["show", "main:A.txt"]), "A");
    assert_eq!(faults(&sandbox).await, NONE);
    let state = sandbox.state();
    assert!(
        !state.join("attempts/A-1").exists(),
        "its work landed, so its workspace is gone"
    );
    let kept = ["for-each-ref", "refs/orchestrator/attempts"];
    assert_eq!(git(&state.join("trusted.git"), &kept), "");
}

#[tokio::test]
async fn commit_dropped_from_the_remote_while_work_runs_does_not_come_back() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[("key.txt", "leaked")], "a key");
    let drop = "git fetch -q; git reset -q --hard HEAD~1; git push -q -f origin HEAD:main";
    let script = format!("{}; {WORK}", person(&sandbox, drop));
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (turns(&outcome), carried(&outcome), rewritten(&outcome)),
        (1, 1, 1)
    );
    assert!(
        !ever(&sandbox.remote()).contains("key.txt"),
        "{}",
        ever(&sandbox.remote())
    );
    assert_eq!(sandbox.remote_file("A.txt"), "A");
}

#[tokio::test]
async fn commit_that_a_worker_merged_and_the_target_dropped_does_not_come_back() {
    let sandbox = sandbox(&[("A", "")]);
    let fifo = sandbox.path().join("go");
    common::make_fifo(&fifo);
    // The target moves, which a heartbeat sees; the worker merges that; then it is dropped, and
    // something else is there.
    let drop = "git reset -q --hard HEAD~1; echo x > other.txt; git add .; git commit -q -m other; \
                git push -q -f origin HEAD:main";
    let script = format!(
        "{}; cat '{}' > /dev/null; git pull -q --no-rebase --no-edit '{}' main; {}; {WORK}",
        common::pushes(&sandbox, "key.txt", "leaked"),
        fifo.display(),
        sandbox.remote().display(),
        person(&sandbox, drop),
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    live.recorded(|record| matches!(record, Record::TipSeen(_)))
        .await;
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (turns(&outcome), carried(&outcome)),
        (1, 1),
        "{:?}",
        ends(&outcome)
    );
    assert!(
        !ever(&sandbox.remote()).contains("key.txt"),
        "{}",
        ever(&sandbox.remote())
    );
    assert_eq!(
        (
            sandbox.remote_file("A.txt"),
            sandbox.remote_file("other.txt")
        ),
        ("A".into(), "x".into())
    );
}

#[tokio::test]
async fn work_that_conflicts_with_the_rewritten_target_is_made_again_there() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[("A.txt", "old\n")], "old");
    let other = "git reset -q --hard HEAD~1; echo new > A.txt; git add .; git commit -q -m new; \
                 git push -q -f origin HEAD:main";
    let script = format!(
        "[ $ORCHESTRATOR_ATTEMPT = 2 ] || {}; {WORK}",
        person(&sandbox, other)
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (2, 2));
    assert_eq!(sandbox.remote_subjects()[..2], ["A: Task A", "new"]);
    let subjects = git(&sandbox.remote(), &["log", "--format=%s", "main"]);
    assert!(
        !subjects.lines().any(|subject| subject == "old"),
        "{subjects}"
    );
}

#[tokio::test]
async fn landing_dropped_between_two_runs_is_a_question_and_is_not_done_again() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let subjects = sandbox.remote_subjects();
    common::shell(
        &sandbox.repo(),
        "git fetch -q; git reset -q --hard origin/main~1; git push -q -f origin HEAD:main",
    );

    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (outcome.task("A").state, outcome.task("B").state),
        (TaskState::Landed, TaskState::Held)
    );
    let reason = outcome.task("B").reason.clone().unwrap_or_default();
    assert!(reason.contains("somebody rewrote the target"), "{reason}");
    let holds: Vec<_> = outcome.report.state.holds().collect();
    assert!(
        matches!(holds[0].about, HoldReason::LandingDropped { .. }),
        "{holds:?}"
    );
    assert_eq!(sandbox.remote_subjects(), subjects[1..]);
    let found = faults(&sandbox).await;
    assert!(
        found.len() == 1 && found[0].starts_with("B#1 landed as"),
        "{found:?}"
    );

    // The person wants it after all: it is done again, on the target as it is now.
    let letter = Command::Answer(answer(1, HoldOption::Retry, Some("again")));
    Inbox::of(&sandbox.state()).post(&letter).expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (outcome.task("B").attempts, sandbox.remote_subjects()),
        (2, subjects)
    );
    assert_eq!(faults(&sandbox).await, NONE);
}

#[tokio::test]
async fn landing_that_a_rewritten_target_still_has_stays_landed() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[("key.txt", "leaked"), ("note.txt", "x")], "a key");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    // The key is taken out of all history, which makes the landing another commit.
    let script = "git pull -q; export FILTER_BRANCH_SQUELCH_WARNING=1; \
                  git filter-branch --index-filter 'git rm -q --cached --ignore-unmatch key.txt' > /dev/null; \
                  git push -q -f origin HEAD:main";
    common::shell(&sandbox.repo(), script);
    assert_eq!(sandbox.remote_subjects()[0], "A: Task A");
    assert!(!ever(&sandbox.remote()).contains("key.txt"));

    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(rewritten(&outcome), 1);
    let tip = git(&sandbox.remote(), &["rev-parse", "main"]);
    assert_eq!(
        outcome
            .task("A")
            .landed_commit
            .map(|commit| commit.to_string()),
        Some(tip)
    );
    assert_eq!(faults(&sandbox).await, NONE);
}

#[tokio::test]
async fn history_that_is_too_large_is_not_taken_in_with_what_was_dropped() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.commit(&[("draft.txt", "first")], "draft");
    let amend = "echo second > final.txt; git rm -q draft.txt; git add final.txt; git commit -q --amend -m final";
    let large = "head -c 2M /dev/urandom > large.bin; commit one; git rm -q large.bin; echo a > A.txt; commit two; handoff done";
    let again = "git reset -q --soft \"$(sed -n 's/.*git reset --soft \\([0-9a-f]*\\).*/\\1/p' ../prompt.seen | head -n 1)\"; commit once; handoff done";
    let script = format!(
        "if [ $ORCHESTRATOR_TURN = 1 ]; then {}; {large}; exit; fi; cat > ../prompt.seen; {again}",
        person(&sandbox, amend)
    );
    let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
    let mut policy = common::policy(&worker, "push = false");
    policy.limits.file = Size::mib(1);
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((turns(&outcome), carried(&outcome)), (2, 1));
    let ever = ever(&sandbox.repo());
    assert!(
        ever.contains("final.txt") && !ever.contains("draft.txt") && !ever.contains("large.bin"),
        "{ever}"
    );
}

#[tokio::test]
async fn history_that_is_cut_off_while_work_runs_is_not_taken_for_a_rewritten_target() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[("more.txt", "x")], "more");
    let url = format!("file://{}", sandbox.remote().display());
    // Somebody else pushes, and the person takes that over from a fetch of its last commit.
    let newer = format!(
        "git clone -q '{url}' ../other; cd ../other; echo y > more.txt; git commit -q -a -m newer; \
         echo z > more.txt; git commit -q -a -m newest; git push -q origin HEAD:main; cd ../repo; \
         git fetch -q --depth=1 '{url}' main; git reset -q --hard FETCH_HEAD"
    );
    let script = format!("{}; {WORK}", person(&sandbox, &newer));
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "push = false")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(reason.contains("run `git fetch --unshallow`"), "{reason}");
    assert_eq!(
        (turns(&outcome), carried(&outcome), rewritten(&outcome)),
        (1, 0, 0)
    );

    common::shell(
        &sandbox.repo(),
        &format!("git fetch -q --unshallow '{url}' main"),
    );
    let letter = Command::Answer(answer(1, HoldOption::Retry, None));
    Inbox::of(&sandbox.state()).post(&letter).expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "push = false")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, rewritten(&outcome)), (1, 0));
}

#[tokio::test]
async fn commit_beyond_a_cut_off_history_is_unknown_and_not_dropped() {
    let sandbox = sandbox(&[]);
    let trusted = common::trusted(&sandbox).await;
    let before = trusted.fetch_target().await.expect("fetches");
    sandbox.commit(&[("more.txt", "x")], "more");
    let tip = trusted.fetch_target().await.expect("fetches");
    assert_eq!(
        trusted.ancestry(tip, before).await.expect("looks"),
        Ancestry::Contained
    );
    assert_eq!(
        trusted.ancestry(before, tip).await.expect("looks"),
        Ancestry::Dropped
    );
    std::fs::write(trusted.dir().join("shallow"), format!("{before}\n")).expect("writes");
    assert_eq!(
        trusted.ancestry(before, tip).await.expect("looks"),
        Ancestry::Unknown
    );
}
