//! A reviewer of your own beside those in the box: what it calls an error goes back to the worker.
//!
//! ```text
//! cargo run --example custom_reviewer
//! ```
//!
//! The reviewer is in `todos.rs`, and is held against the contract of its port in `tests/custom.rs`.

#[path = "todos.rs"]
mod todos;

use std::{error::Error, sync::Arc};

use orchestrator_core::{
    CommandAgent, Orchestrator, Policy, Task, TaskId, TaskList,
    model::{BackendName, Record, Verdict},
    port::{Ledger as _, Sequence},
    review,
    status::table,
    store::MemoryLedger,
};
use orchestrator_testkit::{Sandbox, shell_worker};
use todos::OwnedTodos;

/// Careless at first; it mends what it is told to mend.
const WORKER: &str = r#"
case $ORCHESTRATOR_TURN in
1) echo '# TODO: say goodbye as well' > hello.txt ;;
*) echo '# TODO(T2): say goodbye as well' > hello.txt ;;
esac
echo hello >> hello.txt
commit "greet, turn $ORCHESTRATOR_TURN"
handoff done
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::new();
    let run = shell_worker(sandbox.path(), "worker", WORKER);
    let ledger = Arc::new(MemoryLedger::default());
    let mut reviewers = review::standard();
    reviewers.push(Arc::new(OwnedTodos));
    let report = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(Policy::parse(
            "push = \"origin\"\n[gates.greets]\nrun = [\"grep\", \"-q\", \"hello\", \"hello.txt\"]\ndefault = true",
        )?)
        .source(Arc::new(TaskList::new([Task::new(TaskId::new("T1")?, "Say hello")])))
        .backend(BackendName::new("worker")?, Arc::new(CommandAgent::new(&run[0], &run[1..])))
        .reviewers(reviewers)
        .ledger(ledger.clone())
        .build()
        .await?
        .run()
        .await?;
    for entry in ledger.read(Sequence(1), usize::MAX).await? {
        if let Record::Judged {
            verdict: Verdict::Revise { findings },
            ..
        } = entry.record
        {
            findings
                .iter()
                .for_each(|finding| println!("sent back: {finding}"));
        }
    }
    println!("{}\n{}", report.ended, table(&report.snapshot));
    if report.snapshot.all_landed() {
        Ok(())
    } else {
        Err("it did not land".into())
    }
}
