//! Workspaces that are as sparse as the person's checkout.

use orchestrator_core::{
    git::{Git, GitVersion},
    model::{EndReason, Record, WorkspaceFate},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked};

use crate::common::{self, WORK, builder, pushes, sandbox};

const SPARSE: &str = "[setup]\nsparse = true\n";

/// Patterns of a checkout: in cone mode, and such as no cone has.
const KINDS: [&[&str]; 2] = [
    &["--cone", "src/app"],
    &["--no-cone", "/*", "!/docs/", "!/src/other/"],
];

/// A repository of which the person has checked out a part.
fn sparse(tasks: &[(&str, &str)], kind: &[&str]) -> Sandbox {
    let sandbox = sandbox(tasks);
    let files = [
        ("docs/guide.md", "guide\n"),
        ("src/app/main.txt", "main\n"),
        ("src/other/large.txt", "large\n"),
    ];
    sandbox.publish(&files, "parts");
    let set = [&["sparse-checkout", "set"], kind].concat();
    git(&sandbox.repo(), &set);
    assert!(!sandbox.repo().join("docs").exists());
    sandbox
}

fn said(outcome: &RunOutcome) -> String {
    outcome
        .records()
        .map(|record| format!("{record:?}\n"))
        .collect()
}

fn kept(outcome: &RunOutcome) -> usize {
    let is_kept = |record: &&Record| {
        matches!(
            record,
            Record::WorkspaceSettled {
                fate: WorkspaceFate::Kept { .. },
                ..
            }
        ) || matches!(
            record,
            Record::WorkspaceSettled {
                fate: WorkspaceFate::Removed { kept: Some(_) },
                ..
            }
        )
    };
    outcome.records().filter(is_kept).count()
}

fn landed(outcome: &RunOutcome) {
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

/// Whether this git is too old for sparse workspaces: then a policy that asks for them is refused.
async fn is_refused_here() -> bool {
    let git = Git::find().await.expect("git");
    if git.version() >= GitVersion(2, 41, 0) {
        return false;
    }
    let sandbox = sparse(&[("A", "")], KINDS[0]);
    let begun = builder(&sandbox, WORK, SPARSE)
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"))
        .build();
    let refused = begun.await.expect_err("is refused").to_string();
    assert!(refused.contains("needs git 2.41.0 or newer"), "{refused}");
    true
}

const ALL: &str = "README.md\nROADMAP.md\ndocs/guide.md\nsrc/app/main.txt\nsrc/other/large.txt";

#[tokio::test]
async fn workspaces_are_as_sparse_as_the_checkout_and_nothing_that_is_left_out_is_deleted() {
    if is_refused_here().await {
        return;
    }
    let allow = "allow = [\"src/app/**\"]";
    for kind in KINDS {
        // A later workspace begins with the files of an earlier one.
        let sandbox = sparse(&[("A", allow), ("B", allow), ("C", allow)], kind);
        let script = "test ! -e docs; test ! -e src/other; test -e src/app/main.txt; test -z \"$(git status --porcelain)\"\n\
                      echo x > src/app/$ORCHESTRATOR_TASK.txt; commit work; handoff done";
        let gate = "[gates.unit]\nrun = [\"test\", \"-e\", \"docs/guide.md\"]\ndefault = true\n";
        let outcome = run_checked(
            &sandbox,
            builder(&sandbox, script, &format!("{SPARSE}{gate}")),
        )
        .await;
        landed(&outcome);
        let paths = git(&sandbox.remote(), &["ls-tree", "-r", "--name-only", "main"]);
        let own = ["A", "B", "C"].map(|task| format!("src/app/{task}.txt"));
        let rest: Vec<_> = paths
            .lines()
            .filter(|path| !own.iter().any(|own| own == path))
            .collect();
        assert_eq!(rest.join("\n"), ALL, "{kind:?}");
        assert!(!said(&outcome).contains("commit/uncommitted"));
        assert_eq!(kept(&outcome), 0);
    }
}

#[tokio::test]
async fn what_others_add_where_nothing_is_checked_out_is_not_missing() {
    if is_refused_here().await {
        return;
    }
    for kind in KINDS {
        let sandbox = sparse(&[("A", "allow = [\"src/app/**\"]")], kind);
        let other = sandbox.path().join("other");
        git(sandbox.path(), &["clone", "--quiet", "remote.git", "other"]);
        let _ = pushes(&sandbox, "x", "x");
        // Somebody else adds and changes files there, and the worker merges them in.
        let script = format!(
            "(cd '{}'; echo new > docs/new.md; echo more >> docs/guide.md; git add docs\n\
             git -c user.name=O -c user.email=o@example.org commit -qm other; git push -q origin HEAD:main)\n\
             echo x > src/app/A.txt; commit work; git fetch -q '{}' main; git merge -q -m merged FETCH_HEAD\n\
             test ! -e docs; handoff done",
            other.display(),
            sandbox.remote().display()
        );
        let outcome = run_checked(&sandbox, builder(&sandbox, &script, SPARSE)).await;
        landed(&outcome);
        assert!(
            !said(&outcome).contains("commit/uncommitted"),
            "{}",
            said(&outcome)
        );
        assert_eq!(kept(&outcome), 0);
        assert_eq!(sandbox.remote_file("docs/new.md"), "new");
    }
}

#[tokio::test]
async fn what_a_worker_leaves_where_nothing_is_checked_out_is_seen() {
    if is_refused_here().await {
        return;
    }
    for kind in KINDS {
        let sandbox = sparse(&[("A", "allow = [\"src/app/**\"]")], kind);
        let script = "echo x > src/app/A.txt; git add src; git commit -qm work; mkdir docs; echo mine > docs/guide.md\n\
                      echo mine > docs/mine.md; rm src/app/main.txt; handoff done";
        let outcome = run_checked(&sandbox, builder(&sandbox, script, SPARSE)).await;
        landed(&outcome);
        let all = said(&outcome);
        for path in ["docs/guide.md", "docs/mine.md", "src/app/main.txt"] {
            let left = all.lines().find(|line| line.contains("left uncommitted"));
            assert!(
                left.is_some_and(|left| left.contains(path)),
                "{path}: {all}"
            );
        }
        assert_eq!(kept(&outcome), 1, "it is kept before the workspace goes");
    }
}

#[tokio::test]
async fn a_policy_without_the_setting_gives_whole_workspaces_also_after_sparse_ones() {
    if is_refused_here().await {
        return;
    }
    let sandbox = sparse(&[("A", ""), ("B", "after = [\"A\"]")], KINDS[0]);
    let script = "echo x > $ORCHESTRATOR_TASK.txt; commit work; handoff done";
    let more = format!("{SPARSE}[limits]\nrun_attempts = 1\n");
    let first = format!("test ! -e docs; {script}");
    let policy = more.replace("[limits]\nrun_attempts = 1\n", "");
    let mut sparse = common::policy(
        &orchestrator_testkit::shell_worker(sandbox.path(), "first", &first),
        &policy,
    );
    sparse.limits.run_attempts = Some(1);
    let outcome = run_checked(
        &sandbox,
        orchestrator_core::driver::Orchestrator::builder().policy(sparse),
    )
    .await;
    assert_eq!(
        outcome.task("A").state,
        TaskState::Landed,
        "{:#?}",
        outcome.report.snapshot
    );
    let whole = format!("test -e docs/guide.md; test -z \"$(git status --porcelain)\"; {script}");
    let outcome = run_checked(&sandbox, builder(&sandbox, &whole, "")).await;
    landed(&outcome);
}
