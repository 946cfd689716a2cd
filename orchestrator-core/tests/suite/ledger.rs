//! The ledger under damage: what is torn is cut and said, what is changed is refused and named, and who was overtaken cannot
//! write.

use std::{fs, path::Path};

use orchestrator_core::{
    model::{
        ContentHash, EndReason, Record, RunMode, Span, Timestamp, TurnOutcome, TurnUsage, Usage,
    },
    port::{Epoch, ErrorClass, Ledger, LedgerError, Sequence},
    store::{FileLedger, MemoryLedger},
};
use orchestrator_testkit::{RunOutcome, Sandbox, replayed, run_checked};

use crate::common::{WORK, builder, sandbox};

/// A ledger as a real run leaves it: a revision, a hold, two tasks.
async fn real() -> (Sandbox, RunOutcome, Vec<u8>) {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]\napprove = [\"landing\"]")]);
    let script = format!(
        "[ $ORCHESTRATOR_TASK.$ORCHESTRATOR_TURN != A.1 ] || {{ handoff done; exit; }}; {WORK}"
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let bytes = fs::read(sandbox.state().join("ledger")).expect("is there");
    (sandbox, outcome, bytes)
}

/// Where each batch begins, and where the last one ends.
fn batches(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

#[tokio::test]
async fn a_torn_last_batch_is_cut_whole_wherever_it_was_torn() {
    let (sandbox, outcome, bytes) = real().await;
    let starts = batches(&bytes);
    let last = starts[starts.len() - 2];
    let path = sandbox.path().join("torn");
    for length in last..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("writes");
        let ledger = FileLedger::new(&path);
        let opening = ledger.open().await.expect("opens");
        let torn = format!(" {} bytes ", length - last);
        assert_eq!(
            opening.mended.is_some_and(|said| said.contains(&torn)),
            length > last,
            "torn at {length}"
        );
        let entries = ledger.read(Sequence(1), usize::MAX).await.expect("reads");
        assert!(
            entries.len() < outcome.entries.len() && outcome.entries.starts_with(&entries),
            "what is left is whole"
        );
        let _state = replayed(&entries);
    }
    // And the run goes on: here it had lost the record of its own end, and that a person was asked, which came with it.
    fs::write(sandbox.state().join("ledger"), &bytes[..bytes.len() - 7]).expect("writes");
    let again = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    let told = |outcome: RunOutcome| {
        let mut tasks = outcome.report.snapshot.tasks;
        tasks
            .iter_mut()
            .filter_map(|task| task.hold.as_mut())
            .for_each(|hold| hold.since = 0);
        (outcome.report.ended, tasks)
    };
    assert_eq!(told(again), told(outcome));
}

#[tokio::test]
async fn any_other_damage_is_refused_and_named() {
    let (sandbox, _, bytes) = real().await;
    let starts = batches(&bytes);
    let path = sandbox.path().join("damaged");
    let refused = async |bytes: &[u8]| -> String {
        fs::write(&path, bytes).expect("writes");
        match FileLedger::new(&path).open().await {
            Err(error @ LedgerError::Damaged { .. }) => {
                assert_eq!(
                    fs::read(&path).expect("is there"),
                    bytes,
                    "nothing was written over it"
                );
                error.to_string()
            }
            other => panic!("it was taken for whole: {other:?}"),
        }
    };
    // One bit of every thirteenth byte, another one each time; of the last byte it is a torn end.
    for at in (0..bytes.len() - 1).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let said = refused(&damaged).await;
        let line = starts
            .iter()
            .rposition(|start| *start <= at)
            .expect("in a line")
            + 1;
        // A line that was split in two is noticed in its first half; one that was joined with the next, in both together.
        assert!(
            said.contains(&format!("damaged:{line}:")),
            "byte {at}: {said}"
        );
    }
    for gone in 0..starts.len() - 2 {
        let without = [&bytes[..starts[gone]], &bytes[starts[gone + 1]..]].concat();
        assert!(
            refused(&without)
                .await
                .contains(&format!("damaged:{}:", gone + 1))
        );
    }
    let exchanged = [
        &bytes[..starts[1]],
        &bytes[starts[2]..starts[3]],
        &bytes[starts[1]..starts[2]],
        &bytes[starts[3]..],
    ]
    .concat();
    assert!(refused(&exchanged).await.contains("damaged:2:"));
}

/// What every ledger must do when another writer has opened it meanwhile.
async fn fences(old: &dyn Ledger, new: &dyn Ledger) {
    let record = [Record::ModeSet(RunMode::Drain)];
    let first = old.open().await.expect("opens");
    let next = old
        .append(first.epoch, first.next, Timestamp(1), &record)
        .await
        .expect("appends");
    let second = new.open().await.expect("opens");
    assert_eq!(
        (second.epoch, second.next),
        (Epoch(first.epoch.0 + 1), next)
    );
    // The first one was stopped, and wakes up.
    let refused = old.append(first.epoch, next, Timestamp(2), &record).await;
    assert!(matches!(refused, Err(LedgerError::Fenced)), "{refused:?}");
    let next = new
        .append(second.epoch, next, Timestamp(3), &record)
        .await
        .expect("the second goes on");
    assert_eq!(
        new.read(Sequence(1), 10).await.expect("reads").len() as u64 + 1,
        next.0,
        "nothing of the first is in it"
    );
    let skipped = new
        .append(second.epoch, Sequence(next.0 + 1), Timestamp(4), &record)
        .await;
    assert!(
        matches!(skipped, Err(LedgerError::Conflict { .. })),
        "{skipped:?}"
    );
}

#[tokio::test]
async fn a_writer_that_was_overtaken_cannot_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger");
    fences(&FileLedger::new(&path), &FileLedger::new(&path)).await;
    let memory = MemoryLedger::default();
    fences(&memory, &memory).await;
}

/// Ledgers that earlier versions wrote: they are read for ever, and mean what they meant.
#[tokio::test]
async fn ledgers_of_earlier_versions_are_read_as_they_were_meant() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(&golden).expect("is there").flatten() {
        let entries = FileLedger::new(entry.path())
            .read(Sequence(1), usize::MAX)
            .await
            .expect("reads");
        let snapshot = orchestrator_core::Snapshot::of(&replayed(&entries));
        let text = serde_json::to_string_pretty(&snapshot).expect("serialises");
        insta::assert_snapshot!(
            format!("golden-{}", entry.file_name().to_string_lossy()),
            text
        );
        seen += 1;
    }
    assert!(seen > 0);
}

/// Lines as docs/storage.md gives them, chained as they must be.
fn chained(batches: &[&str]) -> String {
    let mut before = ContentHash::of(b"");
    let mut text = String::new();
    for json in batches {
        before = ContentHash::of(&[before.as_bytes().as_slice(), json.as_bytes()].concat());
        text.push_str(&format!("{before} {json}\n"));
    }
    text
}

#[tokio::test]
async fn a_batch_that_does_not_follow_the_one_before_is_refused_though_its_checksum_is_right() {
    let sandbox = sandbox(&[]);
    let path = sandbox.path().join("written-by-hand");
    let header = r#"{"version":2,"ledger":"abc"}"#;
    let first = r#"{"epoch":2,"from":1,"at":0,"records":["remote_back"]}"#;
    for (second, fits) in [
        (r#"{"epoch":2,"from":2,"at":0,"records":[]}"#, true),
        (r#"{"epoch":3,"from":2,"at":0,"records":[]}"#, true),
        (r#"{"epoch":2,"from":3,"at":0,"records":[]}"#, false),
        (r#"{"epoch":1,"from":2,"at":0,"records":[]}"#, false),
    ] {
        fs::write(&path, chained(&[header, first, second])).expect("writes");
        let read = FileLedger::new(&path).read(Sequence(1), usize::MAX).await;
        match read {
            Ok(entries) => assert!(fits && entries.len() == 1, "{second}"),
            Err(error) => assert!(
                !fits
                    && matches!(error, LedgerError::Damaged { .. })
                    && error.to_string().contains(":3: "),
                "{second}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn no_ledger_is_an_empty_one_and_one_that_cannot_be_opened_is_not() {
    let sandbox = sandbox(&[]);
    let at = |name: &str| FileLedger::new(sandbox.path().join(name));
    assert_eq!(
        at("nothing")
            .read(Sequence(1), usize::MAX)
            .await
            .expect("reads"),
        []
    );
    fs::write(sandbox.path().join("file"), "").expect("writes");
    assert!(matches!(
        at("file/ledger").read(Sequence(1), usize::MAX).await,
        Err(LedgerError::Failed(_))
    ));
}

#[tokio::test]
async fn a_ledger_of_version_1_is_refused_with_words_and_left_as_it_is() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused/ledger-v1");
    let bytes = fs::read(fixture).expect("is there");
    let sandbox = sandbox(&[("A", "")]);
    let path = sandbox.state().join("ledger");
    fs::create_dir_all(sandbox.state()).expect("makes it");
    fs::write(&path, &bytes).expect("writes");
    let state = sandbox.state().canonicalize().expect("is there");
    let words = format!(
        "{}: the ledger is of version 1 of its format, and this release reads version 2: \
         finish its run with the release that wrote it, or begin anew with another state directory",
        state.join("ledger").display()
    );

    let ledger = FileLedger::new(state.join("ledger"));
    let read = ledger.read(Sequence(1), 10).await;
    assert_eq!(read.expect_err("is refused").to_string(), words);
    let opened = ledger.open().await.expect_err("is refused");
    assert_eq!(opened.to_string(), words);
    assert_eq!(opened.class(), ErrorClass::NeedsPerson);
    let run = builder(&sandbox, WORK, "")
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"))
        .build()
        .await;
    assert_eq!(run.expect_err("is refused").to_string(), words);
    assert_eq!(fs::read(&path).expect("is there"), bytes);
}

#[tokio::test]
async fn a_ledger_of_a_later_version_is_refused_with_other_words() {
    let sandbox = sandbox(&[]);
    let path = sandbox.path().join("later");
    let header = r#"{"version":3,"ledger":"abc","and":"more"}"#;
    fs::write(&path, chained(&[header])).expect("writes");
    let refused = FileLedger::new(&path).open().await.expect_err("is refused");
    let said = refused.to_string();
    assert!(
        said.ends_with("use the release that wrote it, or a newer one"),
        "{said}"
    );
}

#[tokio::test]
async fn an_amount_of_money_comes_back_as_it_was() {
    let sandbox = sandbox(&[]);
    let ledger = FileLedger::new(sandbox.path().join("ledger"));
    let opening = ledger.open().await.expect("opens");
    // Where JSON is read without care, some of these come back as their neighbours.
    let amounts = (1..2000).map(|number| f64::from(number) / 7.0 * 0.1);
    let record = |usd: f64| Record::TurnEnded {
        attempt: "A#1".parse().expect("an attempt"),
        outcome: TurnOutcome::Completed,
        usage: TurnUsage::told(Usage {
            usd: Some(usd),
            ..Usage::default()
        }),
        settled: 0,
        took: Span(1),
    };
    let records: Vec<_> = amounts.map(record).collect();
    ledger
        .append(opening.epoch, opening.next, Timestamp(1), &records)
        .await
        .expect("appends");
    let entries = ledger.read(Sequence(1), usize::MAX).await.expect("reads");
    let read: Vec<_> = entries.into_iter().map(|entry| entry.record).collect();
    assert!(read == records);
}
