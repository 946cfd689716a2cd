//! Speaking to a run, and listening to it.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::{
    Command, WorkspaceFault,
    step::{LongStep, Stage},
};
use crate::{
    git::Look,
    model::{Answer, AttemptId, RepoPath, RunMode, Timestamp},
    port::LedgerEntry,
    status::Snapshot,
};

/// What subscribers hear.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// Something was decided, and is in the ledger.
    Recorded(Arc<LedgerEntry>),
    /// An agent said something.
    Activity {
        /// Which attempt's.
        attempt: AttemptId,
        /// A line.
        text: String,
    },
    /// A heartbeat looked at the workspaces.
    Heartbeat {
        /// One for each workspace that was found.
        looks: Arc<Vec<Look>>,
    },
    /// A heartbeat found a workspace not as it was lent. Told when it becomes so.
    Observed {
        /// Whose.
        attempt: AttemptId,
        /// What.
        what: WorkspaceFault,
    },
    /// There was no heartbeat for much longer than there should be.
    Gap {
        /// When the last one was.
        since: Timestamp,
        /// How many were missed.
        missed: u64,
        /// Whether the clock jumped meanwhile, which is recorded as well: the machine slept, or its
        /// clock was set. Else the cause is not known, such as a machine that was too busy.
        jumped: bool,
    },
    /// A run that had not ended was taken up again: there was no orchestrator meanwhile.
    NotRunning {
        /// When the last record of the one before was written: it ran until then at least.
        from: Timestamp,
        /// When this one began.
        to: Timestamp,
    },
    /// A worker touches, in a commit or not, what another open attempt touches or may change. Told once for each path of two
    /// attempts; nothing follows from it but a conflict, perhaps.
    Drift {
        /// Who touches it.
        attempt: AttemptId,
        /// Whose it is as well.
        towards: AttemptId,
        /// What.
        paths: Vec<RepoPath>,
    },
    /// How far something is that we do ourselves, such as a gate.
    Progress {
        /// For which attempt, if it is for one.
        attempt: Option<AttemptId>,
        /// What.
        step: LongStep,
        /// How far.
        stage: Stage,
    },
    /// Something that a person should know, and that stops nothing.
    Warning(String),
}

/// What a handle asks of the run.
#[derive(Debug)]
pub(super) enum Request {
    Command(Command),
    Snapshot(oneshot::Sender<Snapshot>),
}

/// Speaks to a run from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) notices: broadcast::Sender<Notice>,
}

impl Handle {
    /// Finish what runs, start nothing new. False when the run is over.
    pub async fn drain(&self) -> bool {
        self.command(Command::Mode(RunMode::Drain)).await
    }

    /// Start nothing, and no new turn either. False when the run is over.
    pub async fn pause(&self) -> bool {
        self.command(Command::Mode(RunMode::Paused)).await
    }

    /// Go on. False when the run is over.
    pub async fn resume(&self) -> bool {
        self.command(Command::Mode(RunMode::Active)).await
    }

    /// Answers a hold. False when the run is over.
    pub async fn answer(&self, answer: Answer) -> bool {
        self.command(Command::Answer(answer)).await
    }

    /// Ends the run at once: agents are stopped, what is in flight goes on at the next start. False when the run is over.
    pub async fn stop(&self) -> bool {
        self.command(Command::Stop).await
    }

    async fn command(&self, command: Command) -> bool {
        self.requests.send(Request::Command(command)).await.is_ok()
    }

    /// How everything stands; `None` when the run is over.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (reply, snapshot) = oneshot::channel();
        self.requests.send(Request::Snapshot(reply)).await.ok()?;
        snapshot.await.ok()
    }

    /// Everything from now on. A subscriber that falls more than 4,096 notices behind loses the oldest, and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}
