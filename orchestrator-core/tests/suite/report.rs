//! The morning report of a night that was kept: from the same ledger, the same page, whenever it is asked for.

use std::path::Path;

use orchestrator_core::{
    model::Timestamp,
    port::{Ledger as _, LedgerEntry, Sequence},
    status::Report,
    store::FileLedger,
};

async fn night() -> Vec<LedgerEntry> {
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2-one-night");
    FileLedger::new(ledger)
        .read(Sequence(1), usize::MAX)
        .await
        .expect("reads")
}

fn report(entries: &[LedgerEntry], since: Option<Timestamp>) -> Report {
    Report::of(entries.iter().map(|entry| (entry.at, &entry.record)), since)
        .expect("it fits together")
}

#[tokio::test]
async fn in_the_morning() {
    insta::assert_snapshot!(report(&night().await, None).to_markdown());
}

#[tokio::test]
async fn as_a_page() {
    insta::assert_snapshot!(report(&night().await, None).to_html());
}

#[tokio::test]
async fn all_about_one_task() {
    let report = report(&night().await, None);
    insta::assert_snapshot!(
        report
            .task_to_markdown(&"R5".parse().expect("an id"))
            .expect("is known")
    );
    assert_eq!(
        report.task_to_markdown(&"R99".parse().expect("an id")),
        None
    );
}

#[tokio::test]
async fn of_the_last_hours_alone() {
    let entries = night().await;
    let all = report(&entries, None);
    let landed = all
        .tasks
        .iter()
        .flat_map(|task| &task.attempts)
        .filter_map(|attempt| attempt.ended)
        .max()
        .expect("one landed");
    let last = report(&entries, Some(landed));
    assert_eq!((all.figures.accepted, last.figures.accepted), (11, 1));
    assert_eq!(
        last.snapshot, all.snapshot,
        "how things stand is no matter of hours"
    );
}
