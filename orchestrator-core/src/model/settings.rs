//! The tables of a policy, each with what counts where nothing is said.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendName, GateName, GateSpec, Ports, RepoPath, Size, Span, Surface};

/// A gate as the policy writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateRule {
    /// Program and arguments; never a shell line.
    pub run: Vec<String>,
    /// What the gate observes: `repo` unless said.
    #[serde(default = "Surface::repo")]
    pub surface: Surface,
    /// After this it is stopped and counts as red. Default: `10m`.
    #[serde(default = "ten_minutes")]
    pub timeout: Span,
    /// Whether it applies to every task that names no gates.
    #[serde(default)]
    pub default: bool,
    /// Directories of the tree that are kept from one run to the next, such as `["target"]`: build caches, ignored by git. What
    /// an attempt leaves in them is seen by that attempt alone, until it lands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<RepoPath>,
    /// How often it is run again on the same tree when it is red, at most 5. One that is green then counts as green, and is named
    /// as flaky in the record and in the report. Default: 0.
    #[serde(default)]
    pub rerun: u32,
    /// Whether its directory is set up as a workspace is: what `[setup] bring` names is copied into it, and what `[setup] run`
    /// names is run in it. Default: false.
    #[serde(default)]
    pub setup: bool,
    /// Whether its directory is a repository: with `.git`, the target's history and its tags, and HEAD at a commit that has just the
    /// gated tree. It is thrown away afterwards. Default: false.
    #[serde(default)]
    pub repository: bool,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

impl GateRule {
    /// The rule under its name, as a contract keeps it, with the set-up that it asks for.
    #[must_use]
    pub fn named(&self, name: &GateName, setup: &Setup) -> GateSpec {
        let (name, run, surface, cache) = (
            name.clone(),
            self.run.clone(),
            self.surface.clone(),
            self.cache.clone(),
        );
        GateSpec {
            name,
            run,
            surface,
            timeout: self.timeout,
            cache,
            rerun: self.rerun,
            setup: self.setup.then(|| Box::new(setup.clone())),
            repository: self.repository,
        }
    }
}

/// What is done in a workspace before its worker comes, and in the directory of a gate that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Setup {
    /// Files and directories of the person's checkout that git ignores and workers need, such as `[".env", "node_modules"]`:
    /// copied to the same place. No worker may commit them.
    pub bring: Vec<RepoPath>,
    /// Commands, each as program and arguments, never a shell line, run one after another in the workspace:
    /// `[["npm", "ci"], ["make", "deps"]]`, or just `["npm", "ci"]` for a single one. They must leave nothing that git would
    /// see.
    pub run: Commands,
    /// After this a command is stopped and has failed. Default: `10m`.
    pub timeout: Span,
    /// Whether submodules are checked out, in workspaces and for every gate. Default: false, and their directories are empty.
    pub submodules: bool,
    /// Whether workspaces are as sparse as the person's checkout (`git sparse-checkout`). Gates see all files. Default: false.
    pub sparse: bool,
}

impl Setup {
    /// Whether this path is brought, or holds what is, or lies in what is.
    #[must_use]
    pub fn brings(&self, path: &RepoPath) -> bool {
        self.bring
            .iter()
            .any(|brought| brought.is_at_or_beneath(path) || path.is_at_or_beneath(brought))
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            bring: Vec::new(),
            run: Commands::default(),
            timeout: ten_minutes(),
            submodules: false,
            sparse: false,
        }
    }
}

/// Commands as program and arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "CommandsText")]
#[schemars(with = "CommandsText")]
pub struct Commands(pub Vec<Vec<String>>);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum CommandsText {
    One(Vec<String>),
    Many(Vec<Vec<String>>),
}

impl From<CommandsText> for Commands {
    fn from(text: CommandsText) -> Self {
        match text {
            CommandsText::One(command) if command.is_empty() => Self::default(),
            CommandsText::One(command) => Self(vec![command]),
            CommandsText::Many(commands) => Self(commands),
        }
    }
}

/// Agents that review what workers leave, after every other reviewer, and only what those let through. They see a copy of
/// the head's files that is thrown away. Their word is advice: it never makes a change acceptable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Reviewers {
    /// Their names in `[agents]`, in the order in which they are asked; one that cannot look is replaced by the next. The agent
    /// whose work it is comes last.
    pub agents: Vec<BackendName>,
    /// How many of them must have looked, each another. What they call an error then goes back to the worker. 0: all are asked
    /// but the worker's own agent, which is asked where there is no other, and what they say stands in the record alone.
    pub count: u32,
    /// After this a reviewer, agent or not, is stopped, and was unavailable. Default: `10m`.
    pub timeout: Span,
    /// What follows when fewer could look.
    pub unavailable: WhenUnavailable,
    /// Whether one of them may confirm that work is complete of which its worker did not say so, such
    /// as work that was cut off. Default: a person is asked.
    pub confirm: bool,
}

impl Default for Reviewers {
    fn default() -> Self {
        Self {
            agents: Vec::new(),
            count: 0,
            timeout: ten_minutes(),
            unavailable: WhenUnavailable::default(),
            confirm: false,
        }
    }
}

/// What follows when fewer agents could look than must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnavailable {
    /// A person is asked whether to go on without.
    #[default]
    Ask,
    /// It goes on, and the record says who could not look.
    GoOn,
}

/// How a person is told that they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Notify {
    /// Program and arguments; never a shell line. It is run at each new question, at each reminder, and at the run's end, with
    /// a line of JSON on its standard input: `{"version": 1, "what": "asked" | "reminded" | "ended", ...}`. It may take 30 s.
    pub run: Vec<String>,
    /// A person who does not answer is asked again so often. Nobody answering is not an answer.
    pub remind: Span,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            run: Vec::new(),
            remind: Span::secs(4 * 3600),
        }
    }
}

/// What follows when a task's attempts, or its budget, are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenExhausted {
    /// A person is asked whether it gets as much once more.
    #[default]
    Ask,
    /// The task is parked.
    Park,
}

/// Numbers at which something is stopped or asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Attempts at one task in one run.
    pub attempts: u32,
    /// What follows when they, or the task's budget, are used up.
    pub exhausted: WhenExhausted,
    /// Turns in one attempt: the first and its revisions.
    pub turns: u32,
    /// So many rejections of one task over the same finding of a reviewer, and a person is asked instead of the worker.
    pub same_finding: u32,
    /// Wall time of one turn, awake: a jump of the clock, or a sleep of the machine, is none of it.
    pub turn: Span,
    /// A turn that says nothing and changes nothing for so long, with no tool in flight, is stopped. Default: what the
    /// agent's backend knows of its silences; for a command, whose silence means nothing, never.
    pub stall: Option<Span>,
    /// How often a turn that has been silent for so long is reminded to go on before it is stopped; each reminder gives it as
    /// long again. Agents that cannot be spoken to are stopped at once.
    pub nudges: u32,
    /// Time between two looks at the real state. At every fourth a remote is asked for its tip, and what workers have touched is
    /// compared.
    pub heartbeat: Span,
    /// From TERM to KILL when a turn is stopped.
    pub grace: Span,
    /// A transfer with the remote that moves not a byte for so long is given up, and the remote is asked again later; one that
    /// moves is never cut. Bytes that only keep the connection alive count, and so does computing on this machine. A person who is to
    /// touch a key, or to type a passphrase, has so long. Default: `30s`.
    pub remote_silence: Span,
    /// First pause before a task is tried again; doubled each time, with full jitter.
    pub backoff: Span,
    /// The longest such pause.
    pub backoff_max: Span,
    /// Tasks that may be under review or waiting to land before no new one is started.
    pub review_debt: u32,
    /// The largest file that is taken in from a worker, or kept of what it left uncommitted, such as `50MiB`.
    pub file: Size,
    /// All that one attempt brings, such as `256MiB`.
    pub work: Size,
    /// How many new objects (files, directories, commits) one attempt brings.
    pub objects: u32,
    /// The largest file that is reviewed, such as `10MiB`: a larger one is a finding.
    pub readable: Size,
    /// How many uncommitted files are kept of what a worker left.
    pub rescued: u32,
    /// Attempts in the whole run.
    pub run_attempts: Option<u32>,
    /// Tokens in the whole run, where the agents tell.
    pub run_tokens: Option<u64>,
    /// US dollars in the whole run, where the agents tell.
    pub run_usd: Option<f64>,
    /// Wall time, awake, after which nothing new is started.
    pub run_wall: Option<Span>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts: 3,
            exhausted: WhenExhausted::default(),
            turns: 3,
            same_finding: 2,
            turn: Span::secs(2 * 3600),
            stall: None,
            nudges: 1,
            heartbeat: Span::secs(15),
            grace: Span::secs(10),
            remote_silence: Span::secs(30),
            backoff: Span::secs(1),
            backoff_max: Span::secs(300),
            review_debt: 8,
            file: Size::mib(50),
            work: Size::mib(256),
            objects: 50_000,
            readable: Size::mib(10),
            rescued: 5000,
            run_attempts: None,
            run_tokens: None,
            run_usd: None,
            run_wall: None,
        }
    }
}

/// What workers, gates and git's filters see of our environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Environment {
    /// Names of variables that are passed on where they are set. Everything else is kept from them.
    pub allow: BTreeSet<String>,
    /// Ports that are handed out, a range to each workspace and one to the gates.
    pub ports: Ports,
}

impl Default for Environment {
    fn default() -> Self {
        let allow = [
            "CARGO_HOME",
            "HOME",
            "LANG",
            "LC_ALL",
            "LC_CTYPE",
            "LOGNAME",
            "PATH",
            "RUSTUP_HOME",
            "SHELL",
            "TERM",
            "TMPDIR",
            "TZ",
            "USER",
        ];
        Self {
            allow: allow.map(str::to_owned).into(),
            ports: Ports::default(),
        }
    }
}

/// One of git's filters, as in gitattributes(5): shell lines that git runs on a file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Filter {
    /// From the working file to what is committed.
    pub clean: Option<String>,
    /// From what is committed to the working file.
    pub smudge: Option<String>,
    /// Both, by one process for many files.
    pub process: Option<String>,
    /// Whether a file that cannot be filtered is an error. Otherwise git takes it as it is.
    pub required: bool,
}
