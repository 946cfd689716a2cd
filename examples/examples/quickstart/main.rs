//! The main job in a minute: a roadmap of nine tasks in two packages, on a repository made for the purpose, with agents that do
//! what agents do on an ordinary day.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! In a temporary directory it makes a bare remote, a clone of it, and a small project with a roadmap. The agent is this very
//! program, started again as a real process for each turn: it edits, commits, and leaves a handoff, or fails to in one of the
//! ways that the roadmap names. Nothing of yours is read or written.

mod project;
mod worker;

use std::{error::Error, io};

use examples::print;
use orchestrator_core::{
    driver::{Orchestrator, OrchestratorBuilder},
    model::{EndReason, Policy, RepoPath},
    status::{TaskState, table},
};
use project::{Project, git};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    match show().await {
        // Whoever read this has had enough.
        Err(error) if is_broken_pipe(&*error) => std::process::exit(examples::NOBODY_READS.into()),
        result => result,
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn show() -> Result<()> {
    if let Ok(task) = std::env::var("ORCHESTRATOR_TASK") {
        return worker::work(&task);
    }
    let directory = tempfile::tempdir()?;
    let project = Project::make(directory.path())?;

    print(&format!(
        "Nine tasks, and what happens to each:\n\n{}\nThe plan:\n\n",
        project::PROGRAMME
    ))?;
    for task in builder(&project)?.plan().await? {
        print(&format!("  {} {}: {}\n", task.id, task.title, task.what))?;
    }
    print("\n")?;

    let orchestrator = builder(&project)?.build().await?;
    let view = tokio::spawn(examples::show(orchestrator.handle().subscribe()));
    let report = orchestrator.run().await?;
    view.await?;

    print(&format!(
        "\nThe run ended: {}.\n\n{}\n",
        report.ended,
        table(&report.snapshot)
    ))?;
    let log = git(
        &project.remote,
        &["log", "--graph", "--format=%h %s", "main"],
    )?;
    print(&format!(
        "The remote's main:\n\n{log}\n{}",
        examples::holds(&report.snapshot)
    ))?;
    print(
        "\n(The directory goes with this program. On a repository of yours: cargo run --example supervise -- run --help)\n",
    )?;

    // All but the one that needs a printer.
    let landed = report
        .snapshot
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Landed)
        .count();
    if report.ended == EndReason::WaitingForAPerson && landed == 8 {
        Ok(())
    } else {
        Err("not everything went as planned".into())
    }
}

fn builder(project: &Project) -> Result<OrchestratorBuilder> {
    let (this, remote) = (std::env::current_exe()?, &project.remote);
    let policy = format!(
        r#"
            push = "origin"
            max_sessions = 3
            [agents.scripted]
            kind = "command"
            run = [{this:?}, {remote:?}]
            [gates.consistent]
            run = ["sh", "check.sh"]
            default = true
            [defaults]
            forbid = ["check.sh"]
            [limits]
            backoff = "100ms"
        "#
    );
    Ok(Orchestrator::builder()
        .repository(&project.repository)
        .state_dir(&project.state)
        .policy(Policy::parse(&policy)?)
        .roadmap("ROADMAP.md".parse::<RepoPath>()?))
}
