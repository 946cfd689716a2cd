//! What goes to and fro between a program and its turn.
//!
//! One task owns everything, so that nothing is lost between two others. A reader that is slow makes the program wait.

use std::{
    collections::VecDeque,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    protocol::{Ended, Protocol, Reply},
    session_files::SessionCount,
    turn_control::{Control, Order},
    turn_usage::{End, count_the_rest},
};
use crate::{
    model::TurnOutcome,
    port::Update,
    process::{Captured, Child, Exit, LineReader, Read, StreamRecorder},
    untrusted::create_absent,
};

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

/// All that one turn is read from, and written to.
pub(super) struct Pump {
    pub(super) protocol: Box<dyn Protocol>,
    pub(super) control: Arc<Control>,
    pub(super) updates: mpsc::Sender<Update>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) ended: watch::Sender<bool>,
    pub(super) streams: Option<PathBuf>,
    pub(super) handoff: PathBuf,
    pub(super) line: usize,
    pub(super) asking: Option<Duration>,
    pub(super) count: SessionCount,
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
    pub(super) async fn run(mut self, mut child: Child) {
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
