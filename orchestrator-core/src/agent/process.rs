//! A program as an agent: the process, its pipes, its end; what it says is its [`Protocol`]'s business.
//!
//! ```text
//!             ┌────────────────────── pump ──────────────────────┐
//! program ──► │ stdout ─► lines ─► Protocol ─► updates (bounded) │ ──► Turn::next
//!         ◄── │ stdin  ◄───────────┘   ▲                         │
//!             └────────────────────────┴── TurnControl: send, stop
//! ```

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::{
    protocol::Protocol,
    pump::Pump,
    session_files::{SessionCount, SessionFiles},
    turn_control::{Control, ProcessTurn},
};
use crate::{
    model::ModelUsage,
    port::{AgentError, Turn, TurnRequest},
    process::{Input, Spawn},
};

/// The longest line that is understood, in bytes. Real agents write whole files into one line.
const LINE: usize = 16 << 20;
/// Updates that wait for a slow reader before the program is made to wait.
const QUEUE: usize = 256;

/// A program that is to be an agent for one turn.
#[derive(Debug)]
pub struct AgentProcess {
    spawn: Spawn,
    line: usize,
    streams: Option<PathBuf>,
    handoff: PathBuf,
    asking: Option<Duration>,
    count: SessionCount,
}

impl AgentProcess {
    /// This program. It runs in the request's workspace and sees the request's environment, its [`variables`](TurnRequest::variables), the
    /// marker, and what [`envs`](Self::envs) adds.
    #[must_use]
    pub fn new(program: impl Into<OsString>, request: &TurnRequest) -> Self {
        let spawn = Spawn::new(program, &request.workspace)
            .envs(&request.environment)
            .envs(request.variables());
        let spawn = spawn.marked(&request.mark).input(Input::Piped);
        Self {
            spawn,
            line: LINE,
            streams: request.streams.clone(),
            handoff: request.handoff.clone(),
            asking: None,
            count: SessionCount::new(request),
        }
    }

    /// Adds arguments behind those that were added before.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.spawn = self.spawn.args(arguments);
        self
    }

    /// Adds variables to the environment; a later value of the same name wins.
    #[must_use]
    pub fn envs<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.spawn = self.spawn.envs(variables);
        self
    }

    /// Sets how much of a line the protocol is given, in bytes; 16 MiB where nothing is set. A longer line is cut, and says so.
    #[must_use]
    pub(crate) fn line_limit(mut self, bytes: usize) -> Self {
        self.line = bytes;
        self
    }

    /// Calls [`Protocol::silent`] whenever the program has written no line for so long; never where nothing is set.
    #[must_use]
    pub fn asking_after(mut self, silence: Duration) -> Self {
        self.asking = Some(silence);
        self
    }

    /// Counts what the turn uses by the files in which the agent keeps its sessions, where it does not
    /// say that itself before it ends. Of a session that is gone on with they are read now.
    pub async fn counting_by(mut self, files: impl SessionFiles, request: &TurnRequest) -> Self {
        self.count = self.count.with_files(Arc::new(files), request).await;
        self
    }

    /// The same where the backend has read the files itself: `before` is what they say of the session
    /// that is gone on with.
    #[must_use]
    pub fn counting_from(mut self, files: impl SessionFiles, before: Option<ModelUsage>) -> Self {
        self.count = self.count.with_read(Arc::new(files), before);
        self
    }

    /// Ends the program with this signal when this process dies, where that can be had: see [`Spawn::dying_with_us`].
    #[must_use]
    pub fn dying_with_us(mut self, signal: &'static str) -> Self {
        self.spawn = self.spawn.dying_with_us(signal);
        self
    }

    /// Starts it. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`AgentError::CannotRun`] when the program, or what it is run with, is not there or may not be
    /// run, [`AgentError::Spawn`] when the system starts no process; nothing lives then.
    pub fn start(self, protocol: impl Protocol) -> Result<Box<dyn Turn>, AgentError> {
        let program = self.spawn.program().to_string_lossy().into_owned();
        if let Some(why) = self.spawn.obstacle() {
            return Err(AgentError::CannotRun { program, why });
        }
        let child = self
            .spawn
            .spawn()
            .map_err(|error| not_started(program, error))?;
        let (updates, queue) = mpsc::channel(QUEUE);
        let (commands, orders) = mpsc::channel(1);
        let (ended, over) = watch::channel(false);
        let killer = child.killer();
        let control = Arc::new(Control {
            killer,
            stopping: AtomicBool::new(false),
            exited: AtomicBool::new(false),
            over,
            commands,
        });
        let pump = Pump {
            protocol: Box::new(protocol),
            control: Arc::clone(&control),
            updates,
            orders,
            ended,
            streams: self.streams,
            handoff: self.handoff,
            line: self.line,
            asking: self.asking,
            count: self.count,
        };
        let pump = tokio::spawn(pump.run(child));
        Ok(Box::new(ProcessTurn {
            queue,
            control,
            pump,
        }))
    }
}

/// Why a program was not started. What the system says of a file that it cannot run will be the same
/// the next time: such as one that is made for another machine, or whose loader is not there.
fn not_started(program: String, error: std::io::Error) -> AgentError {
    use std::io::ErrorKind;
    const ENOEXEC: i32 = 8;
    let is_lasting = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory
    );
    if is_lasting || error.raw_os_error() == Some(ENOEXEC) {
        let why = error.to_string();
        return AgentError::CannotRun { program, why };
    }
    AgentError::Spawn(error)
}
