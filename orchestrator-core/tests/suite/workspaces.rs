//! What workers find in their workspaces, what gates find warm, and what is kept when both are gone.

use orchestrator_core::{
    driver::Orchestrator,
    model::{EndReason, Policy, Record},
    status::TaskState,
};
use orchestrator_testkit::{Sandbox, git, run_checked, shell_worker};

use crate::common::{self, WORK, builder, policy, sandbox, turns};

fn with_setup(sandbox: &Sandbox, script: &str, setup: &str, attempts: u32) -> Policy {
    let worker = shell_worker(sandbox.path(), "worker", script);
    let mut policy = policy(&worker, &format!("[setup]\n{setup}"));
    policy.limits.attempts = attempts;
    policy
}

#[tokio::test]
async fn a_workspace_is_set_up_before_its_worker_comes() {
    let sandbox = sandbox(&[("A", "")]);
    sandbox.publish(&[(".gitignore", "/deps/\n.env\n/made\n")], "ignore");
    // A secret that no ignore rule of the target covers is brought all the same, and nobody can commit it.
    sandbox.write(&[
        (".env", "KEY=dummy\n"),
        ("deps/lib/a.txt", "a"),
        ("local.conf", "x"),
    ]);
    std::os::unix::fs::symlink("lib/a.txt", sandbox.repo().join("deps/link")).expect("links");
    let setup = "bring = [\".env\", \"deps\", \"local.conf\"]\nrun = [[\"sh\", \"-c\", \"cat deps/link > made\"], [\"test\", \"-e\", \"made\"]]";
    let script = format!(
        "grep -q dummy .env; test \"$(cat made)\" = a; test -L deps/link; test -e local.conf; {WORK}"
    );
    let outcome = run_checked(
        &sandbox,
        Orchestrator::builder().policy(with_setup(&sandbox, &script, setup, 1)),
    )
    .await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(
        outcome
            .records()
            .all(|record| !format!("{record:?}").contains("commit/uncommitted"))
    );
    assert_eq!(
        std::fs::read_dir(sandbox.state().join("attempts"))
            .expect("is there")
            .count(),
        0,
        "nothing of it stays"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.repo().join(".env")).expect("is untouched"),
        "KEY=dummy\n"
    );
    let paths = git(&sandbox.remote(), &["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(paths, ".gitignore\nA.txt\nREADME.md\nROADMAP.md");
}

#[tokio::test]
async fn what_was_brought_along_cannot_be_committed() {
    // Not even for a moment: what a later commit takes away is pushed with the history all the same.
    for script in [
        "git add -f .env; commit leak; handoff done",
        "git add -f .env; commit leak; git rm -q --cached .env; commit mend; handoff done",
    ] {
        let sandbox = Sandbox::new();
        sandbox.publish(&[("ROADMAP.md", "- [ ] **A** Anything\n")], "roadmap");
        sandbox.write(&[(".env", "KEY=dummy\n")]);
        let policy = with_setup(&sandbox, script, "bring = [\".env\"]", 1);
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        // Told once, and then a person is asked.
        assert_eq!(
            (outcome.report.ended, outcome.task("A").state),
            (EndReason::WaitingForAPerson, TaskState::Held)
        );
        let why = outcome.task("A").reason.clone().unwrap_or_default();
        assert!(
            why.contains("paths/contract: .env: forbidden by `.env`"),
            "{why}"
        );
        assert_eq!(
            why.contains("`git reset --soft "),
            script.contains("mend"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn each_failure_of_set_up_is_named_and_none_hangs() {
    let cases = [
        (
            "run = [\"sh\", \"-c\", \"echo no such package >&2; exit 7\"]",
            "failed (exit status 7); stderr: no such package",
        ),
        (
            "run = [[\"./no-such-program\"]]",
            "set-up `./no-such-program` could not be started",
        ),
        (
            "run = [\"sleep\", \"1000\"]\ntimeout = \"100ms\"",
            "set-up `sleep 1000` did not end within 100ms, and was stopped",
        ),
        (
            "run = [\"touch\", \"litter\"]",
            "set-up left what git sees as work (litter): let git ignore it, or set up otherwise",
        ),
        ("bring = [\"pipe\"]", "`pipe` could not be brought along"),
    ];
    for (setup, why) in cases {
        let sandbox = sandbox(&[("A", "")]);
        common::make_fifo(&sandbox.repo().join("pipe"));
        let outcome = run_checked(
            &sandbox,
            Orchestrator::builder().policy(with_setup(&sandbox, WORK, setup, 1)),
        )
        .await;
        let task = outcome.task("A");
        assert_eq!(
            (task.state, turns(&outcome)),
            (TaskState::Parked, 0),
            "{task:#?}"
        );
        let reason = task.reason.clone().unwrap_or_default();
        assert!(
            reason.starts_with("its workspace could not be made: ") && reason.contains(why),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn gates_find_their_caches_warm_and_no_attempt_sees_what_another_left() {
    let sandbox = sandbox(&[
        ("A", ""),
        ("B", "after = [\"A\"]"),
        ("C", "after = [\"B\"]"),
    ]);
    // The gate says how often it has run with this cache. B's first work is bad.
    let gate = "[gates.unit]\nrun = [\"sh\", \"-c\", \"mkdir -p build/out; echo x >> build/out/runs; wc -l < build/out/runs; ! grep -qs bad B.txt\"]
        default = true\ncache = [\"build/out\"]";
    let script = format!(
        "if [ $ORCHESTRATOR_TASK.$ORCHESTRATOR_TURN = B.1 ]; then echo bad > B.txt; commit c; handoff done; else {WORK}; fi"
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, gate)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let runs = outcome.records().filter_map(|record| match record {
        Record::GateReported {
            candidate_of: Some(attempt),
            report,
        } => Some(format!("{attempt} {}", report.tail.trim())),
        _ => None,
    });
    // The first run is on the target itself. B begins with what A's landed tree left, and keeps its own; since its red tree had been in it, C does not get it.
    assert_eq!(
        runs.collect::<Vec<_>>(),
        ["A#1 2", "B#1 3", "B#1 4", "C#1 3"]
    );
    assert!(!sandbox.state().join("lane").exists() && !sandbox.state().join("caches/A-1").exists());
}

#[tokio::test]
async fn what_was_said_claimed_and_left_is_kept_by_content_after_clean_up() {
    let sandbox = sandbox(&[("A", "artifacts = [\"report/sum.txt\"]\ngates = [\"unit\"]")]);
    let gate = "[gates.unit]\nrun = [\"echo\", \"all is well\"]";
    let script = "echo working; echo oddly >&2; head -c 9000000 /dev/zero
        mkdir \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/report\"; echo 42 > \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/report/sum.txt\"
        echo a > A.txt; commit c; handoff done";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, gate)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        std::fs::read_dir(sandbox.state().join("attempts"))
            .expect("is there")
            .count(),
        0,
        "the workspace is gone"
    );
    let read = |hash: &str| {
        let hash = hash.trim_start_matches("sha256:");
        let path = sandbox
            .state()
            .join("evidence")
            .join(&hash[..2])
            .join(&hash[2..]);
        std::fs::read(path).expect("is kept")
    };
    let kept = outcome.records().flat_map(|record| match record {
        Record::Kept { files, .. } => files.clone(),
        Record::Submitted { submission, .. } => submission.artifacts.clone(),
        _ => Vec::new(),
    });
    let kept: Vec<_> = kept.collect();
    let names: Vec<_> = kept.iter().map(|file| file.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "turn-1/stderr",
            "turn-1/stdout",
            "turn-1/handoff.json",
            "report/sum.txt"
        ]
    );
    assert_eq!(read(&kept[0].hash.to_string()), b"oddly\n");
    let stdout = read(&kept[1].hash.to_string());
    assert!(
        stdout.starts_with(b"working\n\0\0") && (8 << 20..9_000_000).contains(&stdout.len()),
        "it is capped, and whole in part"
    );
    assert!(read(&kept[2].hash.to_string()).starts_with(b"{\"version\":1,\"task\":\"A\""));
    assert_eq!(read(&kept[3].hash.to_string()), b"42\n");
    let output = outcome.records().find_map(|record| match record {
        Record::GateReported {
            candidate_of: Some(_),
            report,
        } => Some(report.output.to_string()),
        _ => None,
    });
    assert_eq!(read(&output.expect("was gated")), b"all is well\n");
}

#[tokio::test]
async fn uncommitted_work_is_kept_to_the_byte_before_its_workspace_goes() {
    let sandbox = sandbox(&[("A", "")]);
    // Attributes that would change what git keeps, were it asked to add the files.
    sandbox.publish(
        &[
            (".gitattributes", "* text=auto eol=lf ident\n"),
            ("gone.txt", "x\n"),
            ("dir/deep.txt", "x\n"),
        ],
        "attributes",
    );
    let script = r#"printf 'a\r\nb $Id$\r\n' > A.txt; printf 'bin\000ary' > new.bin; ln -s ../outside link; echo x > run; chmod +x run
        rm gone.txt; rm -r dir; ln -s /etc dir; printf odd > "$(printf 'new\nline')"; exit 3"#;
    let worker = shell_worker(sandbox.path(), "worker", script);
    let mut policy = policy(&worker, "");
    policy.limits.attempts = 1;
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(outcome.task("A").state, TaskState::Parked);
    assert_eq!(
        std::fs::read_dir(sandbox.state().join("attempts"))
            .expect("is there")
            .count(),
        0,
        "it is gone"
    );
    let trusted = sandbox.state().join("trusted.git");
    let show = |path: &str| {
        git(
            &trusted,
            &[
                "cat-file",
                "blob",
                &format!("refs/orchestrator/rescue/A/1:{path}"),
            ],
        )
    };
    assert_eq!(show("A.txt"), "a\r\nb $Id$\r");
    assert_eq!(
        (
            show("new.bin").as_str(),
            show("link").as_str(),
            show("dir").as_str()
        ),
        ("bin\0ary", "../outside", "/etc")
    );
    assert_eq!(show("new\nline"), "odd");
    let tree = git(
        &trusted,
        &[
            "ls-tree",
            "-r",
            "--format=%(objectmode) %(path)",
            "refs/orchestrator/rescue/A/1",
        ],
    );
    let expected = "100644 .gitattributes\n100644 A.txt\n100644 README.md\n100644 ROADMAP.md\n120000 dir\n120000 link\n\
        100644 \"new\\nline\"\n100644 new.bin\n100755 run";
    assert_eq!(tree, expected);
    git(&trusted, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_workspace_with_what_cannot_be_kept_elsewhere_stays() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!("git init -q nested; echo x > nested/file; mkfifo pipe; {WORK}");
    let outcome = run_checked(
        &sandbox,
        builder(
            &sandbox,
            &script.replace("git add --all", "git add A.txt"),
            "",
        ),
    )
    .await;
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(
        reason.contains(
            "the workspace of attempt 1 stays: uncommitted work that cannot be kept elsewhere"
        ),
        "{reason}"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.state().join("attempts/A-1/tree/nested/file"))
            .expect("stays"),
        "x\n"
    );
}

#[tokio::test]
async fn a_workspace_with_more_than_is_kept_elsewhere_stays() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!(
        "seq 5001 | xargs touch; {}",
        WORK.replace("commit work", "git add A.txt; git commit -qm work")
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(
        reason.contains(
            "the workspace of attempt 1 stays: uncommitted work that cannot be kept elsewhere"
        ),
        "{reason}"
    );
    assert!(sandbox.state().join("attempts/A-1/tree/5001").exists());
    let trusted = sandbox.state().join("trusted.git");
    let kept = git(
        &trusted,
        &[
            "ls-tree",
            "-r",
            "--name-only",
            "refs/orchestrator/rescue/A/1",
        ],
    )
    .lines()
    .count();
    assert_eq!(kept, 5003, "as many as are kept, and what was committed");
}

/// Upper case in the tree, lower case in history.
const FILTER: &str =
    "[filters.case]\nclean = \"tr A-Z a-z\"\nsmudge = \"tr a-z A-Z\"\nrequired = true\n";

#[tokio::test]
async fn a_repository_that_needs_a_filter_works_with_the_policys_command() {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[
            ("ROADMAP.md", "- [ ] **A** Task A\n"),
            (".gitattributes", "*.big filter=case\n"),
            ("a/x.big", "words\n"),
        ],
        "filtered",
    );
    // The worker sees what people see, changes nothing by looking, and what it commits is what belongs into history.
    let script = "test \"$(cat a/x.big)\" = WORDS; test -z \"$(git status --porcelain)\"; echo NEW > A.txt; echo LOUD > A.big; commit work; \
                  test \"$(git cat-file -p HEAD:A.big)\" = loud; handoff done";
    let worker = shell_worker(sandbox.path(), "worker", script);
    let gate = "[gates.seen]\nrun = [\"sh\", \"-c\", \"test $(cat a/x.big) = WORDS && test $(cat A.big) = LOUD\"]\ndefault = true\n";
    let mut policy = policy(&worker, &format!("{gate}{FILTER}"));
    policy.limits.attempts = 1;
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_file("A.big"), "loud");
}

#[tokio::test]
async fn filter_that_fails_is_named_with_its_file() {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[
            ("ROADMAP.md", "- [ ] **A** Task A\n"),
            (".gitattributes", "*.big filter=case\n"),
            ("a/x.big", "words\n"),
        ],
        "filtered",
    );
    let worker = shell_worker(sandbox.path(), "worker", "exit 1");
    let filter =
        "[filters.case]\nclean = \"cat\"\nsmudge = \"echo no key >&2; false\"\nrequired = true\n";
    let mut policy = policy(&worker, filter);
    policy.limits.attempts = 1;
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    let reason = outcome.task("A").reason.as_deref().expect("says why");
    for part in ["the filter `case`", "`a/x.big`", "no key", "[filters.case]"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test]
async fn filter_of_the_repository_alone_is_named_before_anything_starts() {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[
            ("ROADMAP.md", "- [ ] **A** Task A\n"),
            ("secret/.gitattributes", "*.key filter=crypt\n"),
        ],
        "filtered",
    );
    let build = async |more: &str| {
        let worker = shell_worker(sandbox.path(), "worker", "exit 1");
        let builder = Orchestrator::builder().policy(policy(&worker, more));
        let builder = builder
            .repository(sandbox.repo())
            .state_dir(sandbox.state())
            .roadmap("ROADMAP.md".parse().expect("a path"));
        builder.build().await.map(drop)
    };
    build("").await.expect("nobody applies it");
    git(&sandbox.repo(), &["config", "filter.crypt.clean", "rot13"]);
    let error = build("")
        .await
        .expect_err("would commit secrets as they are");
    assert!(error.to_string().contains("[filters.crypt]"), "{error}");
    build("[filters.crypt]\nclean = \"tr a-z n-za-m\"\n")
        .await
        .expect("the policy names it");
}
