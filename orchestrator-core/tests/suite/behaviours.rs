//! Sixteen ways in which real agents misbehave, each before the work, after the commit, and in a revision: every one ends in a
//! named state, and none holds up the agent beside it.
//!
//! `FLOOD` is how many bytes the flooding one writes: 64 MiB unless said.

use std::time::Duration;

use orchestrator_core::{
    driver::Orchestrator,
    model::{Record, Timestamp},
    status::TaskState,
};
use orchestrator_testkit::{git, run_checked, shell_worker};

use crate::common::{policy, sandbox};

/// Ten times the figure: so much later, at most, the agent beside a misbehaving one has landed.
const BESIDE: Duration = Duration::from_secs(10);

const BEHAVIOURS: [(&str, &str); 16] = [
    ("hangs", "sleep 1000"),
    (
        "lies about its tests",
        "touch red.txt; handoff done ',\"gates\":[{\"name\":\"fine\",\"passed\":true}]'",
    ),
    ("crashes", "kill -9 $$"),
    ("floods", "head -c ${FLOOD:-67108864} /dev/zero"),
    (
        "writes JSON that is none",
        "echo '{\"version\": 1,' > \"$ORCHESTRATOR_HANDOFF\"; exit 0",
    ),
    (
        "writes JSON that is too deep",
        "head -c 100000 /dev/zero | tr '\\0' '[' > \"$ORCHESTRATOR_HANDOFF\"; exit 0",
    ),
    (
        "writes a key twice",
        "handoff failed ',\"status\":\"done\"'; exit 0",
    ),
    (
        "rewrites history",
        "git checkout -q --orphan other; git add -A; git commit -qm other; git branch -f attempt/A/1 HEAD; git checkout -q attempt/A/1",
    ),
    (
        "touches a forbidden path",
        "echo x >> README.md; git add -A; git commit -qm forbidden",
    ),
    (
        "moves the target of its own repository",
        "git update-ref refs/heads/main $(git commit-tree -m x HEAD^{tree})",
    ),
    (
        "pushes by itself",
        "git push -q ../../../../remote.git HEAD:main; git push -q ../../../../remote.git HEAD:refs/heads/mine",
    ),
    (
        "deletes its workspace",
        "here=$PWD; cd /; rm -rf \"$here\"; exit 0",
    ),
    (
        "forks daemons",
        "(setsid sh -c 'sleep 1000 &' &) ; setsid sleep 1000 &",
    ),
    ("ignores TERM", "trap '' TERM; while :; do sleep 1; done"),
    (
        "finds its file system full",
        "ulimit -f 1; head -c 100000 /dev/zero > big.bin",
    ),
    (
        "replaces its .git",
        "rm -f .git; mkdir .git; echo 'ref: refs/heads/x' > .git/HEAD",
    ),
];

const COMMIT: &str = "git add -A; git diff --cached --quiet || git commit -qm work";

/// What the misbehaving worker does in each of the three phases.
fn phases(behaviour: &str) -> [(&'static str, String); 3] {
    let work = format!("echo a > A.txt; {COMMIT}");
    [
        ("before the work", format!("{behaviour}\n{work}; handoff done")),
        ("after the commit", format!("{work}\n{behaviour}\n[ -e \"$ORCHESTRATOR_HANDOFF\" ] || handoff done")),
        (
            "in a revision",
            format!(
                "if [ $ORCHESTRATOR_TURN = 1 ]; then echo x > other.txt; {work}; handoff done; exit; fi
                git rm -q --ignore-unmatch other.txt; git reset -q --soft main; {COMMIT}\n{behaviour}\n[ -e \"$ORCHESTRATOR_HANDOFF\" ] || handoff done"
            ),
        ),
    ]
}

async fn misbehave(name: &'static str, phase: &'static str, script: String) -> String {
    let sandbox = sandbox(&[("A", ""), ("B", "")]);
    let beside = "echo B > B.txt; commit work; handoff done";
    let worker = format!("if [ $ORCHESTRATOR_TASK = B ]; then {beside}; exit; fi\n{script}");
    let flood = std::env::var("FLOOD")
        .map(|size| format!("FLOOD={size}\n"))
        .unwrap_or_default();
    let worker = shell_worker(sandbox.path(), "worker", &format!("{flood}{worker}"));
    let mut policy = policy(
        &worker,
        "[gates.fine]\nrun = [\"test\", \"!\", \"-e\", \"red.txt\"]\ndefault = true",
    );
    (policy.limits.attempts, policy.limits.turns) = (1, 2);
    policy.limits.stall = Some("400ms".parse().expect("a span"));
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;

    let what = format!("{name}, {phase}");
    let task = outcome.task("A");
    let named = match task.state {
        TaskState::Landed => "landed".to_owned(),
        TaskState::Parked | TaskState::Held => task
            .reason
            .clone()
            .unwrap_or_else(|| panic!("{what}: no reason: {task:#?}")),
        state => panic!("{what}: it ended as {state}: {task:#?}"),
    };
    assert_eq!(
        outcome.task("B").state,
        TaskState::Landed,
        "{what}: the other one"
    );
    let began = outcome
        .entries
        .first()
        .map_or(Timestamp(0), |entry| entry.at);
    let landed = outcome
        .entries
        .iter()
        .find(|entry| matches!(&entry.record, Record::Landed { attempt, .. } if attempt.task.as_str() == "B"));
    let took = landed
        .map(|entry| entry.at.since(began).to_std())
        .expect("B has landed");
    assert!(
        took < BESIDE,
        "{what}: the other one was held up for {took:?}"
    );
    assert_eq!(
        sandbox.processes(),
        Vec::<i32>::new(),
        "{what}: nothing of it lives"
    );
    git(
        &sandbox.state().join("trusted.git"),
        &["fsck", "--strict", "--no-dangling"],
    );
    let changed = git(
        &sandbox.remote(),
        &["diff", "--name-only", "main~1", "main"],
    );
    assert!(
        changed
            .lines()
            .all(|path| ["A.txt", "B.txt", "ROADMAP.md"].contains(&path)),
        "{what}: {changed} landed"
    );
    // Only what cannot be read at all keeps its workspace, and what waits for a person.
    let waits = task
        .hold
        .as_ref()
        .is_some_and(|hold| hold.brief.work.contains("waits, with its workspace"));
    let left = std::fs::read_dir(sandbox.state().join("attempts"))
        .expect("is there")
        .count();
    assert!(
        left == usize::from(waits) || named.contains(" stays: "),
        "{what}: {left} workspaces are left: {named}"
    );
    format!("{what}: {}", named.lines().next().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_ends_in_a_named_state_and_holds_nobody_up() {
    let all = BEHAVIOURS
        .iter()
        .flat_map(|(name, script)| phases(script).map(|(phase, script)| (*name, phase, script)));
    let all: Vec<_> = all.collect();
    for some in all.chunks(4) {
        let some: Vec<_> = some
            .iter()
            .cloned()
            .map(|(name, phase, script)| tokio::spawn(misbehave(name, phase, script)))
            .collect();
        for one in some {
            println!("{}", one.await.expect("it holds"));
        }
    }
}
