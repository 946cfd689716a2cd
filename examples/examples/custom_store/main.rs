//! Ledger and evidence where your other data is: here, in SQLite.
//!
//! ```text
//! cargo run --example custom_store
//! ```
//!
//! The store is in `sqlite.rs`, and is held against the contracts of its two ports in `tests/custom.rs`.

mod sqlite;

use std::{error::Error, sync::Arc};

use orchestrator_core::{
    Orchestrator, Policy,
    driver::fold_ledger,
    status::{Snapshot, table},
};
use orchestrator_testkit::{Sandbox, shell_worker};
use sqlite::SqliteStore;

const ROADMAP: &str = "- [ ] **A1** Say hello\n  ```toml\n  allow = [\"hello.txt\"]\n  ```\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    let script = "echo hello > hello.txt; commit A1; handoff done";
    let run = shell_worker(sandbox.path(), "worker", script);
    let policy = format!("push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {run:?}\n");
    let database = sandbox.path().join("night.sqlite");
    let store = Arc::new(SqliteStore::connect(&database)?);
    let report = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(Policy::parse(&policy)?)
        .roadmap("ROADMAP.md".parse()?)
        .ledger(store.clone())
        .evidence(store)
        .build()
        .await?
        .run()
        .await?;
    println!("{}", report.ended);

    // Another process would see the same.
    let (state, _) = fold_ledger(&SqliteStore::connect(&database)?).await?;
    let snapshot = Snapshot::of(&state);
    println!("{}", table(&snapshot));
    if snapshot.all_landed() {
        Ok(())
    } else {
        Err("it did not land".into())
    }
}
