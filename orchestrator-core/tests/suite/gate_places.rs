//! What gates find in their directory, and what is said of what they do not find.

use orchestrator_core::{
    driver::Orchestrator,
    model::{EndReason, GateReport, HoldReason, Record},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked, shell_worker};

use crate::common::{WORK, builder, policy, roadmap, sandbox, turns};

/// A sandbox whose target needs what git ignores: a directory with a link in it, and what a command makes.
fn needy(tasks: &[(&str, &str)]) -> Sandbox {
    let sandbox = sandbox(tasks);
    sandbox.publish(&[(".gitignore", "/deps/\n.env\n/made\n")], "ignore");
    sandbox.write(&[(".env", "KEY=dummy\n"), ("deps/lib/a.txt", "a")]);
    let link = sandbox.repo().join("deps/link");
    std::os::unix::fs::symlink("lib/a.txt", link).expect("links");
    sandbox
}

const SETUP: &str =
    "[setup]\nbring = [\".env\", \"deps\"]\nrun = [[\"sh\", \"-c\", \"cat deps/link > made\"]]\n";

/// A gate with this script, and more keys.
fn gate(script: &str, keys: &str) -> String {
    format!("[gates.unit]\nrun = [\"sh\", \"-c\", {script:?}]\ndefault = true\n{keys}\n")
}

/// What gates said of candidates.
fn reports(outcome: &RunOutcome) -> Vec<GateReport> {
    let report = |record: &Record| match record {
        Record::GateReported {
            candidate_of: Some(_),
            report,
        } => Some((**report).clone()),
        _ => None,
    };
    outcome.records().filter_map(report).collect()
}

/// What the person is asked.
fn question(outcome: &RunOutcome) -> String {
    let holds: Vec<_> = outcome.report.state.holds().collect();
    assert_eq!(holds.len(), 1, "{holds:#?}");
    assert!(
        matches!(holds[0].about, HoldReason::TipRed { .. }),
        "{holds:#?}"
    );
    holds[0].question()
}

#[tokio::test]
async fn gates_with_set_up_have_what_a_workspace_has() {
    let sandbox = needy(&[("A", ""), ("B", ""), ("C", "")]);
    let script = "grep -q dummy .env && test \"$(cat made)\" = a && test -L deps/link";
    let more = format!("{SETUP}{}", gate(script, "setup = true"));
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(
        reports(&outcome)
            .iter()
            .all(|report| report.lacked.brought.is_empty())
    );
}

#[tokio::test]
async fn a_target_that_fails_for_want_of_set_up_is_a_question_that_names_it() {
    let sandbox = needy(&[("A", "")]);
    let more = format!("{SETUP}{}", gate("test -e deps/link", ""));
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    let asked = question(&outcome);
    let says = "gate `unit`: it ran without `.git`, without what `[setup]` brings (`.env`, `deps`), without the commands of \
                `[setup]`; if it needs that, the policy gives it: `setup = true` in its table, `repository = true` in its table";
    assert!(asked.ends_with(says), "{asked}");
    assert_eq!(turns(&outcome), 1, "nobody was sent back");
}

#[tokio::test]
async fn a_gate_that_fails_for_a_worker_alone_names_what_it_lacked() {
    let sandbox = needy(&[("A", "")]);
    // On the target it passes; with the worker's file it wants what is not there.
    let script = "test ! -e A.txt || test -e deps/link";
    let more = format!("{SETUP}{}", gate(script, ""));
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    let says = "Note: unlike a command in the workspace, it ran without what `[setup]` brings (`.env`, `deps`), without the \
                commands of `[setup]`";
    assert!(reason.contains(says), "{reason}");
}

#[tokio::test]
async fn set_up_that_fails_on_the_target_is_not_the_workers() {
    let cases = [
        (
            "[setup]\nrun = [\"sh\", \"-c\", \"test -e .git || { echo no >&2; exit 7; }\"]\n",
            "could not be started: set-up `sh -c test -e .git || { echo no >&2; exit 7; }` failed \
          (exit status 7); stderr: no",
        ),
        (
            "[setup]\nrun = [\"sh\", \"-c\", \"test -e .git || exec no-such-program\"]\n",
            "failed (exit status 127)",
        ),
        (
            "[setup]\nrun = [\"sh\", \"-c\", \"test -e .git || exec sleep 1000\"]\ntimeout = \"100ms\"\n",
            "did not end within 100ms",
        ),
    ];
    // A gate that only a task names is no worker's to mend either, when it cannot be set up.
    for (keys, (setup, why)) in [
        ("gates = [\"unit\"]", cases[0]),
        ("", cases[1]),
        ("", cases[2]),
    ] {
        let sandbox = sandbox(&[("A", keys)]);
        let gate = gate("exit 0", "setup = true");
        let gate = if keys.is_empty() {
            gate
        } else {
            gate.replace("default = true\n", "")
        };
        let outcome =
            run_checked(&sandbox, builder(&sandbox, WORK, &format!("{setup}{gate}"))).await;
        let asked = question(&outcome);
        assert!(asked.contains(why), "{asked}");
        assert_eq!(turns(&outcome), 1, "nobody was sent back");
        assert_eq!(
            outcome.task("A").state,
            TaskState::Held,
            "{:#?}",
            outcome.task("A")
        );
    }
}

#[tokio::test]
async fn what_a_gate_does_to_what_was_brought_is_undone_for_the_next() {
    let sandbox = needy(&[
        ("A", ""),
        ("B", "after = [\"A\"]"),
        ("C", "after = [\"B\"]"),
    ]);
    // Whoever finds anything but what the person has, fails; and leaves something of each kind.
    let script = "cd deps && test \"$(cat lib/a.txt link | tr -d '\\n')\" = aa && test \"$(ls | wc -l)\" = 2 \
                  && echo bad > lib/a.txt && echo bad > planted && ln -sf /etc/passwd link && chmod 700 lib";
    let more = format!("{SETUP}{}", gate(script, "setup = true"));
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let own = std::fs::read_to_string(sandbox.repo().join("deps/lib/a.txt"));
    assert_eq!(own.expect("is there"), "a", "the person's own");
}

#[tokio::test]
async fn what_changes_in_the_checkout_is_brought_to_the_next_gate() {
    let sandbox = needy(&[("A", ""), ("B", "after = [\"A\"]")]);
    let deps = sandbox.repo().join("deps/lib/a.txt");
    // The worker of B stands for the person, who installs something newer meanwhile.
    let script = format!(
        "test $ORCHESTRATOR_TASK = A || echo new > '{}'; {WORK}",
        deps.display()
    );
    let more = format!("{SETUP}{}", gate("cat deps/lib/a.txt", "setup = true"));
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, &more)).await;
    let tails: Vec<_> = reports(&outcome)
        .into_iter()
        .map(|report| report.tail)
        .collect();
    assert_eq!(
        tails.iter().map(|tail| tail.trim()).collect::<Vec<_>>(),
        ["a", "new"]
    );
}

#[tokio::test]
async fn a_gate_without_set_up_never_sees_what_was_brought_for_another() {
    let sandbox = needy(&[
        ("A", "gates = [\"plain\", \"unit\", \"plain\"]"),
        ("B", "after = [\"A\"]\ngates = [\"unit\", \"plain\"]"),
    ]);
    let plain = "[gates.plain]\nrun = [\"sh\", \"-c\", \"test ! -e deps && test ! -e .env && test ! -e made\"]\n";
    let more = format!("{SETUP}{}{plain}", gate("test -e made", "setup = true"));
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

#[tokio::test]
async fn workers_set_up_and_gates_have_ports_that_never_meet() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let log = sandbox.path().join("ports");
    let says = |who: &str| format!("echo {who} $ORCHESTRATOR_PORT_BASE >> '{}'", log.display());
    // A is asked for its handoff in a second turn, in the same workspace.
    let script = format!(
        "{}; test $ORCHESTRATOR_TASK.$ORCHESTRATOR_TURN != A.1 || {{ echo A > A.txt; commit work; exit; }}; \
         test -e $ORCHESTRATOR_TASK.txt || {{ {WORK}; exit; }}; handoff done",
        says("$ORCHESTRATOR_TASK")
    );
    let setup = format!("[setup]\nrun = [\"sh\", \"-c\", {:?}]\n", says("setup"));
    let more = format!(
        "max_sessions = 2\n{setup}{}",
        gate(&says("gate"), "setup = true")
    );
    let worker = shell_worker(sandbox.path(), "worker", &script);
    let outcome = run_checked(
        &sandbox,
        Orchestrator::builder().policy(policy(&worker, &more)),
    )
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let said = std::fs::read_to_string(log).expect("was written");
    let of = |who: &str| {
        let mut ports: Vec<u16> = said
            .lines()
            .filter_map(|line| line.strip_prefix(who)?.trim().parse().ok())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    };
    let [a, b, gate] = ["A ", "B ", "gate "].map(of);
    assert_eq!((a.len(), b.len(), gate.len()), (1, 1, 1), "{said}");
    assert!(a != b && a != gate && b != gate, "{said}");
    let setups = of("setup ");
    assert!(
        [&a, &b, &gate].iter().all(|own| setups.contains(&own[0])),
        "{said}"
    );
    let environments: Vec<_> = reports(&outcome)
        .iter()
        .map(|report| report.environment)
        .collect();
    assert!(
        environments.windows(2).all(|pair| pair[0] == pair[1]),
        "no report tells of ports"
    );
}

#[tokio::test]
async fn a_roadmap_without_set_up_is_as_it_was() {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "roadmap");
    let script = "test ! -e .git && ! git rev-parse 2>/dev/null";
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &gate(script, ""))).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

/// A sandbox with tags: on the target, and beside it.
fn tagged(tasks: &[(&str, &str)]) -> Sandbox {
    let sandbox = sandbox(tasks);
    let repo = sandbox.repo();
    git(&repo, &["tag", "-a", "v1.2.0", "-m", "one two"]);
    git(&repo, &["checkout", "--quiet", "-b", "side"]);
    sandbox.commit(&[("side.txt", "x")], "beside the target");
    git(&repo, &["tag", "v9.9.9"]);
    git(&repo, &["checkout", "--quiet", "main"]);
    git(&repo, &["push", "--quiet", "origin", "v1.2.0", "v9.9.9"]);
    sandbox.publish(&[(".gitignore", "/made\n/deps/\n.env\n")], "after the tag");
    sandbox
}

#[tokio::test]
async fn gates_with_a_repository_ask_git_what_a_build_asks() {
    for push in ["", "push = false\n"] {
        let sandbox = tagged(&[("A", ""), ("B", "after = [\"A\"]")]);
        sandbox.write(&[(".env", "KEY=dummy\n"), ("deps/lib/a.txt", "a")]);
        std::os::unix::fs::symlink("lib/a.txt", sandbox.repo().join("deps/link")).expect("links");
        let script = "git describe && test -z \"$(git status --porcelain)\" && git ls-files --error-unmatch A.txt \
                      && test \"$(git rev-parse HEAD^{tree})\" = \"$(git write-tree)\" && test \"$(git tag)\" = v1.2.0 \
                      && test \"$(git branch --show-current)\" = main && git log -1 --format=%s HEAD^1 \
                      && test \"$(git diff --name-only origin/main | sort | tail -1)\" != README.md \
                      && echo x > x && git add x && git -c gc.auto=1 commit -q -m own && git tag -d v1.2.0 && git gc -q --prune=now";
        let more = format!(
            "{push}{SETUP}{}",
            gate(script, "setup = true\nrepository = true")
        );
        let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
        assert_eq!(
            outcome.report.ended,
            EndReason::Complete,
            "{:#?}",
            outcome.report.snapshot
        );
        let reports = reports(&outcome);
        assert!(
            reports
                .iter()
                .all(|report| report.tail.starts_with("v1.2.0-")),
            "{reports:#?}"
        );
        assert!(
            reports.iter().all(|report| report.lacked.is_nothing()),
            "{reports:#?}"
        );
        // Nothing that gates did is left.
        let trusted = sandbox.state().join("trusted.git");
        git(&trusted, &["fsck", "--connectivity-only"]);
        let subjects = git(&trusted, &["log", "--all", "--format=%s"]);
        assert!(
            !subjects
                .lines()
                .any(|subject| subject == "own" || subject.starts_with("Candidate")),
            "{subjects}"
        );
    }
}

#[tokio::test]
async fn the_repository_of_a_gate_on_the_target_is_at_the_target() {
    let sandbox = tagged(&[("A", "")]);
    sandbox.publish(&[("bad.txt", "x")], "bad");
    let tip = git(&sandbox.remote(), &["rev-parse", "main"]);
    let more = gate("git rev-parse HEAD; test ! -e bad.txt", "repository = true");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, &more)).await;
    let on_tip = outcome.records().find_map(|record| match record {
        Record::GateReported {
            candidate_of: None,
            report,
        } => Some(report.tail.trim().to_owned()),
        _ => None,
    });
    assert_eq!(on_tip, Some(tip));
}
