//! What a state directory holds when a run is over, and after one that was killed: what is meant to be there, and nothing that grows
//! with each landing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use orchestrator_core::{
    driver::{BuildError, Orchestrator, OrchestratorBuilder},
    git::{TARGET, Trusted},
    model::{AttemptId, EndReason},
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{self, WORK, builder, sandbox, shell, trusted};

/// What the last fetch of the target brought.
const FETCHED: &str = "refs/orchestrator/fetched";
const GATE: &str = "[gates.fine]\nrun = [\"true\"]\ndefault = true\n";

fn refs(dir: &Path) -> Vec<String> {
    git(dir, &["for-each-ref", "--format=%(refname)"])
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Puts a roadmap in the place of the one whose tasks have landed.
fn publish_next(sandbox: &Sandbox, task: &str) {
    git(
        &sandbox.repo(),
        &["pull", "--quiet", "--rebase", "origin", "main"],
    );
    sandbox.publish(
        &[("ROADMAP.md", &common::roadmap(&[(task, "")]))],
        "another task",
    );
}

fn in_sandbox(sandbox: &Sandbox, builder: OrchestratorBuilder) -> OrchestratorBuilder {
    let builder = builder
        .repository(sandbox.repo())
        .state_dir(sandbox.state());
    builder.roadmap("ROADMAP.md".parse().expect("a path"))
}

/// All files beneath a directory of which the name says that they are there for a moment.
fn scratch(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("is there").flatten() {
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        let begins = [".tmp", "tmp_", ".gone-", ".letter-", "incoming-"]
            .iter()
            .any(|begin| name.starts_with(begin));
        if begins || name.ends_with(".lock") || name.ends_with(".half") {
            found.push(path);
        } else if path.is_dir() {
            found.extend(scratch(&path));
        }
    }
    found
}

#[tokio::test]
async fn a_landing_leaves_no_ref_of_its_own() {
    for push in ["push = \"origin\"\n", "push = false\n"] {
        let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", "after = [\"A\"]")]);
        let outcome = run_checked(&sandbox, builder(&sandbox, WORK, push)).await;
        assert_eq!(
            outcome.report.ended,
            EndReason::Complete,
            "{:#?}",
            outcome.report.snapshot
        );
        let trusted = sandbox.state().join("trusted.git");
        assert_eq!(
            refs(&trusted),
            [FETCHED, TARGET],
            "what the target contains needs no ref ({push})"
        );
        git(&trusted, &["fsck", "--strict", "--no-dangling"]);
    }
}

#[tokio::test]
async fn refs_of_what_did_not_land_are_packed_and_those_of_what_did_go() {
    let sandbox = sandbox(&[("A", "")]);
    let trusted = trusted(&sandbox).await;
    let tip = trusted.fetch_target().await.expect("is fetched");
    let dir = trusted.dir().to_owned();
    let tree = format!("{tip}^{{tree}}");
    let other = git(&dir, &["commit-tree", "-m", "of nobody's", &tree]);
    let kept: Vec<_> = (1..=70)
        .map(|number| format!("refs/orchestrator/attempts/A/{number}/1"))
        .collect();
    let names = kept.iter().map(|name| (name.as_str(), other.as_str()));
    let landed = tip.to_string();
    let more = [
        ("refs/orchestrator/landings/A/1", landed.as_str()),
        ("refs/orchestrator/landings/A/2", other.as_str()),
        ("refs/orchestrator/rescue/A/1", other.as_str()),
        ("refs/orchestrator/seed", landed.as_str()),
    ];
    for (name, commit) in names.chain(more) {
        git(&dir, &["update-ref", name, commit]);
    }
    trusted.tidy().await.expect("is tidied");
    let mut left = kept.clone();
    left.extend(
        [
            FETCHED,
            "refs/orchestrator/landings/A/2",
            "refs/orchestrator/rescue/A/1",
            TARGET,
        ]
        .map(str::to_owned),
    );
    left.sort();
    assert_eq!(refs(&dir), left);
    assert!(
        !dir.join(&kept[0]).exists() && dir.join("packed-refs").exists(),
        "they are packed"
    );
    // Whoever opened it before sees them, and what becomes of them.
    let attempt: AttemptId = "A#7".parse().expect("an id");
    let head = other.parse().expect("an id");
    assert_eq!(
        trusted.kept(&attempt, head).expect("is read"),
        Some(Trusted::keep_ref(&attempt, 1))
    );
    trusted
        .forget(&Trusted::keep_refs(&attempt))
        .await
        .expect("is forgotten");
    assert_eq!(trusted.kept(&attempt, head).expect("is read"), None);
    assert_eq!(refs(&dir).len(), left.len() - 1);
    assert_eq!(trusted.tip().expect("is read"), Some(tip));
}

#[tokio::test]
async fn objects_are_packed_and_none_is_lost() {
    let sandbox = sandbox(&[("A", "")]);
    let trusted = trusted(&sandbox).await;
    let tip = trusted.fetch_target().await.expect("is fetched");
    let dir = trusted.dir().to_owned();
    // Few are left as they are.
    trusted
        .pack_objects()
        .await
        .expect("there is nothing to do");
    let loose = || {
        git(&dir, &["count-objects"])
            .split(' ')
            .next()
            .expect("a number")
            .parse::<usize>()
            .expect("a number")
    };
    assert!(loose() > 0);
    // Nothing names these: a worker may borrow them all the same.
    let many = sandbox.path().join("many");
    fs::create_dir(&many).expect("makes");
    let mut paths = String::new();
    for number in 1..=4000 {
        let path = many.join(number.to_string());
        fs::write(&path, format!("{number}\n")).expect("writes");
        paths.push_str(&format!("{}\n", path.display()));
    }
    fs::write(sandbox.path().join("paths"), paths).expect("writes");
    shell(
        &dir,
        "git -c core.fsync=none hash-object -w --stdin-paths < ../paths > ../ids",
    );
    let before = git(
        &dir,
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ],
    );
    assert!(before.lines().count() > 4000);
    trusted.pack_objects().await.expect("are packed");
    assert_eq!(loose(), 0, "each is in a pack");
    assert_eq!(
        git(
            &dir,
            &[
                "cat-file",
                "--batch-all-objects",
                "--batch-check=%(objectname)"
            ]
        ),
        before,
        "none is lost"
    );
    // Whoever opened it before sees them there.
    let tree = trusted.tree_of(tip).expect("is read");
    let shape = trusted.objects().shape(tree).expect("is read");
    assert!(trusted.has(tip));
    assert_eq!(shape.paths.len(), 2);
    git(&dir, &["fsck", "--strict", "--no-dangling"]);
}

#[tokio::test]
async fn what_a_killed_run_left_half_done_is_taken_up_at_the_next_start() {
    let sandbox = sandbox(&[("A", "")]);
    let state = sandbox.state();
    let dir = state.join("trusted.git");
    // It has been there before: so each place is there.
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, GATE)).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    publish_next(&sandbox, "B");
    let files = [
        "trusted.git/.tmpAbCdEf",
        "trusted.git/HEAD.lock",
        "trusted.git/packed-refs.lock",
        "trusted.git/refs/orchestrator/target.lock",
        "trusted.git/objects/tmp_obj_a1b2c3",
        "trusted.git/objects/17/tmp_obj_a1b2c3",
        "trusted.git/objects/pack/tmp_pack_a1b2c3",
        "trusted.git/objects/pack/tmp_idx_a1b2c3",
        "trusted.git/objects/pack/.tmp-7-pack-0123.pack",
        "trusted.git/objects/tmp_objdir-incoming-a1b2c3/17/x",
        "trusted.git/.tmpScratch/index",
        "attempts/.gone-A-1/tree/file",
        // Of a workspace that nobody knows: it stays, its lock does not.
        "attempts/Z-9/index.lock",
        "discarded/x1/it/file",
        "lane/tree.index.lock",
        "caches/A-1.half/file",
        "evidence/.tmpAbCdEf",
        "inbox/.letter-AbCdEf",
    ];
    for file in files {
        let path = state.join(file);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, "half").expect("writes");
    }
    let tip = git(&dir, &["rev-parse", TARGET]);
    git(&dir, &["update-ref", "refs/orchestrator/seed", &tip]);
    git(
        &dir,
        &["update-ref", "refs/orchestrator/landings/A/1", &tip],
    );
    // Another process is in the middle of leaving a letter.
    let held = fs::File::create(state.join("inbox/.letter-held")).expect("is made");
    held.lock().expect("is held");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, GATE)).await;
    assert_eq!(
        outcome.task("B").landed_commit.is_some(),
        outcome.report.ended == EndReason::Complete
    );
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(refs(&dir), [FETCHED, TARGET]);
    assert_eq!(
        scratch(&state),
        [state.join("inbox/.letter-held")],
        "what is still written stays"
    );
    assert!(!state.join("discarded").exists());
}

#[tokio::test]
async fn a_run_says_how_it_ended_before_it_removes_what_is_left() {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let started = || in_sandbox(&sandbox, builder(&sandbox, WORK, GATE));
    let orchestrator: Orchestrator = started().build().await.expect("begins");
    let (ended, leftovers) = orchestrator.run_until_ended().await;
    assert_eq!(ended.expect("runs").ended, EndReason::Complete);
    let spare = |name: &str| name.starts_with(".spare-");
    let names = || {
        let entries = fs::read_dir(sandbox.state().join("attempts"))
            .expect("is there")
            .flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    assert!(
        !names().is_empty() && names().iter().all(|name| spare(name)),
        "{:?}",
        names()
    );
    assert!(
        sandbox.state().join("lane/tree").exists(),
        "nothing was removed yet"
    );
    let refused = started().build().await.err();
    assert!(
        matches!(refused, Some(BuildError::Repository { .. })),
        "the directory is locked: {refused:?}"
    );
    leftovers.clear().await;
    assert_eq!(names(), Vec::<String>::new());
    assert!(!sandbox.state().join("lane").exists() && !sandbox.state().join("discarded").exists());
    // Dropped instead, it is there for the next run, which needs nothing of it.
    publish_next(&sandbox, "C");
    let (ended, leftovers) = started()
        .build()
        .await
        .expect("begins")
        .run_until_ended()
        .await;
    assert_eq!(ended.expect("runs").ended, EndReason::Complete);
    drop(leftovers);
    assert!(names().iter().any(|name| spare(name)));
    publish_next(&sandbox, "D");
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, GATE)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(names(), Vec::<String>::new());
}
