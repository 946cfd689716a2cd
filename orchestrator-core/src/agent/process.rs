//! A program as an agent: the process, its pipes, its end; what it says is its [`Protocol`]'s business.
//!
//! ```text
//!             ┌────────────────────── pump ──────────────────────┐
//! program ──► │ stdout ─► lines ─► Protocol ─► updates (bounded) │ ──► Turn::next
//!         ◄── │ stdin  ◄───────────┘   ▲                         │
//!             └────────────────────────┴── TurnControl: send, stop
//! ```
//!
//! One task owns everything, so that nothing is lost between two others. A reader that is slow makes the program wait.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{
    protocol::{Ended, Protocol, Reply},
    session_files::{SessionCount, SessionFiles},
};
use crate::{
    model::{ModelUsage, TurnOutcome, TurnUsage, UsageSource},
    port::{AgentError, Turn, TurnControl, TurnInput, TurnRequest, Update},
    process::{Captured, Child, Exit, Input, Killer, LineReader, Read, Spawn, StreamRecorder},
    untrusted::create_absent,
};

/// The longest line that is understood, in bytes. Real agents write whole files into one line.
const LINE: usize = 16 << 20;
/// Updates that wait for a slow reader before the program is made to wait.
const QUEUE: usize = 256;
/// How often it is said that bytes come which are no line yet.
const ALIVE: Duration = Duration::from_millis(100);
/// What is still read after the program has ended and its relatives were swept.
const DRAIN: Duration = Duration::from_millis(200);
/// How long a program may take to end by itself after its turn is over.
const FAREWELL: Duration = Duration::from_secs(10);
/// Of each stream, so much of its end is kept for messages, in bytes.
const KEPT_END: usize = 8192;
/// Of each stream, so many characters are shown in a message.
const SHOWN_END: usize = 1000;

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

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.spawn = self.spawn.args(arguments);
        self
    }

    /// Adds variables.
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

#[derive(Debug)]
struct ProcessTurn {
    queue: mpsc::Receiver<Update>,
    control: Arc<Control>,
    /// Owns the child; aborting it drops the child, which kills it.
    pump: JoinHandle<()>,
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

#[derive(Debug)]
enum Order {
    Say(TurnInput, oneshot::Sender<Result<(), AgentError>>),
    /// Answered with whether the program was asked to end in its own words.
    Interrupt(oneshot::Sender<bool>),
}

#[derive(Debug)]
struct Control {
    killer: Killer,
    stopping: AtomicBool,
    /// The program's end was noticed, and the turn's follows.
    exited: AtomicBool,
    over: watch::Receiver<bool>,
    commands: mpsc::Sender<Order>,
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

struct Pump {
    protocol: Box<dyn Protocol>,
    control: Arc<Control>,
    updates: mpsc::Sender<Update>,
    orders: mpsc::Receiver<Order>,
    ended: watch::Sender<bool>,
    streams: Option<PathBuf>,
    handoff: PathBuf,
    line: usize,
    asking: Option<Duration>,
    count: SessionCount,
}

/// The program's ends of the pipes; `None` for one that has ended.
struct Pipes {
    stdin: Option<ChildStdin>,
    stdout: Option<LineReader<StreamRecorder<ChildStdout>>>,
    stderr: Option<StreamRecorder<ChildStderr>>,
}

/// What is under way between the program and whoever reads the turn.
struct Talk {
    reply: Reply,
    complaints: Captured,
    /// The end of what it printed, line by line.
    output: Captured,
    exit: Option<std::io::Result<Exit>>,
    /// Whether it was over before anybody stopped it.
    by_itself: bool,
    /// When the program is ended, or its pipes are given up.
    deadline: Option<Instant>,
    /// When it is asked whether it lives, if it says nothing before.
    silent_at: Option<Instant>,
    /// When it may be said again that bytes come.
    alive_at: Instant,
}

impl Talk {
    /// Bytes come that are no line: that much is said now and then.
    fn lives(&mut self) {
        let now = Instant::now();
        if self.reply.updates.is_empty() && now >= self.alive_at {
            self.alive_at = now + ALIVE;
            self.reply.alive();
        }
    }
}

enum Happened {
    Order(Option<Order>),
    Written(usize),
    WriteFailed,
    Delivered,
    NobodyReads,
    Read(Option<Read>),
    Complained(usize),
    Exited(std::io::Result<Exit>),
    Late,
    Silent,
}

impl Pump {
    async fn run(mut self, mut child: Child) {
        let (mut outbox, outcome) = match self.pipes(&mut child) {
            Ok(pipes) => self.converse(&mut child, pipes).await,
            Err(error) => {
                self.control.killer.stop(Duration::ZERO).await;
                (
                    VecDeque::new(),
                    TurnOutcome::Crashed {
                        detail: format!("its output could not be recorded: {error}"),
                    },
                )
            }
        };
        self.orders.close();
        self.ended.send_replace(true);
        outbox.push_back(Update::Ended { outcome });
        for update in outbox {
            drop(self.updates.send(update).await);
        }
    }

    fn silent_at(&self) -> Option<Instant> {
        self.asking.map(|asking| Instant::now() + asking)
    }

    fn pipes(&self, child: &mut Child) -> std::io::Result<Pipes> {
        let directory = self.streams.as_deref();
        let stdout = child
            .stdout()
            .map(|stdout| StreamRecorder::new(stdout, directory, "stdout"))
            .transpose()?;
        let stderr = child
            .stderr()
            .map(|stderr| StreamRecorder::new(stderr, directory, "stderr"))
            .transpose()?;
        let stdout = stdout.map(|stdout| LineReader::new(stdout, self.line));
        Ok(Pipes {
            stdin: child.stdin(),
            stdout,
            stderr,
        })
    }

    /// Until the program has ended and everything in its pipes was read and delivered.
    async fn converse(
        &mut self,
        child: &mut Child,
        mut pipes: Pipes,
    ) -> (VecDeque<Update>, TurnOutcome) {
        let mut talk = Talk {
            reply: Reply::counting(self.count.earlier()),
            complaints: Captured::new(0, KEPT_END),
            output: Captured::new(0, KEPT_END),
            exit: None,
            by_itself: false,
            deadline: None,
            silent_at: self.silent_at(),
            alive_at: Instant::now(),
        };
        let mut buffer = vec![0; 8192];
        self.protocol.begin(&mut talk.reply);
        while !(talk.exit.is_some() && pipes.stdout.is_none() && pipes.stderr.is_none()) {
            self.settle(&mut talk, &mut pipes);
            match self
                .happening(child, &mut pipes, &mut talk, &mut buffer)
                .await
            {
                Happened::Order(Some(order)) => self.obey(order, &mut talk),
                Happened::Order(None) | Happened::NobodyReads => break,
                Happened::Written(bytes) => drop(talk.reply.written.drain(..bytes)),
                Happened::WriteFailed => pipes.stdin = None,
                Happened::Delivered => {}
                // Whether a line is a sign of life, its reader says.
                Happened::Read(Some(Read::Line(line))) => {
                    talk.silent_at = self.silent_at();
                    talk.output.push(&line.bytes);
                    talk.output.push(b"\n");
                    self.protocol.line(&line, &mut talk.reply);
                    if let Some(stdout) = &mut pipes.stdout {
                        stdout.reuse(line);
                    }
                }
                Happened::Silent => {
                    talk.silent_at = self.silent_at();
                    self.protocol.silent(&mut talk.reply);
                }
                Happened::Read(Some(Read::Part)) => talk.lives(),
                Happened::Read(None) => pipes.stdout = None,
                Happened::Complained(0) => pipes.stderr = None,
                Happened::Complained(read) => {
                    talk.complaints.push(&buffer[..read]);
                    talk.lives();
                }
                Happened::Exited(exit) => {
                    self.control.exited.store(true, Ordering::Release);
                    talk.exit = Some(exit);
                    self.settle(&mut talk, &mut pipes);
                    self.control.killer.sweep().await;
                    talk.deadline = Some(Instant::now() + DRAIN);
                }
                // It was asked to end, and had its time.
                Happened::Late if talk.exit.is_none() => {
                    self.control.killer.stop(DRAIN).await;
                    talk.deadline = None;
                }
                // Nobody writes any more, but one who was not found holds a pipe open.
                Happened::Late => (pipes.stdout, pipes.stderr) = (None, None),
            }
        }
        let end = Self::end_of(&talk);
        let outcome = self.outcome(&mut talk);
        if outcome == TurnOutcome::Completed {
            self.leave_handoff(&talk.reply);
        }
        count_the_rest(&self.count, &mut talk.reply, end).await;
        (talk.reply.updates, outcome)
    }

    /// Does at once what a reply asks for and needs no waiting.
    fn settle(&self, talk: &mut Talk, pipes: &mut Pipes) {
        if std::mem::take(&mut talk.reply.signal) {
            self.control.killer.interrupt();
        }
        if talk.reply.closed && talk.reply.written.is_empty() {
            pipes.stdin = None;
        }
        if (talk.reply.finished.is_some() || talk.exit.is_some())
            && !self.control.stopping.load(Ordering::Acquire)
        {
            talk.by_itself = true;
        }
        if talk.reply.finished.is_some() && talk.exit.is_none() && talk.deadline.is_none() {
            talk.deadline = Some(Instant::now() + FAREWELL);
        }
    }

    /// The next thing that happens. Whatever is in a pipe comes before the time at which it is given up, however long a slow reader
    /// takes; and what was said is delivered before more is read.
    async fn happening(
        &mut self,
        child: &mut Child,
        pipes: &mut Pipes,
        talk: &mut Talk,
        buffer: &mut [u8],
    ) -> Happened {
        let Talk {
            reply:
                Reply {
                    updates,
                    written,
                    finished,
                    ..
                },
            exit,
            deadline,
            silent_at,
            ..
        } = talk;
        let (said, running) = (!updates.is_empty(), exit.is_none());
        let deadline = deadline.filter(|_| !said);
        // Whoever is over, or has a reader that keeps it waiting, is not asked.
        let silent_at = silent_at.filter(|_| running && finished.is_none() && !said);
        let Pipes {
            stdin,
            stdout,
            stderr,
            ..
        } = pipes;
        tokio::select! {
            biased;
            order = self.orders.recv() => Happened::Order(order),
            permit = self.updates.reserve(), if said => match (permit, updates.pop_front()) {
                (Ok(permit), Some(update)) => {
                    permit.send(update);
                    Happened::Delivered
                }
                _ => Happened::NobodyReads,
            },
            read = next_read(stdout), if stdout.is_some() && !said => Happened::Read(read),
            read = read_some(stderr, buffer), if stderr.is_some() => Happened::Complained(read),
            written = write_some(stdin, written), if stdin.is_some() && !written.is_empty() => {
                written.map_or(Happened::WriteFailed, Happened::Written)
            }
            exit = child.wait(), if running => Happened::Exited(exit),
            () = reached(deadline) => Happened::Late,
            () = reached(silent_at) => Happened::Silent,
        }
    }

    fn obey(&mut self, order: Order, talk: &mut Talk) {
        match order {
            Order::Say(input, answer) => {
                let heard = self.protocol.input(&input, &mut talk.reply);
                // Who asked may have gone.
                answer.send(heard).ok();
            }
            Order::Interrupt(answer) => {
                let before = talk.reply.written.len();
                self.protocol.interrupt(&mut talk.reply);
                let asked =
                    talk.reply.signal || talk.reply.closed || talk.reply.written.len() > before;
                answer.send(asked).ok();
            }
        }
    }

    fn end_of(talk: &Talk) -> End {
        match &talk.exit {
            _ if talk.by_itself && talk.reply.finished.is_some() => End::ByItself,
            Some(Ok(Exit::Signal(9)) | Err(_)) | None => End::Killed,
            Some(Ok(_)) if talk.by_itself => End::ByItself,
            Some(Ok(_)) => End::CutOff,
        }
    }

    fn outcome(&mut self, talk: &mut Talk) -> TurnOutcome {
        if self.control.stopping.load(Ordering::Acquire) && !talk.by_itself {
            return TurnOutcome::Stopped;
        }
        let said = talk.reply.finished.take();
        match talk.exit.take() {
            Some(Ok(exit)) => said.unwrap_or_else(|| {
                let ended = Ended::new(exit, talk.complaints.end(SHOWN_END));
                let output = talk.output.end(SHOWN_END);
                self.protocol.end(&ended.with_output(output))
            }),
            Some(Err(error)) => TurnOutcome::Crashed {
                detail: format!("it could not be waited for: {error}"),
            },
            None => TurnOutcome::Stopped,
        }
    }

    /// The agent's last word becomes its handoff, where it left none. A file or a link that is there stays as it is.
    fn leave_handoff(&self, reply: &Reply) {
        let Some(content) = &reply.handoff else {
            return;
        };
        if let Ok(mut file) = create_absent(&self.handoff) {
            drop(file.write_all(content));
        }
    }
}

/// How a program ended, as far as it matters for what it has said of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself: what it has said is all that it had to say.
    ByItself,
    /// It was asked to end.
    CutOff,
    /// It was killed: it may have used what it could write nowhere.
    Killed,
}

/// Asks the session's files what the turn has used, where the agent has not said all of it. They also
/// decide where turns before are not known: the agent may count those in.
async fn count_the_rest(count: &SessionCount, reply: &mut Reply, end: End) {
    let told = reply.told.clone();
    let is_all = told.is_some() && reply.counted && end == End::ByItself;
    if is_all && !count.has_unknown() {
        return;
    }
    let read = match &reply.session {
        Some(session) => count.read(session).await,
        None => None,
    };
    let mut usage = better_known(told, read, is_all);
    let is_told = usage.source == UsageSource::Protocol && usage.turn.is_some();
    // An answer that was under way when the agent was told to stop is charged, and the agent does
    // not count it.
    usage.incomplete |= end != End::ByItself || (is_told && !reply.counted);
    // What says nothing need not be said.
    if usage != TurnUsage::default() {
        reply.updates.push_back(Update::Usage(usage));
    }
}

/// What the files say, where they know more than the agent has told. Where the agent has told all, and
/// turns before are not known, it may have counted those in: then it counts only where the files agree.
fn better_known(told: Option<TurnUsage>, read: Option<TurnUsage>, is_all: bool) -> TurnUsage {
    let (Some(said), Some(found)) = (&told, &read) else {
        let mut known = told.or(read).unwrap_or_default();
        // Who counts earlier turns in is not told of them twice.
        known.earlier = known.earlier.filter(|_| !is_all);
        return known;
    };
    let tokens = |usage: &TurnUsage| usage.turn.as_ref().map(|turn| turn.total().tokens());
    let agrees = if is_all {
        tokens(found) == tokens(said)
    } else {
        tokens(found) <= tokens(said)
    };
    let known = if agrees { told } else { read };
    known.unwrap_or_default()
}

/// Never, where there is no time to be reached.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn next_read(from: &mut Option<LineReader<StreamRecorder<ChildStdout>>>) -> Option<Read> {
    from.as_mut()?.read().await.ok().flatten()
}

async fn read_some(from: &mut Option<StreamRecorder<ChildStderr>>, buffer: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

async fn write_some(to: &mut Option<ChildStdin>, bytes: &[u8]) -> Option<usize> {
    to.as_mut()?
        .write(bytes)
        .await
        .ok()
        .filter(|written| *written > 0)
}
