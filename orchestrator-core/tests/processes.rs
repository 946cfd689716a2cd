//! Stopping means gone: whatever an agent has started, however it hides, when `stop` returns or the turn has ended, nothing of
//! it lives. Bounds are deadlines of ten times the figure in docs/reliability.md; the figures are printed (`--nocapture`).

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use orchestrator_core::{
    agent::CommandAgent,
    model::TurnOutcome,
    port::{AgentBackend as _, Turn, TurnRequest, Update},
    process::{kill_marked, marked},
};

/// From KILL to the last one gone.
const GONE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(200);

/// What an agent does, before it says `ready` and waits.
const HIDING: [(&str, &str); 8] = [
    ("a child", "sleep 1000 &"),
    ("a session of its own", "setsid sleep 1000 &"),
    ("a daemon", "(setsid sh -c 'setsid sleep 1000 & exit' &)"),
    ("ignoring TERM", "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 1; done\" &"),
    ("ignoring everything that can be ignored", "setsid sh -c \"trap '' TERM INT HUP QUIT USR1; while :; do sleep 1; done\" &"),
    ("holding the pipes", "setsid sh -c 'sleep 1000' &"),
    ("closing everything", "setsid sleep 1000 < /dev/null > /dev/null 2>&1 &"),
    ("a family of a hundred", "for i in $(seq 100); do setsid sleep 1000 & done"),
];

fn mark(name: &str) -> String {
    format!("test-processes-{}-{name}", std::process::id())
}

async fn start(directory: &Path, script: &str, mark: &str) -> Box<dyn Turn> {
    let agent = CommandAgent::new("/bin/sh", ["-c", script]);
    let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").expect("is set"))]);
    let (workspace, handoff) = (directory.to_owned(), directory.join("handoff.json"));
    let request =
        TurnRequest::new("T1#1".parse().expect("an id"), "prompt", workspace, handoff, mark).with_environment(environment);
    agent.start(request).await.expect("starts")
}

async fn until_ready(turn: &mut Box<dyn Turn>) {
    while let Some(update) = turn.next().await {
        if matches!(&update, Update::Activity { text } if text == "ready") {
            return;
        }
    }
    panic!("it ended before it was ready");
}

#[tokio::test]
async fn a_stopped_turn_leaves_no_survivor() {
    let directory = tempfile::tempdir().expect("a directory");
    for (number, (name, hide)) in HIDING.into_iter().enumerate() {
        let mark = mark(&format!("stop{number}."));
        let mut turn = start(directory.path(), &format!("{hide}\necho ready; while :; do sleep 1; done"), &mark).await;
        until_ready(&mut turn).await;
        // One that is just becoming another program cannot be seen for a moment.
        let there = async {
            while marked(&mark).len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(GONE, there).await.expect("there is somebody to stop");
        let control = turn.control();
        let began = Instant::now();
        control.stop(GRACE).await;
        let took = began.elapsed();
        assert_eq!(marked(&mark), Vec::<i32>::new(), "{name}: survivors");
        assert!(took < GRACE + GONE, "{name}: it took {took:?}");
        println!("{name}: gone {took:?} after TERM, with a grace of {GRACE:?}");
        let mut ended = None;
        while let Some(update) = turn.next().await {
            if let Update::Ended { outcome } = update {
                ended = Some(outcome);
            }
        }
        assert_eq!(ended, Some(TurnOutcome::Stopped), "{name}");
    }
}

#[tokio::test]
async fn a_turn_that_ends_leaves_nobody_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    for (number, (name, hide)) in HIDING.into_iter().enumerate() {
        let mark = mark(&format!("end{number}."));
        let mut turn = start(directory.path(), &format!("{hide}\necho ready; exit 0"), &mark).await;
        let began = Instant::now();
        loop {
            match turn.next().await {
                Some(Update::Ended { outcome }) => {
                    assert_eq!(marked(&mark), Vec::<i32>::new(), "{name}: when the end is told, none lives");
                    assert_eq!(outcome, TurnOutcome::Completed, "{name}");
                    break;
                }
                Some(_) => {}
                None => panic!("{name}: it ended without an end"),
            }
        }
        assert!(began.elapsed() < GONE, "{name}: it took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_dropped_turn_is_stopped_in_the_background() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = mark("drop.");
    let mut turn = start(directory.path(), "setsid sleep 1000 & echo ready; while :; do sleep 1; done", &mark).await;
    until_ready(&mut turn).await;
    drop(turn);
    let gone = async {
        while !marked(&mark).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GONE, gone).await.expect("none lives");
}

#[tokio::test]
async fn survivors_of_somebody_else_who_died_are_found_by_their_marker() {
    let mark = mark("orphan.");
    // Started by a shell that has ended: nobody is their parent any more.
    let script = "setsid sleep 1000 & setsid sh -c 'setsid sleep 1000 &'; exit 0";
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", script]).env(orchestrator_core::process::MARK_VARIABLE, &mark);
    assert!(command.status().expect("runs").success());
    assert!(!marked(&mark).is_empty());
    assert!(kill_marked(&mark, GONE).await > 0);
    assert_eq!(marked(&mark), Vec::<i32>::new());
    assert_eq!(kill_marked(&mark, GONE).await, 0, "there is nobody left to kill");
}
