//! What we do ourselves is told while it is done, and seen in the status.

use orchestrator_core::{
    driver::{LongStep, Notice, Stage},
    model::EndReason,
    status::table,
};

use crate::common::{self, Live, WORK, builder, make_fifo, sandbox};

#[tokio::test]
async fn gate_that_runs_is_told_and_seen_with_its_time() {
    let sandbox = sandbox(&[("A", "gates = [\"unit\"]")]);
    let fifo = sandbox.path().join("fifo");
    make_fifo(&fifo);
    let policy = format!(
        "[gates.unit]\nrun = [\"sh\", \"-c\", \"read go < '{}'\"]",
        fifo.display()
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, &policy)).await;
    let is_gate =
        |step: &LongStep| matches!(step, LongStep::Gate { gate, .. } if gate.as_str() == "unit");
    let attempt = live
        .until(|notice| match notice {
            Notice::Progress {
                attempt,
                step,
                stage: Stage::Began,
            } if is_gate(step) => attempt.clone(),
            _ => None,
        })
        .await;
    assert_eq!(attempt.to_string(), "A#1");
    let snapshot = live.handle.snapshot().await.expect("goes on");
    let doing = snapshot.tasks[0].doing.clone().expect("something is done");
    assert_eq!(doing.what, "gate `unit` runs");
    assert!(doing.since > 0);
    let shown = table(&snapshot);
    assert!(shown.contains("gate `unit` runs since "), "{shown}");
    common::let_go(&fifo).await;
    let passed = live
        .until(|notice| match notice {
            Notice::Progress {
                step,
                stage: Stage::Ended { passed, .. },
                ..
            } if is_gate(step) => Some(*passed),
            _ => None,
        })
        .await;
    assert_eq!(passed, Some(true));
    let outcome = live.end().await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    assert_eq!(outcome.report.snapshot.tasks[0].doing, None);
}

#[tokio::test]
async fn set_up_command_is_told() {
    let sandbox = sandbox(&[("A", "")]);
    let policy = "[setup]\nrun = [[\"sh\", \"-c\", \"true\"]]";
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, policy)).await;
    let line = live
        .until(|notice| match notice {
            Notice::Progress {
                step: step @ LongStep::SetUp { .. },
                stage,
                ..
            } => Some(format!("{step} {stage}")),
            _ => None,
        })
        .await;
    assert_eq!(line, "set-up `sh -c true` begins");
    live.end().await;
}
