//! Any program as an agent.
//!
//! It runs in the workspace with the prompt on its standard input, and sees the allowed environment plus
//! `ORCHESTRATOR_TASK`, `_ATTEMPT`, `_TURN`, `_CONTRACT` (path of a JSON file), `_HANDOFF` (path to write), `_ACCESS` (`write`, or `read`
//! for a reviewer) and `_MARK`. Lines on its standard output are activity. Exit status 0 is "completed"; anything else is "crashed", with the end of its standard
//! error. A further turn runs it again in the same workspace: that counts as resuming.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    model::{SessionRef, TurnOutcome, clean},
    port::{AgentBackend, AgentError, Capabilities, Probe, Turn, TurnControl, TurnInput, TurnRequest, Update},
    process::{Captured, Child, Exit, Input, Killer, LineReader, Recording, Spawn, can_run},
};

/// The longest line that is kept of an agent's output, in bytes.
const MAX_LINE: usize = 4096;
/// Updates that wait for a slow reader before the agent is made to wait.
const QUEUE: usize = 256;
/// How often it is looked whether bytes have passed.
const ALIVE: Duration = Duration::from_millis(100);
/// What is still read after the agent has ended and its relatives were swept.
const DRAIN: Duration = Duration::from_millis(200);

/// Any program that keeps the command protocol.
#[derive(Debug, Clone)]
pub struct CommandAgent {
    program: String,
    arguments: Vec<String>,
}

impl CommandAgent {
    /// This program, with these arguments. A relative program with a slash is looked for in the workspace.
    pub fn new<A: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

#[async_trait]
impl AgentBackend for CommandAgent {
    fn name(&self) -> &str {
        "command"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least().with_resume()
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        // One that is in the repository cannot be looked for before there is a workspace.
        let in_repository = self.program.contains('/') && !self.program.starts_with('/');
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = in_repository || can_run(self.program.as_ref(), Path::new("/"), Some(&path)).is_ok();
        let missing = || AgentError::NotInstalled {
            program: self.program.clone(),
            mend: "give the path of a program that can be run, or one that is on the PATH".to_owned(),
        };
        there.then(|| Probe::found(None)).ok_or_else(missing)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let own = [
            ("ORCHESTRATOR_TASK", request.attempt.task.to_string()),
            ("ORCHESTRATOR_ATTEMPT", request.attempt.number.to_string()),
            ("ORCHESTRATOR_TURN", request.turn.to_string()),
            ("ORCHESTRATOR_CONTRACT", request.contract.to_string_lossy().into_owned()),
            ("ORCHESTRATOR_HANDOFF", request.handoff.to_string_lossy().into_owned()),
            ("ORCHESTRATOR_ACCESS", if request.read_only { "read" } else { "write" }.to_owned()),
        ];
        let spawn = Spawn::new(&self.program, &request.workspace).args(&self.arguments).envs(&request.environment).envs(own);
        let child = spawn.marked(&request.mark).input(Input::Piped).spawn().map_err(AgentError::Spawn)?;
        let (updates, queue) = mpsc::channel(QUEUE);
        let (ended, over) = watch::channel(false);
        let control = Arc::new(CommandControl {
            killer: child.killer(),
            stopping: AtomicBool::new(false),
            over,
            exited: AtomicBool::new(false),
        });
        let session = SessionRef(request.attempt.to_string());
        let pump =
            Pump { prompt: request.prompt, streams: request.streams, session, updates, ended, control: Arc::clone(&control) };
        let pump = tokio::spawn(pump.run(child));
        Ok(Box::new(CommandTurn { queue, control, pump }))
    }
}

#[derive(Debug)]
struct CommandTurn {
    queue: mpsc::Receiver<Update>,
    control: Arc<CommandControl>,
    /// Owns the child; aborting it drops the child, which kills it.
    pump: JoinHandle<()>,
}

#[async_trait]
impl Turn for CommandTurn {
    async fn next(&mut self) -> Option<Update> {
        self.queue.recv().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.control) as Arc<dyn TurnControl>
    }
}

impl Drop for CommandTurn {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

#[derive(Debug)]
struct CommandControl {
    killer: Killer,
    stopping: AtomicBool,
    over: watch::Receiver<bool>,
    /// Its end was noticed, and the turn's follows.
    exited: AtomicBool,
}

#[async_trait]
impl TurnControl for CommandControl {
    async fn send(&self, _: TurnInput) -> Result<(), AgentError> {
        Err(AgentError::Unsupported("be spoken to while it works"))
    }

    fn is_alive(&self) -> Option<bool> {
        (!self.exited.load(Ordering::Acquire)).then(|| self.killer.is_alive())
    }

    async fn stop(&self, grace: Duration) {
        if !*self.over.borrow() {
            self.stopping.store(true, Ordering::Release);
            self.killer.stop(grace).await;
        }
    }
}

/// Returns a little after the child and its relatives are gone: nobody writes to its pipes any more, but one who holds them
/// open without being found may keep them from ending.
async fn drained(mut gone: watch::Receiver<bool>) {
    drop(gone.wait_for(|gone| *gone).await);
    tokio::time::sleep(DRAIN).await;
}

struct Pump {
    prompt: String,
    streams: Option<PathBuf>,
    session: SessionRef,
    updates: mpsc::Sender<Update>,
    ended: watch::Sender<bool>,
    control: Arc<CommandControl>,
}

impl Pump {
    /// Feeds the child, reads it to its end, sweeps what it left, and says how it ended.
    async fn run(self, mut child: Child) {
        let outcome = self.converse(&mut child).await;
        self.ended.send_replace(true);
        drop(self.updates.send(Update::Ended { outcome }).await);
    }

    async fn converse(&self, child: &mut Child) -> TurnOutcome {
        let Self { prompt, session, updates, control, .. } = self;
        let stdin = child.stdin();
        let record = |name: &'static str| move |error: std::io::Error| format!("its {name} could not be recorded: {error}");
        let directory = self.streams.as_deref();
        let stdout = child.stdout().map(|stdout| Recording::new(stdout, directory, "stdout")).transpose().map_err(record("stdout"));
        let stderr = child.stderr().map(|stderr| Recording::new(stderr, directory, "stderr")).transpose().map_err(record("stderr"));
        let (stdout, stderr) = match (stdout, stderr) {
            (Ok(stdout), Ok(stderr)) => (stdout, stderr),
            (Err(detail), _) | (_, Err(detail)) => {
                control.killer.stop(Duration::ZERO).await;
                return TurnOutcome::Crashed { detail };
            }
        };
        let (leave, gone) = watch::channel(false);
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program may end without having read its prompt.
                drop(stdin.write_all(prompt.as_bytes()).await);
            }
        };
        let passed: Vec<_> = stdout.iter().map(Recording::passed).chain(stderr.iter().map(Recording::passed)).collect();
        let listen = async {
            if updates.send(Update::Started { session: session.clone() }).await.is_err() {
                return;
            }
            let Some(stdout) = stdout else { return };
            let mut lines = LineReader::new(stdout, MAX_LINE);
            let drained = drained(gone.clone());
            tokio::pin!(drained);
            // Whatever is in the pipe comes first, however long a slow reader takes over it.
            while let Some(line) = tokio::select! { biased; line = lines.next() => line.ok().flatten(), () = &mut drained => None }
            {
                let text = clean(&String::from_utf8_lossy(&line.bytes));
                if updates.send(Update::Activity { text }).await.is_err() {
                    return;
                }
            }
        };
        let mut complaints = Captured::new(0, 4096);
        let complain = async {
            let Some(mut stderr) = stderr else { return };
            let mut buffer = vec![0; 8192];
            let drained = drained(gone.clone());
            tokio::pin!(drained);
            while let Ok(read @ 1..) =
                tokio::select! { biased; read = stderr.read(&mut buffer) => read, () = &mut drained => Ok(0) }
            {
                complaints.push(&buffer[..read]);
            }
        };
        let exit = {
            // A line without an end, and what is drawn on standard error, are signs of life as well.
            let alive = async {
                let (mut ticks, mut before) = (tokio::time::interval(ALIVE), 0);
                loop {
                    ticks.tick().await;
                    let now: u64 = passed.iter().map(|passed| passed.load(Ordering::Relaxed)).sum();
                    if std::mem::replace(&mut before, now) != now {
                        // A queue that is full is being read.
                        drop(updates.try_send(Update::Alive));
                    }
                }
            };
            let streams = async {
                tokio::select! { _ = async { tokio::join!(feed, listen, complain) } => {}, () = alive => {} }
            };
            tokio::pin!(streams);
            let mut read = false;
            let exit = loop {
                tokio::select! {
                    exit = child.wait() => break exit,
                    _ = &mut streams, if !read => read = true,
                }
            };
            control.exited.store(true, Ordering::Release);
            control.killer.sweep().await;
            leave.send_replace(true);
            if !read {
                streams.await;
            }
            exit
        };
        match exit {
            _ if control.stopping.load(Ordering::Acquire) => TurnOutcome::Stopped,
            Ok(Exit::Code(0)) => TurnOutcome::Completed,
            Ok(exit) => {
                let said = complaints.end(1000);
                TurnOutcome::Crashed { detail: if said.is_empty() { exit.to_string() } else { format!("{exit}: {said}") } }
            }
            Err(error) => TurnOutcome::Crashed { detail: format!("it could not be waited for: {error}") },
        }
    }
}
