//! What can be known before money is spent, and what is said of it.

use std::{fs, path::Path};

use orchestrator_core::{
    driver::{BuildError, Check, CheckOutcome, OrchestratorBuilder},
    model::{EndReason, Record},
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{self, WORK, builder, program, sandbox};

fn set_up(sandbox: &Sandbox, builder: OrchestratorBuilder) -> OrchestratorBuilder {
    builder
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"))
}

/// All checks, with `more` in front of the policy.
async fn checks(sandbox: &Sandbox, more: &str) -> Vec<Check> {
    let builder = builder(sandbox, WORK, more);
    set_up(sandbox, builder).preflight().all().await
}

/// What is said under a name.
fn said<'a>(checks: &'a [Check], name: &str) -> (CheckOutcome, &'a str) {
    let check = checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("no `{name}` in {checks:#?}"));
    (check.outcome, &check.what)
}

/// Why a run does not start.
async fn refused(sandbox: &Sandbox, more: &str) -> Check {
    let builder = builder(sandbox, WORK, more);
    match set_up(sandbox, builder).build().await {
        Err(BuildError::Preflight(check)) => check,
        other => panic!("not refused by a check: {other:?}"),
    }
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, before + text).expect("writes");
}

#[tokio::test]
async fn commits_and_tasks_that_are_not_pushed_are_named() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let roadmap = sandbox.repo().join("ROADMAP.md");
    append(&roadmap, &common::roadmap(&[("R6", "")]));
    git(&sandbox.repo(), &["commit", "-qam", "one more task"]);
    let id = git(&sandbox.repo(), &["rev-parse", "--short", "HEAD"]);
    append(&roadmap, &common::roadmap(&[("R7", "")]));
    let text = fs::read_to_string(&roadmap).expect("reads");
    fs::write(&roadmap, text.replace("Task B", "Another B")).expect("writes");
    let checks = checks(&sandbox, "").await;
    assert_eq!(
        said(&checks, "unpushed commits"),
        (
            CheckOutcome::Warning,
            &*format!("main is 1 ahead of origin/main ({id} one more task): not part of this run")
        )
    );
    assert_eq!(
        said(&checks, "unpushed tasks"),
        (
            CheckOutcome::Warning,
            "R6 is on your branch main, not on origin/main; R7 is in your working copy of ROADMAP.md, not on origin/main; \
             B is written otherwise in your working copy of ROADMAP.md than on origin/main: not part of this run"
        )
    );
}

#[tokio::test]
async fn what_only_the_remote_has_is_not_taken_for_a_task_that_is_not_pushed() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    // Somebody else takes B out, and changes A.
    let other = common::roadmap(&[("A", "")]).replace("Task A", "Another A");
    let before = git(&sandbox.repo(), &["rev-parse", "HEAD"]);
    sandbox.publish(&[("ROADMAP.md", &other)], "somebody else");
    git(&sandbox.repo(), &["reset", "-q", "--hard", &before]);
    let checks = checks(&sandbox, "").await;
    let (outcome, what) = said(&checks, "unpushed tasks");
    assert_eq!(outcome, CheckOutcome::Passed, "{what}");
    let (outcome, what) = said(&checks, "unpushed commits");
    assert_eq!(
        (outcome, what),
        (
            CheckOutcome::Passed,
            "main is 1 behind origin/main, which is worked on"
        )
    );
}

#[tokio::test]
async fn signatures_that_cannot_be_made_are_known_before_a_run() {
    let sandbox = sandbox(&[("A", "")]);
    let signer = program(
        &sandbox.path().join("signer"),
        "echo 'no secret key' >&2; exit 2",
    );
    let repo = sandbox.repo();
    git(&repo, &["config", "commit.gpgSign", "true"]);
    git(
        &repo,
        &["config", "gpg.program", &signer.display().to_string()],
    );
    let refused = refused(&sandbox, "").await;
    assert_eq!(refused.name, "signing");
    // Before 2.41 git keeps the signer's words to itself.
    let words = ["no secret key", "gpg failed to sign the data"];
    assert!(
        words.iter().any(|words| refused.what.contains(words)),
        "{refused}"
    );
    assert!(!sandbox.state().exists(), "nothing was begun");
    let checks = checks(&sandbox, "").await;
    assert_eq!(said(&checks, "signing").0, CheckOutcome::Failed);
    assert_eq!(
        said(&checks, "push").0,
        CheckOutcome::Passed,
        "the rest is looked at"
    );
}

#[tokio::test]
async fn pushes_that_cannot_come_through_are_known_before_a_run() {
    let sandbox = sandbox(&[("A", "")]);
    let repo = sandbox.repo();
    let locked_out = program(
        &sandbox.path().join("locked-out"),
        "echo 'Permission denied (publickey).' >&2; exit 128",
    );
    let key = "remote.origin.receivepack";
    git(&repo, &["config", key, &locked_out.display().to_string()]);
    let refused = refused(&sandbox, "").await;
    assert_eq!(refused.name, "push");
    assert!(
        refused.what.contains("Permission denied (publickey)"),
        "{refused}"
    );
    git(&repo, &["config", "--unset", key]);
    git(
        &repo,
        &[
            "remote",
            "set-url",
            "--push",
            "origin",
            "/nowhere/project.git",
        ],
    );
    let missing = checks(&sandbox, "").await;
    let (outcome, what) = said(&missing, "push");
    assert_eq!(outcome, CheckOutcome::Failed);
    assert!(
        what.contains("'/nowhere/project.git' does not appear to be a git repository"),
        "{what}"
    );
}

#[tokio::test]
async fn a_remote_with_a_checkout_of_the_target_is_named() {
    let sandbox = sandbox(&[("A", "")]);
    let top = sandbox.path();
    git(top, &["clone", "-q", "remote.git", "other"]);
    let other = top.join("other");
    git(
        &sandbox.repo(),
        &["remote", "set-url", "origin", &other.display().to_string()],
    );
    let checks_of = checks(&sandbox, "").await;
    let (outcome, what) = said(&checks_of, "push");
    assert_eq!(outcome, CheckOutcome::Warning);
    assert!(what.contains("`main` is checked out in"), "{what}");
    git(
        &other,
        &["config", "receive.denyCurrentBranch", "updateInstead"],
    );
    assert_eq!(
        said(&checks(&sandbox, "").await, "push").0,
        CheckOutcome::Passed
    );
}

#[tokio::test]
async fn hooks_and_submodules_are_named() {
    let sandbox = sandbox(&[("A", "")]);
    let repo = sandbox.repo();
    fs::create_dir_all(repo.join("hooks")).expect("makes");
    program(&repo.join("hooks/pre-commit"), "true");
    fs::write(repo.join("hooks/pre-push.sample"), "").expect("writes");
    git(&repo, &["config", "core.hooksPath", "hooks"]);
    let remote = sandbox.remote().display().to_string();
    git(&repo, &["clone", "-q", &remote, "vendor/lib"]);
    sandbox.publish(
        &[
            ("assets/.gitattributes", "*.png filter=lfs -text\n"),
            (".husky/pre-commit", ""),
        ],
        "assets",
    );
    let checks = checks(&sandbox, "[filters.other]\nclean = \"cat\"\n").await;
    let (outcome, what) = said(&checks, "hooks");
    assert_eq!(outcome, CheckOutcome::Warning);
    assert!(
        what.starts_with("pre-commit in ") && what.contains("/repo/hooks will not run"),
        "{what}"
    );
    assert_eq!(said(&checks, "installed hooks").0, CheckOutcome::Warning);
    assert!(
        said(&checks, "installed hooks")
            .1
            .contains("hooks for husky")
    );
    let (outcome, what) = said(&checks, "submodules");
    assert_eq!(outcome, CheckOutcome::Warning);
    assert!(what.contains("`vendor/lib`"), "{what}");
}

#[tokio::test]
async fn budgets_that_an_agent_does_not_count_are_named() {
    let sandbox = sandbox(&[("A", "budget = { tokens = 1000, usd = 2.0 }")]);
    let with = checks(&sandbox, "").await;
    let (outcome, what) = said(&with, "budgets");
    assert_eq!(outcome, CheckOutcome::Warning);
    assert!(
        what.contains("does not say how many tokens it uses"),
        "{what}"
    );
    assert!(what.contains("does not say what it costs"), "{what}");
    let sandbox = common::sandbox(&[("A", "budget = { wall = \"5m\" }")]);
    let without = checks(&sandbox, "").await;
    let (outcome, _) = said(&without, "budgets");
    assert_eq!(outcome, CheckOutcome::Passed);
}

#[tokio::test]
async fn large_files_without_their_filter_stop_a_run() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[(".gitattributes", "*.png filter=lfs -text\n")], "assets");
    let refused = refused(
        &sandbox,
        "[filters.lfs]\nclean = \"no-such-program clean\"\n",
    )
    .await;
    assert_eq!(refused.name, "lfs");
    assert!(
        refused.what.contains("`no-such-program` is not here"),
        "{refused}"
    );
}

#[tokio::test]
async fn programs_that_are_not_there_are_named() {
    let sandbox = sandbox(&[("A", "")]);
    let gates = "[gates.slow]\nrun = [\"no-such-gate\"]\n[gates.own]\nrun = [\"./check.sh\"]\n[notify]\nrun = [\"/no/such\"]\n";
    let found = checks(&sandbox, gates).await;
    assert_eq!(
        said(&found, "program of gate slow"),
        (
            CheckOutcome::Warning,
            "`no-such-gate` is not on the PATH that it would be started with: the gate cannot start"
        )
    );
    assert_eq!(
        said(&found, "program of gate own"),
        (
            CheckOutcome::Warning,
            "the target has no `check.sh`: the gate fails until a task adds it"
        )
    );
    assert_eq!(said(&found, "program of notify").0, CheckOutcome::Warning);
    let gate = refused(
        &sandbox,
        "[gates.unit]\nrun = [\"no-such-gate\"]\ndefault = true\n",
    )
    .await;
    assert_eq!(gate.name, "program of gate unit");
    let setup = refused(&sandbox, "[setup]\nrun = [\"no-such-setup\"]\n").await;
    assert_eq!(setup.name, "program of setup");
}

#[tokio::test]
async fn a_checkout_that_landings_would_wait_for_is_named() {
    let sandbox = sandbox(&[("A", "")]);
    append(&sandbox.repo().join("README.md"), "more\n");
    let found = checks(&sandbox, "push = false\n").await;
    let (outcome, what) = said(&found, "checkout");
    assert_eq!(outcome, CheckOutcome::Warning);
    assert!(what.contains("(README.md): landings wait for it"), "{what}");
    git(&sandbox.repo(), &["checkout", "-q", "README.md"]);
    fs::write(sandbox.repo().join(".git/MERGE_HEAD"), "").expect("writes");
    let found = checks(&sandbox, "push = false\n").await;
    assert!(
        said(&found, "checkout").1.contains("a merge is under way"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn default_gates_run_on_the_target_last_and_fail_no_run() {
    let sandbox = sandbox(&[("A", "")]);
    let gates = "[gates.bad]\nrun = [\"/bin/sh\", \"-c\", \"echo it is broken; exit 3\"]\ndefault = true\n\
                 [gates.good]\nrun = [\"grep\", \"-q\", \"Test\", \"README.md\"]\ndefault = true\n\
                 [gates.never]\nrun = [\"false\"]\n";
    let found = checks(&sandbox, gates).await;
    let last: Vec<_> = found.iter().rev().take(2).rev().collect();
    assert_eq!((&*last[0].name, &*last[1].name), ("gate bad", "gate good"));
    assert_eq!(last[0].outcome, CheckOutcome::Warning);
    assert!(last[0].what.contains("exit status 3") && last[0].what.contains("it is broken"));
    assert_eq!(last[1].outcome, CheckOutcome::Passed);
    assert!(
        !found
            .iter()
            .any(|check| check.outcome == CheckOutcome::Failed),
        "{found:#?}"
    );
    assert!(!sandbox.state().exists());
}

#[tokio::test]
async fn an_end_says_what_was_no_part_of_the_run() {
    let sandbox = sandbox(&[("A", "")]);
    append(
        &sandbox.repo().join("ROADMAP.md"),
        &common::roadmap(&[("R7", "")]),
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    let remark =
        "R7 is in your working copy of ROADMAP.md, not on origin/main: not part of this run";
    assert_eq!(outcome.report.snapshot.remarks, [remark]);
}

#[tokio::test]
async fn an_end_does_not_say_what_was_pushed_meanwhile() {
    let sandbox = sandbox(&[("A", "")]);
    let repo = sandbox.repo();
    append(&repo.join("ROADMAP.md"), &common::roadmap(&[("R7", "")]));
    git(&repo, &["commit", "-qam", "one more task"]);
    // The task that comes with it is worked on as well; by then the target may be ahead.
    let push = format!(
        "[ $ORCHESTRATOR_TASK != A ] || git -C '{}' push -q origin main; {WORK}",
        repo.display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &push, "max_sessions = 1\n")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    assert_eq!(outcome.report.snapshot.remarks, [""; 0]);
    let remarked = |record: &&Record| matches!(record, Record::Remarked(said) if !said.is_empty());
    assert_eq!(
        outcome.records().filter(remarked).count(),
        1,
        "it was said at the start"
    );
}

#[tokio::test]
async fn a_gate_that_fails_on_the_target_is_known_before_the_first_candidate() {
    let sandbox = sandbox(&[("A", "")]);
    let log = sandbox.path().join("gate.log");
    // The worker waits until the target was looked at, and leaves what the gate wants.
    let gate = format!("echo ran >> '{}'; test -f A.txt", log.display());
    let policy = format!("[gates.unit]\nrun = [\"/bin/sh\", \"-c\", {gate:?}]\ndefault = true\n");
    let work = format!(
        "until [ -s '{}' ]; do sleep 0.05; done; {WORK}",
        log.display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &work, &policy)).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    let said = outcome.records().find_map(|record| match record {
        Record::GateReported {
            candidate_of: None,
            report,
        } => Some(report.passed()),
        _ => None,
    });
    assert_eq!(said, Some(false));
    let ran = fs::read_to_string(log).expect("ran").lines().count();
    assert_eq!(ran, 2, "on the target, and on the candidate");
    assert_eq!(
        outcome.report.snapshot.remarks, [""; 0],
        "the target has it now"
    );
}

#[tokio::test]
async fn a_remote_that_does_not_answer_keeps_nothing_back_that_is_here() {
    let sandbox = sandbox(&[("A", "")]);
    git(
        &sandbox.repo(),
        &["remote", "set-url", "origin", "/nowhere/project.git"],
    );
    let builder = builder(&sandbox, WORK, "");
    let mut preflight = set_up(&sandbox, builder).preflight();
    let mut names = Vec::new();
    while let Some(check) = preflight.next().await {
        names.push((check.name.clone(), check.outcome));
    }
    let at = |name: &str| names.iter().position(|(known, _)| known == name);
    assert!(
        at("signing") < at("target") && at("signing").is_some(),
        "{names:?}"
    );
    assert_eq!(
        names.last(),
        Some(&("target".to_owned(), CheckOutcome::Failed))
    );
}

#[tokio::test]
async fn a_preflight_beside_a_run_says_so() {
    let sandbox = sandbox(&[("A", "")]);
    let running = set_up(&sandbox, builder(&sandbox, WORK, "")).build().await;
    let running = running.expect("begins");
    assert_eq!(
        said(&checks(&sandbox, "").await, "alone").0,
        CheckOutcome::Warning
    );
    drop(running);
    assert_eq!(
        said(&checks(&sandbox, "").await, "alone").0,
        CheckOutcome::Passed
    );
}

#[tokio::test]
async fn bad_input_is_a_check_that_failed() {
    let sandbox = sandbox(&[("A", "gates = [\"none\"]")]);
    let roadmap = checks(&sandbox, "").await;
    assert_eq!(said(&roadmap, "roadmap").0, CheckOutcome::Failed);
    let remote = checks(&sandbox, "push = \"nobody\"\n").await;
    assert_eq!(said(&remote, "repository").0, CheckOutcome::Failed);
}
