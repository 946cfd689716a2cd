//! A run that breaks off at any record, and goes on: nothing is lost, nothing is done twice.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use orchestrator_core::{
    driver::{Orchestrator, RunError, StoreError},
    model::{Effect, EndReason, Policy, Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, PortFailure, Sequence},
    store::FileLedger,
};
use orchestrator_testkit::{Sandbox, git, run_checked, shell_worker};

/// A ledger whose disk is full from some append on: what it refuses was never written.
#[derive(Debug)]
struct FullAt {
    inner: FileLedger,
    left: AtomicUsize,
}

#[async_trait]
impl Ledger for FullAt {
    async fn open(&self) -> Result<Opening, LedgerError> {
        self.inner.open().await
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_err()
        {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(PortFailure::io("the test's ledger cannot be written", full).into());
        }
        self.inner.append(epoch, expected, at, records).await
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        self.inner.read(from, limit).await
    }
}

fn sandbox() -> (Sandbox, Policy) {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[(
            "ROADMAP.md",
            "- [ ] **A** First\n  ```toml\n  allow = [\"a.txt\"]\n  ```\n",
        )],
        "roadmap",
    );
    let worker = shell_worker(
        sandbox.path(),
        "worker",
        "echo a > a.txt; git add .; git diff --cached --quiet || commit work; handoff done",
    );
    let text = format!(
        "push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n[gates.a]\nrun = [\"test\", \"-e\", \"a.txt\"]\n\
         default = true\n[limits]\nbackoff = \"1ms\"\ngrace = \"200ms\"\nheartbeat = \"1h\"\n"
    );
    (sandbox, Policy::parse(&text).expect("a valid policy"))
}

/// Runs until the append with this number, which fails; then again. False when the first run needed no more appends.
async fn break_off_and_go_on(appends: usize) -> bool {
    let (sandbox, policy) = sandbox();
    let ledger = FullAt {
        inner: FileLedger::new(sandbox.state().join("ledger")),
        left: AtomicUsize::new(appends),
    };
    let first = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"))
        .policy(policy.clone())
        .ledger(Arc::new(ledger));
    let broke_off = match first.build().await.expect("begins").run().await {
        Ok(report) => {
            assert_eq!(report.ended, EndReason::Complete);
            false
        }
        Err(RunError::Ledger(StoreError::Refused(LedgerError::Failed(_)))) => true,
        Err(other) => panic!("it broke off for another reason: {other:?}"),
    };
    let pushed = sandbox.remote_subjects().contains(&"A: First".to_owned());
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "after {appends} appends: {:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        sandbox.remote_subjects(),
        ["A: First", "roadmap", "begin"],
        "after {appends} appends, it landed exactly once"
    );
    // An agent that was stopped is started again once it is recorded that its session goes on; one that had committed, and has left
    // no handoff, is asked for that.
    let turns = outcome
        .records()
        .filter(|record| {
            matches!(
                record,
                Record::Requested {
                    what: Effect::RunTurn { .. },
                    ..
                }
            )
        })
        .count();
    let repairs = outcome
        .records()
        .filter(|record| matches!(record, Record::RepairAsked { .. }))
        .count();
    let continued = outcome
        .records()
        .filter(|record| matches!(record, Record::Continued { .. }))
        .count();
    let attempts = outcome.task("A").attempts;
    assert!(
        turns <= 1 + repairs + continued && repairs + continued <= 1 && attempts == 1,
        "after {appends} appends: {turns} turns in {attempts} attempts"
    );
    let submitted = outcome
        .records()
        .filter(|record| matches!(record, Record::Submitted { .. }))
        .count();
    assert_eq!(
        submitted, 1,
        "after {appends} appends, work that was committed is not done again"
    );
    if pushed {
        let tip = git(&sandbox.remote(), &["rev-parse", "main"]);
        assert_eq!(
            outcome
                .task("A")
                .landed_commit
                .map(|commit| commit.to_string()),
            Some(tip),
            "what was pushed was recognised"
        );
    }
    let workspace = sandbox.state().join(format!("attempts/A-{attempts}"));
    assert!(
        !workspace.exists(),
        "after {appends} appends, the workspace of what landed is gone"
    );
    broke_off
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_ledger_fails_the_next_run_goes_on_and_lands_once() {
    let (mut appends, mut goes_on) = (1, true);
    while goes_on {
        // A few at a time: each is a world of its own.
        let some = (appends..appends + 4).map(|appends| tokio::spawn(break_off_and_go_on(appends)));
        for one in some.collect::<Vec<_>>() {
            goes_on &= one.await.expect("holds");
        }
        appends += 4;
    }
    assert!(appends > 15, "a run has more appends than that: {appends}");
}
