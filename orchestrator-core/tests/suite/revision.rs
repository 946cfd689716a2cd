//! Work that comes back: sent to the same session, to another attempt, or to a person; and handoffs that are not there.

use std::collections::BTreeMap;

use orchestrator_core::{
    driver::{Command, Inbox, Orchestrator},
    model::{
        Answer, BackendName, Completion, DoneBy, EndReason, HandoffReport, HoldOption, Policy,
        Record, Size, TurnOutcome, Verdict, only_history,
    },
    port::{AgentBackend, AgentError, Capabilities, Probe, Turn, TurnRequest, Update},
    status::TaskState,
};
use orchestrator_testkit::{ScriptedAgent, git, run_checked, write_handoff};

use crate::common::{self, WORK, builder, ends, sandbox, turns};

#[tokio::test]
async fn a_forbidden_path_is_sent_back_to_the_same_session_and_lands_mended() {
    let sandbox = sandbox(&[("A", "")]);
    let script =
        "if [ \"$ORCHESTRATOR_TURN\" = 1 ]; then echo a > A.txt; echo x > elsewhere.txt; commit one; handoff done; exit; fi
        cat > ../prompt.seen; grep -q 'elsewhere.txt: not among the allowed paths' ../prompt.seen
        git rm --quiet elsewhere.txt; git reset --quiet --soft main; commit two; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 2));
    assert_eq!(
        git(&sandbox.remote(), &["ls-tree", "--name-only", "main"]),
        "A.txt\nREADME.md\nROADMAP.md"
    );
}

#[tokio::test]
async fn what_is_not_even_taken_in_is_sent_back_to_the_same_session_and_lands_mended() {
    let cases = [
        (
            "size/file: large.bin: it has 2097152 bytes",
            "truncate -s 2M large.bin; echo a > A.txt; commit one",
            "rm large.bin",
        ),
        (
            "commit/rewritten",
            "echo a > A.txt; git checkout -q --orphan new; commit new; git branch -f attempt/A/1 HEAD; git checkout -q attempt/A/1",
            ":",
        ),
    ];
    for (told, first, mend) in cases {
        let sandbox = sandbox(&[("A", "")]);
        let script = format!(
            "if [ \"$ORCHESTRATOR_TURN\" = 1 ]; then {first}; handoff done; exit; fi
            cat > ../prompt.seen; grep -q '{told}' ../prompt.seen
            {mend}; git reset --quiet --soft \"$(sed -n 's/.*git reset --soft \\([0-9a-f]*\\).*/\\1/p' ../prompt.seen | head -n 1)\"
            commit mended; handoff done"
        );
        let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
        let mut policy = common::policy(&worker, "");
        (policy.limits.file, policy.limits.attempts) = (Size::mib(1), 1);
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        assert_eq!(
            outcome.report.ended,
            EndReason::Complete,
            "{told}: {:#?}",
            outcome.report.snapshot
        );
        assert_eq!(
            (outcome.task("A").attempts, turns(&outcome)),
            (1, 2),
            "{told}"
        );
        assert_eq!(
            git(&sandbox.remote(), &["ls-tree", "--name-only", "main"]),
            "A.txt\nREADME.md\nROADMAP.md"
        );
        let ours = git(
            &sandbox.state().join("trusted.git"),
            &[
                "cat-file",
                "--batch-all-objects",
                "--batch-check=%(objectsize)",
            ],
        );
        assert!(
            !ours.lines().any(|size| size == "2097152"),
            "{told}: nothing of it stays with us"
        );
    }
}

#[tokio::test]
async fn what_only_the_history_offends_lands_as_one_commit_without_another_turn() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "echo a > A.txt; echo x > elsewhere.txt; commit one; git rm -q elsewhere.txt; commit two; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let carried = outcome
        .records()
        .filter(|record| matches!(record, Record::CarriedOver { .. }))
        .count();
    assert_eq!((turns(&outcome), carried), (1, 1));
    let log = git(
        &sandbox.remote(),
        &["log", "--format=%s", "-m", "--name-only", "main"],
    );
    assert!(
        !log.contains("elsewhere.txt") && !log.contains("one"),
        "{log}"
    );
    assert_eq!(sandbox.remote_file("A.txt"), "a");
    assert!(
        !sandbox.state().join("attempts/A-1").exists(),
        "its work landed, so its workspace is gone"
    );
}

#[tokio::test]
async fn history_that_is_too_large_lands_as_one_commit_without_another_turn() {
    let large = "head -c 2M /dev/urandom > large.bin; commit one; git rm -q large.bin";
    let cases = [
        ("size/file", format!("{large}; echo a > A.txt; commit two")),
        (
            "size/total",
            "for i in 1 2 3 4; do head -c 900K /dev/urandom > A.txt; commit $i; done; echo a > A.txt; commit last".to_owned(),
        ),
        (
            "size/objects",
            "for i in $(seq 40); do echo $i > A.txt; commit $i; done; echo a > A.txt; commit last".to_owned(),
        ),
        // A `.git` directory, which git itself does not commit.
        (
            "commit/fsck",
            "tree=$(printf '100644 blob %s\\thooks\\n' $(echo x | git hash-object -w --stdin) | git mktree)
            tree=$(printf '040000 tree %s\\t.git\\n' $tree | git mktree)
            git update-ref refs/heads/attempt/A/1 $(git commit-tree $tree -p HEAD -m odd)
            git read-tree main; echo a > A.txt; commit last".to_owned(),
        ),
    ];
    for (rule, work) in cases {
        let sandbox = sandbox(&[("A", "")]);
        let script = format!("{work}; handoff done");
        let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
        let mut policy = common::policy(&worker, "");
        policy.limits.file = Size::mib(1);
        policy.limits.work = Size::mib(3);
        policy.limits.objects = 100;
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        assert_eq!(
            (outcome.report.ended, turns(&outcome)),
            (EndReason::Complete, 1),
            "{rule}: {:#?}",
            outcome.report.snapshot
        );
        let submission = outcome.records().find_map(|record| match record {
            Record::Submitted { submission, .. } => Some(submission.clone()),
            _ => None,
        });
        let submission = submission.expect("work was taken in");
        let said = submission
            .findings
            .iter()
            .map(|finding| finding.rule.as_str());
        assert_eq!(
            (said.collect::<Vec<_>>(), submission.commits),
            (vec![rule], 1)
        );
        assert_ne!(submission.worker_head(), submission.head);
        assert_eq!(sandbox.remote_file("A.txt"), "a");
        assert!(
            !sandbox.state().join("attempts/A-1").exists(),
            "{rule}: its work landed, so its workspace is gone"
        );
    }
}

#[tokio::test]
async fn what_offends_in_the_end_as_well_goes_back_and_what_is_left_in_the_history_costs_no_turn() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "if [ \"$ORCHESTRATOR_TURN\" = 1 ]; then
            echo a > A.txt; echo x > elsewhere.txt; commit one; git mv elsewhere.txt other.txt; commit two; handoff done; exit; fi
        cat > ../prompt.seen; grep -q 'other.txt: not among the allowed paths' ../prompt.seen
        git rm -q other.txt; commit three; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let sent_back = outcome.records().find_map(|record| match record {
        Record::Judged {
            verdict: Verdict::Revise { findings },
            ..
        } => Some(findings.clone()),
        _ => None,
    });
    let sent_back = sent_back.expect("it was sent back");
    assert!(!only_history(&sent_back), "{sent_back:?}");
    let of_history = sent_back
        .iter()
        .find(|finding| finding.history.is_some())
        .expect("the first commit is named");
    assert!(
        of_history.message.contains("git reset --soft"),
        "{of_history}"
    );
    assert_eq!(turns(&outcome), 2);
    let log = git(
        &sandbox.remote(),
        &["log", "--format=", "-m", "--name-only", "main"],
    );
    assert!(
        !log.contains("elsewhere.txt") && !log.contains("other.txt"),
        "{log}"
    );
}

#[tokio::test]
async fn what_a_worker_says_is_compared_with_what_git_says() {
    let sandbox = sandbox(&[("A", "")]);
    let lie = ",\"changed_files\":[\"A.txt\",\"other.txt\"],\"commit\":\"0123456789012345678901234567890123456789\"";
    let script = format!(
        "echo a > A.txt; git add .; git diff --cached --quiet || commit c; handoff done '{lie}'"
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let task = outcome.task("A");
    assert_eq!(
        (task.state, task.attempts, turns(&outcome)),
        (TaskState::Held, 1, 2),
        "told once, and then a person is asked"
    );
    let reason = task.reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with("it was sent back over the same before (")
            && reason.contains("handoff/files"),
        "{reason}"
    );
    let said = outcome.records().filter_map(|record| match record {
        Record::Reviewed { reviews, .. } => Some(format!("{reviews:?}")),
        _ => None,
    });
    let said = said.collect::<Vec<_>>().join("\n");
    assert!(
        said.contains("handoff/commit") && said.contains("`other.txt` was changed; it was not"),
        "{said}"
    );
    assert_eq!(sandbox.remote_subjects(), ["roadmap", "begin"]);
}

#[tokio::test]
async fn done_without_a_commit_is_not_done_and_what_crashes_is_tried_again() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "case $ORCHESTRATOR_ATTEMPT.$ORCHESTRATOR_TURN in
        1.1) handoff done ;;
        1.2) echo broken >&2; exit 3 ;;
        2.1) echo a > A.txt; commit c; handoff done ;;
    esac";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 2);
    assert_eq!(
        ends(&outcome),
        ["the agent failed: exit status 3; stderr: broken"]
    );
}

#[tokio::test]
async fn a_red_gate_goes_back_with_what_it_printed() {
    let sandbox = sandbox(&[("A", "")]);
    let gate = "[gates.unit]\nrun = [\"sh\", \"-c\", \"if grep -qs bad A.txt; then echo it is $(cat A.txt) >&2; exit 1; fi\"]\ndefault = true";
    let script = "if [ $ORCHESTRATOR_TURN = 1 ]; then echo bad > A.txt; else cat > ../seen; grep -q 'it is bad' ../seen; echo good > A.txt; fi
        commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, gate)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 2));
    assert_eq!(sandbox.remote_file("A.txt"), "good");
}

#[tokio::test]
async fn a_task_may_bring_what_its_own_gate_asks_for() {
    // The gate is red on the target until the task is done: the worker gets its turns, and then a person is asked.
    let sandbox = sandbox(&[("A", "gates = [\"there\"]")]);
    let gate = "[gates.there]\nrun = [\"grep\", \"-q\", \"right\", \"A.txt\"]";
    let script = "[ $ORCHESTRATOR_TURN = 3 ] && echo right > A.txt || echo wrong$ORCHESTRATOR_TURN > A.txt; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, gate)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 3));
    let sandbox = common::sandbox(&[("A", "gates = [\"there\"]")]);
    let script = "echo wrong$ORCHESTRATOR_TURN > A.txt; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, gate)).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    assert_eq!(
        (
            outcome.task("A").state,
            outcome.task("A").attempts,
            turns(&outcome)
        ),
        (TaskState::Held, 1, 3)
    );
    assert_eq!(sandbox.remote_subjects(), ["roadmap", "begin"]);
}

#[tokio::test]
async fn a_missing_or_broken_handoff_is_asked_for_once_before_anything_else() {
    for (first, why) in [
        ("true", "there is none"),
        (
            "echo '{' > \"$ORCHESTRATOR_HANDOFF\"",
            "it cannot be read: EOF",
        ),
    ] {
        let sandbox = sandbox(&[("A", "")]);
        let script = format!(
            "if [ $ORCHESTRATOR_TURN = 1 ]; then echo a > A.txt; commit c; {first}; exit; fi
             cat > ../seen; grep -q 'only write the handoff' ../seen; grep -q '{why}' ../seen; handoff done"
        );
        let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
        assert_eq!(
            outcome.report.ended,
            EndReason::Complete,
            "{:#?}",
            outcome.report.snapshot
        );
        assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 2));
        let order = outcome.records().filter_map(|record| match record {
            Record::RepairAsked { why, .. } => Some(why.to_string()),
            Record::Submitted { submission, .. } => Some(format!(
                "{:?}",
                matches!(submission.handoff, HandoffReport::Read(_))
            )),
            _ => None,
        });
        let order: Vec<_> = order.collect();
        assert!(
            order.len() == 2 && order[0].starts_with(why) && order[1] == "true",
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn commit_without_a_handoff_is_reviewed_and_lands_only_by_a_persons_word() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "[ $ORCHESTRATOR_TURN = 2 ] || { echo a > A.txt; commit c; }";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        (outcome.task("A").attempts, turns(&outcome)),
        (1, 2),
        "it is asked for once, and then looked at"
    );
    assert_eq!(sandbox.remote_subjects(), ["roadmap", "begin"]);
    let hold = outcome.task("A").hold.clone().expect("a person is asked");
    let inbox = Inbox::of(&sandbox.state());
    let answer = Answer::new(hold.id, HoldOption::Approve).with_name("Ada");
    inbox.post(&Command::Answer(answer)).expect("posts");
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    let accepted = outcome.records().find_map(|record| match record {
        Record::Accepted { landing } => Some(landing.acceptance.clone()),
        _ => None,
    });
    let accepted = accepted.expect("it was accepted");
    assert!(format!("{:?}", accepted.reviews).contains("handoff/missing"));
    assert!(matches!(
        accepted.completion,
        Some(Completion::Person(decision)) if decision.name() == "Ada"
    ));
    let last_turn = outcome.task("A").last_turn.clone();
    assert!(last_turn.is_some_and(|said| said.contains("Ada confirmed it")));
}

#[tokio::test]
async fn commit_of_a_simple_command_lands_by_its_exit_status() {
    let sandbox = sandbox(&[("A", "claims = [{ id = \"c\", text = \"it is there\" }]")]);
    let work = |end: &str| {
        let script = format!("echo a > A.txt; git add A.txt; git commit -q -m c; {end}");
        let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
        let gate = "[gates.unit]\nrun = [\"true\"]\ndefault = true";
        let mut policy = common::policy(&worker, gate);
        for agent in policy.agents.values_mut() {
            agent.done = Some(DoneBy::Exit);
        }
        policy.limits.attempts = 1;
        Orchestrator::builder().policy(policy)
    };
    let killed = run_checked(&sandbox, work("kill -9 $$")).await;
    assert!(!killed.report.snapshot.all_landed());
    assert_eq!(sandbox.remote_subjects(), ["roadmap", "begin"]);

    let outcome = run_checked(&sandbox, work("exit 0")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    let evidence = &outcome.task("A").evidence[0];
    assert!(evidence.label.is_direct(), "{evidence:?}");
}

#[tokio::test]
async fn a_turn_for_the_handoff_is_no_revision() {
    let sandbox = sandbox(&[("A", "")]);
    let worker = "case $ORCHESTRATOR_TURN in
        1) echo a > A.txt; echo x > other.txt; commit c ;;
        2) handoff done ;;
        3) git rm -q other.txt; git reset -q --soft main; commit c; handoff done ;; esac";
    let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", worker);
    let mut policy = common::policy(&worker, "");
    policy.limits.turns = 2;
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (1, 3));
}

/// An agent whose sessions cannot be gone on with.
#[derive(Debug)]
struct Forgetful(ScriptedAgent);

#[async_trait::async_trait]
impl AgentBackend for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        self.0.probe().await
    }

    async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.0.probe_in(environment).await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        self.0.start(request).await
    }
}

#[tokio::test]
async fn where_the_agent_cannot_resume_a_revision_is_another_attempt() {
    let sandbox = sandbox(&[("A", "")]);
    let step = |file: &'static str| {
        move |request: &TurnRequest| {
            std::fs::write(request.workspace.join(file), "x\n").expect("writes");
            git(&request.workspace, &["add", "."]);
            git(
                &request.workspace,
                &["commit", "--quiet", "--message", "work"],
            );
            write_handoff(request);
            vec![Update::Ended {
                outcome: TurnOutcome::Completed,
            }]
        }
    };
    let agent = Forgetful(
        ScriptedAgent::default()
            .turn(step("other.txt"))
            .turn(step("A.txt")),
    );
    let policy =
        Policy::parse("push = \"origin\"\n[limits]\nbackoff = \"1ms\"").expect("a valid policy");
    let name = BackendName::new("forgetful").expect("a name");
    let builder = Orchestrator::builder()
        .policy(policy)
        .backend(name, std::sync::Arc::new(agent));
    let outcome = run_checked(&sandbox, builder).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!((outcome.task("A").attempts, turns(&outcome)), (2, 2));
    assert!(
        ends(&outcome)[0].contains("other.txt: not among the allowed paths"),
        "{:?}",
        ends(&outcome)
    );
}

#[tokio::test]
async fn limits_are_the_policys_and_what_was_done_is_kept() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let script = format!(
        "if [ $ORCHESTRATOR_TASK = A ]; then echo x > other.txt; commit c; handoff done; else {WORK}; fi"
    );
    let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
    let mut policy = common::policy(&worker, "");
    (
        policy.limits.turns,
        policy.limits.attempts,
        policy.limits.same_finding,
    ) = (1, 2, 9);
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(outcome.report.ended, EndReason::Blocked);
    assert_eq!(
        (outcome.task("A").state, outcome.task("A").attempts),
        (TaskState::Parked, 2)
    );
    assert_eq!(outcome.task("B").state, TaskState::Landed);
    let kept = git(
        &sandbox.state().join("trusted.git"),
        &[
            "for-each-ref",
            "--format=%(refname)",
            "refs/orchestrator/attempts",
        ],
    );
    assert_eq!(
        kept,
        "refs/orchestrator/attempts/A/1/1\nrefs/orchestrator/attempts/A/2/1"
    );
}

#[tokio::test]
async fn what_a_crash_left_uncommitted_is_kept_and_offered_to_the_next_attempt() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then echo half > A.txt; exit 3; fi
        kept=$(sed -n 's/.*is kept as commit \\([0-9a-f]*\\);.*/\\1/p'); git show $kept:A.txt > A.txt; echo whole >> A.txt; commit c; handoff done";
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
        (2, "half\nwhole")
    );
    assert_eq!(
        std::fs::read_dir(sandbox.state().join("attempts"))
            .expect("is there")
            .count(),
        0,
        "no workspace stays for it"
    );
    let trusted = sandbox.state().join("trusted.git");
    assert_eq!(
        git(&trusted, &["show", "refs/orchestrator/rescue/A/1:A.txt"]),
        "half"
    );
    let offered = outcome.records().find_map(|record| match record {
        Record::Rescued { commit, .. } => Some(commit.to_string()),
        _ => None,
    });
    assert_eq!(
        Some(git(
            &trusted,
            &["rev-parse", "refs/orchestrator/rescue/A/1"]
        )),
        offered,
        "what was offered is what is kept"
    );
}
