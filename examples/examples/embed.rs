//! The paved path: one task, from code, on the repository in the current directory.
//!
//! ```text
//! cargo run --example embed -- REPOSITORY PROGRAM [ARGS...]
//! ```
//!
//! The program is any agent that keeps the command protocol: prompt on standard input, work committed in the current
//! directory, handoff written to `$ORCHESTRATOR_HANDOFF`.

use std::{error::Error, sync::Arc};

use orchestrator_core::{
    agent::CommandAgent,
    driver::Orchestrator,
    model::{BackendName, Policy, Task, TaskId},
    source::TaskList,
    status::table,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(repository), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed REPOSITORY PROGRAM [ARGS...]".into());
    };

    let task = Task::new(TaskId::new("T1")?, "Add a changelog")
        .with_text("Begin a CHANGELOG.md with an empty section `Unreleased`.");
    let policy = Policy::parse(
        r#"
            push = false
            [gates.changelog]
            run = ["grep", "-q", "Unreleased", "CHANGELOG.md"]
            default = true
        "#,
    )?;

    let orchestrator = Orchestrator::builder()
        .repository(repository)
        .policy(policy)
        .source(Arc::new(TaskList::new([task])))
        .backend(
            BackendName::new("my-agent")?,
            Arc::new(CommandAgent::new(program, arguments)),
        )
        .build()
        .await?;

    let report = orchestrator.run().await?;
    println!("{}\n{}", report.ended, table(&report.snapshot));
    Ok(())
}
