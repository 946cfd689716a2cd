//! One task through the whole loop, with real git and real processes.

use orchestrator_core::{
    driver::{Orchestrator, OrchestratorBuilder},
    model::{EndReason, Policy, Record},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, git_binaries, run_checked, shell_worker};

const ROADMAP: &str = "# Roadmap\n\n## Package: greetings\n\n- [ ] **G1** Say hello\n  ```toml\n  allow = [\"hello.txt\", \"docs/**\"]\n  \
    gates = [\"hello\"]\n  claims = [{ id = \"greets\", text = \"the file greets\" }]\n  ```\n  Write hello into hello.txt.\n";

const HONEST: &str = "echo hello > hello.txt; commit 'say hello'; handoff done";

fn policy(worker: &[String], push: &str, more: &str) -> Policy {
    let text = format!(
        "push = {push}\n{more}\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n\
         [gates.hello]\nrun = [\"grep\", \"-q\", \"hello\", \"hello.txt\"]\n[limits]\nbackoff = \"1ms\"\nheartbeat = \"50ms\"\n"
    );
    Policy::parse(&text).expect("a valid policy")
}

fn builder(sandbox: &Sandbox, script: &str, push: &str) -> OrchestratorBuilder {
    let worker = shell_worker(sandbox.path(), "worker", script);
    Orchestrator::builder().policy(policy(&worker, push, ""))
}

fn pushed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    sandbox
}

async fn run(sandbox: &Sandbox, script: &str) -> RunOutcome {
    run_checked(sandbox, builder(sandbox, script, "\"origin\"")).await
}

#[tokio::test]
async fn an_honest_worker_lands_with_its_tick_and_leaves_nothing_behind() {
    for binary in git_binaries() {
        let sandbox = pushed();
        let before = git(&sandbox.repo(), &["rev-parse", "main"]);
        let outcome = run_checked(
            &sandbox,
            builder(&sandbox, HONEST, "\"origin\"").git(&binary),
        )
        .await;
        assert_eq!(
            outcome.report.ended,
            EndReason::Complete,
            "{:#?}",
            outcome.report.snapshot
        );
        assert_eq!(sandbox.remote_file("hello.txt"), "hello");
        assert!(
            sandbox
                .remote_file("ROADMAP.md")
                .contains("- [x] **G1** Say hello")
        );
        assert_eq!(
            sandbox.remote_subjects(),
            ["G1: Say hello", "roadmap", "begin"]
        );
        let task = outcome.task("G1");
        assert_eq!((task.state, task.attempts), (TaskState::Landed, 1));
        assert_eq!(task.evidence[0].label.as_str(), "direct");
        let tip = git(&sandbox.remote(), &["rev-parse", "main"]);
        assert_eq!(
            task.landed_commit.map(|commit| commit.to_string()),
            Some(tip.clone())
        );
        // The tree that was gated is the tree that landed, and it was gated once.
        let tree = git(&sandbox.remote(), &["rev-parse", "main^{tree}"]);
        let gated = outcome.records().filter_map(|record| match record {
            Record::GateReported {
                candidate_of: Some(_),
                report,
            } => Some(report.tree.to_string()),
            _ => None,
        });
        let gated: Vec<_> = gated.collect();
        assert_eq!(gated, [tree]);
        let message = git(&sandbox.remote(), &["log", "-1", "--format=%B", "main"]);
        for trailer in [
            "Orchestrator-Task: G1",
            "Orchestrator-Attempt: 1",
            "Orchestrator-Landing: ",
            "Orchestrator-Record: sha256:",
        ] {
            assert!(message.contains(trailer), "{message}");
        }
        // The person's branch and checkout are as they were; the workspace is gone.
        assert_eq!(git(&sandbox.repo(), &["rev-parse", "main"]), before);
        assert_eq!(git(&sandbox.repo(), &["status", "--porcelain"]), "");
        assert_eq!(
            std::fs::read_dir(sandbox.state().join("attempts"))
                .expect("is there")
                .count(),
            0
        );
        git(&sandbox.remote(), &["fsck", "--strict"]);
        git(&sandbox.state().join("trusted.git"), &["fsck", "--strict"]);
    }
}

#[tokio::test]
async fn the_record_of_a_landing_is_kept_under_the_hash_in_its_trailer() {
    let sandbox = pushed();
    run(&sandbox, HONEST).await;
    let hash = git(
        &sandbox.remote(),
        &[
            "log",
            "-1",
            "--format=%(trailers:key=Orchestrator-Record,valueonly)",
            "main",
        ],
    );
    let hash = hash.trim().strip_prefix("sha256:").expect("names its hash");
    let record = std::fs::read(
        sandbox
            .state()
            .join("evidence")
            .join(&hash[..2])
            .join(&hash[2..]),
    )
    .expect("is kept");
    let acceptance: orchestrator_core::model::Acceptance =
        serde_json::from_slice(&record).expect("is an acceptance");
    assert_eq!(acceptance.attempt.to_string(), "G1#1");
    assert!(
        acceptance
            .gates
            .iter()
            .all(orchestrator_core::model::GateReport::passed)
    );
}

#[tokio::test]
async fn names_modes_links_and_submodules_are_seen_as_git_sees_them() {
    let sandbox = pushed();
    // A file outside the contract whose name git would quote, a link out of the repository, and a submodule.
    let script = "echo hello > hello.txt; mkdir -p docs; printf x > 'docs/\u{e9}t\u{e9} \"1\".md'; ln -s ../../etc/passwd docs/link
        printf x > '\u{fc}ber.txt'; git add .; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),docs/sub
        git diff --cached --quiet || git commit --quiet --message c; handoff done";
    let outcome = run(&sandbox, script).await;
    assert_eq!(outcome.task("G1").state, TaskState::Held);
    let found: Vec<_> = outcome
        .records()
        .find_map(|record| match record {
            Record::Judged {
                verdict: orchestrator_core::model::Verdict::Revise { findings },
                ..
            } => Some(findings.clone()),
            _ => None,
        })
        .expect("was judged")
        .iter()
        .filter(|finding| finding.rule.starts_with("paths/"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "paths/submodule: docs/sub: a submodule: add the files themselves, or let a person add the submodule",
            "paths/contract: \u{fc}ber.txt: not among the allowed paths",
            "paths/symlink: docs/link: a symbolic link that points out of the repository",
        ]
    );
}

#[tokio::test]
async fn a_rename_out_of_the_contract_is_judged_on_both_sides() {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[
            ("ROADMAP.md", ROADMAP),
            ("keep/data.txt", "some lines\nthat are\nlong enough\n"),
        ],
        "roadmap",
    );
    let script = "echo hello > hello.txt; mkdir -p docs; test -e docs/data.txt || git mv keep/data.txt docs/data.txt; \
        git diff HEAD --quiet || commit c; handoff done";
    let outcome = run(&sandbox, script).await;
    assert_eq!(outcome.task("G1").state, TaskState::Held);
    assert!(
        outcome
            .task("G1")
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("keep/data.txt")),
        "{:#?}",
        outcome.task("G1")
    );
}

#[tokio::test]
async fn rewritten_history_is_not_taken() {
    let sandbox = pushed();
    let script = "git checkout --quiet --orphan new; echo hello > hello.txt; commit c; \
        git branch --quiet --force attempt/G1/$ORCHESTRATOR_ATTEMPT new 2>/dev/null || \
        git update-ref refs/heads/attempt/G1/$ORCHESTRATOR_ATTEMPT new; handoff done";
    let outcome = run(&sandbox, script).await;
    assert_eq!(outcome.task("G1").state, TaskState::Held);
    assert!(
        outcome
            .task("G1")
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("history was rewritten")),
        "{:#?}",
        outcome.task("G1")
    );
}
