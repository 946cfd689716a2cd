//! Ledgers and evidence stores of one's own: any will do, and what becomes of a run whose store fails.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{
    driver::{
        BuildError, Orchestrator, OrchestratorBuilder, RunError, StoreError, StoreLimits,
        VerifiedBranch, verify,
    },
    git::Git,
    model::EndReason,
    port::{ErrorClass, EvidenceStore, Ledger, LedgerError},
    store::{MemoryEvidence, MemoryLedger},
};
use orchestrator_testkit::{Faulty, Sandbox, StoreCall, StoreFault, check_stores, run_on};

use crate::common::{WORK, builder, sandbox};

const TRANSIENT: ErrorClass = ErrorClass::TRANSIENT;

/// What a store is put up with here.
const LIMITS: StoreLimits =
    StoreLimits::new(Duration::from_millis(400), Duration::from_millis(1500));

/// Later than an answer may come, and before the store is given up.
const LATE: Duration = Duration::from_millis(600);

/// Each way in which a call can go wrong and be good the next time.
const PASSING: [StoreFault; 6] = [
    StoreFault::FailsBefore(TRANSIENT),
    StoreFault::FailsAfter(TRANSIENT),
    StoreFault::Hangs,
    StoreFault::HangsAfter,
    StoreFault::AnswersLate(LATE),
    StoreFault::ArrivesLate(LATE),
];

fn gated(sandbox: &Sandbox) -> OrchestratorBuilder {
    let gate = "[gates.unit]\nrun = [\"true\"]\ndefault = true";
    builder(sandbox, WORK, gate).store_limits(LIMITS)
}

/// Tries to run on these stores, as it would be run for the first time.
async fn broken_off(sandbox: &Sandbox, ledger: Arc<dyn Ledger>) -> RunError {
    let begun = begun(sandbox, gated(sandbox).ledger(ledger)).await;
    begun.expect("begins").run().await.expect_err("breaks off")
}

async fn begun(
    sandbox: &Sandbox,
    builder: OrchestratorBuilder,
) -> Result<Orchestrator, BuildError> {
    builder
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"))
        .build()
        .await
}

/// Runs again on a store that works, and sees that the task is landed once.
async fn lands_once(sandbox: &Sandbox, ledger: Arc<dyn Ledger>) {
    let outcome = run_on(sandbox, gated(sandbox), ledger).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    assert_eq!(sandbox.remote_subjects(), ["A: Task A", "roadmap", "begin"]);
}

#[tokio::test]
async fn stores_in_memory_serve_a_run_and_all_that_reads_them() {
    check_stores(
        Arc::new(MemoryLedger::default()),
        Arc::new(MemoryEvidence::default()),
    )
    .await;
}

/// A run whose ledger has this fault at every third append.
async fn run_with_faulty_appends(fault: StoreFault) {
    let sandbox = sandbox(&[("A", "")]);
    let inner = Arc::new(MemoryLedger::default());
    let plan = move |call, number: u32| {
        let is_hit = call == StoreCall::Append && number % 3 == 2;
        is_hit.then_some(fault)
    };
    let ledger = Arc::new(Faulty::new(inner, plan));
    lands_once(&sandbox, ledger.clone()).await;
    assert!(ledger.calls(StoreCall::Append) > 5, "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_fail_or_whose_answer_is_lost_are_found_or_done_again_and_never_twice() {
    let runs = PASSING.map(|fault| tokio::spawn(run_with_faulty_appends(fault)));
    for run in runs {
        run.await.expect("holds");
    }
}

/// A run whose evidence store has this fault at every second call.
async fn run_with_faulty_evidence(fault: StoreFault) {
    let sandbox = sandbox(&[("A", "")]);
    let plan = move |_, number: u32| number.is_multiple_of(2).then_some(fault);
    let inner = Arc::new(MemoryEvidence::default());
    let evidence = Arc::new(Faulty::new(Arc::clone(&inner), plan));
    let builder = gated(&sandbox).evidence(evidence.clone());
    let ledger = Arc::new(MemoryLedger::default());
    let outcome = run_on(&sandbox, builder, ledger.clone()).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{fault:?}");
    assert!(evidence.calls(StoreCall::Put) > 3, "{fault:?}");
    let git = Git::find().await.expect("git is there");
    let state_dir = &sandbox.state();
    let target = VerifiedBranch::Target { state_dir };
    let found = verify(&git, target, &*ledger, &*inner)
        .await
        .expect("reads");
    assert!(found.is_whole(), "{fault:?}: {found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_that_could_not_be_kept_at_once_is_kept_a_little_later() {
    let runs = PASSING.map(|fault| tokio::spawn(run_with_faulty_evidence(fault)));
    for run in runs {
        run.await.expect("holds");
    }
}

/// A ledger with this fault at the first call of each kind.
async fn begin_with_faulty_opening(fault: StoreFault) {
    let sandbox = sandbox(&[("A", "")]);
    let plan = move |call, number| {
        let is_hit = call != StoreCall::Append && number == 1;
        is_hit.then_some(fault)
    };
    let ledger = Arc::new(Faulty::new(Arc::new(MemoryLedger::default()), plan));
    begun(&sandbox, gated(&sandbox).ledger(ledger.clone()))
        .await
        .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    let [opened, read] = [StoreCall::Open, StoreCall::Read].map(|call| ledger.calls(call));
    assert_eq!((opened, read), (2, 2), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_and_reading_a_ledger_are_tried_again() {
    let beginnings = PASSING.map(|fault| tokio::spawn(begin_with_faulty_opening(fault)));
    for begins in beginnings {
        begins.await.expect("holds");
    }
}

/// A ledger that is as it was for the first appends, and has this fault from then on.
fn broken_after(
    inner: &Arc<MemoryLedger>,
    appends: u32,
    fault: StoreFault,
) -> Arc<Faulty<MemoryLedger>> {
    let plan = move |call, number| {
        let is_hit = call == StoreCall::Append && number > appends;
        is_hit.then_some(fault)
    };
    Arc::new(Faulty::new(Arc::clone(inner), plan))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_that_stays_away_ends_the_run_with_a_name_and_the_next_run_goes_on() {
    for appends in [0, 3, 6] {
        let sandbox = sandbox(&[("A", "")]);
        let inner = Arc::new(MemoryLedger::default());
        let ledger = broken_after(&inner, appends, StoreFault::FailsBefore(TRANSIENT));
        let error = broken_off(&sandbox, ledger.clone()).await;
        let RunError::Ledger(StoreError::Unavailable { tries, .. }) = &error else {
            panic!("it ended by {error:?}");
        };
        assert!(*tries > 2, "{tries} tries");
        assert_eq!(ledger.calls(StoreCall::Append), appends + tries);
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("the ledger failed {tries} times within ")),
            "{said}"
        );
        lands_once(&sandbox, inner).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_that_does_not_answer_ends_the_run_with_a_name_and_the_next_run_goes_on() {
    for fault in [StoreFault::Hangs, StoreFault::HangsAfter] {
        let sandbox = sandbox(&[("A", "")]);
        let inner = Arc::new(MemoryLedger::default());
        // What was written is found when it is read back, unless reading hangs as well.
        let plan = move |call, number| {
            let is_hit = match call {
                StoreCall::Append => number > 4,
                StoreCall::Read => number > 1,
                StoreCall::Open | StoreCall::Put => false,
            };
            is_hit.then_some(fault)
        };
        let ledger = Arc::new(Faulty::new(Arc::clone(&inner), plan));
        let error = broken_off(&sandbox, ledger).await;
        assert!(
            matches!(error, RunError::Ledger(StoreError::Silent { .. })),
            "it ended by {error:?}"
        );
        let said = error.to_string();
        assert!(said.contains("did not answer, and was given up"), "{said}");
        lands_once(&sandbox, inner).await;
    }
}

#[tokio::test]
async fn error_that_does_not_pass_ends_the_run_at_once() {
    for class in [
        ErrorClass::NeedsPerson,
        ErrorClass::Permanent,
        ErrorClass::Bug,
    ] {
        let sandbox = sandbox(&[("A", "")]);
        let inner = Arc::new(MemoryLedger::default());
        let ledger = broken_after(&inner, 3, StoreFault::FailsBefore(class));
        let error = broken_off(&sandbox, ledger.clone()).await;
        assert!(
            matches!(
                error,
                RunError::Ledger(StoreError::Refused(LedgerError::Failed(_)))
            ),
            "it ended by {error:?}"
        );
        assert_eq!(ledger.calls(StoreCall::Append), 4, "{class:?}");
    }
}

#[tokio::test]
async fn store_that_asks_for_more_time_than_there_is_is_not_asked_again() {
    let sandbox = sandbox(&[("A", "")]);
    let later = ErrorClass::Transient {
        retry_after: Some(Duration::from_secs(3600)),
    };
    let inner = Arc::new(MemoryLedger::default());
    let ledger = broken_after(&inner, 1, StoreFault::FailsBefore(later));
    let error = broken_off(&sandbox, ledger).await;
    assert!(
        matches!(
            error,
            RunError::Ledger(StoreError::Unavailable { tries: 1, .. })
        ),
        "it ended by {error:?}"
    );
}

#[tokio::test]
async fn evidence_store_that_stays_away_ends_the_run_with_a_name() {
    let sandbox = sandbox(&[("A", "")]);
    let plan = |_, _| Some(StoreFault::FailsBefore(TRANSIENT));
    let evidence: Arc<dyn EvidenceStore> =
        Arc::new(Faulty::new(Arc::new(MemoryEvidence::default()), plan));
    let ledger = Arc::new(MemoryLedger::default());
    let builder = gated(&sandbox).evidence(evidence).ledger(ledger.clone());
    let run = begun(&sandbox, builder).await.expect("begins").run().await;
    let error = run.expect_err("breaks off");
    assert!(
        matches!(error, RunError::Evidence(StoreError::Unavailable { .. })),
        "it ended by {error:?}"
    );
    lands_once(&sandbox, ledger).await;
}

#[tokio::test]
async fn ledger_that_stays_away_is_named_before_anything_is_started() {
    let sandbox = sandbox(&[("A", "")]);
    let plan = |_, _| Some(StoreFault::Hangs);
    let ledger = Arc::new(Faulty::new(Arc::new(MemoryLedger::default()), plan));
    let refused = begun(&sandbox, gated(&sandbox).ledger(ledger)).await;
    assert!(
        matches!(
            refused,
            Err(BuildError::Ledger(StoreError::Silent {
                store: "the ledger",
                ..
            }))
        ),
        "{refused:?}"
    );
}
