//! One night of 30 tasks with the real Claude Code and the real Codex, against a scripted model on
//! loopback: each reaches a usage limit, a service is away, a login is lost, and the orchestrator
//! is restarted twice, once in order and once killed. Each fault comes where a worker has committed
//! step 1 of 3. In the morning the ledger, the target's history and the server's log must show that
//! no incomplete work has landed, that no attempt was lost, and that one question was asked.

#[path = "../common/mod.rs"]
mod common;
mod model;
mod morning;
mod person;
mod stage;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use orchestrator_testkit::{RealAgent, real_agent_main};

use crate::{
    model::{Event, Fault},
    person::Person,
    stage::{Stage, Watched},
};

/// A night that takes longer hangs. It takes half a minute on two idle cores, and up to a minute
/// more for the reset of Codex's limit, which Codex tells to the minute.
const DEADLINE: Duration = Duration::from_secs(360);

fn main() -> ExitCode {
    real_agent_main(
        &[
            (
                "ORCHESTRATOR_TEST_CLAUDE",
                "npm install --prefix DIR @anthropic-ai/claude-code-linux-x64@2.1.330, then DIR/node_modules/@anthropic-ai/claude-code-linux-x64/claude",
            ),
            (
                "ORCHESTRATOR_TEST_CODEX",
                "npm install --prefix DIR @openai/codex@0.169.0, then DIR/node_modules/@openai/codex/bin/codex.js",
            ),
        ],
        &[("night_of_30_tasks", night_of_30_tasks)],
    )
}

fn night_of_30_tasks(agent: &RealAgent) {
    let stage = Stage::new(agent);
    let began = Instant::now();
    let mut person = Person::default();
    let mut run = Watched::start(&stage, 1);
    loop {
        let left = DEADLINE.saturating_sub(began.elapsed());
        match stage.events.recv_timeout(left) {
            Ok(Event::Fault(Fault::Stop)) => {
                run = run.stopped(&stage);
                stage.model.is_known();
            }
            Ok(Event::Fault(Fault::Kill)) => {
                run = run.killed(&stage);
                stage.model.is_known();
            }
            Ok(Event::Fault(_)) => {}
            Ok(Event::Said { run: number, line }) if number == run.number => {
                run.said.push(line);
                person.looks_at(&stage);
            }
            Ok(Event::Over { run: number }) if number == run.number => break,
            // Of a run that was stopped or killed.
            Ok(Event::Said { .. } | Event::Over { .. }) => {}
            Err(_) => {
                stage.keep(&run.said);
                let status = stage.supervise(&["status"]);
                let status = String::from_utf8_lossy(&status.stdout);
                panic!("it hangs: {}\n{status}", run.said.join("\n"))
            }
        }
    }
    let status = run.process.wait().expect("it is waited for");
    println!("the night took {:?}", began.elapsed());
    stage.keep(&run.said);
    morning::comes(&stage, status.code(), &run.said);
}
