//! A whole backend for an agent that the project has never heard of, in `parrot.rs`, the kind by which a policy names it, and a
//! task that it does.
//!
//! ```text
//! cargo run --example custom_backend
//! ```
//!
//! `parrot` is a shell script here. That the backend keeps the contract of its port is tested in `tests/custom.rs`, by one macro.

#[path = "parrot.rs"]
mod parrot;

use std::{error::Error, sync::Arc};

use orchestrator_core::{
    Orchestrator, Policy, Task, TaskId, TaskList, agent::AgentKinds, model::ContractKeys,
    status::table,
};
use orchestrator_testkit::Sandbox;
use parrot::Parrot;

/// It does whatever it is told to do: nothing that it has not been taught.
const PARROT: &str = r#"#!/bin/sh
[ "$1" = --version ] && echo 1.4.2 && exit
say() { printf '%s\n' "$1"; }
read -r prompt
say '{"type":"session","id":"p-1"}'
say '{"type":"text","text":"I greet."}'
say '{"type":"tool","id":"t1","name":"shell"}'
echo hello > hello.txt && git add hello.txt && git commit --quiet --message 'Greet'
say '{"type":"tool_end","id":"t1"}'
say '{"type":"cost","read":70,"written":5,"usd":0.01}'
say '{"type":"end","handoff":{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"it greets"}}'
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A repository with a remote, in a temporary directory.
    let sandbox = Sandbox::new();
    let program = sandbox.path().join("parrot");
    std::fs::write(&program, PARROT)?;
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;

    let keys = ContractKeys {
        allow: Some(vec!["hello.txt".parse()?]),
        ..ContractKeys::default()
    };
    let task = Task::new(TaskId::new("T1")?, "Say hello").with_keys(keys);
    let policy = format!(
        r#"
        push = "origin"

        [agents.polly]
        kind = "parrot"
        program = {program:?}

        [gates.greets]
        run = ["grep", "-q", "hello", "hello.txt"]
        default = true
        "#
    );
    let kinds = AgentKinds::new().register("parrot", Parrot::from_settings)?;
    let report = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(Policy::parse(&policy)?)
        .agent_kinds(kinds)
        .source(Arc::new(TaskList::new([task])))
        .build()
        .await?
        .run()
        .await?;
    println!("{}\n{}", report.ended, table(&report.snapshot));
    println!(
        "The remote's main: {}",
        sandbox.remote_subjects().join(", ")
    );
    if report.snapshot.all_landed() {
        Ok(())
    } else {
        Err("it did not land".into())
    }
}
