//! A run that is told to end does so, whatever does not come back.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use orchestrator_core::{
    driver::Orchestrator,
    model::{BackendName, EndReason, Record, TurnOutcome, TurnUsage, Usage},
    port::{
        AgentBackend, AgentError, Capabilities, Probe, Turn, TurnControl, TurnInput, TurnRequest,
        Update,
    },
};
use orchestrator_testkit::shell_worker;
use tokio::sync::Notify;

use crate::common::{Live, WORK, policy, sandbox};

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

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
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

    fn is_alive(&self) -> Option<bool> {
        None
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

/// An agent that works until it is stopped, and then says what it has used.
#[derive(Debug, Default)]
struct Endless {
    /// Notified when a turn works.
    works: Arc<Notify>,
    stopped: Arc<Stopped>,
}

#[derive(Debug, Default)]
struct Stopped(Notify);

/// A turn of it, with what it says yet.
#[derive(Debug)]
struct EndlessTurn {
    works: Arc<Notify>,
    stopped: Arc<Stopped>,
    last: Vec<Update>,
}

fn used() -> TurnUsage {
    TurnUsage::told(Usage {
        input_tokens: 300,
        output_tokens: 20,
        ..Usage::default()
    })
}

#[async_trait]
impl AgentBackend for Endless {
    fn name(&self) -> &'static str {
        "endless"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        Ok(Probe::found(None))
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, _: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let outcome = TurnOutcome::Stopped;
        Ok(Box::new(EndlessTurn {
            works: Arc::clone(&self.works),
            stopped: Arc::clone(&self.stopped),
            last: vec![Update::Ended { outcome }, Update::Usage(used())],
        }))
    }
}

#[async_trait]
impl Turn for EndlessTurn {
    async fn next(&mut self) -> Option<Update> {
        if self.last.len() == 2 {
            self.works.notify_one();
            self.stopped.0.notified().await;
        }
        self.last.pop()
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.stopped) as Arc<dyn TurnControl>
    }
}

#[async_trait]
impl TurnControl for Stopped {
    async fn send(&self, _: TurnInput) -> Result<(), AgentError> {
        Ok(())
    }

    fn is_alive(&self) -> Option<bool> {
        None
    }

    async fn stop(&self, _: Duration) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_turn_that_the_end_of_the_run_stops_is_interrupted_and_says_what_it_used() {
    let sandbox = sandbox(&[("A", "agent = \"endless\"")]);
    let worker = shell_worker(sandbox.path(), "worker", WORK);
    let endless: BackendName = "endless".parse().expect("a name");
    let agent = Endless::default();
    let works = Arc::clone(&agent.works);
    let builder = Orchestrator::builder()
        .policy(policy(&worker, ""))
        .backend(endless, Arc::new(agent));
    let live = Live::start(&sandbox, builder).await;
    works.notified().await;
    assert!(live.handle.stop().await);
    let outcome = live.end().await;
    assert_eq!(outcome.report.ended, EndReason::Stopped);
    let ended: Vec<_> = outcome
        .records()
        .filter_map(|record| match record {
            Record::TurnEnded { outcome, usage, .. } => Some((outcome.clone(), usage.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [(TurnOutcome::Interrupted, used())]);
    assert!(outcome.report.abandoned.is_empty());
}
