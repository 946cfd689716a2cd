//! What a program says and is told while it is an agent, as a plain state machine without IO.

use std::{collections::VecDeque, fmt::Debug};

use super::words::words;
use crate::{
    model::{Finding, ModelUsage, SessionRef, TurnOutcome, TurnUsage, clean, start_of},
    port::{AgentError, TurnInput, Update},
    process::{Exit, Line, with_ends},
};

/// Reads what one agent's program writes, and answers it: all that differs between two agents that are programs.
/// [`AgentProcess`](super::AgentProcess) does the rest.
///
/// # Contract
/// - `begin` comes first, `end` last and once; whatever comes between comes in the order in which it happened.
/// - A line that is not understood is no error: what matters is kept, the rest is ignored. An agent's next version says more
///   than this one.
/// - No call blocks, and none does IO: what is to be done goes into the [`Reply`].
///
/// # Cancellation
/// Dropped with its turn, at any time.
///
/// # Errors
/// None: all that goes wrong in a turn is its [`TurnOutcome`].
pub trait Protocol: Debug + Send + 'static {
    /// The program runs. What it reads first is written here, such as the prompt.
    fn begin(&mut self, reply: &mut Reply);

    /// It wrote a line to its standard output.
    fn line(&mut self, line: &Line, reply: &mut Reply);

    /// Somebody speaks to it.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`], the default, where it does not listen while it works.
    fn input(&mut self, input: &TurnInput, reply: &mut Reply) -> Result<(), AgentError> {
        let _ = (input, reply);
        Err(AgentError::Unsupported("be spoken to while it works"))
    }

    /// It has written no line for as long as [`AgentProcess::asking_after`](super::AgentProcess::asking_after) says, and again for as long: where
    /// the agent can be asked whether it lives, this is when.
    fn silent(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// It is to stop. What is said here is given half of the time that it has to end by itself, and in the middle of that it is called
    /// a second time, for what is more urgent; where nothing is said, as by default, it is sent TERM at once.
    fn interrupt(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// It has ended, and this is what is known of it: how the turn went, if [`Reply::finish`] has not said so before. A turn that
    /// was stopped has no other outcome than that.
    fn end(&mut self, ended: &Ended) -> TurnOutcome;
}

/// A program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit status, or the signal that ended it.
    pub exit: Exit,
    /// The end of what it wrote to its standard error: at most 1,000 characters, cleaned, cut between lines.
    pub complaint: String,
    /// The end of what it wrote to its standard output, in the same way.
    pub output: String,
}

impl Ended {
    /// With so much said on its standard error.
    #[must_use]
    pub fn new(exit: Exit, complaint: impl Into<String>) -> Self {
        Self {
            exit,
            complaint: complaint.into(),
            output: String::new(),
        }
    }

    /// And so much on its standard output.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<String>) -> Self {
        self.output = output.into();
        self
    }

    /// What a person is told of a program that failed: exit status or signal, and the ends of both streams, each
    /// after its name.
    #[must_use]
    pub fn detail(&self) -> String {
        with_ends(&self.exit.to_string(), &self.output, &self.complaint)
    }
}

/// What a [`Protocol`] wants done.
#[derive(Debug, Default)]
pub struct Reply {
    pub(super) session: Option<String>,
    /// What the agent has said of its use, and whether that is all up to now.
    pub(super) told: Option<TurnUsage>,
    pub(super) counted: bool,
    /// What earlier turns of the session have used beyond what was known of them.
    pub(super) earlier: Option<ModelUsage>,
    pub(super) updates: VecDeque<Update>,
    pub(super) written: Vec<u8>,
    pub(super) closed: bool,
    pub(super) signal: bool,
    pub(super) finished: Option<TurnOutcome>,
    pub(super) handoff: Option<Vec<u8>>,
}

impl Reply {
    /// A reply that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a turn of a session whose earlier turns have used so much more than was known.
    pub(super) fn counting(earlier: Option<ModelUsage>) -> Self {
        Self {
            earlier,
            ..Self::default()
        }
    }

    /// Says that the session has begun, and by what it is resumed.
    pub fn started(&mut self, session: impl Into<String>) {
        let session = session.into();
        self.session = Some(session.clone());
        self.updates.push_back(Update::Started {
            session: SessionRef(session),
        });
    }

    /// Says what the agent said or did: a text for people. JSON in it is left out (see
    /// [`words`](super::words)), control characters are taken out, and it is cut at 4 KiB. Where nothing
    /// is left, the agent lives.
    pub fn activity(&mut self, text: &str) {
        match words(beginning(text)) {
            Some(words) => self
                .updates
                .push_back(Update::Activity { text: cut(&words) }),
            None => self.alive(),
        }
    }

    /// Says what the reviewers of the work should know, such as a call of a tool that was refused. Its message is cleaned and cut as
    /// [`activity`](Self::activity) is.
    pub fn finding(&mut self, mut finding: Finding) {
        finding.message = cut(&finding.message);
        self.updates.push_back(Update::Finding(finding));
    }

    /// Says that a tool is in flight: silence is no stall until it has ended. Its name is cut at 200 characters.
    pub fn tool_began(&mut self, id: impl Into<String>, name: &str) {
        let end = name
            .char_indices()
            .nth(NAME)
            .map_or(name.len(), |(end, _)| end);
        self.updates.push_back(Update::ToolBegan {
            id: id.into(),
            name: name[..end].to_owned(),
        });
    }

    /// Says that a tool has ended.
    pub fn tool_ended(&mut self, id: impl Into<String>) {
        self.updates.push_back(Update::ToolEnded { id: id.into() });
    }

    /// Says what the turn has used up to now; the last word counts.
    pub fn usage(&mut self, usage: impl Into<TurnUsage>) {
        let mut usage = usage.into();
        if usage.earlier.is_none() {
            usage.earlier.clone_from(&self.earlier);
        }
        self.told = Some(usage.clone());
        self.counted = true;
        self.updates.push_back(Update::Usage(usage));
    }

    /// Says that the agent has used more than it has told so far: where it is cut off now, its
    /// session's files are asked.
    pub fn uses_more(&mut self) {
        self.counted = false;
    }

    /// Says that the agent lives, where it has said nothing that a person would read.
    pub fn alive(&mut self) {
        self.updates.push_back(Update::Alive);
    }

    /// Says that the agent waits for an answer.
    pub fn needs_input(&mut self, question: &str) {
        self.updates.push_back(Update::NeedsInput {
            question: clean(question),
        });
    }

    /// Writes to the program's standard input. Never waits; a program that does not read is not waited for.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.written.extend_from_slice(bytes.as_ref());
    }

    /// Writes a value as one line of JSON.
    pub fn write_json(&mut self, value: &serde_json::Value) {
        self.write(format!("{value}\n"));
    }

    /// Closes the program's standard input behind all that was written.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Sends INT to the program itself, as a person at a terminal would.
    pub fn interrupt(&mut self) {
        self.signal = true;
    }

    /// Keeps these bytes as the handoff of a turn that is completed, if the agent leaves no file where it should.
    pub fn handoff(&mut self, content: impl Into<Vec<u8>>) {
        self.handoff = Some(content.into());
    }

    /// The turn is over, whatever the program goes on to do: its standard input is closed, and if it does not end by itself within
    /// ten seconds it is ended. The last word counts.
    pub fn finish(&mut self, outcome: TurnOutcome) {
        (self.finished, self.closed) = (Some(outcome), true);
    }

    /// What was said so far, taken out: for a test of a protocol.
    pub fn take_updates(&mut self) -> impl Iterator<Item = Update> {
        self.updates.drain(..)
    }

    /// What is to be written, taken out: for a test of a protocol.
    pub fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }

    /// How the turn went, if that was said.
    #[must_use]
    pub fn finished(&self) -> Option<&TurnOutcome> {
        self.finished.as_ref()
    }
}

/// The longest name of a tool, in characters.
const NAME: usize = 200;
/// The longest line for people, in characters.
const ACTIVITY: usize = 4096;

fn cut(text: &str) -> String {
    start_of(&clean(beginning(text)), ACTIVITY)
}

/// An agent may say megabytes at once.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(16 * ACTIVITY)]
}
