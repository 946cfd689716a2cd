//! Several tasks, restarts, commands from outside, and what a run may not begin with.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{
    driver::{Command, Inbox, Notice, Orchestrator, OrchestratorBuilder},
    model::{
        Answer, BackendName, Effect, EndReason, HoldId, HoldOption, Policy, Push, Record, RepoPath, RunMode, StopReason,
        TurnOutcome,
    },
    port::{Ledger as _, Sequence, Update},
    process::marked,
    source::TaskList,
    status::TaskState,
    store::{FileLedger, MemoryEvidence, MemoryLedger},
};
use orchestrator_testkit::{Sandbox, ScriptedAgent, git, replayed, run_checked, shell_worker};

const WORK: &str = "echo \"$ORCHESTRATOR_TASK\" > \"$ORCHESTRATOR_TASK.txt\"; commit work; handoff done";

fn policy(worker: &[String], more: &str) -> Policy {
    let text = format!(
        "push = \"origin\"\n{more}\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n\
         [limits]\nbackoff = \"1ms\"\nheartbeat = \"50ms\"\ngrace = \"200ms\"\n"
    );
    Policy::parse(&text).expect("a valid policy")
}

fn roadmap(tasks: &[(&str, &str)]) -> String {
    let item = |(id, keys): &(&str, &str)| {
        format!("- [ ] **{id}** Task {id}\n  ```toml\n  allow = [\"{id}.txt\"]\n  {}\n  ```\n", keys.replace('\n', "\n  "))
    };
    tasks.iter().map(item).collect()
}

fn sandbox(tasks: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", &roadmap(tasks))], "roadmap");
    sandbox
}

fn builder(sandbox: &Sandbox, script: &str, more: &str) -> OrchestratorBuilder {
    let worker = shell_worker(sandbox.path(), "worker", script);
    Orchestrator::builder().policy(policy(&worker, more))
}

#[tokio::test]
async fn a_roadmap_lands_with_parallel_work_and_dependencies() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", "after = [\"A\", \"B\"]"), ("D", "after = [\"C\"]")]);
    // A and B wait for each other: unless they run at the same time, neither ends.
    let script = format!(
        "case $ORCHESTRATOR_TASK in A|B) mkdir -p {0}/meet; mkfifo {0}/meet/$ORCHESTRATOR_TASK 2>/dev/null || true
            other=$([ $ORCHESTRATOR_TASK = A ] && echo B || echo A); mkfifo {0}/meet/$other 2>/dev/null || true
            echo here > {0}/meet/$ORCHESTRATOR_TASK & cat {0}/meet/$other > /dev/null; wait ;;
        C) test -e A.txt; test -e B.txt ;; D) test -e C.txt ;; esac; {WORK}",
        sandbox.path().display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "max_sessions = 2")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert!(outcome.report.snapshot.tasks.iter().all(|task| task.attempts == 1));
    assert_eq!(sandbox.remote_file("ROADMAP.md").matches("- [x]").count(), 4);
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
    let items = ["A", "B"].map(|id| format!("- [ ] **{id}** Task {id}\n  ```toml\n  allow = [\"shared.txt\"]\n  ```\n"));
    sandbox.publish(&[("ROADMAP.md", &items.concat()), ("shared.txt", "0\n")], "roadmap");
    let script = "echo $(($(cat shared.txt) + 1)) > shared.txt; commit work; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "max_sessions = 4")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert_eq!(sandbox.remote_file("shared.txt"), "2");
    assert!(outcome.report.snapshot.tasks.iter().all(|task| task.attempts == 1));
}

#[tokio::test]
async fn a_target_that_others_move_while_work_runs_is_merged_with() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!(
        "cd '{}'; printf moved > moved.txt; git add .; git -c user.name=O -c user.email=o@example.org commit -qm moved; \
         git push -q origin HEAD:main; cd - > /dev/null; {WORK}",
        sandbox.repo().display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert_eq!(sandbox.remote_file("moved.txt"), "moved");
    assert_eq!(sandbox.remote_subjects(), ["A: Task A", "moved", "roadmap", "begin"]);
}

#[tokio::test]
async fn a_conflict_at_landing_starts_a_new_attempt_on_the_new_tip() {
    let sandbox = sandbox(&[("A", "")]);
    // Somebody else lands the same file while the first attempt works. The second reads what the first had done: its head is
    // named in the prompt, and its objects can be reached.
    let script = format!(
        "if [ $ORCHESTRATOR_ATTEMPT = 2 ]; then git show \"$(sed -n 's/.*\\.\\.\\.\\([0-9a-f]*\\)`.*/\\1/p')\":A.txt > /dev/null; fi
         if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then cd '{}'; printf 'theirs' > A.txt; git add A.txt; git commit -qm theirs; \
         git push -q origin HEAD:main; cd - > /dev/null; fi; {WORK}",
        sandbox.repo().display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert_eq!(outcome.task("A").attempts, 2);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
    let ends = outcome.records().filter_map(|record| match record {
        Record::AttemptEnded { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.len() == 1 && ends[0].starts_with("conflict with") && ends[0].ends_with("in A.txt"), "{ends:?}");
    // What the first attempt had done is not in the target, so it is kept.
    let kept = git(&sandbox.state().join("trusted.git"), &["for-each-ref", "--format=%(refname)", "refs/orchestrator/attempts"]);
    assert_eq!(kept, "refs/orchestrator/attempts/A/1/1");
}

#[tokio::test]
async fn two_that_are_ready_to_land_at_once_land_one_after_the_other() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", ""), ("D", "")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "max_sessions = 4")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    // Each was merged into the one before, and none had to be built twice: the lane is one.
    let built = outcome.records().filter(|record| matches!(record, Record::CandidateBuilt { .. })).count();
    assert_eq!((built, sandbox.remote_subjects().len()), (4, 6));
}

#[tokio::test]
async fn a_remote_that_refuses_keeps_the_work_and_a_person_is_asked() {
    let sandbox = sandbox(&[("A", "")]);
    let hook = sandbox.remote().join("hooks");
    std::fs::create_dir_all(&hook).expect("makes");
    std::fs::write(hook.join("pre-receive"), "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n").expect("writes");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(hook.join("pre-receive"), executable).expect("sets the mode");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let task = outcome.task("A");
    assert!(task.reason.as_ref().is_some_and(|reason| reason.contains("main is protected")), "{task:#?}");
    assert!(sandbox.state().join("attempts/A-1/tree/A.txt").exists(), "the work is kept");
    // The person mends the remote and answers by a file in the inbox; the next run goes on where it stood.
    std::fs::remove_file(hook.join("pre-receive")).expect("removes");
    let answer = Answer { hold: HoldId(1), option: HoldOption::Retry, note: Some("mended".to_owned()) };
    Inbox::of(&sandbox.state()).post(&Command::Answer(answer)).expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert_eq!(outcome.task("A").attempts, 1);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
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
    assert_eq!(reason, "2 attempts are used up; the last: the turn was stopped: it was silent for longer than its limit");
    assert!(
        outcome
            .records()
            .any(|record| matches!(record, Record::Requested { what: Effect::StopTurn { why: StopReason::Stalled, .. }, .. }))
    );
    assert!(outcome.records().any(|record| matches!(record, Record::TurnEnded { outcome: TurnOutcome::Stopped, .. })));
    let path = sandbox.state().canonicalize().expect("is there");
    let mark = orchestrator_core::model::ContentHash::of(path.as_os_str().as_encoded_bytes()).to_string();
    assert_eq!(marked(&mark[..16]), Vec::<i32>::new());
}

#[tokio::test]
async fn stopped_in_the_middle_it_goes_on_at_the_next_start() {
    let sandbox = sandbox(&[("A", "")]);
    // The agent commits, and hangs.
    let script = format!("{WORK}; echo committed; sleep 1000");
    let ledger = Arc::new(FileLedger::new(sandbox.state().join("ledger")));
    let roadmap: RepoPath = "ROADMAP.md".parse().expect("a path");
    let orchestrator =
        builder(&sandbox, &script, "").repository(sandbox.repo()).state_dir(sandbox.state()).roadmap(roadmap).build().await;
    let orchestrator = orchestrator.expect("begins");
    let handle = orchestrator.handle();
    let mut notices = handle.subscribe();
    let run = tokio::spawn(orchestrator.run());
    while !matches!(notices.recv().await.expect("goes on"), Notice::Activity { text, .. } if text == "committed") {}
    assert!(handle.stop().await);
    let report = tokio::time::timeout(Duration::from_secs(60), run).await.expect("ends").expect("joins").expect("no error");
    assert_eq!(report.ended, EndReason::Stopped);
    let entries = ledger.read(Sequence(1), usize::MAX).await.expect("reads");
    assert_eq!(replayed(&entries), report.state);
    // A clean commit is reviewable work, whatever became of its session: no agent is started for it again.
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete, "{:#?}", outcome.report.snapshot);
    assert_eq!(outcome.task("A").attempts, 1);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
}

#[tokio::test]
async fn drain_from_another_process_finishes_what_runs_and_starts_nothing() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!("cat '{}' > /dev/null; {WORK}", fifo.display());
    let orchestrator = builder(&sandbox, &script, "").repository(sandbox.repo()).state_dir(sandbox.state());
    let orchestrator = orchestrator.roadmap("ROADMAP.md".parse().expect("a path")).build().await.expect("begins");
    let mut notices = orchestrator.handle().subscribe();
    let run = tokio::spawn(orchestrator.run());
    let until = async |notices: &mut tokio::sync::broadcast::Receiver<Notice>, test: &dyn Fn(&Record) -> bool| loop {
        if matches!(notices.recv().await.expect("goes on"), Notice::Recorded(entry) if test(&entry.record)) {
            return;
        }
    };
    until(&mut notices, &|record| matches!(record, Record::Requested { what: Effect::RunTurn { .. }, .. })).await;
    Inbox::of(&sandbox.state()).post(&Command::Mode(RunMode::Drain)).expect("posts");
    until(&mut notices, &|record| matches!(record, Record::ModeSet(RunMode::Drain))).await;
    std::fs::write(&fifo, "go").expect("lets it go");
    let report = run.await.expect("joins").expect("no error");
    assert_eq!(report.ended, EndReason::Drained);
    let entries = FileLedger::new(sandbox.state().join("ledger")).read(Sequence(1), usize::MAX).await.expect("reads");
    assert_eq!(replayed(&entries), report.state);
    let states: Vec<_> = report.snapshot.tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Landed, TaskState::Waiting]);
}

fn make_fifo(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo can be run").success());
}

#[tokio::test]
async fn tasks_agents_and_stores_may_come_from_code() {
    let sandbox = Sandbox::new();
    let agent = ScriptedAgent::default().turn(|request| {
        std::fs::write(request.workspace.join("new.txt"), "new\n").expect("writes");
        git(&request.workspace, &["add", "."]);
        git(&request.workspace, &["commit", "--quiet", "--message", "new"]);
        vec![Update::Ended { outcome: TurnOutcome::Completed }]
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
    assert_eq!(replayed(&ledger.read(Sequence(1), usize::MAX).await.expect("reads")), report.state);
    assert_eq!(sandbox.remote_file("new.txt"), "new");
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_starts() {
    let refused = async |sandbox: &Sandbox, builder: OrchestratorBuilder| -> String {
        let builder = builder.repository(sandbox.repo()).state_dir(sandbox.state()).roadmap("ROADMAP.md".parse().expect("a path"));
        let error = builder.build().await.expect_err("is refused");
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let error = format!("{error}{cause}");
        assert!(!sandbox.state().join("attempts").exists(), "nothing was started");
        let tip = git(&sandbox.remote(), &["rev-parse", "--short=12", "main"]);
        error.replace(&sandbox.path().canonicalize().expect("is there").display().to_string(), "DIR").replace(&tip, "TIP")
    };
    let mut said = Vec::new();
    let empty = Sandbox::new();
    said.push(refused(&empty, builder(&empty, WORK, "")).await);
    for roadmap in ["- [ ] no id\n", "- [ ] **A** a\n  ```toml\n  gates = [\"unit\"]\n  ```\n", "- [ ] **A** a\n- [ ] **A** b\n"] {
        let sandbox = Sandbox::new();
        sandbox.publish(&[("ROADMAP.md", roadmap)], "roadmap");
        said.push(refused(&sandbox, builder(&sandbox, WORK, "")).await);
    }
    let good = sandbox(&[("A", "")]);
    said.push(refused(&good, builder(&good, WORK, "target = \"nowhere\"")).await.lines().next().unwrap_or_default().to_owned());
    let missing = policy(&["/no/such/program".to_owned()], "");
    said.push(refused(&good, Orchestrator::builder().policy(missing)).await);
    said.push(refused(&good, Orchestrator::builder()).await);
    let old = good.path().join("old-git");
    std::fs::write(&old, "#!/bin/sh\necho git version 2.39.3\n").expect("writes");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("sets the mode");
    said.push(refused(&good, builder(&good, WORK, "").git(old)).await);
    let mut upstream = policy(&["sh".to_owned()], "");
    upstream.push = Push::Remote("upstream".to_owned());
    said.push(refused(&good, Orchestrator::builder().policy(upstream)).await);
    let first =
        builder(&good, WORK, "").repository(good.repo()).state_dir(good.state()).roadmap("ROADMAP.md".parse().expect("a path"));
    let first = first.build().await.expect("begins");
    said.push(refused(&good, builder(&good, WORK, "")).await);
    drop(first);
    insta::assert_snapshot!(said.join("\n"));
}
