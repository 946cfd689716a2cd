//! Waiting for a person: what is asked, by which ways it is answered, and that it survives.

use std::fs;

use orchestrator_core::{
    driver::{Command, Inbox, Notice},
    model::{AnswerError, Effect, EndReason, HoldOption, HoldReason, Record, RunMode},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked};

use crate::common::{
    self, Live, WORK, answer, builder, make_fifo, roadmap, sandbox, turns, verified_target,
};

#[tokio::test]
async fn an_approval_is_given_through_the_inbox_and_through_a_handle() {
    let sandbox = sandbox(&[("A", "approve = [\"dispatch\", \"landing\"]")]);
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, "").wait(true)).await;
    live.recorded(|record| matches!(record, Record::HoldOpened { .. }))
        .await;
    let snapshot = live.handle.snapshot().await.expect("goes on");
    assert_eq!(snapshot.tasks[0].state, TaskState::Held);
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(answer(1, HoldOption::Approve, None)))
        .expect("posts");
    live.recorded(|record| matches!(record, Record::HoldOpened { .. }))
        .await;
    assert!(
        live.handle
            .answer(answer(2, HoldOption::Approve, Some("looks fine")))
            .await
    );
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let approvals = outcome.records().find_map(|record| match record {
        Record::Accepted { landing } => Some(landing.acceptance.approvals.clone()),
        _ => None,
    });
    let expected = [
        "dispatch approved by a person (H1)",
        "landing approved by a person: looks fine (H2)",
    ];
    let approvals = approvals.unwrap_or_default();
    let approvals: Vec<_> = approvals.iter().map(ToString::to_string).collect();
    assert_eq!(approvals, expected);
}

#[tokio::test]
async fn a_claim_about_a_device_waits_with_all_that_is_needed_to_decide_and_survives_a_restart() {
    let claims = "claims = [{ id = \"prints\", text = \"it prints\" }, { id = \"cuts\", text = \"the paper is cut\", surface = \"device:printer\" }]";
    let sandbox = sandbox(&[("A", claims)]);
    let gate = "[gates.unit]\nrun = [\"true\"]\ndefault = true";
    let script = WORK.replace(
        "handoff done",
        "handoff done ',\"residual_risks\":[\"the second tray\"]'",
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, gate)).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let hold = outcome.task("A").hold.clone().expect("is held");
    let head = git(
        &sandbox.state().join("attempts/A-1/repo.git"),
        &["rev-parse", "attempt/A/1"],
    );
    let tree = outcome.records().find_map(|record| match record {
        Record::GateReported {
            candidate_of: Some(_),
            report,
        } => Some(report.tree.short().to_string()),
        _ => None,
    });
    let brief = hold
        .brief
        .to_string()
        .replace(&head, "HEAD")
        .replace(&tree.expect("was gated"), "TREE");
    insta::assert_snapshot!(format!("{}\n\n{brief}", hold.question));
    // Another orchestrator, later: the question is still there, and nothing is done over.
    let again = run_checked(&sandbox, builder(&sandbox, "exit 1", gate)).await;
    assert_eq!(
        (again.report.ended, again.task("A").hold.clone()),
        (EndReason::WaitingForAPerson, Some(hold))
    );
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(answer(
            1,
            HoldOption::Approve,
            Some("seen"),
        )))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", gate)).await;
    assert_eq!(
        (outcome.report.ended, turns(&outcome)),
        (EndReason::Complete, 1)
    );
    let labels: Vec<_> = outcome
        .task("A")
        .evidence
        .iter()
        .map(|evidence| evidence.label.as_str())
        .collect();
    assert_eq!(
        labels,
        ["direct", "proxy"],
        "no answer makes a label better"
    );
}

#[tokio::test]
async fn a_blocked_worker_is_believed_and_goes_on_with_what_a_person_says() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then echo half > A.txt; handoff blocked ',\"reason\":\"which tray?\"'; exit; fi
        cat > ../seen; grep -q 'the second tray' ../seen; echo second > A.txt; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let task = outcome.task("A");
    assert_eq!(task.state, TaskState::Held);
    let reason = task.reason.clone().unwrap_or_default();
    assert_eq!(reason, "the worker cannot go on: which tray?");
    // What was not committed is kept, and the question says where.
    let brief = &task.hold.as_ref().expect("is held").brief;
    assert_eq!(
        brief.work,
        "what the last attempt did is kept as refs/orchestrator/rescue/A/1"
    );
    assert_eq!(
        git(
            &sandbox.state().join("trusted.git"),
            &["show", "refs/orchestrator/rescue/A/1:A.txt"]
        ),
        "half"
    );
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(answer(
            1,
            HoldOption::Retry,
            Some("the second tray"),
        )))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (
            outcome.task("A").attempts,
            sandbox.remote_file("A.txt").as_str()
        ),
        (2, "second")
    );
}

#[tokio::test]
async fn what_tells_git_what_to_do_needs_a_contract_that_names_it_or_a_person() {
    let sandbox = sandbox(&[
        ("A", "allow = [\"A/**\"]"),
        ("B", "allow = [\"B/.gitattributes\"]"),
    ]);
    let script = "mkdir $ORCHESTRATOR_TASK; echo '* text=auto' > $ORCHESTRATOR_TASK/.gitattributes; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    assert_eq!(
        (outcome.task("A").state, outcome.task("B").state),
        (TaskState::Held, TaskState::Landed)
    );
    let question = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(
        question.contains("`A/.gitattributes` (it decides how git treats files"),
        "{question}"
    );
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(answer(1, HoldOption::Approve, None)))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

#[tokio::test]
async fn a_parked_task_keeps_its_work_and_its_dependents_wait() {
    let sandbox = sandbox(&[("A", "approve = [\"landing\"]"), ("B", "after = [\"A\"]")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(answer(
            1,
            HoldOption::Park,
            Some("not this year"),
        )))
        .expect("posts");
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, "")).await;
    live.recorded(|record| matches!(record, Record::HoldAnswered { .. }))
        .await;
    let outcome = live.end().await;
    assert_eq!(outcome.report.ended, EndReason::Blocked);
    assert_eq!(
        (outcome.task("A").state, outcome.task("B").state),
        (TaskState::Parked, TaskState::Waiting)
    );
    assert_eq!(outcome.task("B").reason.as_deref(), Some("after A"));
    let kept = git(
        &sandbox.state().join("trusted.git"),
        &["show", "refs/orchestrator/attempts/A/1/1:A.txt"],
    );
    assert_eq!(kept, "A");

    // It stays parked in the next run, and costs nothing.
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(
        (outcome.report.ended, outcome.task("A").state),
        (EndReason::Blocked, TaskState::Parked)
    );
    assert_eq!(outcome.task("A").attempts, 1);
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert_eq!(
        reason,
        "parked by a person: not this year; `answer H1 retry` takes it up again"
    );

    // Until the person takes it up again.
    let again = answer(1, HoldOption::Retry, Some("now"));
    assert_eq!(outcome.report.state.accepts(&again), Ok(()));
    let refused = outcome
        .report
        .state
        .accepts(&answer(1, HoldOption::Approve, None));
    assert_eq!(
        refused,
        Err(AnswerError::Parked {
            task: "A".parse().expect("an id")
        })
    );
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(again))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (outcome.task("A").state, outcome.task("A").attempts),
        (TaskState::Held, 2)
    );
}

/// What the agent says of a task that it did nothing for, as a person is asked about it.
fn nothing_to_do(outcome: &RunOutcome) -> Option<String> {
    let mut holds = outcome.report.state.holds();
    holds.find_map(|hold| match &hold.about {
        HoldReason::NothingToDo { said } => Some(said.clone().unwrap_or_default()),
        _ => None,
    })
}

#[tokio::test]
async fn nothing_to_do_with_a_reason_is_a_question_after_one_turn_and_done_ticks_the_task() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let script = format!(
        "[ $ORCHESTRATOR_TASK = B ] && {{ {WORK}; exit; }}; handoff done ',\"reason\":\"README.md has it\"'"
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(nothing_to_do(&outcome).as_deref(), Some("README.md has it"));
    assert_eq!(turns(&outcome), 1);

    let done = answer(1, HoldOption::Done, Some("so it does"));
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(done))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        sandbox.remote_file("ROADMAP.md").matches("- [x]").count(),
        2
    );
    assert_eq!(
        sandbox.remote_subjects(),
        ["B: Task B", "A: Task A", "roadmap", "begin"]
    );
    assert_eq!(
        git(
            &sandbox.remote(),
            &["diff", "--name-only", "main~2", "main~1"]
        ),
        "ROADMAP.md"
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 2));

    let verified = verified_target(&sandbox).await;
    assert!(verified.is_whole(), "{verified:#?}");
}

#[tokio::test]
async fn nothing_to_do_without_a_reason_goes_back_once_and_then_to_a_person_with_the_last_words() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "if [ $ORCHESTRATOR_TURN = 2 ]; then cat > ../seen; grep -q 'say why' ../seen; fi
        echo 'all of it is there'; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        nothing_to_do(&outcome).as_deref(),
        Some("all of it is there")
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 2));

    // The person knows better.
    let again = answer(1, HoldOption::Retry, Some("the sum is missing"));
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(again))
        .expect("posts");
    let script = format!("cat > ../seen; grep -q 'the sum is missing' ../seen; {WORK}");
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 2);
}

#[tokio::test]
async fn worker_that_gives_up_without_a_commit_is_not_told_to_commit() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!(
        "[ $ORCHESTRATOR_ATTEMPT = 2 ] && {{ {WORK}; exit; }}; handoff failed ',\"reason\":\"no idea\"'"
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(common::ends(&outcome), ["the worker gave up: no idea"]);
    assert_eq!(turns(&outcome), 2);
}

#[tokio::test]
async fn a_dirty_checkout_becomes_a_hold_before_any_agent_starts_and_is_freed_when_it_is_clean() {
    let sandbox = Sandbox::new();
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "roadmap");
    sandbox.write(&[("README.md", "# half an idea\n")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "push = false")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let task = outcome.task("A");
    assert_eq!((task.state, task.attempts), (TaskState::Held, 0));
    assert!(
        task.reason
            .as_ref()
            .is_some_and(|reason| reason.contains("README.md")),
        "{task:#?}"
    );
    assert_eq!(
        fs::read_to_string(sandbox.repo().join("README.md")).expect("is there"),
        "# half an idea\n"
    );
    git(&sandbox.repo(), &["checkout", "--quiet", "README.md"]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "push = false")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

#[tokio::test]
async fn drain_from_another_process_finishes_what_runs_and_starts_nothing() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!("cat '{}' > /dev/null; {WORK}", fifo.display());
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    live.recorded(|record| {
        matches!(
            record,
            Record::Requested {
                what: Effect::RunTurn { .. },
                ..
            }
        )
    })
    .await;
    Inbox::of(&sandbox.state())
        .post(&Command::Mode(RunMode::Drain))
        .expect("posts");
    live.recorded(|record| matches!(record, Record::ModeSet(RunMode::Drain)))
        .await;
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    assert_eq!(outcome.report.ended, EndReason::Drained);
    assert_eq!(
        (outcome.task("A").state, outcome.task("B").state),
        (TaskState::Landed, TaskState::Waiting)
    );
}

#[tokio::test]
async fn paused_nothing_starts_and_resumed_it_goes_on() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let inbox = Inbox::of(&sandbox.state());
    inbox.post(&Command::Mode(RunMode::Paused)).expect("posts");
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, "").wait(true)).await;
    live.recorded(|record| matches!(record, Record::ModeSet(RunMode::Paused)))
        .await;
    // Whatever is started would be seen at a heartbeat.
    live.until(|notice| {
        matches!(notice, Notice::Heartbeat { looks } if looks.is_empty()).then_some(())
    })
    .await;
    inbox.post(&Command::Mode(RunMode::Active)).expect("posts");
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let first = outcome.records().find(|record| {
        matches!(
            record,
            Record::Dispatched { .. } | Record::ModeSet(RunMode::Active)
        )
    });
    assert!(matches!(first, Some(Record::ModeSet(_))), "{first:?}");
}

#[tokio::test]
async fn work_that_drifts_together_is_told_of_while_it_runs() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    // A writes, without a commit, what is B's to write; both wait to be let go.
    let script = format!(
        "[ $ORCHESTRATOR_TASK = B ] || echo theirs > B.txt; read go < '{}'; [ $ORCHESTRATOR_TASK = B ] || rm B.txt; {WORK}",
        fifo.display()
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    let told = live.until(|notice| match notice {
        Notice::Drift {
            attempt,
            towards,
            paths,
        } => Some(format!("{attempt} {towards} {paths:?}")),
        _ => None,
    });
    assert_eq!(told.await, "A#1 B#1 [`B.txt`]");
    let go = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .expect("opens");
    std::io::Write::write_all(&mut &go, b"go\ngo\n").expect("lets them go");
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}
