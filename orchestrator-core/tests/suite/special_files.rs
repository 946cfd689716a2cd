//! Files that are none, or not where they seem to be: FIFOs, sockets, links, directories, and files of a terabyte. Whatever a worker
//! or a gate leaves in the place of anything, no run hangs, writes elsewhere or breaks off, and what cannot be looked at is named.

use std::{
    fs,
    future::Future,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::mpsc,
    time::Duration,
};

use orchestrator_core::{
    driver::{Notice, Orchestrator, WorkspaceFault},
    gate::{CacheOf, GateCaches},
    git::{Lookout, Trusted, Workspace, Workspaces},
    model::{AttemptId, CommitId, Record, TreeId, TurnOutcome},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked, shell_worker};

use crate::common::{self, Live, WORK, builder, make_fifo, policy, sandbox, trusted, turns};

/// More than any of these takes, and less than a deadline of git's: a hang is one of the test, and not the suite's.
const BOUND: Duration = Duration::from_secs(100);

/// Runs it on threads of its own, so that one that is blocked cannot keep the test from failing.
fn bounded<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let result = runtime.block_on(what);
        // The end of the runtime is a part of it: it waits for each of its threads.
        drop(runtime);
        done.send(result).expect("somebody waits");
    });
    match waiting.recv_timeout(BOUND) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it sends what it has"),
        },
    }
}

/// What a worker does to a place, and what becomes of its work.
struct Plant {
    name: &'static str,
    /// Shell in the workspace, after the work was committed. `$G` is its repository, `$W` the worktree's directory in that, `$O` a
    /// directory of the user's with a FIFO `pipe` and a file `mine` in it.
    script: &'static str,
    /// What is told of it: a finding, or why the work cannot be used. Empty: nothing, since nobody has to look there.
    told: &'static str,
    lands: bool,
}

const fn lands(name: &'static str, script: &'static str) -> Plant {
    Plant {
        name,
        script,
        told: "",
        lands: true,
    }
}

const fn told(name: &'static str, script: &'static str, told: &'static str) -> Plant {
    Plant {
        name,
        script,
        told,
        lands: true,
    }
}

const fn refused(name: &'static str, script: &'static str, told: &'static str) -> Plant {
    Plant {
        name,
        script,
        told,
        lands: false,
    }
}

const UNREADABLE: &str = "the workspace cannot be read: ";

/// What git would walk or read in the tree.
const IN_THE_TREE: &[Plant] = &[
    told("FIFO as .gitignore", "mkfifo .gitignore", UNREADABLE),
    told(
        "FIFO as .gitignore in a directory",
        "mkdir -p a/b; mkfifo a/b/.gitignore",
        UNREADABLE,
    ),
    told(
        "FIFO as .gitattributes",
        "mkdir -p a; mkfifo a/.gitattributes",
        UNREADABLE,
    ),
    told(
        "device as .gitignore",
        "mknod .gitignore c 1 5 2> /dev/null || mkfifo .gitignore",
        UNREADABLE,
    ),
    told("huge .gitignore", "truncate -s 1T .gitignore", UNREADABLE),
    told(
        "link to a FIFO as .gitignore",
        "ln -s $O/pipe .gitignore",
        "uncommitted",
    ),
    told(
        "link to /dev/zero as .gitattributes",
        "ln -s /dev/zero .gitattributes",
        "uncommitted",
    ),
    told(
        "directory as .gitignore",
        "mkdir .gitignore; touch .gitignore/x",
        "uncommitted",
    ),
    told(
        "FIFO as HEAD of a repository within",
        "git init -q n; rm n/.git/HEAD; mkfifo n/.git/HEAD",
        UNREADABLE,
    ),
    told(
        "FIFO as a branch of a repository within",
        "git init -q n; mkfifo n/.git/refs/heads/x; echo 'ref: refs/heads/x' > n/.git/HEAD",
        UNREADABLE,
    ),
    told(
        "link to a repository with a FIFO",
        "mkdir n; git init -q --bare $O/r; rm $O/r/HEAD; mkfifo $O/r/HEAD; echo gitdir: $O/r > n/.git",
        UNREADABLE,
    ),
    told(
        "FIFO in the place of a file",
        "rm README.md; mkfifo README.md",
        "uncommitted",
    ),
    told("FIFO that nobody knows", "mkfifo pipe", ""),
    told(
        "huge file",
        "truncate -s 1T huge; truncate -s 1T README.md",
        "uncommitted",
    ),
    told("FIFO as the tree's link", "rm .git; mkfifo .git", ""),
];

/// What git or gix would read in the repository.
const IN_THE_REPOSITORY: &[Plant] = &[
    lands(
        "FIFOs",
        "for f in config HEAD packed-refs commondir shallow info/exclude info/attributes; do rm -rf $G/$f; mkfifo $G/$f; done
         for f in commondir index gitdir; do rm -f $W/$f; mkfifo $W/$f; done",
    ),
    lands("links to a FIFO", "for f in config HEAD packed-refs shallow info/exclude; do rm -rf $G/$f; ln -s $O/pipe $G/$f; done"),
    lands(
        "links to /dev/zero",
        "for f in config HEAD packed-refs shallow info/exclude; do rm -rf $G/$f; ln -s /dev/zero $G/$f; done",
    ),
    lands("directories", "for f in config HEAD packed-refs shallow info/exclude; do rm -rf $G/$f; mkdir -p $G/$f/x; done"),
    lands("huge files", "truncate -s 1T $G/config $G/HEAD $G/packed-refs $G/shallow $G/info/exclude"),
    lands("FIFO that the config includes", "git config include.path $O/pipe"),
    told("FIFO as the worktree's HEAD", "rm $W/HEAD; mkfifo $W/HEAD", "the worktree is not on `attempt/A/1`"),
    told("link to /dev/zero as the worktree's HEAD", "rm $W/HEAD; ln -s /dev/zero $W/HEAD", "the worktree is not on `attempt/A/1`"),
    refused("FIFO as the branch", "rm $G/refs/heads/attempt/A/1; mkfifo $G/refs/heads/attempt/A/1", "it is no regular file"),
    refused(
        "link to a FIFO as the branch",
        "rm $G/refs/heads/attempt/A/1; ln -s $O/pipe $G/refs/heads/attempt/A/1",
        "symbolic link",
    ),
    refused("directory as the branch", "rm $G/refs/heads/attempt/A/1; mkdir $G/refs/heads/attempt/A/1", "it is no regular file"),
    refused(
        "FIFO as an object",
        "o=$(git rev-parse HEAD:A.txt); o=$G/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-); rm -f $o; mkfifo $o",
        "it is no regular file",
    ),
    refused(
        "link to a FIFO as an object",
        "o=$(git rev-parse HEAD:A.txt); o=$G/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-); rm -f $o; ln -s $O/pipe $o",
        "it is a symbolic link",
    ),
    refused(
        "huge object",
        "o=$(git rev-parse HEAD:A.txt); o=$G/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-); rm -f $o; truncate -s 1T $o",
        "git fetch",
    ),
];

/// What git follows while it fetches: work that is not small, or that is packed.
const WHILE_FETCHING: &[Plant] = &[
    refused(
        "link to a FIFO as an index of a pack",
        "git repack -adq; i=$(echo $G/objects/pack/*.idx); rm -f $i; ln -s $O/pipe $i",
        "it is a symbolic link",
    ),
    refused(
        "link to a FIFO as a pack",
        "git repack -adq; i=$(echo $G/objects/pack/*.pack); rm -f $i; ln -s $O/pipe $i",
        "it is a symbolic link",
    ),
    refused(
        "FIFO as another index of a pack",
        "mkdir -p $G/objects/pack; mkfifo $G/objects/pack/pack-0000000000000000000000000000000000000000.idx",
        "it is no regular file",
    ),
    refused(
        "FIFO as alternates",
        "rm $G/objects/info/alternates; mkfifo $G/objects/info/alternates",
        "it is no regular file",
    ),
    refused(
        "objects from elsewhere",
        "mkdir -p $O/o/info; mkfifo $O/o/info/alternates; echo $O/o > $G/objects/info/alternates",
        "it borrows objects from elsewhere",
    ),
    refused(
        "link in the place of the objects",
        "mv $G/objects $O/objects; ln -s $O/objects $G/objects",
        "objects",
    ),
    lands("nothing odd", "true"),
];

#[test]
fn whatever_lies_in_the_tree_is_named_and_hangs_nobody() {
    try_all(IN_THE_TREE, "");
}

#[test]
fn whatever_lies_in_the_repository_is_named_and_hangs_nobody() {
    try_all(IN_THE_REPOSITORY, "");
}

#[test]
fn whatever_lies_in_the_repository_hangs_no_fetch() {
    // Not small any more.
    let many = "mkdir many; for i in $(seq 120); do echo $i > many/$i; done";
    try_all(WHILE_FETCHING, many);
    try_all(IN_THE_REPOSITORY, many);
}

fn try_all(plants: &'static [Plant], before: &'static str) {
    for some in plants.chunks(2) {
        // A few at a time: each is a world of its own.
        let some: Vec<_> = some
            .iter()
            .map(|plant| std::thread::spawn(move || bounded(try_plant(plant, before))))
            .collect();
        for one in some {
            if let Err(panic) = one.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// A directory of the user's, which nobody has to touch.
fn outside(sandbox: &Sandbox) -> std::path::PathBuf {
    let outside = sandbox.path().join("outside");
    fs::create_dir(&outside).expect("makes");
    fs::write(outside.join("mine"), "mine").expect("writes");
    make_fifo(&outside.join("pipe"));
    outside
}

async fn try_plant(plant: &Plant, before: &str) {
    let sandbox = sandbox(&[("A", "allow = [\"A.txt\", \"many/*\"]")]);
    let outside = outside(&sandbox);
    let script = format!(
        "O='{}'; G=$(git rev-parse --path-format=absolute --git-common-dir); W=$(git rev-parse --absolute-git-dir)
         {before}\necho A > A.txt; commit work; handoff done\n{}",
        outside.display(),
        plant.script
    );
    let worker = shell_worker(sandbox.path(), "worker", &script);
    let mut policy = policy(&worker, "");
    policy.limits.attempts = 1;
    let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
    let task = outcome.task("A");
    let state = if plant.lands {
        TaskState::Landed
    } else {
        TaskState::Parked
    };
    assert_eq!(task.state, state, "{}: {task:#?}", plant.name);
    let reason = task.reason.clone().unwrap_or_default();
    let findings = findings(&outcome);
    assert!(
        format!("{findings:?} {reason}").contains(plant.told),
        "{}: {findings:?} {reason}",
        plant.name
    );
    assert_eq!(
        fs::read_to_string(outside.join("mine")).expect("is there"),
        "mine",
        "{}",
        plant.name
    );
    assert!(
        !before.is_empty() || !plant.lands || sandbox.remote_file("A.txt") == "A",
        "{}",
        plant.name
    );
}

/// What was found in the work.
fn findings(outcome: &RunOutcome) -> Vec<String> {
    let findings = outcome.records().flat_map(|record| match record {
        Record::Submitted { submission, .. } => submission
            .findings
            .iter()
            .map(ToString::to_string)
            .collect(),
        _ => Vec::new(),
    });
    findings.collect()
}

/// What the first turn does to a place that the second one gets, or that we use for it. `$C` is the contract's path, `$R` the
/// workspace's directory, `$O` a directory of the user's.
const BEFORE_A_TURN: [(&str, &str); 16] = [
    (
        "FIFO as the contract",
        "mkfifo new; chmod u+w $R/given; mv -f new $C",
    ),
    (
        "link as the contract",
        "chmod u+w $R/given; ln -sf $O/mine $C",
    ),
    (
        "broken link as the contract",
        "chmod u+w $R/given; ln -sf $O/none $C",
    ),
    (
        "directory as the contract",
        "chmod u+w $R/given; rm -f $C; mkdir -p $C/x",
    ),
    (
        "link beside the contract",
        "chmod u+w $R/given; ln -s $O/mine $R/given/.contract.json.new",
    ),
    (
        "link in the place of its directory",
        "rm -rf $R/given; ln -s $O $R/given",
    ),
    (
        "file in the place of its directory",
        "rm -rf $R/given; touch $R/given",
    ),
    (
        "FIFO in the place of the handoffs",
        "rm -rf $R/out; mkfifo $R/out",
    ),
    (
        "link in the place of the handoffs",
        "rm -rf $R/out; ln -s $O $R/out",
    ),
    (
        "FIFO in the place of the next handoff",
        "mkfifo $R/out/turn-2",
    ),
    (
        "link in the place of the next handoff",
        "ln -s $O $R/out/turn-2",
    ),
    (
        "file in the place of the next handoff",
        "touch $R/out/turn-2",
    ),
    (
        "the next handoff",
        "mkdir $R/out/turn-2; echo '{}' > $R/out/turn-2/handoff.json; ln -s $O/mine $R/out/turn-2/report.txt",
    ),
    (
        "link in the place of the streams",
        "rm -rf $R/streams; ln -s $O $R/streams",
    ),
    (
        "FIFO as the next stream",
        "mkdir $R/streams/turn-2; mkfifo $R/streams/turn-2/stdout; ln -s $O/mine $R/streams/turn-2/stderr",
    ),
    (
        "our look beside the worker",
        "ln -s $O/none $R/index.live; ln -s $O/none $R/index.live.at; ln -s $O/none $R/index.lock",
    ),
];

#[test]
fn whatever_a_turn_leaves_in_the_way_of_the_next_is_replaced_and_overwrites_nothing() {
    for some in BEFORE_A_TURN.chunks(2) {
        let some: Vec<_> = some
            .iter()
            .map(|(name, script)| std::thread::spawn(|| bounded(try_before(name, script))))
            .collect();
        for one in some {
            if let Err(panic) = one.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

async fn try_before(name: &str, plant: &str) {
    let sandbox = sandbox(&[("A", "")]);
    let outside = outside(&sandbox);
    // The second turn finds its contract, and a place for its handoff with nothing in it.
    let script = format!(
        "O='{}'; C=$ORCHESTRATOR_CONTRACT; R=$(dirname $PWD); D=$(dirname $ORCHESTRATOR_HANDOFF)
         grep -q '\"task\": \"A\"' $C; test -z \"$(ls -A $D)\"
         if [ $ORCHESTRATOR_TURN = 1 ]; then echo A > A.txt; commit work; {plant}; else echo told; echo oddly >&2; handoff done; fi",
        outside.display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    let task = outcome.task("A");
    assert_eq!(
        (task.state, turns(&outcome)),
        (TaskState::Landed, 2),
        "{name}: {task:#?}\n{:?}",
        common::ends(&outcome)
    );
    let mut there: Vec<_> = fs::read_dir(&outside)
        .expect("is there")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    there.sort();
    assert_eq!(there, ["mine", "pipe"], "{name}: nothing was written there");
    assert_eq!(
        fs::read_to_string(outside.join("mine")).expect("is there"),
        "mine",
        "{name}"
    );
    assert!(
        outside
            .join("pipe")
            .symlink_metadata()
            .expect("is there")
            .file_type()
            .is_fifo()
    );
    let kept = outcome.records().any(|record| match record {
        Record::Kept { files, .. } => files
            .iter()
            .any(|file| file.name.to_string() == "turn-2/stdout" && file.size == 5),
        _ => false,
    });
    assert!(kept, "{name}: what the second turn said is kept");
}

#[test]
fn one_workspace_that_cannot_be_looked_at_keeps_no_silent_agent_from_being_seen() {
    bounded(async {
        let sandbox = sandbox(&[("A", ""), ("B", "")]);
        // A plants where git would wait, and goes on saying that it works; B falls silent.
        let script = "if [ $ORCHESTRATOR_TASK = A ]; then mkfifo .gitignore; while :; do echo works; sleep 0.1; done; fi; exec sleep 1000";
        let worker = shell_worker(sandbox.path(), "worker", script);
        let mut policy = policy(&worker, "max_sessions = 2");
        policy.limits.attempts = 1;
        policy.limits.stall = Some("2s".parse().expect("a span"));
        let mut live = Live::start(&sandbox, Orchestrator::builder().policy(policy)).await;
        let seen = live.until(|notice| match notice {
            Notice::Observed { attempt, what } => Some((attempt.to_string(), *what)),
            _ => None,
        });
        assert_eq!(seen.await, ("A#1".to_owned(), WorkspaceFault::Unreadable));
        live.recorded(|record| {
            matches!(
                record,
                Record::TurnEnded {
                    outcome: TurnOutcome::Stopped,
                    ..
                }
            )
        })
        .await;
        assert!(live.handle.stop().await);
        let outcome = live.end().await;
        let stopped = outcome
            .records()
            .filter(|record| matches!(record, Record::TurnEnded { .. }))
            .count();
        assert!(stopped >= 1, "{:#?}", outcome.report.snapshot);
    });
}

fn attempt(number: u32) -> AttemptId {
    AttemptId {
        task: "T1".parse().expect("an id"),
        number,
    }
}

/// A workspace with nothing done in it yet.
async fn made(sandbox: &Sandbox, trusted: &Trusted, number: u32) -> (Workspace, CommitId) {
    let base = trusted.fetch_target().await.expect("fetches");
    let workspace = Workspaces::beneath(&sandbox.state()).of(&attempt(number));
    workspace
        .create(trusted, base, &[])
        .await
        .and_then(|()| workspace.seal())
        .expect("is made");
    (workspace, base)
}

#[test]
fn a_look_at_all_workspaces_reads_nothing_that_could_keep_it_waiting() {
    bounded(async {
        let sandbox = Sandbox::new();
        let trusted = trusted(&sandbox).await;
        let (odd, _) = made(&sandbox, &trusted, 1).await;
        let (plain, _) = made(&sandbox, &trusted, 2).await;
        let work = |workspace: &Workspace, name: &str| {
            fs::write(workspace.tree().join(name), name).expect("writes");
            git(&workspace.tree(), &["add", "."]);
            git(&workspace.tree(), &["commit", "--quiet", "--message", name]);
        };
        work(&odd, "one");
        work(&plain, "one");
        fs::create_dir_all(odd.repository().join("objects/pack")).expect("makes");
        let first = [&odd, &plain].map(Workspace::head);
        let mut lookout = Lookout::new(
            Workspaces::beneath(&sandbox.state()),
            trusted.objects().clone(),
        );
        assert_eq!(heads(&mut lookout), first.map(|head| (head, false)));
        let amend = ["commit", "--quiet", "--amend", "--message", "two"];
        for workspace in [&odd, &plain] {
            git(&workspace.tree(), &amend);
        }
        // All that a reader of the whole repository would open, but for the new commit itself.
        let repository = odd.repository();
        for name in [
            "config",
            "HEAD",
            "shallow",
            "packed-refs",
            "commondir",
            "objects/info/alternates",
            "objects/pack/pack-1.idx",
        ] {
            drop(fs::remove_file(repository.join(name)));
            make_fifo(&repository.join(name));
        }
        let second = [&odd, &plain].map(Workspace::head);
        assert_eq!(heads(&mut lookout), second.map(|head| (head, true)));
        lookout.looked_whole(&attempt(1), true);
        assert!(lookout.look().expect("looks")[0].unreadable);
        // And that as well.
        let head = second[0].expect("a head").to_string();
        let object = repository.join("objects").join(&head[..2]).join(&head[2..]);
        fs::remove_file(&object).expect("removes");
        make_fifo(&object);
        for (workspace, head) in [&odd, &plain].into_iter().zip(first) {
            let reference = workspace
                .repository()
                .join(workspace.attempt.branch().full());
            fs::write(reference, format!("{}\n", head.expect("a head"))).expect("writes");
        }
        assert_eq!(heads(&mut lookout), first.map(|head| (head, true)));
        let branch = odd.repository().join(odd.attempt.branch().full());
        fs::write(branch, format!("{head}\n")).expect("writes");
        assert_eq!(
            heads(&mut lookout)[0],
            (second[0], false),
            "where it cannot be read, it is not said to be rewritten"
        );
    });
}

/// What a look tells of each head.
fn heads(lookout: &mut Lookout) -> Vec<(Option<CommitId>, bool)> {
    let looks = lookout.look().expect("looks");
    let heads = looks.iter().map(|look| (look.head, look.rewritten));
    heads.collect()
}

#[test]
fn what_is_planted_where_only_we_write_is_replaced() {
    bounded(async {
        let sandbox = Sandbox::new();
        let trusted = trusted(&sandbox).await;
        let (workspace, base) = made(&sandbox, &trusted, 1).await;
        let victim = sandbox.path().join("victim");
        fs::write(workspace.tree().join("new.txt"), "new").expect("writes");
        let root = workspace.root().to_owned();
        let names = [
            "index",
            "index.at",
            "index.lock",
            "index.live",
            "index.live.at",
            "index.live.lock",
        ];
        for name in names {
            for kind in ["fifo", "link", "directory"] {
                let place = root.join(name);
                drop(fs::remove_file(&place));
                match kind {
                    "fifo" => make_fifo(&place),
                    "link" => symlink(&victim, &place).expect("links"),
                    _ => fs::create_dir_all(place.join("x")).expect("makes"),
                }
                let paths = |paths: Vec<orchestrator_core::model::RepoPath>| {
                    paths.iter().map(ToString::to_string).collect::<Vec<_>>()
                };
                let touched = workspace.touched(&trusted, base, 10).await.map(paths);
                assert_eq!(touched.expect("looks"), ["new.txt"], "{kind} as {name}");
                let left = workspace.uncommitted(&trusted, base, 10).await.map(paths);
                assert_eq!(left.expect("looks"), ["new.txt"], "{kind} as {name}");
                assert!(!victim.exists(), "{kind} as {name}");
            }
        }
        // A spare that is none, and a workspace that is somebody's directory.
        let outside = sandbox.path().join("outside");
        fs::create_dir(&outside).expect("makes");
        symlink(&outside, root.with_file_name(".spare-T9-1")).expect("links");
        symlink(&outside, root.with_file_name("T1-2")).expect("links");
        let other = Workspaces::beneath(&sandbox.state()).of(&attempt(2));
        other.create(&trusted, base, &[]).await.expect("is made");
        assert_eq!(fs::read_dir(&outside).expect("is there").count(), 0);
        assert!(other.root().symlink_metadata().expect("is there").is_dir());
        // The whole of it, behind a link.
        fs::rename(&root, outside.join("moved")).expect("is moved");
        symlink(outside.join("moved"), &root).expect("links");
        workspace.remove().expect("is removed");
        assert!(root.symlink_metadata().is_err() && outside.join("moved/tree/new.txt").exists());
    });
}

#[test]
fn what_is_brought_along_goes_through_no_link_of_the_tree() {
    bounded(async {
        let sandbox = sandbox(&[("A", "")]);
        let outside = sandbox.path().join("outside");
        fs::create_dir(&outside).expect("makes");
        symlink(&outside, sandbox.repo().join("deps")).expect("links");
        sandbox.publish(&[(".gitignore", "/local\n")], "a link to elsewhere");
        // In the person's checkout there is a directory by now.
        fs::remove_file(sandbox.repo().join("deps")).expect("removes");
        sandbox.write(&[("deps/local/file", "x")]);
        let worker = shell_worker(sandbox.path(), "worker", WORK);
        let mut policy = policy(&worker, "[setup]\nbring = [\"deps/local\"]");
        policy.limits.attempts = 1;
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        let reason = outcome.task("A").reason.clone().unwrap_or_default();
        assert!(
            reason.contains(
                "`deps/local` could not be brought along: a link or a file is in its way"
            ),
            "{reason}"
        );
        assert_eq!(fs::read_dir(&outside).expect("is there").count(), 0);
    });
}

#[test]
fn what_is_no_letter_stops_no_inbox() {
    bounded(async {
        let sandbox = sandbox(&[("A", "")]);
        let inbox = sandbox.state().join("inbox");
        fs::create_dir_all(inbox.join("directory.json/x")).expect("makes");
        make_fifo(&inbox.join("fifo.json"));
        symlink("/dev/zero", inbox.join("zero.json")).expect("links");
        let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
        assert_eq!(outcome.task("A").state, TaskState::Landed);
        assert_eq!(
            fs::read_dir(&inbox).expect("is there").count(),
            0,
            "they were thrown away"
        );
    });
}

/// Shell that makes so many hundred directories, one in the other, with a file at the end.
fn deep(hundreds: u32) -> String {
    let some = "d/".repeat(100);
    format!(
        "(i=0; while [ $i -lt {hundreds} ]; do mkdir -p {some}; cd -P {some}; i=$((i + 1)); done; echo deep > file)"
    )
}

#[test]
fn work_beneath_seven_hundred_directories_lands() {
    bounded(async {
        let sandbox = sandbox(&[("A", "allow = [\"**\"]")]);
        let gate = format!(
            "[gates.unit]\nrun = [\"test\", \"-e\", \"{}file\"]\ndefault = true",
            "d/".repeat(700)
        );
        let script = format!("{}; {WORK}", deep(7));
        let outcome = run_checked(&sandbox, builder(&sandbox, &script, &gate)).await;
        assert_eq!(
            outcome.task("A").state,
            TaskState::Landed,
            "{:#?}",
            outcome.report.snapshot
        );
        assert_eq!(
            sandbox.remote_file(&format!("{}file", "d/".repeat(700))),
            "deep"
        );
        assert_eq!(
            fs::read_dir(sandbox.state().join("attempts"))
                .expect("is there")
                .count(),
            0,
            "it is removed"
        );
        assert!(!sandbox.state().join("lane").exists());
    });
}

#[test]
fn a_commit_of_five_thousand_directories_is_refused_with_a_reason() {
    bounded(async {
        let sandbox = sandbox(&[("A", "allow = [\"**\"]")]);
        let path = format!("{}file", "d/".repeat(5000));
        let script = format!(
            "echo A > A.txt; commit work
             printf 'commit %s\\ncommitter W <w@example.org> 1700000000 +0000\\ndata 4\\ndeep\\nfrom %s\\nM 100644 inline {path}\\ndata 2\\nx\\n' \
                 $(git symbolic-ref HEAD) $(git rev-parse HEAD) | git fast-import --quiet --force
             handoff done"
        );
        let worker = shell_worker(sandbox.path(), "worker", &script);
        let mut policy = policy(&worker, "");
        policy.limits.attempts = 1;
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        assert_eq!(outcome.task("A").state, TaskState::Parked);
        let reason = outcome.task("A").reason.clone().unwrap_or_default();
        assert!(
            reason.contains("tree depth") || reason.contains("no system can lay that out"),
            "{reason}"
        );
    });
}

#[test]
fn files_beneath_five_thousand_directories_are_not_lost_and_not_in_the_way() {
    bounded(async {
        let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
        // What git cannot reach it cannot say to be clean; B works in another workspace, and its gate in a cleared lane.
        let script = format!(
            "if [ $ORCHESTRATOR_TASK = A ]; then echo A > A.txt; commit work; {}; handoff done; else {WORK}; fi",
            deep(50)
        );
        let gate = format!(
            "[gates.unit]\nrun = [\"sh\", \"-c\", \"test ! -e d; {}\"]\ndefault = true",
            deep(7)
        );
        let outcome = run_checked(&sandbox, builder(&sandbox, &script, &gate)).await;
        assert_eq!(
            [outcome.task("A").state, outcome.task("B").state],
            [TaskState::Landed; 2],
            "{:#?}",
            outcome.report.snapshot
        );
        let findings = findings(&outcome);
        assert!(
            findings.iter().any(|finding| finding.contains(UNREADABLE)),
            "{findings:?}"
        );
        let workspace = Workspaces::beneath(&sandbox.state()).of(&"A#1".parse().expect("an id"));
        assert!(
            workspace.tree().join("d/".repeat(1000)).is_dir(),
            "it stays"
        );
        assert!(
            !sandbox.state().join("lane").exists(),
            "the gate's is removed"
        );
        workspace.remove().expect("is removed");
        Workspaces::beneath(&sandbox.state())
            .clear_spares()
            .expect("are removed");
        assert_eq!(
            fs::read_dir(sandbox.state().join("attempts"))
                .expect("is there")
                .count(),
            0
        );
    });
}

/// Does it on a thread that is an ordinary user's, also where the test runs as root: nothing is closed to root.
fn as_a_user(owned: &Path, what: impl FnOnce() + Send) {
    let nobody = 65534;
    let root = rustix::process::getuid().is_root();
    if root {
        std::os::unix::fs::chown(owned, Some(nobody), Some(nobody)).expect("is given away");
    }
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            if root {
                let uid = rustix::process::Uid::from_raw(nobody);
                rustix::thread::set_thread_res_uid(uid, uid, uid).expect("becomes another user");
            }
            what();
        });
        done.join().expect("holds");
    });
}

#[test]
fn a_gates_cache_that_cannot_be_lent_is_thrown_away_and_the_next_that_lands_is_warm_again() {
    let sandbox = Sandbox::new();
    let top = sandbox.path().join("top");
    fs::create_dir(&top).expect("makes");
    as_a_user(&top, || {
        for broken in ["closed", "deep", "closed top", "fifo"] {
            let caches = GateCaches::beneath(&top);
            let exported = top.join("tree");
            let paths = ["target".parse().expect("a path")];
            let run = |task: &str, digit: &str, leaves: &str| {
                let (attempt, tree): (AttemptId, TreeId) = (
                    format!("{task}#1").parse().expect("an id"),
                    digit.repeat(40).parse().expect("an id"),
                );
                let whose = CacheOf::Attempt(attempt.clone());
                fs::create_dir(&exported).expect("makes");
                drop(caches.lend(&whose, tree, &paths, &exported));
                let warm = exported.join("target/warm").exists();
                fs::create_dir_all(exported.join("target/sub")).expect("makes");
                fs::write(exported.join("target/warm"), "").expect("writes");
                let target = exported.join("target");
                match leaves {
                    "closed" => {
                        fs::set_permissions(target.join("sub"), fs::Permissions::from_mode(0o000))
                            .expect("is closed");
                    }
                    "closed top" => fs::set_permissions(&target, fs::Permissions::from_mode(0o000))
                        .expect("is closed"),
                    "deep" => common::shell(&target, &deep(21)),
                    "fifo" => make_fifo(&target.join("fifo")),
                    _ => {}
                }
                drop(caches.take_back(&whose, &paths, &exported));
                drop(caches.settle(&attempt, Some(tree)));
                let gone = !top.join(format!("caches/{task}-1")).exists()
                    && !top.join(format!("caches/{task}-1.half")).exists();
                common::shell(&top, "chmod -R u+rwx tree; rm -rf tree");
                (warm, gone)
            };
            assert_eq!(run("A", "1", "nothing"), (false, true), "{broken}");
            assert_eq!(run("B", "2", broken), (true, true), "{broken}");
            let (_, gone) = run("C", "3", "nothing");
            assert!(gone, "{broken}: nothing of the attempt's stays");
            assert_eq!(
                run("D", "4", "nothing"),
                (true, true),
                "{broken}: warm again"
            );
            common::shell(&top, "rm -rf caches");
        }
    });
}
