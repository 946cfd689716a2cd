//! The orchestrator is killed (SIGKILL, nothing tidied up) before and after each of its side effects, and started again: it
//! converges, and nothing is lost, done twice, or left behind.
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
    model::{ContentHash, Effect, EndReason, HoldOption, Policy, Record, Verdict, WorkspaceFate},
    port::{Ledger as _, LedgerEntry, Sequence},
    process::marked,
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
    Scenario { name: "plain landing with push", tasks: &[("A", "")], script: |_| format!("{AGAIN}{WORK}") },
    Scenario {
        name: "revision after a rejection",
        tasks: &[("A", "")],
        script: |_| {
            format!(
                "{AGAIN}if grep -q 'was reviewed and cannot be accepted'; then git rm -q --ignore-unmatch other.txt; else echo x > other.txt; fi; {WORK}"
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
    Scenario { name: "two tasks racing for the target", tasks: &[("A", ""), ("B", "")], script: |_| format!("{AGAIN}{WORK}") },
];

fn main() -> ExitCode {
    if let Some(top) = std::env::var_os("CRASH_TOP") {
        return child(Path::new(&top));
    }
    // What a test runner is asked: a list, or only tests of some name.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("crash: test");
        return ExitCode::SUCCESS;
    }
    if !filters.is_empty() && !filters.iter().any(|filter| "crash".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    parent()
}

/// One orchestrator, which answers its own questions.
fn child(top: &Path) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let text = std::fs::read_to_string(top.join("policy.toml")).expect("the policy was written");
    let builder = Orchestrator::builder().repository(top.join("repo")).state_dir(top.join("state"));
    let builder = builder.policy(Policy::parse(&text).expect("a valid policy")).roadmap("ROADMAP.md".parse().expect("a path"));
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
        let Some(snapshot) = handle.snapshot().await else { return };
        for hold in snapshot.tasks.iter().filter_map(|task| task.hold.as_ref()) {
            let option = if hold.options.contains(&HoldOption::Approve) { HoldOption::Approve } else { HoldOption::Retry };
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
         default = true\n[limits]\nbackoff = \"1ms\"\nheartbeat = \"50ms\"\ngrace = \"200ms\"\nattempts = 9\n"
    );
    std::fs::write(sandbox.path().join("policy.toml"), policy).expect("writes");
    // The person is in the middle of something.
    sandbox.write(&[("README.md", "# half an idea\n"), ("scratch.txt", "mine\n")]);
    sandbox
}

/// Starts an orchestrator and waits for its end.
fn start(sandbox: &Sandbox, kill_at: Option<usize>, names: Option<&Path>) -> (ExitStatus, Duration) {
    let mut command = Command::new(std::env::current_exe().expect("has a path"));
    command.env("CRASH_TOP", sandbox.path()).stdout(Stdio::null()).env_remove("ORCHESTRATOR_FAILPOINT");
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
    assert!(status.signal() == Some(9) || status.success(), "killed, or not reached: {status}");
    if let Some(again) = again {
        let (status, _) = start(&sandbox, Some(again), None);
        assert!(status.signal() == Some(9) || status.success(), "killed again: {status}");
    }
    let (status, took) = start(&sandbox, None, None);
    assert!(status.success(), "it ended with {status}");
    check(&sandbox, scenario);
    took
}

/// What a failure is understood by: the last records.
fn tell(sandbox: &Sandbox) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    let entries = runtime.block_on(ledger.read(Sequence(1), usize::MAX)).unwrap_or_default();
    for entry in &entries[entries.len().saturating_sub(30)..] {
        println!("  {:?}", entry.record);
    }
}

fn check(sandbox: &Sandbox, scenario: &Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    let entries: Vec<LedgerEntry> = runtime.block_on(ledger.read(Sequence(1), usize::MAX)).expect("the ledger is whole");
    let state = replayed(&entries);
    let records = || entries.iter().map(|entry| &entry.record);
    let (remote, trusted) = (sandbox.remote(), sandbox.state().join("trusted.git"));

    // Each task is in the target exactly once, on its first-parent line.
    let line =
        git(&remote, &["log", "--first-parent", "--format=%(trailers:key=Orchestrator-Task,valueonly,separator=%x2C)", "main"]);
    let mut landed: Vec<_> = line.lines().filter(|task| !task.is_empty()).collect();
    landed.sort_unstable();
    assert_eq!(landed, scenario.tasks.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "each landed exactly once");
    // It is known by which commit: not merely that somebody has ticked it.
    let commits = git(&remote, &["log", "--first-parent", "--format=%H", "main"]);
    for (id, _) in scenario.tasks {
        let snapshot = Snapshot::of(&state);
        let task = snapshot.tasks.iter().find(|task| task.id.as_str() == *id).expect("is known");
        let commit = task.landed_commit.map(|commit| commit.to_string());
        assert!(commit.is_some_and(|commit| commits.lines().any(|known| known == commit)), "{task:#?}");
    }
    // What landed was accepted before: a verdict for the commit, and green gates for the tree.
    for (attempt, commit) in records().filter_map(|record| match record {
        Record::Landed { attempt, commit } => Some((attempt, commit)),
        _ => None,
    }) {
        let tree = git(&remote, &["rev-parse", &format!("{commit}^{{tree}}")]);
        let accepted = records().any(|record| match record {
            Record::Accepted { landing } => {
                let green = landing.acceptance.gates.iter().all(|report| report.passed() && report.tree == landing.tree);
                let judged = records()
                    .any(|record| matches!(record, Record::Judged { head, verdict: Verdict::Accept, .. } if *head == landing.head));
                landing.attempt == *attempt
                    && landing.tree.to_string() == tree
                    && !landing.acceptance.gates.is_empty()
                    && green
                    && judged
            }
            _ => false,
        });
        assert!(accepted, "{attempt} landed with a verdict and green gates for its tree");
    }
    // No agent was started twice for the same turn.
    let mut turns = BTreeSet::new();
    for record in records() {
        if let Record::Requested { what: Effect::RunTurn { attempt, turn, .. }, .. } = record {
            assert!(turns.insert((attempt.clone(), *turn)), "{attempt} turn {turn} was asked for once");
        }
    }
    // What is on disk is what the ledger says.
    assert!(state.open_effects().is_empty(), "nothing is open: {:?}", state.open_effects());
    let left: Vec<_> = std::fs::read_dir(sandbox.state().join("attempts")).expect("is there").flatten().map(|e| e.path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "all workspaces are gone");
    assert!(!sandbox.state().join("lane").exists(), "no gate's tree is left");
    let refs = git(&trusted, &["for-each-ref", "--format=%(refname)"]);
    let refs: BTreeSet<_> = refs.lines().collect();
    for record in records() {
        if let Record::WorkspaceSettled { attempt, fate: WorkspaceFate::Removed { kept } } = record {
            let landed = state.task(&attempt.task).is_some_and(|entry| entry.kept_refs.contains_key(&attempt.number));
            assert!(
                kept.as_ref().is_none_or(|kept| refs.contains(kept.as_str())) && landed == kept.is_some(),
                "{attempt}: {kept:?}"
            );
        }
    }
    let left: Vec<_> = [locks(&sandbox.state()), locks(&remote)].concat();
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "no lock was left");
    let path = sandbox.state().canonicalize().expect("is there");
    let mark = ContentHash::of(path.as_os_str().as_encoded_bytes()).to_string();
    assert_eq!(marked(&mark[..16]), Vec::<i32>::new(), "no process lives");
    git(&remote, &["fsck", "--strict", "--no-dangling"]);
    git(&trusted, &["fsck", "--strict", "--no-dangling"]);
    // The person's checkout is as it was.
    let own = |name: &str| std::fs::read_to_string(sandbox.repo().join(name)).expect("is there");
    assert_eq!((own("README.md").as_str(), own("scratch.txt").as_str()), ("# half an idea\n", "mine\n"));
}

fn locks(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(locks(&path));
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
    found
}

fn parent() -> ExitCode {
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
        assert!(status.success(), "{}: it ends well when nobody kills it: {status}", scenario.name);
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
        println!("{}: {} points, {} names", scenario.name, names.len(), seen.len());
        assert!(number > 0 || seen.len() >= 40, "there are points before and after each side effect: {seen:?}");
    }
    if let Some((number, point)) = only.as_deref().and_then(|only| only.split_once(':')) {
        let (number, point): (usize, _) = (number.parse().expect("a scenario"), point.parse().expect("a point"));
        jobs = vec![(number, point, "only".to_owned()); 50];
    }
    println!("killed at {} points", jobs.len());
    let (next, failures, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some((scenario, point, name)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Every fourth is killed once more while it recovers.
                    let again = (point % 4 == 0).then_some(point * 7 % 40 + 1);
                    let survived = std::panic::catch_unwind(|| survive(&SCENARIOS[*scenario], *point, again));
                    match survived {
                        Ok(took) => times.lock().unwrap_or_else(PoisonError::into_inner).push(took),
                        Err(_) => failures
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(format!("{}: killed at point {point} ({name}), again at {again:?}", SCENARIOS[*scenario].name)),
                    }
                }
            });
        }
    });
    let (failures, mut times) = (failures.into_inner().unwrap_or_default(), times.into_inner().unwrap_or_default());
    times.sort_unstable();
    if let Some(worst) = times.last() {
        println!("converged in {:?} (median), {worst:?} (worst)", times[times.len() / 2]);
    }
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("did not survive:\n  {}", failures.join("\n  "));
    ExitCode::FAILURE
}
