//! From dispatch to clean-up, beside a script of the bare git commands.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use benches::{line, side_by_side, sized, time};
use orchestrator_core::{
    driver::Orchestrator,
    model::{AttemptId, Effect, EndReason, Finding, Policy, Record, RepoPath},
    port::{Ledger as _, LedgerEntry, ReviewError, ReviewRequest, Reviewer, Sequence},
    review,
    store::FileLedger,
};
use orchestrator_testkit::{Sandbox, git};
use tokio::runtime::Runtime;

use super::{COMMITTER, repository, used};

/// Commits one file of its own at once, and says so.
pub(super) const AGENT: &str = r#"name=${PWD#*attempts/}; name=${name%%-*}; echo done > "$name.txt"; git add "$name.txt"; git commit --quiet --message done
printf '{"version":1,"task":"%s","attempt":1,"status":"done"}' "$name" > "$ORCHESTRATOR_HANDOFF""#;

/// What has to be done at the least for the task `$T`: the same steps with bare git commands, in one shell. The lane is a lock.
const BARE: &str = r#"set -eu
lane() { exec 9>lane; flock 9; }
base=$(git -C trusted.git rev-parse refs/heads/main)
mkdir -p attempts/$T-1
git init --quiet --bare --template= attempts/$T-1/attempt.git
mkdir -p attempts/$T-1/attempt.git/objects/info
echo "$PWD/trusted.git/objects" > attempts/$T-1/attempt.git/objects/info/alternates
git -C attempts/$T-1/attempt.git update-ref refs/heads/work "$base"
git -C attempts/$T-1/attempt.git worktree add --quiet "$PWD/attempts/$T-1/tree" work
(cd attempts/$T-1/tree && ORCHESTRATOR_HANDOFF=../handoff.json sh -c "$AGENT")
git -C trusted.git -c fetch.fsckObjects=true -c core.fsync=all fetch --quiet --no-tags --no-write-fetch-head ../attempts/$T-1/attempt.git +refs/heads/work:refs/keep/$T
head=$(git -C trusted.git rev-parse refs/keep/$T)
git -C trusted.git diff-tree -r --raw -M "$base" "$head" > /dev/null
git -C attempts/$T-1/tree status --porcelain > /dev/null
lane
git -C trusted.git fetch --quiet --no-tags --no-write-fetch-head ../remote.git +refs/heads/main:refs/heads/main
tip=$(git -C trusted.git rev-parse refs/heads/main)
tree=$(git -C trusted.git -c core.fsync=all merge-tree --write-tree "$tip" "$head")
blob=$(git -C trusted.git cat-file blob "$tree:ROADMAP.md" | sed "/\*\*$T\*\*/s/\[ \]/[x]/" | git -C trusted.git -c core.fsync=all hash-object -w --stdin)
GIT_INDEX_FILE=$PWD/index git -C trusted.git read-tree "$tree"
GIT_INDEX_FILE=$PWD/index git -C trusted.git update-index --cacheinfo "100644,$blob,ROADMAP.md"
tree=$(GIT_INDEX_FILE=$PWD/index git -C trusted.git -c core.fsync=all write-tree)
mkdir export
GIT_INDEX_FILE=$PWD/export.index git -C trusted.git read-tree "$tree"
GIT_INDEX_FILE=$PWD/export.index git --git-dir=trusted.git --work-tree=export -c core.bare=false checkout-index --all --force
(cd export && test -e "$T.txt")
rm -rf export
commit=$(git -C trusted.git -c core.fsync=all commit-tree -p "$tip" -p "$head" -m landed "$tree")
git -C trusted.git push --quiet "--force-with-lease=refs/heads/main:$tip" ../remote.git "$commit:refs/heads/main"
git -C trusted.git update-ref refs/heads/main "$commit"
exec 9>&-
git -C attempts/$T-1/tree status --porcelain > /dev/null
git -C trusted.git update-ref -d refs/keep/$T
rm -rf attempts/$T-1
"#;

/// One task with an agent that commits at once.
pub(crate) fn one_task(runtime: &Runtime) {
    let sizes: &[(usize, usize)] = sized(&[(200, 11), (5_000, 5), (50_000, 1)], &[(200, 1)]);
    for (files, rounds) in sizes {
        let (ours, rival) = side_by_side(
            *rounds,
            || loop_over(runtime, *files, 1).0,
            || bare(*files, 1),
        );
        line(
            &format!("one task end to end, {files} files"),
            ours,
            "the same steps with bare git",
            rival,
        );
    }
}

/// Many such tasks, eight at once.
pub(crate) fn many_tasks(runtime: &Runtime) {
    let count = sized(100, 8);
    let (mut waits, mut idle) = (Vec::new(), Vec::new());
    let ours = || {
        let (took, entries) = loop_over(runtime, 200, count);
        waits.extend(between(&entries, ended, |what| {
            matches!(what, Effect::Review { .. })
        }));
        idle.extend(lane_idle(&entries));
        took
    };
    let (ours, rival) = side_by_side(sized(3, 1), ours, || bare(200, count));
    line(
        &format!("{count} tasks, 8 at once, 200 files"),
        ours,
        "the same steps with bare git",
        rival,
    );
    percentiles("from a turn's end to its review", waits);
    percentiles("the landing lane idle while work waits", idle);
}

/// Many agents at work, of whom one each second comes to its end: how soon after that its work is reviewed.
pub(crate) fn handoffs(runtime: &Runtime) {
    let count = sized(200, 8);
    let sandbox = stage(200, count);
    let ends = sandbox.path().join("ends");
    fs::create_dir(&ends).expect("makes");
    let fifos: Vec<_> = (1..=count)
        .map(|number| ends.join(format!("T{number}")))
        .collect();
    assert!(
        Command::new("mkfifo")
            .args(&fifos)
            .status()
            .expect("mkfifo can be run")
            .success()
    );
    // It has committed, and waits until it may say so.
    let agent = AGENT.replace(
        "\nprintf",
        &format!("\ncat '{}'/\"$name\"\nprintf", ends.display()),
    );
    let arrivals = Arc::new(Arrivals::default());
    let mut reviewers = review::standard();
    reviewers.insert(0, arrivals.clone());
    let orchestrator = orchestrator(runtime, &sandbox, &agent, count, reviewers);
    let releasing = thread::spawn(move || {
        // Opens as soon as its agent waits.
        let all: Vec<_> = fifos
            .iter()
            .map(|fifo| File::options().write(true).open(fifo).expect("opens"))
            .collect();
        let release = |fifo: File| {
            // Of the six to eight flushes that lie between, each takes as long as one does at another such moment.
            thread::sleep(Duration::from_millis(500));
            let flushed = time(|| flush(&ends));
            thread::sleep(Duration::from_millis(500));
            let at = SystemTime::now();
            drop(fifo);
            (at, flushed)
        };
        all.into_iter().map(release).collect::<(Vec<_>, Vec<_>)>()
    });
    to_the_end(runtime, orchestrator);
    let (released, flushed) = releasing.join().expect("all ended");
    let reviewed = arrivals.0.lock().expect("nobody panicked");
    let since = |task: &str, at: SystemTime| reviewed[task].duration_since(at).unwrap_or_default();
    let waits = (1..=count)
        .zip(released)
        .map(|(number, at)| since(&format!("T{number}"), at));
    percentiles(
        &format!("from a handoff to its review, {count} sessions"),
        waits.collect(),
    );
    let entries = recorded(runtime, &sandbox);
    let waits = entries
        .iter()
        .filter_map(|entry| Some(since(ended(&entry.record)?.task.as_str(), at(entry))));
    percentiles("of that, since its processes have ended", waits.collect());
    percentiles("a new file of 200 bytes, written and synced", flushed);
    used(sandbox);
}

fn flush(directory: &Path) {
    let mut file = tempfile::NamedTempFile::new_in(directory).expect("is made");
    file.write_all(&[b'x'; 200]).expect("writes");
    file.as_file().sync_all().expect("syncs");
}

/// When each task came to its first reviewer, who has nothing to say.
#[derive(Debug, Default)]
struct Arrivals(Mutex<HashMap<String, SystemTime>>);

#[async_trait]
impl Reviewer for Arrivals {
    fn name(&self) -> &'static str {
        "arrivals"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        self.0
            .lock()
            .expect("nobody panicked")
            .insert(request.attempt.task.to_string(), SystemTime::now());
        Ok(Vec::new())
    }
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get((times.len() * share / 100).min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    let milliseconds = |share| at(share).as_secs_f64() * 1000.0;
    println!(
        "{what:<44} median {:>6.1} ms   p99 {:>6.1} ms   of {}",
        milliseconds(50),
        milliseconds(99),
        times.len()
    );
}

fn at(entry: &LedgerEntry) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(entry.at.0)
}

fn ended(record: &Record) -> Option<&AttemptId> {
    if let Record::TurnEnded { attempt, .. } = record {
        Some(attempt)
    } else {
        None
    }
}

/// The time between a record of an attempt and the next asking for an effect on it, by the ledger's own.
fn between(
    entries: &[LedgerEntry],
    from: impl Fn(&Record) -> Option<&AttemptId>,
    to: impl Fn(&Effect) -> bool,
) -> Vec<Duration> {
    let mut since = HashMap::new();
    let mut found = Vec::new();
    for entry in entries {
        if let Some(attempt) = from(&entry.record) {
            since.insert(attempt.clone(), entry.at);
        } else if let Record::Requested { what, .. } = &entry.record
            && to(what)
            && let Some(since) = what.attempt().and_then(|attempt| since.remove(attempt))
        {
            found.push(entry.at.since(since).to_std());
        }
    }
    found
}

/// The time between a landing and the next merge, where one was waiting.
fn lane_idle(entries: &[LedgerEntry]) -> Vec<Duration> {
    let (mut queued, mut landed, mut idle) = (0_usize, None, Vec::new());
    for entry in entries {
        match &entry.record {
            Record::Reviewed { .. } => queued += 1,
            Record::Landed { .. } => landed = (queued > 0).then_some(entry.at),
            Record::Requested {
                what: Effect::Merge { .. },
                ..
            } => {
                queued -= 1;
                idle.extend(landed.take().map(|landed| entry.at.since(landed).to_std()));
            }
            _ => {}
        }
    }
    idle
}

/// A repository with a roadmap of so many tasks.
pub(super) fn stage(files: usize, tasks: usize) -> Sandbox {
    let sandbox = repository(files);
    let mut roadmap = String::new();
    for number in 1..=tasks {
        writeln!(
            roadmap,
            "- [ ] **T{number}** Do it\n\n  ```toml\n  allow = [\"T{number}.txt\"]\n  ```\n"
        )
        .expect("a string");
    }
    sandbox.publish(&[("ROADMAP.md", &roadmap)], "roadmap");
    sandbox
}

/// How long it took, and what was recorded.
fn loop_over(runtime: &Runtime, files: usize, tasks: usize) -> (Duration, Vec<LedgerEntry>) {
    let sandbox = stage(files, tasks);
    let orchestrator = orchestrator(runtime, &sandbox, AGENT, 8, review::standard());
    let took = time(|| to_the_end(runtime, orchestrator));
    let entries = recorded(runtime, &sandbox);
    used(sandbox);
    (took, entries)
}

/// With so many sessions of this agent at once.
fn orchestrator(
    runtime: &Runtime,
    sandbox: &Sandbox,
    agent: &str,
    sessions: usize,
    reviewers: Vec<Arc<dyn Reviewer>>,
) -> Orchestrator {
    let policy = format!(
        "push = \"origin\"\nmax_sessions = {sessions}\n[limits]\nreview_debt = 1000\n\
         [agents.a]\nkind = \"command\"\nrun = [\"sh\", \"-c\", {agent:?}]\n\
         [gates.done]\nrun = [\"test\", \"-e\", \"ROADMAP.md\"]\ndefault = true\n"
    );
    let roadmap: RepoPath = "ROADMAP.md".parse().expect("a path");
    runtime.block_on(async {
        let builder = Orchestrator::builder()
            .repository(sandbox.repo())
            .state_dir(sandbox.state())
            .roadmap(roadmap);
        builder
            .policy(Policy::parse(&policy).expect("a valid policy"))
            .reviewers(reviewers)
            .build()
            .await
            .expect("builds")
    })
}

fn to_the_end(runtime: &Runtime, orchestrator: Orchestrator) {
    let report = runtime.block_on(orchestrator.run()).expect("runs");
    assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
}

fn recorded(runtime: &Runtime, sandbox: &Sandbox) -> Vec<LedgerEntry> {
    let ledger = FileLedger::new(sandbox.state().join("ledger"));
    runtime
        .block_on(ledger.read(Sequence(1), usize::MAX))
        .expect("reads")
}

fn bare(files: usize, tasks: usize) -> Duration {
    let sandbox = stage(files, tasks);
    git(
        sandbox.path(),
        &[
            "clone",
            "--quiet",
            "--bare",
            "--no-local",
            "remote.git",
            "trusted.git",
        ],
    );
    for (key, value) in [("user.name", "Test"), ("user.email", "test@example.org")] {
        git(&sandbox.path().join("trusted.git"), &["config", key, value]);
    }
    fs::write(sandbox.path().join("one"), BARE).expect("writes");
    let mut script = Command::new("sh");
    script.args([
        "-c",
        "seq 1 \"$0\" | xargs -P 8 -I N env T=TN sh one",
        &tasks.to_string(),
    ]);
    script
        .current_dir(sandbox.path())
        .env("AGENT", AGENT)
        .envs(COMMITTER);
    let took = time(|| {
        assert!(
            script
                .stdin(Stdio::null())
                .status()
                .expect("sh can be run")
                .success(),
            "the script ran"
        );
    });
    assert_eq!(
        sandbox.remote_file("ROADMAP.md").matches("[x]").count(),
        tasks
    );
    used(sandbox);
    took
}
