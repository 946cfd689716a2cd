//! A run whose clock is set, forwards and backwards, while an agent works: nothing is held against the agent.

use std::{fs, path::Path, time::Duration};

use orchestrator_core::{
    driver::{Notice, Orchestrator},
    model::{EndReason, Record, Shift},
};
use orchestrator_testkit::shell_worker;

use crate::common::{Live, WORK, let_go, make_fifo, policy, sandbox, turns};

const NINE_HOURS: i64 = 9 * 3_600_000;

/// Sets the clock of the run on this state directory, by so many milliseconds from the real one.
fn set(state: &Path, offset: i64) {
    let new = state.join("clock-offset.new");
    fs::write(&new, offset.to_string()).expect("writes");
    fs::rename(&new, state.join("clock-offset")).expect("is moved");
}

async fn jumped(live: &mut Live) -> Shift {
    let jump = live.until(|notice| match notice {
        Notice::Recorded(entry) => match entry.record {
            Record::ClockJumped { by, .. } => Some(by),
            _ => None,
        },
        _ => None,
    });
    jump.await
}

#[tokio::test]
async fn a_clock_that_jumps_ends_no_turn_and_spends_no_attempt() {
    let sandbox = sandbox(&[("A", "budget = { wall = \"1h\" }")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let worker = shell_worker(
        sandbox.path(),
        "worker",
        &format!("echo ready; read go < '{}'; {WORK}", fifo.display()),
    );
    let mut policy = policy(&worker, "");
    (policy.limits.attempts, policy.limits.turn) = (1, "1h".parse().expect("a span"));
    policy.limits.stall = Some("30m".parse().expect("a span"));
    let mut live = Live::start(&sandbox, Orchestrator::builder().policy(policy)).await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "ready").then_some(())
    })
    .await;

    // Told at once, and what was recorded only when it is on the disk: so there is another ear for each.
    let mut gaps = live.handle.subscribe();
    set(&sandbox.state(), NINE_HOURS);
    let by = jumped(&mut live).await;
    assert!(by.0.abs_diff(NINE_HOURS) < 60_000, "{by}");
    let gap = async {
        while !matches!(
            gaps.recv().await.expect("goes on"),
            Notice::Gap { missed: 1.., .. }
        ) {}
    };
    tokio::time::timeout(Duration::from_secs(60), gap)
        .await
        .expect("a gap between heartbeats is told all the same");
    for _ in 0..3 {
        live.until(|notice| matches!(notice, Notice::Heartbeat { .. }).then_some(()))
            .await;
    }
    set(&sandbox.state(), -NINE_HOURS);
    let by = jumped(&mut live).await;
    assert!(by.0.abs_diff(-2 * NINE_HOURS) < 60_000, "{by}");
    for _ in 0..3 {
        live.until(|notice| matches!(notice, Notice::Heartbeat { .. }).then_some(()))
            .await;
    }

    let_go(&fifo).await;
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(turns(&outcome), 1);
    let took = outcome.records().find_map(|record| match record {
        Record::TurnEnded { took, .. } => Some(*took),
        _ => None,
    });
    assert!(
        took.is_some_and(|took| took.0 < 600_000),
        "it took what it took awake: {took:?}"
    );
}

#[tokio::test]
async fn a_pause_from_before_the_clock_was_set_right_is_no_longer_than_it_was() {
    let sandbox = sandbox(&[("A", "")]);
    let once = sandbox.path().join("once");
    let script = format!(
        "[ -e '{0}' ] || {{ touch '{0}'; exit 7; }}; {WORK}",
        once.display()
    );
    let worker = shell_worker(sandbox.path(), "worker", &script);
    let mut policy = policy(&worker, "");
    (policy.limits.backoff, policy.limits.backoff_max) =
        ("1s".parse().expect("a span"), "1s".parse().expect("a span"));
    fs::create_dir_all(sandbox.state()).expect("makes");
    set(&sandbox.state(), NINE_HOURS);
    let mut live = Live::start(&sandbox, Orchestrator::builder().policy(policy.clone())).await;
    live.recorded(|record| matches!(record, Record::Waiting { .. }))
        .await;
    live.die().await;

    set(&sandbox.state(), 0);
    let mut live = Live::start(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert!(
        jumped(&mut live).await.0 < 0,
        "the ledger was written in what is still to come"
    );
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}
