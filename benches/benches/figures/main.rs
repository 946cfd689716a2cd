//! `cargo bench -p benches` prints the figures as a table; `-- --quick` takes fewer rounds, and `--bench figures -- stream` one figure.

mod machine;
mod stream;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use benches::{Rounds, line, side_by_side, time};
use orchestrator_core::{
    driver::Orchestrator,
    git::{Destination, Git, Lookout, Trusted, UserRepository, Workspaces},
    model::{AttemptId, EndReason, Policy, RepoPath, TaskId},
};
use orchestrator_testkit::{Sandbox, git};
use tokio::runtime::Runtime;

/// Its name, and what prints it.
type Figure = (&'static str, fn(&Runtime));

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    println!("medians; the ratio is the first time divided by the second\n");
    let figures: [Figure; 6] = [
        ("heartbeat", heartbeat),
        ("dispatch", machine::dispatch),
        ("machine", machine::transitions),
        ("ledger", machine::ledger),
        ("stream", stream::stream),
        ("task", one_task),
    ];
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (_, figure) in figures.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        figure(&runtime);
    }
}

/// A repository with so many small files.
fn repository(files: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 0..files {
        let path = sandbox.repo().join(format!("dir{}/file{number}.txt", number % 20));
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes");
        fs::write(path, format!("line one\nline {number}\n")).expect("writes");
    }
    sandbox.publish(&[("ROADMAP.md", "- [ ] **T1** Do it\n")], "files");
    sandbox
}

/// One look at all workspaces when nothing has changed, beside `git status` in each of them.
fn heartbeat(runtime: &Runtime) {
    let sandbox = repository(200);
    let (base, workspaces, all) = runtime.block_on(async {
        let git = Git::find().await.expect("git");
        let user = UserRepository::open(git.clone(), &sandbox.repo()).await.expect("a repository");
        let target = "main".parse().expect("a branch");
        let trusted = Trusted::open(user, git, sandbox.path().join("trusted.git"), target, Destination::Local, &BTreeMap::new())
            .await
            .expect("opens");
        let base = trusted.fetch_target().await.expect("fetches");
        let workspaces = Workspaces::beneath(&sandbox.state());
        let mut all = Vec::new();
        for number in 1..=100 {
            let workspace = workspaces.of(&AttemptId { task: TaskId::new("T1").expect("an id"), number });
            workspace.create(&trusted, base, &[]).await.and_then(|()| workspace.seal()).expect("is made");
            all.push(workspace);
        }
        (base, workspaces, all)
    });
    for count in [100, 20, 1] {
        for workspace in &all[count..] {
            if workspace.root().exists() {
                workspace.remove().expect("is removed");
            }
        }
        let mut lookout = Lookout::new(workspaces.clone());
        assert_eq!(lookout.look(base).expect("looks").len(), count);
        let ours = || time(|| assert!(lookout.look(base).expect("looks").iter().all(|look| !look.changed)));
        let rival = || time(|| all[..count].iter().for_each(|workspace| status(&workspace.tree())));
        let (ours, rival) = side_by_side(Rounds::from_arguments(21, 3), ours, rival);
        line(&format!("heartbeat, {count} workspaces of 200 files"), ours, "git status in each, one by one", rival);
    }
}

fn status(tree: &Path) {
    let mut command = Command::new("git");
    let status = command.args(["--no-optional-locks", "status", "--porcelain=v2", "--branch"]).current_dir(tree);
    assert!(status_of(status).success());
}

fn status_of(command: &mut Command) -> std::process::ExitStatus {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("can be run")
}

const AGENT: &str = "echo done > done.txt; git add done.txt; git commit --quiet --message done";

/// What has to be done at the least: the same steps with bare git commands, in one shell.
const BARE: &str = r#"set -eu
base=$(git -C trusted.git rev-parse refs/heads/main)
git init --quiet --bare --template= attempt.git
mkdir -p attempt.git/objects/info
echo "$PWD/trusted.git/objects" > attempt.git/objects/info/alternates
git -C attempt.git update-ref refs/heads/work "$base"
git -C attempt.git worktree add --quiet "$PWD/tree" work
(cd tree && sh -c "$AGENT")
git -C trusted.git -c fetch.fsckObjects=true -c core.fsync=all fetch --quiet --no-tags ../attempt.git +refs/heads/work:refs/keep/work
git -C trusted.git fetch --quiet --no-tags ../remote.git +refs/heads/main:refs/heads/main
tip=$(git -C trusted.git rev-parse refs/heads/main)
head=$(git -C trusted.git rev-parse refs/keep/work)
git -C trusted.git diff-tree -r --raw -M "$tip" "$head" > /dev/null
tree=$(git -C trusted.git -c core.fsync=all merge-tree --write-tree "$tip" "$head")
blob=$(git -C trusted.git cat-file blob "$tree:ROADMAP.md" | sed 's/\[ \]/[x]/' | git -C trusted.git -c core.fsync=all hash-object -w --stdin)
GIT_INDEX_FILE=$PWD/index git -C trusted.git read-tree "$tree"
GIT_INDEX_FILE=$PWD/index git -C trusted.git update-index --cacheinfo "100644,$blob,ROADMAP.md"
tree=$(GIT_INDEX_FILE=$PWD/index git -C trusted.git -c core.fsync=all write-tree)
mkdir export
GIT_INDEX_FILE=$PWD/export.index git -C trusted.git read-tree "$tree"
GIT_INDEX_FILE=$PWD/export.index git --git-dir=trusted.git --work-tree=export -c core.bare=false checkout-index --all --force
(cd export && test -e done.txt)
rm -rf export
commit=$(git -C trusted.git -c core.fsync=all commit-tree -p "$tip" -p "$head" -m landed "$tree")
git -C trusted.git push --quiet "--force-with-lease=refs/heads/main:$tip" ../remote.git "$commit:refs/heads/main"
git -C tree status --porcelain > /dev/null
rm -rf tree attempt.git
"#;

/// One task with an agent that commits at once, from dispatch to clean-up, beside a script of the bare git commands.
fn one_task(runtime: &Runtime) {
    let (ours, rival) = side_by_side(Rounds::from_arguments(11, 1), || loop_once(runtime, 200), || bare_once(200));
    line("one task end to end, 200 files", ours, "the same steps with bare git", rival);
}

fn loop_once(runtime: &Runtime, files: usize) -> Duration {
    let sandbox = repository(files);
    let policy = format!(
        "push = \"origin\"\n[agents.a]\nkind = \"command\"\nrun = [\"sh\", \"-c\", {AGENT:?}]\n\
         [gates.done]\nrun = [\"test\", \"-e\", \"done.txt\"]\ndefault = true\n"
    );
    let roadmap: RepoPath = "ROADMAP.md".parse().expect("a path");
    let orchestrator = runtime.block_on(async {
        let builder = Orchestrator::builder().repository(sandbox.repo()).state_dir(sandbox.state()).roadmap(roadmap);
        builder.policy(Policy::parse(&policy).expect("a valid policy")).build().await.expect("builds")
    });
    time(|| {
        let report = runtime.block_on(orchestrator.run()).expect("runs");
        assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
    })
}

fn bare_once(files: usize) -> Duration {
    let sandbox = repository(files);
    git(sandbox.path(), &["clone", "--quiet", "--bare", "--no-local", "remote.git", "trusted.git"]);
    for (key, value) in [("user.name", "Test"), ("user.email", "test@example.org")] {
        git(&sandbox.path().join("trusted.git"), &["config", key, value]);
    }
    let mut script = Command::new("sh");
    script.args(["-c", BARE]).current_dir(sandbox.path()).env("AGENT", AGENT);
    for (key, value) in
        [("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@b"), ("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@b")]
    {
        script.env(key, value);
    }
    let took = time(|| assert!(script.stdin(Stdio::null()).status().expect("sh can be run").success(), "the script ran"));
    assert!(sandbox.remote_file("ROADMAP.md").contains("[x]"));
    took
}
