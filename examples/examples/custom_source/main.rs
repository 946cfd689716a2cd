//! A roadmap in a format of your own: here, a file with a line for each task.
//!
//! ```text
//! cargo run --example custom_source
//! ```
//!
//! The source is in `csv.rs`, and is held against the contract of its port in `tests/custom.rs`.

#[path = "csv.rs"]
mod csv;

use std::{error::Error, sync::Arc};

use csv::CsvRoadmap;
use orchestrator_core::{CommandAgent, Orchestrator, Policy, model::BackendName, status::table};
use orchestrator_testkit::{Sandbox, shell_worker};

const TASKS: &str = "A1;Say hello;hello.txt;open\nB2;Say goodbye;goodbye.txt;open\n";
const WORKER: &str = r#"
case $ORCHESTRATOR_TASK in A1) echo hello > hello.txt ;; B2) echo goodbye > goodbye.txt ;; esac
commit "$ORCHESTRATOR_TASK"
handoff done
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("tasks.csv", TASKS)], "tasks");
    let run = shell_worker(sandbox.path(), "worker", WORKER);
    let source = Arc::new(CsvRoadmap::new("tasks.csv".parse()?));
    let report = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(Policy::parse("push = \"origin\"\nmax_sessions = 2")?)
        .source(source.clone())
        .backend(
            BackendName::new("worker")?,
            Arc::new(CommandAgent::new(&run[0], &run[1..])),
        )
        .build()
        .await?
        .run()
        .await?;
    println!("{}\n{}", report.ended, table(&report.snapshot));
    source
        .reports()
        .iter()
        .for_each(|told| println!("reported: {told}"));
    println!(
        "\ntasks.csv on the remote's main:\n{}",
        sandbox.remote_file("tasks.csv")
    );
    if report.snapshot.all_landed() {
        Ok(())
    } else {
        Err("it did not land".into())
    }
}
