//! From a reviewed head to the target's tip, in a world that moves: others land, gates are red, the remote refuses or is away,
//! and the roadmap changes under the run.

use std::{collections::BTreeMap, sync::Arc};

use orchestrator_core::{
    driver::{Command, Inbox, Notice, Orchestrator},
    git::{Destination, Git, Trusted, UserRepository},
    model::{
        Answer, AttemptId, ContractKeys, Effect, EndReason, HoldOption, HoldReason, LandingOutcome,
        Push, Record, Task,
    },
    source::TaskList,
    status::TaskState,
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{
    self, Live, WORK, answer, builder, ends, make_fifo, pushes, roadmap, sandbox, turns,
    verified_target,
};

/// A gate that is red wherever this file is.
const NOT_BAD: &str = "[gates.unit]\nrun = [\"sh\", \"-c\", \"test ! -e bad.txt || { echo bad.txt is there; exit 1; }\"]\ndefault = true";

#[tokio::test]
async fn a_target_that_others_move_while_work_runs_is_merged_with() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!("{}; {WORK}", pushes(&sandbox, "moved.txt", "moved"));
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("moved.txt"), "moved");
    assert_eq!(
        sandbox.remote_subjects(),
        ["A: Task A", "somebody else: moved.txt", "roadmap", "begin"]
    );
}

#[tokio::test]
async fn two_that_are_ready_to_land_at_once_land_one_after_the_other() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", ""), ("D", "")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "max_sessions = 4")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    // Each was merged into the one before, and none had to be built twice: the lane is one.
    let built = outcome
        .records()
        .filter(|record| matches!(record, Record::CandidateBuilt { .. }))
        .count();
    assert_eq!((built, sandbox.remote_subjects().len()), (4, 6));
}

#[tokio::test]
async fn a_conflict_starts_a_new_attempt_on_the_new_tip() {
    let sandbox = sandbox(&[("A", "")]);
    // The second attempt reads what the first had done: its head is named in the prompt, and its objects can be reached.
    let script = format!(
        "if [ $ORCHESTRATOR_ATTEMPT = 2 ]; then git show \"$(sed -n 's/.*\\.\\.\\.\\([0-9a-f]*\\)`.*/\\1/p')\":A.txt > /dev/null; fi
         if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then {}; fi; {WORK}",
        pushes(&sandbox, "A.txt", "theirs")
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 2);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
    let ends = ends(&outcome);
    assert!(
        ends.len() == 1 && ends[0].starts_with("conflict with") && ends[0].ends_with("in A.txt"),
        "{ends:?}"
    );
    // What the first attempt had done is not in the target, so it is kept.
    let kept = git(
        &sandbox.state().join("trusted.git"),
        &[
            "for-each-ref",
            "--format=%(refname)",
            "refs/orchestrator/attempts",
        ],
    );
    assert_eq!(kept, "refs/orchestrator/attempts/A/1/1");
}

#[tokio::test]
async fn a_gate_that_is_red_with_a_newer_tip_starts_a_new_attempt_there() {
    let sandbox = sandbox(&[("A", "")]);
    // Each side is green alone; together they are not. The worker could not see that where it was.
    let gate = "[gates.unit]\nrun = [\"sh\", \"-c\", \"if [ -e other.txt ]; then grep -qx new A.txt || test ! -e A.txt; fi\"]\ndefault = true";
    let script = format!(
        "if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then {}; echo old > A.txt
         else cat > ../seen; grep -q 'gate/unit' ../seen; test -e other.txt; echo new > A.txt; fi; commit c; handoff done",
        pushes(&sandbox, "other.txt", "x")
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, gate)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (2, 2));
    assert!(
        ends(&outcome)[0].contains("which is newer than its base: gate/unit"),
        "{:?}",
        ends(&outcome)
    );
}

#[tokio::test]
async fn a_target_that_is_itself_red_blocks_the_lane_and_not_the_worker() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    sandbox.publish(&[("bad.txt", "x")], "bad");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, NOT_BAD)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(turns(&outcome), 2, "nobody was sent back");
    let holds: Vec<_> = outcome.report.state.holds().collect();
    assert_eq!(holds.len(), 1, "one question, however many wait");
    assert!(
        matches!(&holds[0].about, HoldReason::TipRed { gates, .. } if gates[0].gate.as_str() == "unit"),
        "{holds:?}"
    );
    assert!(
        holds[0].question().contains("the target itself is red"),
        "{}",
        holds[0].question()
    );
    let checked = outcome
        .records()
        .filter(|record| {
            matches!(
                record,
                Record::GateReported {
                    candidate_of: None,
                    ..
                }
            )
        })
        .count();
    assert_eq!(checked, 1, "what is known of a tip is not asked again");
    // The person mends the target. The question ends by itself, and both land without another turn.
    git(&sandbox.repo(), &["rm", "-q", "bad.txt"]);
    sandbox.publish(&[], "mended");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", NOT_BAD)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (turns(&outcome), sandbox.remote_file("A.txt").as_str()),
        (2, "A")
    );
}

#[tokio::test]
async fn gate_that_is_fixed_in_the_policy_is_adopted_and_the_work_lands_without_another_turn() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let gate = |program: &str| format!("[gates.unit]\nrun = [{program:?}]\ndefault = true");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &gate("false"))).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", &gate("true"))).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let hold = outcome
        .report
        .state
        .holds()
        .next()
        .expect("is asked")
        .clone();
    assert!(hold.question().contains("`gates` has changed"), "{hold:?}");
    Inbox::of(&sandbox.state())
        .post(&Command::Answer(Answer::new(hold.id, HoldOption::Adopt)))
        .expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", &gate("true"))).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(turns(&outcome), 2, "no agent was started again");
    let verified = verified_target(&sandbox).await;
    assert!(verified.is_whole(), "{verified:#?}");
}

#[tokio::test]
async fn a_task_that_mends_a_red_target_lands_and_frees_the_lane() {
    let sandbox = sandbox(&[("A", ""), ("B", "allow = [\"bad.txt\"]")]);
    sandbox.publish(&[("bad.txt", "x")], "bad");
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!(
        "if [ $ORCHESTRATOR_TASK = B ]; then cat '{}' > /dev/null; git rm -q bad.txt; commit mend; handoff done; else {WORK}; fi",
        fifo.display()
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, NOT_BAD)).await;
    live.recorded(|record| matches!(record, Record::HoldOpened { hold } if matches!(hold.about, HoldReason::TipRed { .. }))).await;
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_subjects()[..2], ["A: Task A", "B: Task B"]);
    assert_eq!(turns(&outcome), 2);
}

#[tokio::test]
async fn a_remote_that_refuses_keeps_the_work_and_a_person_is_asked() {
    let sandbox = sandbox(&[("A", "")]);
    let hook = sandbox.remote().join("hooks");
    std::fs::create_dir_all(&hook).expect("makes");
    std::fs::write(
        hook.join("pre-receive"),
        "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n",
    )
    .expect("writes");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(hook.join("pre-receive"), executable).expect("sets the mode");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let task = outcome.task("A");
    assert!(
        task.reason
            .as_ref()
            .is_some_and(|reason| reason.contains("main is protected")),
        "{task:#?}"
    );
    assert!(
        sandbox.state().join("attempts/A-1/tree/A.txt").exists(),
        "the work is kept"
    );
    // The person mends the remote and answers by a file in the inbox; the next run goes on where it stood.
    std::fs::remove_file(hook.join("pre-receive")).expect("removes");
    let letter = Command::Answer(answer(1, HoldOption::Retry, Some("mended")));
    Inbox::of(&sandbox.state()).post(&letter).expect("posts");
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
async fn a_remote_that_is_away_is_waited_for() {
    let sandbox = sandbox(&[("A", "")]);
    let (remote, gone) = (sandbox.remote(), sandbox.path().join("gone.git"));
    let script = format!("mv '{}' '{}'; {WORK}", remote.display(), gone.display());
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "")).await;
    live.recorded(
        |record| matches!(record, Record::RemoteAway { why, .. } if why.contains("remote.git")),
    )
    .await;
    let waiting = |snapshot: &orchestrator_core::Snapshot| {
        let reason = snapshot.tasks[0].reason.clone().unwrap_or_default();
        (
            snapshot.tasks[0].state,
            reason.starts_with("the remote cannot be reached"),
        )
    };
    let seen = async {
        loop {
            let snapshot = live.handle.snapshot().await.expect("goes on");
            if waiting(&snapshot) == (TaskState::Landing, true) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), seen)
        .await
        .expect("it says so");
    std::fs::rename(&gone, &remote).expect("is back");
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(
        outcome
            .records()
            .any(|record| matches!(record, Record::RemoteBack))
    );
    assert_eq!(
        (turns(&outcome), sandbox.remote_file("A.txt").as_str()),
        (1, "A")
    );
}

/// A run in which the worker of A waits while the roadmap is changed in a clone; then goes on.
async fn changed_meanwhile(
    sandbox: &Sandbox,
    script: &str,
    change: impl FnOnce(&Sandbox),
) -> orchestrator_testkit::RunOutcome {
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!(
        "[ $ORCHESTRATOR_TASK != A ] || {{ echo waits; cat '{}' > /dev/null; }}; {script}",
        fifo.display()
    );
    let builder = builder(sandbox, &script, "max_sessions = 1");
    let mut live = Live::start(sandbox, builder).await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "waits").then_some(())
    })
    .await;
    change(sandbox);
    live.recorded(|record| {
        matches!(
            record,
            Record::RoadmapRead(_) | Record::RoadmapRefused { .. }
        )
    })
    .await;
    common::let_go(&fifo).await;
    live.end().await
}

#[tokio::test]
async fn tasks_that_are_added_edited_or_reordered_while_it_runs_count_from_then_on() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", "")]);
    let outcome = changed_meanwhile(&sandbox, WORK, |sandbox| {
        let text = roadmap(&[
            ("A", "budget = { files = 7 }"),
            ("D", ""),
            ("C", ""),
            ("B", "after = [\"C\"]"),
        ]);
        sandbox.publish(
            &[("ROADMAP.md", &text.replace("Task C", "Task C, told better"))],
            "other plans",
        );
    })
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let order = outcome.records().filter_map(|record| match record {
        Record::Dispatched {
            attempt, contract, ..
        } => Some(format!("{} {}", attempt.task, contract.title)),
        _ => None,
    });
    assert_eq!(
        order.collect::<Vec<_>>(),
        ["A Task A", "D Task D", "C Task C, told better", "B Task B"]
    );
    let ids: Vec<_> = outcome
        .report
        .snapshot
        .tasks
        .iter()
        .map(|task| task.id.as_str())
        .collect();
    assert_eq!(ids, ["A", "D", "C", "B"]);
    // What was under way went on under its frozen contract.
    let files = outcome.records().find_map(|record| match record {
        Record::Accepted { landing } if landing.acceptance.attempt.task.as_str() == "A" => {
            Some(landing.acceptance.contract)
        }
        _ => None,
    });
    let frozen = outcome.records().find_map(|record| match record {
        Record::Dispatched { contract, .. } => Some(contract.hash()),
        _ => None,
    });
    assert_eq!(files, frozen);
    assert_eq!(
        sandbox.remote_file("ROADMAP.md").matches("- [x]").count(),
        4
    );
}

#[tokio::test]
async fn gate_of_a_task_that_is_removed_is_stopped_and_the_lane_is_free() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    // It ends by itself on no tree that has A's work.
    let gate = "push = false\n[gates.unit]\ndefault = true\n\
                run = [\"sh\", \"-c\", \"test ! -e A.txt || exec sleep 1000\"]";
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, gate)).await;
    let runs_on_candidate = |what: &Effect| matches!(what, Effect::RunGate { candidate_of, .. } if candidate_of.is_some());
    live.recorded(
        |record| matches!(record, Record::Requested { what, .. } if runs_on_candidate(what)),
    )
    .await;
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("B", "")]))], "without A");
    let outcome = live.end().await;
    let landed = outcome.task("B").state;
    assert_eq!(landed, TaskState::Landed, "{:#?}", outcome.report.snapshot);
    let cancelled = outcome.records().filter(
        |record| matches!(record, Record::Requested { what, .. } if matches!(what, Effect::CancelGate { .. })),
    );
    assert_eq!(cancelled.count(), 1);
    let of_a = outcome.records().find(
        |record| matches!(record, Record::GateReported { candidate_of: Some(attempt), .. } if attempt.task.as_str() == "A"),
    );
    assert_eq!(of_a, None, "it did not end by itself");
}

#[tokio::test]
async fn a_task_that_is_removed_while_it_runs_is_stopped_and_its_work_is_kept() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let fifo = sandbox.path().join("never");
    make_fifo(&fifo);
    let script = format!(
        "{WORK}; [ $ORCHESTRATOR_TASK = B ] || {{ echo committed; cat '{}'; }}",
        fifo.display()
    );
    // In the person's own repository a commit is seen at the next heartbeat; a remote is asked at every fourth.
    let mut live = Live::start(
        &sandbox,
        builder(&sandbox, &script, "push = false\nmax_sessions = 1"),
    )
    .await;
    live.until(|notice| {
        matches!(notice, Notice::Activity { text, .. } if text == "committed").then_some(())
    })
    .await;
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("B", "")]))], "A is not wanted");
    let outcome = live.end().await;
    let states = outcome
        .report
        .snapshot
        .tasks
        .iter()
        .map(|task| (task.id.as_str(), task.state, task.reason.as_deref()));
    let states: Vec<_> = states.collect();
    assert_eq!(
        states,
        [
            ("B", TaskState::Landed, None),
            ("A", TaskState::Parked, Some("removed from the roadmap"))
        ]
    );
    let kept = git(
        &sandbox.state().join("trusted.git"),
        &["show", "refs/orchestrator/attempts/A/1/1:A.txt"],
    );
    assert_eq!(kept, "A");
    assert!(outcome.records().any(|record| matches!(
        record,
        Record::Requested {
            what: Effect::StopTurn { .. },
            ..
        }
    )));
}

#[tokio::test]
async fn a_roadmap_that_is_broken_while_it_runs_starts_nothing_new_until_it_is_mended() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let outcome = changed_meanwhile(&sandbox, WORK, |sandbox| {
        let text = roadmap(&[("A", ""), ("B", "after = [\"X\"]")]);
        sandbox.publish(&[("ROADMAP.md", &text)], "a slip");
    })
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        outcome.task("A").state,
        TaskState::Landed,
        "what was under way goes on"
    );
    let why = outcome.task("B").reason.clone().unwrap_or_default();
    assert!(
        why.contains("`after` names `X`, which is not in the roadmap"),
        "{why}"
    );
    git(
        &sandbox.repo(),
        &["pull", "-q", "--rebase", "origin", "main"],
    );
    let mended = sandbox
        .remote_file("ROADMAP.md")
        .replace("after = [\"X\"]", "")
        + "\n";
    sandbox.publish(&[("ROADMAP.md", &mended)], "mended");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

#[tokio::test]
async fn a_base_that_lost_what_a_task_comes_after_is_no_base() {
    let sandbox = Sandbox::new();
    let task = |id: &str, after: Option<&str>| {
        let keys = ContractKeys {
            after: after.map(|id| vec![id.parse().expect("an id")]),
            ..ContractKeys::default()
        };
        Task::new(id.parse().expect("an id"), id).with_keys(keys)
    };
    // A source without ticks: only the ledger knows that A has landed.
    let builder = |tasks: &[Task]| {
        let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", WORK);
        let mut policy = common::policy(&worker, "");
        policy.limits.attempts = 1;
        let builder = Orchestrator::builder()
            .repository(sandbox.repo())
            .state_dir(sandbox.state())
            .policy(policy);
        builder.source(Arc::new(TaskList::new(tasks.to_vec())))
    };
    let report = builder(&[task("A", None)])
        .build()
        .await
        .expect("begins")
        .run()
        .await
        .expect("runs");
    assert!(report.snapshot.all_landed());
    git(
        &sandbox.remote(),
        &["update-ref", "refs/heads/main", "refs/heads/main^"],
    );
    let report = builder(&[task("A", None), task("B", Some("A"))])
        .build()
        .await
        .expect("begins")
        .run()
        .await
        .expect("runs");
    let (a, b) = (&report.snapshot.tasks[0], &report.snapshot.tasks[1]);
    let why = a.reason.clone().unwrap_or_default();
    assert!(
        a.state == TaskState::Held && why.contains("somebody rewrote the target"),
        "{why}"
    );
    assert_eq!(
        (b.state, b.attempts, b.reason.as_deref()),
        (TaskState::Waiting, 0, Some("after A"))
    );
}

#[tokio::test]
async fn a_tick_that_a_person_takes_away_means_once_more() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "echo $ORCHESTRATOR_ATTEMPT > A.txt; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    git(
        &sandbox.repo(),
        &["pull", "-q", "--rebase", "origin", "main"],
    );
    sandbox.publish(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "once more");
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
        (2, "2")
    );
}

#[tokio::test]
async fn without_a_push_a_clean_checkout_of_the_target_is_fast_forwarded() {
    let sandbox = Sandbox::new();
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "roadmap");
    sandbox.write(&[("scratch.txt", "the person's own")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "push = false")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.repo().join("A.txt")).expect("is checked out"),
        "A\n"
    );
    assert_eq!(
        git(&sandbox.repo(), &["status", "--porcelain"]),
        "?? scratch.txt"
    );
    assert_eq!(sandbox.remote_subjects(), ["begin"], "nothing was pushed");
}

#[tokio::test]
async fn without_a_push_a_target_that_is_checked_out_nowhere_is_advanced() {
    let sandbox = Sandbox::new();
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "roadmap");
    git(
        &sandbox.repo(),
        &["switch", "--quiet", "--create", "elsewhere"],
    );
    let outcome = run_checked(
        &sandbox,
        builder(&sandbox, WORK, "push = false\ntarget = \"main\""),
    )
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(git(&sandbox.repo(), &["show", "main:A.txt"]), "A");
    assert!(!sandbox.repo().join("A.txt").exists());
}

#[tokio::test]
async fn what_a_worker_pushes_past_review_is_a_question_and_no_landing() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!("{WORK}; git push -q ../../../../remote.git HEAD:main");
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    let task = outcome.task("A");
    let hold = task.hold.as_ref().unwrap_or_else(|| panic!("{task:#?}"));
    assert!(
        hold.question.contains("it was pushed past review"),
        "{}",
        hold.question
    );
    assert!(
        outcome
            .records()
            .all(|record| !matches!(record, Record::Landed { .. }))
    );
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
}

async fn trusted(sandbox: &Sandbox) -> Trusted {
    let program = Git::find().await.expect("git is there");
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let destination = user
        .destination(&Push::Remote("origin".to_owned()))
        .await
        .expect("is there");
    let (target, dir) = (
        "main".parse().expect("a name"),
        sandbox.path().join("trusted.git"),
    );
    Trusted::open(user, program, dir, target, destination, &BTreeMap::new())
        .await
        .expect("opens")
}

#[tokio::test]
async fn refs_of_ours_are_listed_in_their_order_and_forgotten_with_all_beneath() {
    let sandbox = sandbox(&[]);
    let trusted = trusted(&sandbox).await;
    let tip = trusted.fetch_target().await.expect("fetches").to_string();
    let [one, other]: [AttemptId; 2] = ["A#1", "A#10"].map(|id| id.parse().expect("an id"));
    for name in [10, 9, 2]
        .map(|turn| Trusted::keep_ref(&one, turn))
        .into_iter()
        .chain([Trusted::keep_ref(&other, 1)])
    {
        git(trusted.dir(), &["update-ref", &name, &tip]);
    }
    let listed = async |attempt: &AttemptId| {
        trusted
            .refs(&Trusted::keep_refs(attempt))
            .expect("are listed")
    };
    assert_eq!(
        listed(&one).await,
        [2, 9, 10].map(|turn| format!("refs/orchestrator/attempts/A/1/{turn}"))
    );
    trusted
        .forget(&Trusted::keep_refs(&one))
        .await
        .expect("are forgotten");
    assert_eq!(
        (listed(&one).await.len(), listed(&other).await.len()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_landing_is_known_again_by_its_id_and_its_tree_together() {
    let sandbox = sandbox(&[]);
    sandbox.publish(&[("a.txt", "a\n")], "one");
    let trusted = trusted(&sandbox).await;
    let tip = trusted.fetch_target().await.expect("fetches");
    let first = git(&sandbox.repo(), &["rev-parse", "main~1"])
        .parse()
        .expect("an id");
    let (now, before) = (
        trusted.tree_of(tip).expect("a tree"),
        trusted.tree_of(first).expect("a tree"),
    );
    let landing = |tree| common::landing(first, tip, tree);
    let landed = trusted.land(&landing(now)).await.expect("can be tried");
    assert!(
        matches!(landed, LandingOutcome::Landed { .. }),
        "{landed:?}"
    );
    assert_eq!(
        trusted.land(&landing(now)).await.expect("can be tried"),
        landed,
        "done once, and found again"
    );
    assert_eq!(
        trusted.land(&landing(before)).await.expect("can be tried"),
        LandingOutcome::TipMoved,
        "another tree is another"
    );
}

/// Lands in the person's repository while another git holds this lock of it, until the third try; how often it was tried.
async fn lands_past_a_lock(sandbox: &Sandbox, lock: &str) -> usize {
    let (lock, tries) = (
        sandbox.repo().join(".git").join(lock),
        sandbox.path().join("tries"),
    );
    // Each try asks where the target is checked out.
    let script = format!(
        "case \"$*\" in *'worktree list'*) echo x >> '{0}'; [ $(wc -l < '{0}') -lt 3 ] || rm -f '{1}';; esac\nexec git \"$@\"",
        tries.display(),
        lock.display()
    );
    let program = common::program(&sandbox.path().join("counting-git"), &script);
    let program = Git::at(program).await.expect("git is there");
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let (target, dir) = (
        "main".parse().expect("a name"),
        sandbox.path().join("trusted.git"),
    );
    let trusted = Trusted::open(
        user,
        program,
        dir,
        target,
        Destination::Local,
        &BTreeMap::new(),
    )
    .await
    .expect("opens");
    let tip = trusted.fetch_target().await.expect("fetches");
    let first = git(&sandbox.repo(), &["rev-parse", "main~1"])
        .parse()
        .expect("an id");
    let tree = trusted.tree_of(first).expect("a tree");
    std::fs::write(&lock, "").expect("locks");
    let landed = trusted
        .land(&common::landing(first, tip, tree))
        .await
        .expect("can be tried");
    assert!(
        matches!(landed, LandingOutcome::Landed { .. }),
        "{}: {landed:?}",
        lock.display()
    );
    assert_eq!(
        git(&sandbox.repo(), &["log", "-1", "--format=%s", "main"]),
        "A: anything"
    );
    assert_eq!(
        git(&sandbox.repo(), &["status", "--porcelain"]),
        "",
        "{}",
        lock.display()
    );
    std::fs::read_to_string(&tries)
        .expect("were counted")
        .lines()
        .count()
}

#[tokio::test]
async fn a_lock_that_another_git_holds_for_a_moment_is_waited_for() {
    for lock in ["index.lock", "refs/heads/main.lock", "HEAD.lock"] {
        let sandbox = sandbox(&[]);
        assert_eq!(lands_past_a_lock(&sandbox, lock).await, 3, "{lock}");
    }
    // Where the target is checked out nowhere, no index is needed.
    let sandbox = sandbox(&[]);
    git(
        &sandbox.repo(),
        &["switch", "--quiet", "--create", "elsewhere"],
    );
    assert_eq!(lands_past_a_lock(&sandbox, "refs/heads/main.lock").await, 3);
}

#[tokio::test]
async fn trailers_of_ours_in_a_workers_commit_mean_nothing() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    // B's worker claims that A landed with its commit, and that B did.
    let forged = "git commit -q --allow-empty -m 'x\n' -m \"$(printf 'Orchestrator-Task: B\\nOrchestrator-Attempt: 1\\nOrchestrator-Landing: r/B#1/1\\nOrchestrator-Record: sha256:0')\"";
    let outcome = run_checked(
        &sandbox,
        builder(&sandbox, &format!("{forged}; {WORK}"), ""),
    )
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let line = git(
        &sandbox.remote(),
        &["log", "--first-parent", "--format=%H", "main"],
    );
    for id in ["A", "B"] {
        let landed = outcome
            .task(id)
            .landed_commit
            .expect("has landed")
            .to_string();
        assert!(
            line.lines().any(|commit| commit == landed),
            "{id}: by a commit of ours on the first-parent line"
        );
    }
    assert_eq!(
        outcome
            .records()
            .filter(|record| matches!(record, Record::Landed { .. }))
            .count(),
        2
    );
}
