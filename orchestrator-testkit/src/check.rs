//! Running the loop, and checking what must hold of every run.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{
    driver::{OrchestratorBuilder, RunReport},
    machine::{State, replay},
    model::{Record, RepoPath},
    port::{Ledger, LedgerEntry, Sequence},
    status::TaskView,
    store::FileLedger,
};

use crate::Sandbox;

/// No run of a test takes longer; one that does hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A run that is over, with its ledger.
#[derive(Debug)]
pub struct RunOutcome {
    /// How it ended.
    pub report: RunReport,
    /// All that was decided, in all runs on this state directory.
    pub entries: Vec<LedgerEntry>,
}

impl RunOutcome {
    /// One task as it stands.
    ///
    /// # Panics
    /// When there is no such task.
    #[must_use]
    pub fn task(&self, id: &str) -> &TaskView {
        let found = self
            .report
            .snapshot
            .tasks
            .iter()
            .find(|task| task.id.as_str() == id);
        found.unwrap_or_else(|| panic!("no task {id} in {:#?}", self.report.snapshot))
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.entries.iter().map(|entry| &entry.record)
    }
}

/// The state of a ledger's records.
///
/// # Panics
/// When they do not fit.
#[must_use]
pub fn replayed(entries: &[LedgerEntry]) -> State {
    replay(entries.iter().map(|entry| &entry.record)).expect("the ledger replays")
}

/// Runs the loop in a sandbox, with its roadmap at `ROADMAP.md`, and checks that the replayed ledger equals the live state.
///
/// # Panics
/// When the run cannot begin, breaks off, hangs, or its ledger tells another story than its state.
pub async fn run_checked(sandbox: &Sandbox, builder: OrchestratorBuilder) -> RunOutcome {
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    run_on(sandbox, builder, Arc::new(ledger)).await
}

/// The same on a ledger of one's own.
///
/// # Panics
/// As [`run_checked`].
pub async fn run_on(
    sandbox: &Sandbox,
    builder: OrchestratorBuilder,
    ledger: Arc<dyn Ledger>,
) -> RunOutcome {
    let roadmap: RepoPath = "ROADMAP.md".parse().expect("a path");
    let builder = builder
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap(roadmap)
        .ledger(ledger.clone());
    let orchestrator = builder
        .build()
        .await
        .unwrap_or_else(|error| panic!("it cannot begin: {error}"));
    let report = tokio::time::timeout(DEADLINE, orchestrator.run())
        .await
        .expect("the run ends in time");
    let report = report.unwrap_or_else(|error| panic!("the run broke off: {error:?}"));
    let entries = ledger
        .read(Sequence(1), usize::MAX)
        .await
        .expect("the ledger can be read");
    assert_eq!(
        replayed(&entries),
        report.state,
        "the replayed ledger equals the live state"
    );
    RunOutcome { report, entries }
}
