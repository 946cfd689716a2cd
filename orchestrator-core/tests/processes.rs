//! Stopping means gone: whatever an agent has started, however it hides, when `stop` returns or the turn has ended, nothing of
//! it lives. Bounds are deadlines of ten times the figure in docs/reliability.md; the figures are printed (`--nocapture`).

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::getsid;
use orchestrator_core::{
    agent::CommandAgent,
    model::TurnOutcome,
    port::{AgentBackend as _, Turn, TurnRequest, Update},
    process::{Exit, MARK_VARIABLE, Spawn, has_cgroups, kill_marked, marked},
};
use orchestrator_testkit::block_on;

/// From KILL to the last one gone.
const GONE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(200);

/// What an agent does, before it says `ready` and waits.
const HIDING: [(&str, &str); 8] = [
    ("a child", "sleep 1000 &"),
    ("a session of its own", "setsid sleep 1000 &"),
    ("a daemon", "(setsid sh -c 'setsid sleep 1000 & exit' &)"),
    (
        "ignoring TERM",
        "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 1; done\" &",
    ),
    (
        "ignoring everything that can be ignored",
        "setsid sh -c \"trap '' TERM INT HUP QUIT USR1; while :; do sleep 1; done\" &",
    ),
    ("holding the pipes", "setsid sh -c 'sleep 1000' &"),
    (
        "closing everything",
        "setsid sleep 1000 < /dev/null > /dev/null 2>&1 &",
    ),
    (
        "a family of a hundred",
        "for i in $(seq 100); do setsid sleep 1000 & done",
    ),
];

fn mark(name: &str) -> String {
    format!("test-processes-{}-{name}", std::process::id())
}

async fn start(directory: &Path, script: &str, mark: &str) -> Box<dyn Turn> {
    let agent = CommandAgent::new("/bin/sh", ["-c", script]);
    let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").expect("is set"))]);
    let (workspace, handoff) = (directory.to_owned(), directory.join("handoff.json"));
    let request = TurnRequest::new(
        "T1#1".parse().expect("an id"),
        "prompt",
        workspace,
        handoff,
        mark,
    )
    .with_environment(environment);
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
        let mut turn = start(
            directory.path(),
            &format!("{hide}\necho ready; while :; do sleep 1; done"),
            &mark,
        )
        .await;
        until_ready(&mut turn).await;
        // One that is just becoming another program cannot be seen for a moment.
        let there = async {
            while marked(&mark).len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(GONE, there)
            .await
            .expect("there is somebody to stop");
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
        let mut turn = start(
            directory.path(),
            &format!("{hide}\necho ready; exit 0"),
            &mark,
        )
        .await;
        let began = Instant::now();
        loop {
            match turn.next().await {
                Some(Update::Ended { outcome }) => {
                    assert_eq!(
                        marked(&mark),
                        Vec::<i32>::new(),
                        "{name}: when the end is told, none lives"
                    );
                    assert_eq!(outcome, TurnOutcome::Completed, "{name}");
                    break;
                }
                Some(_) => {}
                None => panic!("{name}: it ended without an end"),
            }
        }
        assert!(
            began.elapsed() < GONE,
            "{name}: it took {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_dropped_turn_is_stopped_in_the_background() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = mark("drop.");
    let mut turn = start(
        directory.path(),
        "setsid sleep 1000 & echo ready; while :; do sleep 1; done",
        &mark,
    )
    .await;
    until_ready(&mut turn).await;
    drop(turn);
    let gone = async {
        while !marked(&mark).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GONE, gone).await.expect("none lives");
}

/// Out of reach of marker and session: only a control group holds it, and where none can be made, that is what is said.
#[tokio::test]
async fn one_that_clears_its_environment_and_leaves_its_session_is_held_by_its_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mark, file) = (mark("cleared."), directory.path().join("pid"));
    let escape = format!(
        "setsid env -i /bin/sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' &",
        file.display()
    );
    let script = format!(
        "{escape}\nwhile ! [ -e {} ]; do :; done; echo ready; exit 0",
        file.display()
    );
    let mut turn = start(directory.path(), &script, &mark).await;
    let mut ended = None;
    while let Some(update) = turn.next().await {
        if let Update::Ended { outcome } = update {
            ended = Some(outcome);
        }
    }
    assert_eq!(ended, Some(TurnOutcome::Completed));
    let pid: i32 = std::fs::read_to_string(&file)
        .expect("it was started")
        .trim()
        .parse()
        .expect("a number");
    // Dead, it may still wait for init to take note.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let lives = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
    if lives {
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("can be killed");
    }
    println!("control groups can be made here: {}", has_cgroups());
    assert_eq!(lives, !has_cgroups());
    // Nothing is left of the group either.
    let mine = format!("orchestrator-{mark}");
    let groups = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &mine])
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&groups.stdout), "");
}

#[tokio::test]
async fn a_program_that_is_not_there_or_cannot_be_run_is_told_from_one_that_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "").expect("writes");
    let start = |program: &str| {
        let environment = [("PATH", std::env::var("PATH").expect("is set"))];
        let spawn = Spawn::new(program, directory.path())
            .envs(environment)
            .marked(mark("missing."));
        spawn.spawn().map(drop).map_err(|error| error.kind())
    };
    assert_eq!(start("nowhere-at-all"), Err(ErrorKind::NotFound));
    assert_eq!(start("./nowhere"), Err(ErrorKind::NotFound));
    assert_eq!(start("./plain"), Err(ErrorKind::PermissionDenied));
}

#[tokio::test]
async fn survivors_of_somebody_else_who_died_are_found_by_their_marker() {
    let mark = mark("orphan.");
    // Started by a shell that has ended: nobody is their parent any more.
    let script = "setsid sleep 1000 & setsid sh -c 'setsid sleep 1000 &'; exit 0";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env(MARK_VARIABLE, &mark);
    assert!(command.status().expect("runs").success());
    assert!(!marked(&mark).is_empty());
    assert!(kill_marked(&mark, GONE).await > 0);
    assert_eq!(marked(&mark), Vec::<i32>::new());
    assert_eq!(
        kill_marked(&mark, GONE).await,
        0,
        "there is nobody left to kill"
    );
}

/// Set in a process that is to be killed while a child of its runs.
const HOST: &str = "ORCHESTRATOR_TEST_PROCESSES_HOST";

/// The host of the test below; no more than that, where that test has not started it.
#[test]
fn a_host_that_is_killed() {
    let Ok(mark) = std::env::var(HOST) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let spawn = Spawn::new("/bin/sleep", "/")
            .args(["1000"])
            .marked(mark)
            .dying_with_us("TERM");
        let mut child = spawn.spawn().expect("starts");
        println!("started");
        child.wait().await.expect("can be waited for");
    });
}

/// Set in a process to which orphans are given, as to process 1 of a container.
const REAPER: &str = "ORCHESTRATOR_TEST_PROCESSES_REAPER";

/// The host of the test below; no more than that, where that test has not started it.
#[test]
fn a_host_that_is_given_orphans() {
    let Ok(mark) = std::env::var(REAPER) else {
        return;
    };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .expect("a process may ask for that");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let spawn = |script: &str| {
            Spawn::new("/bin/sh", "/")
                .args(["-c", script])
                .envs([("PATH", "/usr/bin:/bin")])
        };
        let orphan = "sleep 1000 < /dev/null > /dev/null 2>&1 & exit 3";
        let mut child = spawn(orphan).marked(&*mark).spawn().expect("starts");
        assert_eq!(
            child.wait().await.expect("can be waited for"),
            Exit::Code(3)
        );
        child.killer().sweep().await;
        // As git is started, which has nobody but its group.
        let mut child = spawn(orphan).in_our_session().spawn().expect("starts");
        assert_eq!(
            child.wait().await.expect("can be waited for"),
            Exit::Code(3)
        );
        println!("both were waited for");
        child.killer().sweep().await;
    });
    // Which waits for all that blocks one of its threads.
    drop(runtime);
    println!("nothing is waited for");
}

#[tokio::test]
async fn a_child_is_waited_for_and_not_its_orphans_where_those_are_given_to_us() {
    let program = std::env::current_exe().expect("this is a program");
    let mark = mark("reaper.");
    let mut host = tokio::process::Command::new(program);
    host.args(["--exact", "a_host_that_is_given_orphans", "--nocapture"])
        .env(REAPER, &mark)
        .kill_on_drop(true);
    let ended = tokio::time::timeout(GONE * 3, host.output()).await;
    kill_marked(&mark, GONE).await;
    let output = ended.expect("it ends").expect("can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("nothing is waited for"),
        "{said}"
    );
}

#[test]
fn a_child_that_is_tied_to_us_dies_when_we_are_killed_and_not_when_a_thread_ends() {
    let mark = mark("tied.");
    let mut host = Command::new(std::env::current_exe().expect("this is a program"));
    host.args(["--exact", "a_host_that_is_killed", "--nocapture"])
        .env(HOST, &mark)
        .stdout(Stdio::piped());
    let mut host = host.spawn().expect("starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        host.stdout.take().expect("is piped"),
    ));
    assert!(lines.any(|line| line.expect("is text").contains("started")));
    let [child] = marked(&mark)[..] else {
        panic!("one child")
    };
    // It is tied before it becomes the program, not before it is started.
    let until = Instant::now() + GONE;
    while std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name != "sleep\n")
        && Instant::now() < until
    {
        std::thread::yield_now();
    }
    host.kill().expect("can be killed");
    host.wait().expect("is killed");
    let until = Instant::now() + GONE;
    while !marked(&mark).is_empty() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(
        marked(&mark),
        Vec::<i32>::new(),
        "nobody had to sweep: it needs util-linux's setpriv"
    );

    // The runtime and the thread in which it was started are gone, and it is not.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let spawn = Spawn::new("/bin/sleep", "/")
        .args(["1000"])
        .marked(&*mark)
        .dying_with_us("TERM");
    let handle = runtime.handle().clone();
    let started = std::thread::spawn(move || {
        let _within = handle.enter();
        spawn.spawn().expect("starts")
    });
    let mut child = started.join().expect("it has ended");
    child.killer().interrupt();
    let exit = runtime.block_on(child.wait()).expect("can be waited for");
    assert_eq!(
        exit,
        Exit::Signal(2),
        "by what it was sent, and not by TERM"
    );
}

/// In a container, what runs may be in a session that began outside of it, whose number is 0 there.
#[test]
fn processes_in_session_0_are_found() {
    const INSIDE: &str = "TEST_IS_IN_SESSION_0";
    if std::env::var_os(INSIDE).is_some() {
        assert_eq!(getsid(None).expect("has a session").as_raw(), 0);
        find_and_kill_a_process();
        return;
    }

    let namespace = ["--map-root-user", "--pid", "--fork", "--mount-proc"];
    let possible = Command::new("unshare").args(namespace).arg("true").output();
    if !possible
        .as_ref()
        .is_ok_and(|output| output.status.success())
    {
        println!("ignored: a pid namespace cannot be made here: {possible:?}");
        return;
    }
    let status = Command::new("unshare")
        .args(namespace)
        .arg("--kill-child")
        .arg(std::env::current_exe().expect("has a path"))
        .args(["--exact", "processes_in_session_0_are_found"])
        .env(INSIDE, "yes")
        .status()
        .expect("unshare can be run");
    assert!(status.success(), "{status}");
}

fn find_and_kill_a_process() {
    let mark = mark("session0");
    let mut child = Command::new("sleep")
        .arg("1000")
        .env(MARK_VARIABLE, &mark)
        .spawn()
        .expect("starts");
    let found = block_on(kill_marked(&mark, GONE));
    assert_eq!(found, 1);
    child.wait().expect("has ended");
}
