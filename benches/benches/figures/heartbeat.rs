//! Looking at workspaces: all of them at a heartbeat, and one of them whole.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use benches::{line, median, side_by_side, sized, time};
use orchestrator_core::{
    git::{Destination, Git, Lookout, Trusted, UserRepository, Workspace, Workspaces},
    model::{AttemptId, CommitId, TaskId},
};
use orchestrator_testkit::Sandbox;
use tokio::runtime::Runtime;

use super::{COMMITTER, repository, two_at_a_time};

/// Workspaces of one repository, on one base.
struct Stage {
    _sandbox: Sandbox,
    trusted: Trusted,
    base: CommitId,
    workspaces: Workspaces,
    all: Vec<Workspace>,
}

impl Stage {
    fn new(runtime: &Runtime, files: usize, count: u32) -> Self {
        let sandbox = repository(files);
        runtime.block_on(async {
            let git = Git::find().await.expect("git");
            let user = UserRepository::open(git.clone(), &sandbox.repo())
                .await
                .expect("a repository");
            let (target, place) = (
                "main".parse().expect("a branch"),
                sandbox.path().join("trusted.git"),
            );
            let trusted = Trusted::open(
                user,
                git,
                place,
                target,
                Destination::Local,
                &BTreeMap::new(),
            )
            .await
            .expect("opens");
            let base = trusted.fetch_target().await.expect("fetches");
            let workspaces = Workspaces::beneath(&sandbox.state());
            let mut all = Vec::new();
            for number in 1..=count {
                let workspace = workspaces.of(&AttemptId {
                    task: TaskId::new("T1").expect("an id"),
                    number,
                });
                workspace
                    .create(&trusted, base, &[])
                    .await
                    .and_then(|()| workspace.seal())
                    .expect("is made");
                all.push(workspace);
            }
            Self {
                _sandbox: sandbox,
                trusted,
                base,
                workspaces,
                all,
            }
        })
    }

    /// As few as this.
    fn reduce(&mut self, count: usize) {
        self.all
            .drain(count..)
            .for_each(|workspace| workspace.remove().expect("is removed"));
        // A directory that was written this moment is listed anew at each look.
        std::thread::sleep(Duration::from_secs(3));
    }

    /// A commit on the base.
    fn commit(&self) -> CommitId {
        let mut command = Command::new("git");
        command.args([
            "commit-tree",
            "-p",
            &self.base.to_string(),
            "-m",
            "work",
            &format!("{}^{{tree}}", self.base),
        ]);
        let made = command
            .envs(COMMITTER)
            .current_dir(self.trusted.dir())
            .output()
            .expect("git");
        String::from_utf8(made.stdout)
            .expect("text")
            .trim_end()
            .parse()
            .expect("an id")
    }
}

/// One look at all workspaces, when nothing has changed and when one in twenty has a new head, beside `git status` in each of
/// them and beside the bare stats that a look needs.
pub(crate) fn heartbeat(runtime: &Runtime) {
    let counts: &[usize] = &[500, 100, 20, 1];
    let sizes: [(usize, &[usize]); 2] = sized(
        [(200, counts), (5_000, counts)],
        [(200, &[20, 1]), (1_000, &[1])],
    );
    for (files, counts) in sizes {
        let mut stage = Stage::new(
            runtime,
            files,
            u32::try_from(counts[0]).expect("some hundreds"),
        );
        for count in counts {
            stage.reduce(*count);
            look_at_all(&stage, files);
            if *count <= 100 {
                full_look(runtime, &stage, files);
            }
        }
    }
}

fn look_at_all(stage: &Stage, files: usize) {
    let (base, count) = (stage.base, stage.all.len());
    let mut lookout = Lookout::new(stage.workspaces.clone(), stage.trusted.objects().clone());
    assert_eq!(lookout.look().expect("looks").len(), count);
    let name = format!("heartbeat, {count} of {files} files");
    let mut unchanged = || {
        time(|| {
            assert!(
                lookout
                    .look()
                    .expect("looks")
                    .iter()
                    .all(|look| !look.changed)
            );
        })
    };
    let trees: Vec<_> = stage.all.iter().map(Workspace::tree).collect();
    let one_by_one = || time(|| trees.iter().for_each(|tree| status(tree)));
    // Where git looks at millions of files, once is enough.
    let rounds = if count * files > 1_000_000 {
        1
    } else {
        sized(7, 1)
    };
    let (ours, rival) = side_by_side(rounds, &mut unchanged, one_by_one);
    line(&name, ours, "git status in each, one by one", rival);
    let two = || time(|| two_at_a_time(&trees, |tree: &PathBuf| status(tree)));
    let (ours, rival) = side_by_side(rounds, &mut unchanged, two);
    line(&name, ours, "git status in each, two at a time", rival);
    let needed: Vec<_> = stage.all.iter().flat_map(needed).collect();
    let stats = || {
        time(|| {
            assert!(
                needed
                    .iter()
                    .filter(|path| path.symlink_metadata().is_ok())
                    .count()
                    >= count
            );
        })
    };
    let (ours, rival) = side_by_side(sized(101, 3), &mut unchanged, stats);
    line(&name, ours, "stats of HEAD, ref, packed-refs, index", rival);

    let (new, few) = (stage.commit(), count.div_ceil(20));
    let refs: Vec<_> = stage
        .all
        .iter()
        .map(|one| one.repository().join(one.attempt.branch().full()))
        .collect();
    let mut moved = Vec::new();
    for round in 0..sized(11_usize, 1) {
        let to = if round.is_multiple_of(2) { new } else { base };
        refs[..few]
            .iter()
            .for_each(|place| fs::write(place, format!("{to}\n")).expect("writes"));
        moved.push(time(|| {
            let looks = lookout.look().expect("looks");
            assert_eq!(looks.iter().filter(|look| look.changed).count(), few);
            // Back at the base, it lacks the commit that it had.
            let lacks = to == base && round > 0;
            assert!(
                looks[..]
                    .iter()
                    .filter(|look| look.changed)
                    .all(|look| look.head == Some(to) && look.rewritten == lacks)
            );
        }));
    }
    refs[..few]
        .iter()
        .for_each(|place| fs::write(place, format!("{base}\n")).expect("writes"));
    line(
        &format!("{name}, {few} with a new head"),
        median(moved),
        "nothing changed",
        ours,
    );
}

/// A full look at each: what differs from a commit, untracked files included; beside git, and beside a bare stat of each file.
fn full_look(runtime: &Runtime, stage: &Stage, files: usize) {
    let trees: Vec<_> = stage.all.iter().map(Workspace::tree).collect();
    let halves = || stage.all.split_at(stage.all.len() / 2);
    let look = async |workspaces: &[Workspace]| {
        for workspace in workspaces {
            let paths = workspace
                .uncommitted(&stage.trusted, stage.base, 100)
                .await
                .expect("looks");
            assert!(paths.is_empty(), "{paths:?}");
        }
    };
    let ours = || {
        time(|| {
            runtime.block_on(async { tokio::join!(look(halves().0), look(halves().1)) });
        })
    };
    let name = format!("full look at {} of {files} files", trees.len());
    let (took, rival) = side_by_side(sized(7, 1), ours, || {
        time(|| two_at_a_time(&trees, |tree: &PathBuf| status(tree)))
    });
    line(&name, took, "git status, two at a time", rival);
    #[cfg(feature = "gix")]
    {
        let opened: Vec<_> = trees.iter().map(|tree| open_with_gix(tree)).collect();
        let look = || time(|| two_at_a_time(&opened, status_by_gix));
        let (took, rival) = side_by_side(sized(7, 1), ours, look);
        line(&name, took, "gix status, kept open, two at a time", rival);
    }
    let tree = stage.trusted.tree_of(stage.base).expect("is there");
    let paths = stage
        .trusted
        .objects()
        .shape(tree)
        .expect("is listed")
        .paths;
    let stats = |tree: &Path| {
        assert!(
            paths
                .iter()
                .all(|path| tree.join(path.to_path()).symlink_metadata().is_ok())
        );
    };
    let (took, rival) = side_by_side(sized(7, 1), ours, || {
        time(|| two_at_a_time(&trees, |tree: &PathBuf| stats(tree)))
    });
    line(
        &name,
        took,
        "a bare stat of each file, two at a time",
        rival,
    );
}

/// What a look must at least stat.
fn needed(workspace: &Workspace) -> [PathBuf; 4] {
    let repository = workspace.repository();
    [
        repository.join("worktrees/tree/HEAD"),
        repository.join(workspace.attempt.branch().full()),
        repository.join("packed-refs"),
        repository.join("worktrees/tree/index"),
    ]
}

#[cfg(feature = "gix")]
fn open_with_gix(tree: &Path) -> gix::ThreadSafeRepository {
    gix::ThreadSafeRepository::open_opts(tree, gix::open::Options::isolated())
        .expect("gix opens it")
}

/// Its whole status: head, index and files, untracked ones included.
#[cfg(feature = "gix")]
fn status_by_gix(repository: &gix::ThreadSafeRepository) {
    let repository = repository.to_thread_local();
    let status = repository
        .status(gix::progress::Discard)
        .expect("a worktree");
    // Two run at a time.
    let status = status.index_worktree_options_mut(|options| options.thread_limit = Some(1));
    assert!(status.into_iter(None).expect("looks").next().is_none());
}

fn status(tree: &Path) {
    let mut command = Command::new("git");
    command
        .args([
            "--no-optional-locks",
            "status",
            "--porcelain=v2",
            "--branch",
        ])
        .current_dir(tree);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("can be run").success());
}
