//! `cargo bench -p benches` prints the figures as a table; `-- --quick` takes fewer rounds, and `--bench figures -- stream` one figure.

mod landing;
mod machine;
mod stream;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use benches::{Rounds, line, side_by_side, time};
use orchestrator_core::{
    git::{Destination, Git, Lookout, Trusted, UserRepository, Workspaces},
    model::{AttemptId, TaskId},
};
use orchestrator_testkit::Sandbox;
use tokio::runtime::Runtime;

/// Its name, and what prints it.
type Figure = (&'static str, fn(&Runtime));

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    println!("medians; the ratio is the first time divided by the second\n");
    let figures: [Figure; 7] = [
        ("heartbeat", heartbeat),
        ("dispatch", machine::dispatch),
        ("machine", machine::transitions),
        ("ledger", machine::ledger),
        ("stream", stream::stream),
        ("task", landing::one_task),
        ("tasks", landing::many_tasks),
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
