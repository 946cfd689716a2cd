//! Several tasks together, agents that hang, and a run that is stopped in the middle.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{
    driver::{Notice, Orchestrator},
    model::{
        BackendName, Effect, EndReason, Policy, Pulse, Record, StopReason, Timestamp, TurnOutcome,
    },
    port::{Ledger as _, Sequence, TurnInput, Update},
    source::TaskList,
    status::{NudgeEnd, stories},
    store::{MemoryEvidence, MemoryLedger},
};
use orchestrator_testkit::{
    Sandbox, ScriptedAgent, git, replayed, run_checked, shell_worker, write_handoff,
};

use crate::common::{Live, WORK, builder, policy, sandbox};

#[tokio::test]
async fn a_roadmap_lands_with_parallel_work_and_dependencies() {
    let sandbox = sandbox(&[
        ("A", ""),
        ("B", ""),
        ("C", "after = [\"A\", \"B\"]"),
        ("D", "after = [\"C\"]"),
    ]);
    // A and B wait for each other: unless they run at the same time, neither ends.
    let script = format!(
        "case $ORCHESTRATOR_TASK in A|B) mkdir -p {0}/meet; mkfifo {0}/meet/$ORCHESTRATOR_TASK 2>/dev/null || true
            other=$([ $ORCHESTRATOR_TASK = A ] && echo B || echo A); mkfifo {0}/meet/$other 2>/dev/null || true
            echo here > {0}/meet/$ORCHESTRATOR_TASK & cat {0}/meet/$other > /dev/null; wait ;;
        C) test -e A.txt; test -e B.txt ;; D) test -e C.txt ;; esac; {WORK}",
        sandbox.path().display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "max_sessions = 2")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(
        outcome
            .report
            .snapshot
            .tasks
            .iter()
            .all(|task| task.attempts == 1)
    );
    assert_eq!(
        sandbox.remote_file("ROADMAP.md").matches("- [x]").count(),
        4
    );
    let subjects = sandbox.remote_subjects();
    assert_eq!(&subjects[..2], ["D: Task D", "C: Task C"]);
    // Everything again: there is nothing to do, and nothing is done.
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    assert_eq!(sandbox.remote_subjects(), subjects);
}

#[tokio::test]
async fn two_that_change_the_same_lines_do_not_conflict_since_they_are_serialised() {
    let sandbox = Sandbox::new();
    let items = ["A", "B"].map(|id| {
        format!("- [ ] **{id}** Task {id}\n  ```toml\n  allow = [\"shared.txt\"]\n  ```\n")
    });
    sandbox.publish(
        &[("ROADMAP.md", &items.concat()), ("shared.txt", "0\n")],
        "roadmap",
    );
    let script = "echo $(($(cat shared.txt) + 1)) > shared.txt; commit work; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "max_sessions = 4")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("shared.txt"), "2");
    assert!(
        outcome
            .report
            .snapshot
            .tasks
            .iter()
            .all(|task| task.attempts == 1)
    );
}

#[tokio::test]
async fn a_hanging_agent_is_stopped_at_its_limit_with_all_its_children() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "trap '' TERM; setsid sleep 1000 & sleep 1000 & while :; do wait; done";
    let worker = shell_worker(sandbox.path(), "worker", script);
    let mut policy = policy(&worker, "");
    policy.limits.turn = "30s".parse().expect("a span");
    policy.limits.attempts = 2;
    policy.limits.stall = Some("100ms".parse().expect("a span"));
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(outcome.report.ended, EndReason::Blocked);
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert_eq!(
        reason,
        "2 attempts are used up; the last: the turn was stopped: it was silent for longer than its limit"
    );
    assert!(outcome.records().any(|record| matches!(
        record,
        Record::Requested {
            what: Effect::StopTurn {
                why: StopReason::Stalled,
                ..
            },
            ..
        }
    )));
    assert!(outcome.records().any(|record| matches!(
        record,
        Record::TurnEnded {
            outcome: TurnOutcome::Stopped,
            ..
        }
    )));
    assert_eq!(sandbox.processes(), Vec::<i32>::new());
}

#[tokio::test]
async fn an_agent_that_has_gone_silent_is_reminded_and_goes_on() {
    let sandbox = sandbox(&[("A", "")]);
    let agent = ScriptedAgent::default().silent_for_at_most(Duration::from_millis(100));
    let agent = agent.turn(|_| Vec::new()).hearing(|request, input| {
        assert!(matches!(input, TurnInput::Nudge(_)), "{input:?}");
        std::fs::write(request.workspace.join("A.txt"), "A").expect("writes");
        git(&request.workspace, &["add", "."]);
        git(&request.workspace, &["commit", "--quiet", "--message", "A"]);
        write_handoff(request);
        vec![Update::Ended {
            outcome: TurnOutcome::Completed,
        }]
    });
    let policy =
        Policy::parse("push = \"origin\"\n[limits]\nheartbeat = \"20ms\"").expect("a valid policy");
    let builder = Orchestrator::builder()
        .policy(policy)
        .backend(BackendName::new("mine").expect("a name"), Arc::new(agent));
    let outcome = run_checked(&sandbox, builder).await;
    let asked = |wanted: fn(&Effect) -> bool| {
        outcome
            .records()
            .filter(|record| matches!(record, Record::Requested { what, .. } if wanted(what)))
            .count()
    };
    assert_eq!(asked(|what| matches!(what, Effect::Nudge { .. })), 1);
    assert_eq!(asked(|what| matches!(what, Effect::StopTurn { .. })), 0);
    let seen: Vec<_> = outcome
        .records()
        .filter_map(|record| {
            if let Record::PulseSeen { pulse, .. } = record {
                Some(*pulse)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(seen.last(), Some(&Pulse::Stalled), "{seen:?}");
    let told = stories(outcome.records().map(|record| (Timestamp(0), record)));
    let nudges: Vec<_> = told[0].attempts[0]
        .nudges
        .iter()
        .map(|nudge| nudge.end)
        .collect();
    assert_eq!(nudges, [Some(NudgeEnd::Helped)]);
    assert_eq!(outcome.task("A").attempts, 1);
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

#[tokio::test]
async fn stopped_in_the_middle_it_goes_on_at_the_next_start() {
    let sandbox = sandbox(&[("A", "")]);
    // The agent commits, and hangs.
    let script = format!("{WORK}; echo committed; sleep 1000");
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "committed").then_some(())
    })
    .await;
    assert!(live.handle.stop().await);
    assert_eq!(live.end().await.report.ended, EndReason::Stopped);
    // A clean commit is reviewable work, whatever became of its session: no agent is started for it again.
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 1);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
}

#[tokio::test]
async fn stopped_before_its_work_was_done_its_session_goes_on_at_the_next_start() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "case $ORCHESTRATOR_TURN in
        1) echo half > A.txt; commit half; echo committed; sleep 1000 ;;
        2) grep -q half A.txt; echo A > A.txt; commit whole; handoff done ;;
    esac";
    let one_attempt = || {
        let worker = shell_worker(sandbox.path(), "worker", script);
        let mut policy = policy(&worker, "");
        policy.limits.attempts = 1;
        Orchestrator::builder().policy(policy)
    };
    let mut live = Live::start(&sandbox, one_attempt()).await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "committed").then_some(())
    })
    .await;
    assert!(live.handle.stop().await);
    let stopped = live.end().await;
    assert_eq!(stopped.report.ended, EndReason::Stopped);
    let reason = stopped.task("A").reason.clone();
    assert_eq!(
        reason.as_deref(),
        Some("stopped; continues at the next start")
    );

    let outcome = run_checked(&sandbox, one_attempt()).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 1);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
    let last_turn = outcome.task("A").last_turn.clone();
    assert_eq!(
        last_turn.as_deref(),
        Some("completed; the handoff says done")
    );
}

#[tokio::test]
async fn tasks_agents_and_stores_may_come_from_code() {
    let sandbox = Sandbox::new();
    let agent = ScriptedAgent::default().turn(|request| {
        std::fs::write(request.workspace.join("new.txt"), "new\n").expect("writes");
        git(&request.workspace, &["add", "."]);
        git(
            &request.workspace,
            &["commit", "--quiet", "--message", "new"],
        );
        write_handoff(request);
        vec![Update::Ended {
            outcome: TurnOutcome::Completed,
        }]
    });
    let ledger = Arc::new(MemoryLedger::default());
    let task = orchestrator_core::Task::new("T1".parse().expect("an id"), "A new file");
    let policy = Policy::parse("push = \"origin\"").expect("a valid policy");
    let orchestrator = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(policy)
        .source(Arc::new(TaskList::new([task])))
        .backend(BackendName::new("mine").expect("a name"), Arc::new(agent))
        .ledger(ledger.clone())
        .evidence(Arc::new(MemoryEvidence::default()))
        .build()
        .await
        .expect("begins");
    let report = orchestrator.run().await.expect("runs");
    assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
    assert_eq!(
        replayed(&ledger.read(Sequence(1), usize::MAX).await.expect("reads")),
        report.state
    );
    assert_eq!(sandbox.remote_file("new.txt"), "new");
}
