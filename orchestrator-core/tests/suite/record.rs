//! What is left of a landing: the record, what a person is told meanwhile, and that whatever was altered is seen.

use orchestrator_core::{
    Orchestrator,
    driver::{CommitKind, Verification, VerifiedBranch, verify},
    git::{Git, UserRepository},
    model::{EndReason, GateOutcome, HoldOption, Record},
    status::{Report, TaskState},
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked, shell_worker};

use crate::common::{Live, WORK, answer, builder, policy, sandbox, stores, verified_target};

async fn verified(sandbox: &Sandbox, branch: Option<&str>) -> Verification {
    let program = Git::find().await.expect("git is there");
    let repository = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let Some(name) = branch else {
        return verified_target(sandbox).await;
    };
    let branch = VerifiedBranch::Of {
        repository: &repository,
        name: &name.parse().expect("a name"),
    };
    let (ledger, evidence) = stores(sandbox);
    verify(&program, branch, &ledger, &evidence)
        .await
        .expect("all can be read")
}

fn faults(found: &Verification) -> Vec<String> {
    let of = |what: &CommitKind| match what {
        CommitKind::Landing { faults, .. } => faults.clone(),
        CommitKind::Foreign => Vec::new(),
    };
    found
        .commits
        .iter()
        .flat_map(|commit| of(&commit.what))
        .collect()
}

async fn two_landed() -> (Sandbox, RunOutcome) {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let outcome = run_checked(
        &sandbox,
        builder(
            &sandbox,
            WORK,
            "[gates.unit]\nrun = [\"true\"]\ndefault = true",
        ),
    )
    .await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    git(
        &sandbox.repo(),
        &["pull", "--quiet", "--rebase", "origin", "main"],
    );
    (sandbox, outcome)
}

#[tokio::test]
async fn a_branch_as_it_was_landed_is_whole_and_each_alteration_is_named() {
    let (sandbox, _) = two_landed().await;
    let repo = sandbox.repo();
    for branch in [None, Some("main")] {
        let found = verified(&sandbox, branch).await;
        assert!(found.is_whole(), "{found:#?}");
        let landed = found
            .commits
            .iter()
            .filter(|commit| matches!(commit.what, CommitKind::Landing { .. }))
            .count();
        assert_eq!((landed, found.commits.len() > 2), (2, true));
    }
    let message = git(&repo, &["log", "-1", "--format=%B", "main"]);
    let tip = git(&repo, &["rev-parse", "main"]);
    let (tree, first) = (
        git(&repo, &["rev-parse", "main^{tree}"]),
        git(&repo, &["rev-parse", "main^1"]),
    );
    let other_tree = git(&repo, &["rev-parse", "main~1^{tree}"]);
    let second = git(&repo, &["rev-parse", "main^2"]);
    let forge = |name: &str, tree: &str, parents: &[&str], message: &str| {
        let parents: Vec<&str> = parents.iter().flat_map(|parent| ["-p", parent]).collect();
        let commit = git(
            &repo,
            &[&["commit-tree", tree, "-m", message][..], &parents].concat(),
        );
        git(&repo, &["branch", "--force", name, &commit]);
    };
    let cases = [
        (
            "content",
            other_tree.as_str(),
            vec![first.as_str(), &second],
            message.clone(),
            "its tree is not the one that was gated",
        ),
        (
            "parents",
            &tree,
            vec![&first],
            message.clone(),
            "its parents are not the ones that were recorded",
        ),
        (
            "on-top",
            &tree,
            vec![&tip, &second],
            message.clone(),
            "its parents are not the ones that were recorded",
        ),
        (
            "hash",
            &tree,
            vec![&first, &second],
            message.replace("sha256:", "sha256:0"),
            "its trailer has another hash than its record",
        ),
        (
            "invented",
            &tree,
            vec![&first, &second],
            message.replace("Orchestrator-Landing: ", "Orchestrator-Landing: x"),
            "the ledger knows no landing",
        ),
    ];
    for (name, tree, parents, message, fault) in cases {
        forge(name, tree, &parents, &message);
        let found = verified(&sandbox, Some(name)).await;
        assert!(
            !found.is_whole() && faults(&found).iter().any(|known| known.contains(fault)),
            "{name}: {found:#?}"
        );
    }
    git(&repo, &["branch", "--force", "lost", "main~1"]);
    let found = verified(&sandbox, Some("lost")).await;
    assert_eq!((found.missing.len(), faults(&found)), (1, Vec::new()));
    assert!(found.missing[0].starts_with("B#1 landed as ") && !found.is_whole());
}

#[tokio::test]
async fn what_a_person_waived_lands_as_it_is_with_their_name_in_the_record() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "echo x > beside.txt; echo A > A.txt; git add .; git diff --cached --quiet || commit work; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::WaitingForAPerson,
        "it was told, and did not mend it"
    );
    let mut live = Live::start(&sandbox, builder(&sandbox, script, "")).await;
    live.recorded(|record| matches!(record, Record::RunOpened { .. }))
        .await;
    let said = answer(1, HoldOption::Approve, Some("it may stay there")).with_name("Ada");
    assert!(live.handle.answer(said).await);
    let outcome = live.end().await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("beside.txt"), "x");
    let report = Report::of(
        outcome
            .entries
            .iter()
            .map(|entry| (entry.at, &entry.record)),
        None,
    )
    .expect("it fits")
    .to_markdown();
    assert!(
        report.contains("(paths/contract: beside.txt: not among the allowed paths) by Ada: it may stay there (H1)"),
        "{report}"
    );
    let found = verified(&sandbox, None).await;
    assert!(found.is_whole(), "{found:#?}");
}

#[tokio::test]
async fn what_a_record_names_must_be_there() {
    let (sandbox, outcome) = two_landed().await;
    let report = outcome.records().find_map(|record| match record {
        Record::GateReported {
            candidate_of: Some(_),
            report,
        } => Some(report.output.to_string()),
        _ => None,
    });
    let output = report.expect("a gate ran");
    let file = sandbox
        .state()
        .join("evidence")
        .join(&output[..2])
        .join(&output[2..]);
    std::fs::remove_file(file).expect("it was kept");
    let found = verified(&sandbox, None).await;
    let missing =
        format!("what gate `unit` printed is not in the evidence store (sha256:{output})");
    assert_eq!(
        faults(&found),
        [missing.clone(), missing],
        "both printed nothing"
    );
}

#[tokio::test]
async fn a_gate_that_is_red_and_then_green_on_the_same_tree_is_named_flaky() {
    for (rerun, state) in [(1, TaskState::Landed), (0, TaskState::Parked)] {
        let sandbox = sandbox(&[("A", "")]);
        let marker = sandbox.path().join("was-here");
        let run = format!(
            "[ -e A.txt ] || exit 0; if [ -e '{0}' ]; then rm '{0}'; else touch '{0}'; exit 7; fi",
            marker.display()
        );
        let gate = format!(
            "[gates.moody]\nrun = [\"sh\", \"-c\", {run:?}]\ndefault = true\nrerun = {rerun}"
        );
        let worker = shell_worker(sandbox.path(), "worker", WORK);
        let mut policy = policy(&worker, &gate);
        (policy.limits.attempts, policy.limits.turns) = (1, 1);
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        assert_eq!(
            outcome.task("A").state,
            state,
            "{:#?}",
            outcome.report.snapshot
        );
        let before: Vec<_> = outcome
            .records()
            .filter_map(|record| match record {
                Record::GateReported {
                    candidate_of: Some(_),
                    report,
                } => Some((report.is_flaky(), report.before.clone())),
                _ => None,
            })
            .collect();
        let expected = if rerun == 1 {
            (true, vec![GateOutcome::Exited { code: 7 }])
        } else {
            (false, Vec::new())
        };
        assert_eq!(before, [expected]);
        if rerun == 1 {
            let report = Report::of(
                outcome
                    .entries
                    .iter()
                    .map(|entry| (entry.at, &entry.record)),
                None,
            )
            .expect("it fits");
            assert!(
                report
                    .to_markdown()
                    .contains("FLAKY: 1 red before, on the same tree")
            );
        }
    }
}

#[tokio::test]
async fn a_command_of_the_persons_is_told_of_questions_and_of_the_end() {
    let sandbox = sandbox(&[("A", "approve = [\"landing\"]")]);
    let told = sandbox.path().join("told");
    let hook = shell_worker(
        sandbox.path(),
        "hook",
        &format!("cat >> '{}'; env >> '{0}.env'", told.display()),
    );
    let notify = format!("[notify]\nrun = {hook:?}\n");
    let mut live = Live::start(&sandbox, builder(&sandbox, WORK, &notify)).await;
    live.recorded(|record| matches!(record, Record::RunEnded { .. }))
        .await;
    assert_eq!(live.end().await.report.ended, EndReason::WaitingForAPerson);
    let lines = std::fs::read_to_string(&told).expect("it was told");
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mut said: Vec<_> = lines
        .iter()
        .map(|line| line["what"].as_str().expect("a word").to_owned())
        .collect();
    said.sort();
    assert_eq!(said, ["asked", "ended"]);
    let asked = lines
        .iter()
        .find(|line| line["what"] == "asked")
        .expect("is there");
    assert_eq!(
        (&asked["task"], &asked["hold"]["id"]),
        (&"A".into(), &"H1".into())
    );
    assert!(
        asked["hold"]["brief"]["recommendation"].is_string(),
        "{asked}"
    );
    let environment = std::fs::read_to_string(told.with_extension("env")).expect("is there");
    assert!(
        !environment.contains("CARGO_MANIFEST_DIR"),
        "it sees what the policy lets it see: {environment}"
    );

    // One that fails is named, and stops nothing.
    let mut live = Live::start(
        &sandbox,
        builder(
            &sandbox,
            WORK,
            "[notify]\nrun = [\"sh\", \"-c\", \"echo no bell >&2; exit 4\"]",
        ),
    )
    .await;
    assert!(
        live.handle
            .answer(answer(1, HoldOption::Approve, None))
            .await
    );
    let warned = live
        .until(|notice| match notice {
            orchestrator_core::Notice::Warning(text)
                if text.contains("could not tell a person") =>
            {
                Some(text.clone())
            }
            _ => None,
        })
        .await;
    assert!(warned.contains("no bell"), "{warned}");
    assert_eq!(live.end().await.report.ended, EndReason::Complete);
}
