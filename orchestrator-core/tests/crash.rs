//! The orchestrator is killed (SIGKILL, nothing tidied up) before and after each of its side effects, and started again: it
//! converges, and nothing is lost, done twice, or left behind.
//!
//! Beside it: the state directory on a file system that is full, and a writer of the ledger that was stopped and wakes up.
//!
//! This program is its own child: with `CRASH_TOP` set it is an orchestrator. `CRASH_POINTS=all` kills at every point of every
//! scenario, `few` at fewer than by default. `CRASH_ONLY=2:93` kills at point 93 of scenario 2 alone, 50 times.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use common::{WORK, answer, roadmap};
use orchestrator_core::{
    driver::{Handle, Orchestrator},
    model::{Effect, EndReason, HoldOption, Policy, Record, Timestamp, Verdict, WorkspaceFate},
    port::{Ledger as _, LedgerEntry, LedgerError, Sequence},
    status::Snapshot,
    store::FileLedger,
};
use orchestrator_testkit::{Sandbox, git, replayed, shell_worker};

/// From a restart to its end: ten times the figure in docs/reliability.md.
const CONVERGES: Duration = Duration::from_secs(100);

struct Scenario {
    name: &'static str,
    tasks: &'static [(&'static str, &'static str)],
    /// What the worker does; it may be run again at any point.
    script: fn(&Sandbox) -> String,
}

const AGAIN: &str = "commit() { git add --all; git diff --cached --quiet || git commit --quiet --message \"$1\"; }\n";

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "plain landing with push",
        tasks: &[("A", "")],
        script: |_| format!("{AGAIN}{WORK}"),
    },
    Scenario {
        name: "revision after a rejection",
        tasks: &[("A", "")],
        script: |_| {
            format!(
                "{AGAIN}if grep -q 'was reviewed and cannot be accepted'; then git rm -q --ignore-unmatch other.txt; git reset -q --soft main; else echo x > other.txt; fi; {WORK}"
            )
        },
    },
    Scenario {
        name: "conflict and new attempt",
        tasks: &[("A", "")],
        script: |sandbox| {
            // Somebody else pushes to the same file, once; no process of ours, so that nobody stops it in the middle and leaves a
            // lock in the remote.
            let top = sandbox.path().display();
            let push = format!(
                "setsid env --ignore-environment PATH=\"$PATH\" HOME=\"$HOME\" sh -c \"git clone -q '{top}/remote.git' '{top}/theirs' && \
                 cd '{top}/theirs' && echo theirs > A.txt && git add . && git -c user.name=T -c user.email=t@t commit -qm theirs && \
                 git push -q origin HEAD:main\""
            );
            format!("{AGAIN}[ -d '{top}/theirs' ] || {push}; {WORK}")
        },
    },
    Scenario {
        name: "hold answered",
        tasks: &[("A", "approve = [\"dispatch\", \"landing\"]")],
        script: |_| format!("{AGAIN}{WORK}"),
    },
    Scenario {
        name: "two tasks racing for the target",
        tasks: &[("A", ""), ("B", "")],
        script: |_| format!("{AGAIN}{WORK}"),
    },
];

fn main() -> ExitCode {
    if let Some(top) = std::env::var_os("CRASH_TOP") {
        return child(Path::new(&top));
    }
    if let Some(ledger) = std::env::var_os("CRASH_LEDGER") {
        return writer(Path::new(&ledger));
    }
    // What a test runner is asked: a list, or only tests of some name.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("crash: test");
        println!("full_disk: test");
        println!("stopped_writer: test");
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, Test); 3] = [
        ("stopped_writer", stopped_writer),
        ("full_disk", full_disk),
        ("crash", crash),
    ];
    let mut failed = false;
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let outcome = std::panic::catch_unwind(test).unwrap_or(Outcome::Failed);
        failed |= outcome == Outcome::Failed;
        match outcome {
            Outcome::Passed => println!("test {name} ... ok"),
            Outcome::Failed => println!("test {name} ... FAILED"),
            Outcome::Ignored(why) => println!("test {name} ... ignored, {why}"),
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

type Test = fn() -> Outcome;

#[derive(PartialEq)]
enum Outcome {
    Passed,
    Failed,
    Ignored(&'static str),
}

/// A writer that stops itself between two appends, and is refused when it wakes up: another has come meanwhile.
fn writer(path: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (ledger, record) = (FileLedger::new(path), [Record::RemoteBack]);
    let opening = runtime.block_on(ledger.open()).expect("opens");
    let next = runtime
        .block_on(ledger.append(opening.epoch, opening.next, Timestamp(1), &record))
        .expect("appends");
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)
        .expect("stops");
    match runtime.block_on(ledger.append(opening.epoch, next, Timestamp(2), &record)) {
        Err(LedgerError::Fenced) => ExitCode::SUCCESS,
        other => {
            eprintln!("not refused: {other:?}");
            ExitCode::FAILURE
        }
    }
}

fn stopped_writer() -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger");
    let mut command = Command::new(std::env::current_exe().expect("has a path"));
    let mut child = command.env("CRASH_LEDGER", &path).spawn().expect("starts");
    let stat = format!("/proc/{}/stat", child.id());
    let deadline = Instant::now() + CONVERGES;
    while !std::fs::read_to_string(&stat)
        .expect("it lives")
        .contains(") T ")
    {
        assert!(Instant::now() < deadline, "it stops itself");
        std::thread::yield_now();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (ledger, record) = (FileLedger::new(&path), [Record::RemoteBack]);
    let opening = runtime.block_on(ledger.open()).expect("opens");
    runtime
        .block_on(ledger.append(opening.epoch, opening.next, Timestamp(3), &record))
        .expect("appends");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("wakes it");
    assert!(
        child.wait().expect("ends").success(),
        "the one that was stopped is refused"
    );
    let entries = runtime
        .block_on(ledger.read(Sequence(1), usize::MAX))
        .expect("is whole");
    assert_eq!(
        entries.iter().map(|entry| entry.at.0).collect::<Vec<_>>(),
        [1, 3]
    );
    Outcome::Passed
}

/// The state directory on a file system of its own that is full, again and again with a little more room: every run ends, and
/// when there is space, it goes on from what is there.
fn full_disk() -> Outcome {
    let scenario = &SCENARIOS[0];
    let sandbox = make(scenario);
    let (top, state, kept) = (sandbox.path(), sandbox.state(), sandbox.path().join("kept"));
    std::fs::create_dir_all(&state).expect("is made");
    let script = r#"mount -t tmpfs -o size=32m none "$STATE" || exit 77
        for spare in 0 4 12 28 60 100 140 200 280 400 600 900 1400; do
            room=$(df --output=avail --block-size=1024 "$STATE" | tail -n 1)
            head -c $(((room - spare) * 1024)) /dev/zero > "$STATE/fill" 2> /dev/null
            timeout --signal=KILL 100 "$CHILD"; status=$?
            echo "$spare KiB: $status" >> "$CRASH_TOP/ends"
            rm -f "$STATE/fill"
            [ $status != 137 ] || exit 1
        done
        timeout --signal=KILL 100 "$CHILD"; status=$?
        cp -a "$STATE/." "$KEPT" && exit $status"#;
    let mut command = Command::new("unshare");
    command.args(if rustix::process::getuid().is_root() {
        ["--mount", "--"]
    } else {
        ["--map-root-user", "--mount"]
    });
    command
        .args(["sh", "-c", script])
        .env("CRASH_TOP", top)
        .env("STATE", &state)
        .env("KEPT", &kept);
    command
        .env("CHILD", std::env::current_exe().expect("has a path"))
        .env("RUST_BACKTRACE", "0");
    let output = command
        .stdout(Stdio::null())
        .output()
        .expect("unshare can be run");
    if output.status.code() == Some(77) || !top.join("ends").exists() {
        return Outcome::Ignored("no file system can be mounted here");
    }
    let ends = std::fs::read_to_string(top.join("ends")).expect("was written");
    println!("{}", ends.trim_end().replace('\n', ", "));
    assert!(
        output.status.success(),
        "with space it goes on: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        ends.lines().filter(|end| !end.ends_with(": 0")).count() > 5,
        "there was not enough space: {ends}"
    );
    // The file system is gone with its namespace.
    std::fs::remove_dir(&state).expect("is empty");
    std::fs::rename(&kept, &state).expect("takes its place");
    check(&sandbox, scenario);
    Outcome::Passed
}

/// One orchestrator, which answers its own questions.
fn child(top: &Path) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let text = std::fs::read_to_string(top.join("policy.toml")).expect("the policy was written");
    let builder = Orchestrator::builder()
        .repository(top.join("repo"))
        .state_dir(top.join("state"));
    let builder = builder
        .policy(Policy::parse(&text).expect("a valid policy"))
        .roadmap("ROADMAP.md".parse().expect("a path"));
    runtime.block_on(async {
        let orchestrator = builder.wait(true).build().await.expect("begins");
        tokio::spawn(approve_everything(orchestrator.handle()));
        let report = orchestrator.run().await.expect("runs");
        if report.ended == EndReason::Complete {
            return ExitCode::SUCCESS;
        }
        eprintln!("{:#?}", report.snapshot);
        ExitCode::from(4)
    })
}

async fn approve_everything(handle: Handle) {
    let mut notices = handle.subscribe();
    loop {
        let Some(snapshot) = handle.snapshot().await else {
            return;
        };
        for hold in snapshot.tasks.iter().filter_map(|task| task.hold.as_ref()) {
            let option = if hold.options.contains(&HoldOption::Approve) {
                HoldOption::Approve
            } else {
                HoldOption::Retry
            };
            handle.answer(answer(hold.id.0, option, None)).await;
        }
        if notices.recv().await.is_err() {
            return;
        }
    }
}

fn make(scenario: &Scenario) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", &roadmap(scenario.tasks))], "roadmap");
    let worker = shell_worker(sandbox.path(), "worker", &(scenario.script)(&sandbox));
    let policy = format!(
        "push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n[gates.fine]\nrun = [\"sh\", \"-c\", \"! test -e other.txt\"]\n\
         default = true\n[limits]\nbackoff = \"1ms\"\nheartbeat = \"50ms\"\ngrace = \"200ms\"\nattempts = 9\nexhausted = \"park\"\n"
    );
    std::fs::write(sandbox.path().join("policy.toml"), policy).expect("writes");
    // The person is in the middle of something.
    sandbox.write(&[("README.md", "# half an idea\n"), ("scratch.txt", "mine\n")]);
    sandbox
}

/// Starts an orchestrator and waits for its end.
fn start(
    sandbox: &Sandbox,
    kill_at: Option<usize>,
    names: Option<&Path>,
) -> (ExitStatus, Duration) {
    let mut command = Command::new(std::env::current_exe().expect("has a path"));
    command
        .env("CRASH_TOP", sandbox.path())
        .stdout(Stdio::null())
        .env_remove("ORCHESTRATOR_FAILPOINT");
    command.envs(kill_at.map(|point| ("ORCHESTRATOR_FAILPOINT", point.to_string())));
    command.envs(names.map(|path| ("ORCHESTRATOR_FAILPOINTS", path)));
    let began = Instant::now();
    let mut child = command.spawn().expect("starts");
    let (id, (told, ended)) = (child.id(), mpsc::channel());
    let waits = std::thread::spawn(move || told.send(child.wait()));
    let status = ended.recv_timeout(CONVERGES).unwrap_or_else(|_| {
        drop(Command::new("kill").args(["-9", &id.to_string()]).status());
        tell(sandbox);
        panic!("it did not end within {CONVERGES:?}, killed at {kill_at:?}");
    });
    waits.join().expect("waits").expect("somebody listens");
    (status.expect("can be waited for"), began.elapsed())
}

/// Kills at one point, perhaps once more while it recovers, starts again, and checks the world. How long the restart took.
fn survive(scenario: &Scenario, point: usize, again: Option<usize>) -> Duration {
    let sandbox = make(scenario);
    let (status, _) = start(&sandbox, Some(point), None);
    // Of a race, another run may have fewer points.
    assert!(
        status.signal() == Some(9) || status.success(),
        "killed, or not reached: {status}"
    );
    if let Some(again) = again {
        let (status, _) = start(&sandbox, Some(again), None);
        assert!(
            status.signal() == Some(9) || status.success(),
            "killed again: {status}"
        );
    }
    let (status, took) = start(&sandbox, None, None);
    assert!(status.success(), "it ended with {status}");
    check(&sandbox, scenario);
    took
}

/// What a failure is understood by: the last records.
fn tell(sandbox: &Sandbox) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    let entries = runtime
        .block_on(ledger.read(Sequence(1), usize::MAX))
        .unwrap_or_default();
    for entry in &entries[entries.len().saturating_sub(30)..] {
        println!("  {:?}", entry.record);
    }
}

fn check(sandbox: &Sandbox, scenario: &Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    let entries: Vec<LedgerEntry> = runtime
        .block_on(ledger.read(Sequence(1), usize::MAX))
        .expect("the ledger is whole");
    let state = replayed(&entries);
    let records = || entries.iter().map(|entry| &entry.record);
    let (remote, trusted) = (sandbox.remote(), sandbox.state().join("trusted.git"));

    // Each task is in the target exactly once, on its first-parent line.
    let line = git(
        &remote,
        &[
            "log",
            "--first-parent",
            "--format=%(trailers:key=Orchestrator-Task,valueonly,separator=%x2C)",
            "main",
        ],
    );
    let mut landed: Vec<_> = line.lines().filter(|task| !task.is_empty()).collect();
    landed.sort_unstable();
    assert_eq!(
        landed,
        scenario.tasks.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        "each landed exactly once"
    );
    // It is known by which commit: not merely that somebody has ticked it.
    let commits = git(&remote, &["log", "--first-parent", "--format=%H", "main"]);
    for (id, _) in scenario.tasks {
        let snapshot = Snapshot::of(&state);
        let task = snapshot
            .tasks
            .iter()
            .find(|task| task.id.as_str() == *id)
            .expect("is known");
        let commit = task.landed_commit.map(|commit| commit.to_string());
        assert!(
            commit.is_some_and(|commit| commits.lines().any(|known| known == commit)),
            "{task:#?}"
        );
    }
    // What landed was accepted before: a verdict for the commit, and green gates for the tree.
    for (attempt, commit) in records().filter_map(|record| match record {
        Record::Landed { attempt, commit } => Some((attempt, commit)),
        _ => None,
    }) {
        let tree = git(&remote, &["rev-parse", &format!("{commit}^{{tree}}")]);
        let accepted = records().any(|record| match record {
            Record::Accepted { landing } => {
                let green = landing.acceptance.gates.iter().all(|report| report.passed() && report.tree == landing.acceptance.tree);
                let judged = records()
                    .any(|record| matches!(record, Record::Judged { head, verdict: Verdict::Accept, .. } if *head == landing.acceptance.head));
                landing.acceptance.attempt == *attempt
                    && landing.acceptance.tree.to_string() == tree
                    && !landing.acceptance.gates.is_empty()
                    && green
                    && judged
            }
            _ => false,
        });
        assert!(
            accepted,
            "{attempt} landed with a verdict and green gates for its tree"
        );
    }
    // No agent was started twice for the same turn.
    let mut turns = BTreeSet::new();
    for record in records() {
        if let Record::Requested {
            what: Effect::RunTurn { attempt, turn, .. },
            ..
        } = record
        {
            assert!(
                turns.insert((attempt.clone(), *turn)),
                "{attempt} turn {turn} was asked for once"
            );
        }
    }
    // What is on disk is what the ledger says.
    assert!(
        state.open_effects().is_empty(),
        "nothing is open: {:?}",
        state.open_effects()
    );
    let left: Vec<_> = std::fs::read_dir(sandbox.state().join("attempts"))
        .expect("is there")
        .flatten()
        .map(|e| e.path())
        .collect();
    let settled = |record: &&Record| {
        matches!(
            record,
            Record::WorkspaceSettled {
                fate: WorkspaceFate::Kept { .. },
                ..
            }
        )
    };
    let kept: Vec<_> = records().filter(settled).collect();
    assert_eq!(
        left,
        Vec::<std::path::PathBuf>::new(),
        "all workspaces are gone; kept were {kept:#?}"
    );
    assert!(
        !sandbox.state().join("lane").exists(),
        "no gate's tree is left"
    );
    let refs = git(&trusted, &["for-each-ref", "--format=%(refname)"]);
    let refs: BTreeSet<_> = refs.lines().collect();
    for record in records() {
        if let Record::WorkspaceSettled {
            attempt,
            fate: WorkspaceFate::Removed { kept },
        } = record
        {
            let landed = state
                .task(&attempt.task)
                .is_some_and(|entry| entry.kept_refs().contains_key(&attempt.number));
            assert!(
                kept.as_ref()
                    .is_none_or(|kept| refs.contains(kept.as_str()))
                    && landed == kept.is_some(),
                "{attempt}: {kept:?}"
            );
        }
    }
    let kept = |name: &&str| {
        ["attempts", "rescue"]
            .iter()
            .any(|kind| name.starts_with(&format!("refs/orchestrator/{kind}/")))
    };
    let others: Vec<_> = refs.iter().copied().filter(|name| !kept(name)).collect();
    let target = ["refs/orchestrator/fetched", "refs/orchestrator/target"];
    assert_eq!(others, target, "what is in the target needs no other ref");
    let left: Vec<_> = [scratch(&sandbox.state()), scratch(&remote)].concat();
    assert_eq!(
        left,
        Vec::<std::path::PathBuf>::new(),
        "no lock was left, and nothing half written"
    );
    assert!(
        !sandbox.state().join("discarded").exists(),
        "nothing waits to be removed"
    );
    assert_eq!(sandbox.processes(), Vec::<i32>::new(), "no process lives");
    git(&remote, &["fsck", "--strict", "--no-dangling"]);
    git(&trusted, &["fsck", "--strict", "--no-dangling"]);
    // The person's checkout is as it was.
    let own = |name: &str| std::fs::read_to_string(sandbox.repo().join(name)).expect("is there");
    assert_eq!(
        (own("README.md").as_str(), own("scratch.txt").as_str()),
        ("# half an idea\n", "mine\n")
    );
}

/// Locks, and what has a name that is changed when it is whole.
fn scratch(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let begins = [".tmp", "tmp_", ".letter-", "incoming-"]
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

fn crash() -> Outcome {
    let size = std::env::var("CRASH_POINTS").unwrap_or_default();
    // Of points with one name in the plain scenario, the first so many; of the others, each so many-th.
    let (alike, apart) = match size.as_str() {
        "all" => (usize::MAX, 1),
        "few" => (1, 29),
        _ => (2, 9),
    };
    let only = std::env::var("CRASH_ONLY").ok();
    let mut jobs = Vec::new();
    for (number, scenario) in SCENARIOS.iter().enumerate().filter(|_| only.is_none()) {
        let sandbox = make(scenario);
        let names = sandbox.path().join("points");
        let (status, _) = start(&sandbox, None, Some(&names));
        assert!(
            status.success(),
            "{}: it ends well when nobody kills it: {status}",
            scenario.name
        );
        check(&sandbox, scenario);
        let names = std::fs::read_to_string(&names).expect("was written");
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        let mut seen = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            let before = seen.entry(name).or_insert(0_usize);
            *before += 1;
            if (number == 0 && *before <= alike) || (number > 0 && at % apart == number % apart) {
                jobs.push((number, at + 1, name.clone()));
            }
        }
        println!(
            "{}: {} points, {} names",
            scenario.name,
            names.len(),
            seen.len()
        );
        assert!(
            number > 0 || seen.len() >= 40,
            "there are points before and after each side effect: {seen:?}"
        );
    }
    if let Some((number, point)) = only.as_deref().and_then(|only| only.split_once(':')) {
        let (number, point): (usize, _) = (
            number.parse().expect("a scenario"),
            point.parse().expect("a point"),
        );
        jobs = vec![(number, point, "only".to_owned()); 50];
    }
    println!("killed at {} points", jobs.len());
    let (next, failures, times) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::new()),
        Mutex::new(Vec::new()),
    );
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some((scenario, point, name)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    // Every fourth is killed once more while it recovers.
                    let again = (point % 4 == 0).then_some(point * 7 % 40 + 1);
                    let survived =
                        std::panic::catch_unwind(|| survive(&SCENARIOS[*scenario], *point, again));
                    match survived {
                        Ok(took) => times
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(took),
                        Err(_) => failures
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(format!(
                                "{}: killed at point {point} ({name}), again at {again:?}",
                                SCENARIOS[*scenario].name
                            )),
                    }
                }
            });
        }
    });
    let (failures, mut times) = (
        failures.into_inner().unwrap_or_default(),
        times.into_inner().unwrap_or_default(),
    );
    times.sort_unstable();
    if let Some(worst) = times.last() {
        println!(
            "converged in {:?} (median), {worst:?} (worst)",
            times[times.len() / 2]
        );
    }
    if failures.is_empty() {
        return Outcome::Passed;
    }
    println!("did not survive:\n  {}", failures.join("\n  "));
    Outcome::Failed
}
