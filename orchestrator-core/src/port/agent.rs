//! Agents and their turns.

use std::{
    collections::BTreeMap, ffi::OsString, fmt::Debug, path::PathBuf, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use thiserror::Error;

use super::ErrorClass;
use crate::model::{
    AgentWarning, AttemptId, Finding, SessionRef, SessionUsage, TurnOutcome, TurnUsage,
};

/// A kind of agent: starts turns, and knows what it can do.
///
/// # Contract
/// - [`start`](Self::start) is the only way in; the session to resume is a field of the request.
/// - The agent works in `request.workspace`, leaves its handoff at `request.handoff`, and sees `request.environment` and
///   nothing else of ours.
/// - It decides no retry, no timeout and no acceptance, and runs no git.
///
/// # Cancellation
/// `start` may be dropped at any time: whatever it had started is stopped.
///
/// # Errors
/// Only what keeps a turn from starting. All that goes wrong afterwards is a [`TurnOutcome`].
///
/// # Example
/// An agent that is a program needs no more than this, and a [`Protocol`](crate::agent::Protocol); [the
/// guide](crate::guide::writing_a_backend) goes through it.
///
/// ```
/// use std::collections::BTreeMap;
/// use async_trait::async_trait;
/// use orchestrator_core::{
///     agent::{AgentProcess, Ended, Protocol, Reply},
///     model::TurnOutcome,
///     port::{AgentBackend, AgentError, Capabilities, Probe, Turn, TurnRequest},
///     process::{Exit, Line},
/// };
///
/// #[derive(Debug)]
/// struct Echo;
///
/// #[async_trait]
/// impl AgentBackend for Echo {
///     fn name(&self) -> &str {
///         "echo"
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities::least()
///     }
///
///     async fn probe(&self) -> Result<Probe, AgentError> {
///         Ok(Probe::found(None))
///     }
///
///     async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
///         self.probe().await
///     }
///
///     async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
///         if request.resume.is_some() {
///             return Err(AgentError::Unsupported("go on with a session"));
///         }
///         AgentProcess::new("/bin/cat", &request).start(Lines(request.prompt.clone()))
///     }
/// }
///
/// /// Each line is something that it says.
/// #[derive(Debug)]
/// struct Lines(String);
///
/// impl Protocol for Lines {
///     fn begin(&mut self, reply: &mut Reply) {
///         reply.started("the only one");
///         reply.write(&self.0);
///         reply.close();
///     }
///
///     fn line(&mut self, line: &Line, reply: &mut Reply) {
///         reply.activity(&String::from_utf8_lossy(&line.bytes));
///     }
///
///     fn end(&mut self, ended: &Ended) -> TurnOutcome {
///         match ended.exit {
///             Exit::Code(0) => TurnOutcome::Completed,
///             _ => TurnOutcome::Crashed { detail: ended.detail() },
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait AgentBackend: Debug + Send + Sync + 'static {
    /// What kind of agent this is, for people: `command`, `codex`.
    fn name(&self) -> &str;

    /// What it can do. Plain data, the same for the life of the backend.
    fn capabilities(&self) -> Capabilities;

    /// Whether it is there and can be used. Has no side effect, and costs no money.
    ///
    /// # Errors
    /// When it cannot be used, with the mend.
    async fn probe(&self) -> Result<Probe, AgentError>;

    /// The same for agents that see this environment, as turns give it to them. What can only be found out in it, such as whether
    /// the agent's sandbox works, is tried here, with the settings of a turn. The loop calls this before anything starts.
    ///
    /// # Errors
    /// When it cannot be used, with the fix.
    async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError>;

    /// Starts one turn.
    ///
    /// # Errors
    /// When the turn could not be started; nothing of it lives then.
    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError>;
}

/// One prompt and all that follows until the agent ends it.
///
/// # Contract
/// - [`next`](Self::next) gives updates in the order in which the agent said them, exactly one [`Update::Ended`], then `None`
///   for ever.
/// - When `Ended` was given, none of the turn's processes lives.
/// - Dropping a turn stops it, in the background.
///
/// # Cancellation
/// `next` is cancel-safe: dropped at any of its polls, it loses nothing.
///
/// # Example
/// Running a turn to its end, whatever the agent:
///
/// ```
/// use std::time::Duration;
/// use orchestrator_core::{
///     CommandAgent,
///     model::{AttemptId, TaskId, TurnOutcome},
///     port::{AgentBackend, TurnRequest, Update},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (workspace, handoff) = (directory.path().to_owned(), directory.path().join("handoff.json"));
/// let agent = CommandAgent::new("/bin/sh", ["-c", "read -r asked; echo \"I was asked: $asked\""]);
/// let attempt = AttemptId { task: TaskId::new("T1")?, number: 1 };
/// let mut turn = agent.start(TurnRequest::new(attempt, "Say hello\n", workspace, handoff, "a-mark-of-our-own")).await?;
/// let control = turn.control();
/// let mut said = Vec::new();
/// while let Some(update) = turn.next().await {
///     match update {
///         Update::Activity { text } => said.push(text),
///         // Nobody is here to answer.
///         Update::NeedsInput { .. } => control.stop(Duration::from_secs(5)).await,
///         Update::Ended { outcome } => assert_eq!(outcome, TurnOutcome::Completed),
///         _ => {}
///     }
/// }
/// assert_eq!(said, ["I was asked: Say hello"]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Turn: Debug + Send + 'static {
    /// The next update; `None` after [`Update::Ended`].
    async fn next(&mut self) -> Option<Update>;

    /// A handle that works while `next` waits.
    fn control(&self) -> Arc<dyn TurnControl>;
}

/// Acts on a turn while it runs.
///
/// # Contract
/// Works beside [`Turn::next`], from any task, and does nothing to a turn that is over.
///
/// # Cancellation
/// A `stop` that was dropped may have begun: call it again.
///
/// # Errors
/// Stopping does not fail; speaking may not be possible.
#[async_trait]
pub trait TurnControl: Debug + Send + Sync + 'static {
    /// Says something to the agent.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] where the agent does not listen while it works.
    async fn send(&self, input: TurnInput) -> Result<(), AgentError>;

    /// Whether the agent's process lives; `None` where that cannot be told, or means nothing. A turn whose process is gone, and
    /// that does not end, is stopped.
    fn is_alive(&self) -> Option<bool>;

    /// Asks the turn to end, and after `grace` makes it. When this returns, none of its processes lives. May be called more
    /// than once, and before the first update.
    async fn stop(&self, grace: Duration);
}

/// What is said to an agent while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnInput {
    /// A reminder to go on.
    Nudge(String),
}

/// What a turn needs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TurnRequest {
    /// For which attempt.
    pub attempt: AttemptId,
    /// 1 for the first turn.
    pub turn: u32,
    /// What the agent is told.
    pub prompt: String,
    /// Its working directory: an attempt's workspace.
    pub workspace: PathBuf,
    /// The repository that the workspace is linked to; the agent may have to write there to commit.
    pub repository: PathBuf,
    /// Where the handoff is to be, outside the workspace and new for each turn. Its directory exists.
    pub handoff: PathBuf,
    /// The frozen contract as JSON.
    pub contract: PathBuf,
    /// A directory in which the backend leaves what the agent wrote, byte by byte, each stream as a file such as `stdout`:
    /// they are kept as evidence. `None`: nobody wants them. [`StreamRecorder`](crate::process::StreamRecorder) writes such a file
    /// within bounds.
    pub streams: Option<PathBuf>,
    /// All variables that the agent may see; the marker is among them.
    pub environment: BTreeMap<String, String>,
    /// By this value of `ORCHESTRATOR_MARK` all processes of the turn are found again.
    pub mark: String,
    /// The session to go on with.
    pub resume: Option<SessionRef>,
    /// What is known of that session's use: for agents that count over a whole session, and not over a turn.
    pub used: SessionUsage,
    /// The JSON schema of what is to be at `handoff`, for agents that can be made to answer by one:
    /// [`strict_schema`](crate::agent::strict_schema) makes it one that they take. Whatever comes is checked again.
    pub schema: Option<serde_json::Value>,
    /// What holds for the whole session, in words for the agent: it is in the prompt as well, and a conversation that is compacted may
    /// lose that. A backend puts it where compaction does not reach. Empty where there is nothing.
    pub rules: String,
    /// Whether the agent is to read and say, and to change nothing but the file at `handoff`, which is then its answer. Where it
    /// cannot write there, the backend writes its last word. The workspace is thrown away afterwards, so that a backend
    /// which cannot hold its agent back loses nothing.
    pub read_only: bool,
}

impl TurnRequest {
    /// A first turn, with an empty environment.
    #[must_use]
    pub fn new(
        attempt: AttemptId,
        prompt: impl Into<String>,
        workspace: PathBuf,
        handoff: PathBuf,
        mark: impl Into<String>,
    ) -> Self {
        let (repository, contract) = (workspace.clone(), handoff.with_file_name("contract.json"));
        let (prompt, mark) = (prompt.into(), mark.into());
        Self {
            attempt,
            turn: 1,
            prompt,
            repository,
            workspace,
            handoff,
            contract,
            streams: None,
            environment: BTreeMap::new(),
            mark,
            resume: None,
            used: SessionUsage::default(),
            schema: None,
            rules: String::new(),
            read_only: false,
        }
    }

    /// Sets what must survive the compaction of the conversation.
    #[must_use]
    pub fn with_rules(mut self, rules: impl Into<String>) -> Self {
        self.rules = rules.into();
        self
    }

    /// The variables that tell the agent which turn this is: `ORCHESTRATOR_TASK`, `_ATTEMPT`, `_TURN`, `_CONTRACT` (path of a JSON file),
    /// `_HANDOFF` (path to write) and `_ACCESS` (`write` or `read`).
    #[must_use]
    pub fn variables(&self) -> [(&'static str, OsString); 6] {
        [
            ("ORCHESTRATOR_TASK", self.attempt.task.to_string().into()),
            (
                "ORCHESTRATOR_ATTEMPT",
                self.attempt.number.to_string().into(),
            ),
            ("ORCHESTRATOR_TURN", self.turn.to_string().into()),
            ("ORCHESTRATOR_CONTRACT", self.contract.clone().into()),
            ("ORCHESTRATOR_HANDOFF", self.handoff.clone().into()),
            (
                "ORCHESTRATOR_ACCESS",
                if self.read_only { "read" } else { "write" }.into(),
            ),
        ]
    }

    /// Says that the agent is to change nothing.
    #[must_use]
    pub fn reading_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets the turn's number and the session that it goes on with.
    #[must_use]
    pub fn with_turn(mut self, turn: u32, resume: Option<SessionRef>) -> Self {
        (self.turn, self.resume) = (turn, resume);
        self
    }

    /// Sets the schema of what is to be at the handoff's place.
    #[must_use]
    pub fn with_schema(mut self, schema: serde_json::Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Sets what the agent may see of our environment.
    #[must_use]
    pub fn with_environment(mut self, environment: BTreeMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// Sets where the raw streams are to be left.
    #[must_use]
    pub fn with_streams(mut self, directory: PathBuf) -> Self {
        self.streams = Some(directory);
        self
    }

    /// Says what is known of the use of the session that is gone on with.
    #[must_use]
    pub fn with_used(mut self, used: SessionUsage) -> Self {
        self.used = used;
        self
    }

    /// Sets where repository and contract are.
    #[must_use]
    pub fn with_places(mut self, repository: PathBuf, contract: PathBuf) -> Self {
        (self.repository, self.contract) = (repository, contract);
        self
    }
}

/// What an agent says while a turn runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// It has begun, and this is how it can be resumed.
    Started {
        /// The agent's own id of the session, which `resume` of a later turn takes.
        session: SessionRef,
    },
    /// It said or did something; a line for people.
    Activity {
        /// At most 4 KiB.
        text: String,
    },
    /// It lives, and has nothing to say in words: it writes a line without an end, or draws how far it is.
    Alive,
    /// A tool is in flight: silence is no stall until it has ended.
    ToolBegan {
        /// The agent's id for the call.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A tool has ended.
    ToolEnded {
        /// The same id.
        id: String,
    },
    /// What the turn has used up to now; the last word counts.
    Usage(TurnUsage),
    /// It waits for an answer. The loop stops the turn, and a person's answer begins the next one.
    NeedsInput {
        /// The question in the agent's words.
        question: String,
    },
    /// Something that the reviewers of the work should know, such as a call of a tool that was refused.
    Finding(Finding),
    /// The turn is over.
    Ended {
        /// What the turn came to.
        outcome: TurnOutcome,
    },
}

/// What an agent says of its use, so that budgets can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Nothing: budgets of tokens and money are not kept.
    Nothing,
    /// Tokens, and no price.
    Tokens,
    /// Tokens, and their price in US dollars.
    TokensAndMoney,
    /// One backend serves several agents, some of which say something.
    Varies,
}

/// What an agent can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether a later turn can go on with an earlier session.
    pub resume: bool,
    /// Whether [`TurnControl::send`] works; of an agent that is spoken to in several ways, whether it may.
    pub input: bool,
    /// How its silence is to be read.
    pub silence: Silence,
    /// What it says of its use.
    pub counting: Counting,
}

impl Capabilities {
    /// No more than the least: a turn can be started and stopped.
    #[must_use]
    pub const fn least() -> Self {
        Self {
            resume: false,
            input: false,
            silence: Silence::MeansNothing,
            counting: Counting::Nothing,
        }
    }

    /// Says that sessions can be resumed.
    #[must_use]
    pub const fn with_resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Says that the agent listens while it works.
    #[must_use]
    pub const fn with_input(mut self) -> Self {
        self.input = true;
        self
    }

    /// Says what it says of its use.
    #[must_use]
    pub const fn with_counting(mut self, counting: Counting) -> Self {
        self.counting = counting;
        self
    }

    /// Says how silence is to be read.
    #[must_use]
    pub const fn with_silence(mut self, silence: Silence) -> Self {
        self.silence = silence;
        self
    }
}

/// How an agent's silence is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// It may say nothing until it ends.
    MeansNothing,
    /// Beyond so long, with no tool in flight, something is wrong.
    Beyond(Duration),
}

/// What was found out about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// Its version, in its own words.
    pub version: Option<String>,
    /// What a person should know, such as a version that was never tried.
    pub warnings: Vec<AgentWarning>,
}

impl Probe {
    /// Found, and nothing to say about it.
    #[must_use]
    pub const fn found(version: Option<String>) -> Self {
        Self {
            version,
            warnings: Vec::new(),
        }
    }
}

/// Why an agent cannot be used, or a turn not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentError {
    /// It is not there.
    #[error("`{program}` was not found: {mend}")]
    NotInstalled {
        /// What was looked for.
        program: String,
        /// How to get it.
        mend: String,
    },
    /// It cannot work with its settings, or on this machine: every turn would end in the same way.
    #[error("{what}; fix: {fix}")]
    Misconfigured {
        /// What does not work, with the cause.
        what: String,
        /// How to set it right.
        fix: String,
    },
    /// It is there, and cannot be run.
    #[error("`{program}` cannot be run: {why}")]
    CannotRun {
        /// Its path or name, as it was given.
        program: String,
        /// What is in the way, such as an interpreter that is not there.
        why: String,
    },
    /// It cannot do that.
    #[error("this agent cannot {0}")]
    Unsupported(&'static str),
    /// The agent is away or overloaded: trying again later may help.
    #[error("the agent cannot be used now: {reason}")]
    Unavailable {
        /// The cause, in the words of the agent or of the system.
        reason: String,
    },
    /// Its process could not be started.
    #[error("the agent's process could not be started")]
    Spawn(#[source] std::io::Error),
    /// Any other failure, in words; its class is a bug.
    #[error("the agent failed: {0}")]
    Other(String),
}

impl AgentError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotInstalled { .. } | Self::CannotRun { .. } | Self::Misconfigured { .. } => {
                ErrorClass::NeedsPerson
            }
            Self::Unsupported(_) => ErrorClass::Permanent,
            // A program that is not there, or may not be run, will not be there the next time either.
            Self::Spawn(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
                ) =>
            {
                ErrorClass::NeedsPerson
            }
            Self::Unavailable { .. } | Self::Spawn(_) => ErrorClass::TRANSIENT,
            Self::Other(_) => ErrorClass::Bug,
        }
    }
}
