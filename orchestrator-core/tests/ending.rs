//! A run that is told to end does so, whatever does not come back.

mod common;

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::{Live, WORK, policy, sandbox};
use orchestrator_core::{
    driver::Orchestrator,
    model::{BackendName, EndReason, Record},
    port::{
        AgentBackend, AgentError, Capabilities, Probe, Turn, TurnControl, TurnInput, TurnRequest,
        Update,
    },
};
use orchestrator_testkit::shell_worker;

/// An agent that cannot be stopped: whoever tells it to waits for ever.
#[derive(Debug)]
struct Deaf;

#[async_trait]
impl AgentBackend for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        Ok(Probe::found(None))
    }

    async fn start(&self, _: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Turn for Deaf {
    async fn next(&mut self) -> Option<Update> {
        pending().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::new(Self)
    }
}

#[async_trait]
impl TurnControl for Deaf {
    async fn send(&self, _: TurnInput) -> Result<(), AgentError> {
        Ok(())
    }

    async fn stop(&self, _: Duration) {
        pending::<()>().await;
    }
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_is_named_and_no_longer_waited_for() {
    let sandbox = sandbox(&[("A", "agent = \"deaf\"")]);
    let worker = shell_worker(sandbox.path(), "worker", WORK);
    let deaf: BackendName = "deaf".parse().expect("a name");
    let builder = Orchestrator::builder()
        .policy(policy(&worker, ""))
        .backend(deaf, Arc::new(Deaf));
    let mut live = Live::start(&sandbox, builder).await;
    live.recorded(|record| matches!(record, Record::Requested { what, .. } if format!("{what:?}").starts_with("RunTurn"))).await;
    // Its turn has been begun when the heartbeat has seen it.
    live.recorded(|record| matches!(record, Record::PulseSeen { .. }))
        .await;
    let began = Instant::now();
    assert!(live.handle.stop().await);
    let outcome = live.end().await;
    assert_eq!(outcome.report.ended, EndReason::Stopped);
    assert_eq!(
        outcome.report.abandoned,
        ["the agent of A#1, which was told to stop"]
    );
    println!("it ended {:?} after it was told to", began.elapsed());
}
