//! A turn of a program, as the loop holds it: its updates, and the way to stop it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    port::{AgentError, Turn, TurnControl, TurnInput, Update},
    process::Killer,
};

/// A turn of a program.
#[derive(Debug)]
pub(super) struct ProcessTurn {
    pub(super) queue: mpsc::Receiver<Update>,
    pub(super) control: Arc<Control>,
    /// Owns the child; aborting it drops the child, which kills it.
    pub(super) pump: JoinHandle<()>,
}

#[async_trait]
impl Turn for ProcessTurn {
    async fn next(&mut self) -> Option<Update> {
        self.queue.recv().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.control) as Arc<dyn TurnControl>
    }
}

impl Drop for ProcessTurn {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// What the pump is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    Say(TurnInput, oneshot::Sender<Result<(), AgentError>>),
    /// Answered with whether the program was asked to end in its own words.
    Interrupt(oneshot::Sender<bool>),
}

/// What can be done to a turn while it runs.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) killer: Killer,
    pub(super) stopping: AtomicBool,
    /// The program's end was noticed, and the turn's follows.
    pub(super) exited: AtomicBool,
    pub(super) over: watch::Receiver<bool>,
    pub(super) commands: mpsc::Sender<Order>,
}

#[async_trait]
impl TurnControl for Control {
    async fn send(&self, input: TurnInput) -> Result<(), AgentError> {
        let (answer, heard) = oneshot::channel();
        // A turn that is over hears nothing, and that is no failure.
        if self.commands.send(Order::Say(input, answer)).await.is_err() {
            return Ok(());
        }
        heard.await.unwrap_or(Ok(()))
    }

    fn is_alive(&self) -> Option<bool> {
        (!self.exited.load(Ordering::Acquire)).then(|| self.killer.is_alive())
    }

    async fn stop(&self, grace: Duration) {
        let mut over = self.over.clone();
        if *over.borrow() {
            return;
        }
        self.stopping.store(true, Ordering::Release);
        let until = Instant::now() + grace;
        let mut politely = async || {
            let (answer, heard) = oneshot::channel();
            let asked = self.commands.send(Order::Interrupt(answer)).await.is_ok()
                && heard.await.unwrap_or(false);
            asked && over.wait_for(|over| *over).await.is_ok()
        };
        let times = if grace.is_zero() { 0 } else { 2 };
        for _ in 0..times {
            match tokio::time::timeout(grace / 4, politely()).await {
                Ok(true) => return,
                // It cannot be asked.
                Ok(false) => break,
                Err(_) => {}
            }
        }
        self.killer
            .stop(until.saturating_duration_since(Instant::now()))
            .await;
    }
}
