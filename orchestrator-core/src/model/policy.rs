//! The rules that decide, as a person writes them in TOML (design: "Policy").
//!
//! Parsed and checked here, once; the machine reads it, and its hash is in the ledger.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AgentSpec, BackendName, BranchName, ContentHash, ContractKeys, GateName, GateSpec, Pattern, RepoPath, Span, Surface};

/// The rules of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// The branch that work lands on. Default: the branch that the repository's HEAD names.
    pub target: Option<BranchName>,
    /// The remote to push to, such as `"origin"`, or `false`: the local branch is advanced and nothing is pushed.
    pub push: Push,
    /// How many agents may run at once.
    pub max_sessions: u32,
    /// The agents, by name.
    pub agents: BTreeMap<BackendName, AgentSpec>,
    /// The agent of a task that names none. Default: the only one, where there is only one.
    pub default_agent: Option<BackendName>,
    /// The gates, by name.
    pub gates: BTreeMap<GateName, GateRule>,
    /// Contract keys for every task.
    pub defaults: ContractKeys,
    /// Numbers at which something is stopped or asked.
    pub limits: Limits,
    /// What is done in a workspace before its worker comes.
    pub setup: Setup,
    /// Agents that review what workers leave.
    pub reviewers: Reviewers,
    /// How a person is told that they are asked.
    pub notify: Notify,
    /// What workers and gates see of our environment.
    pub environment: Environment,
    /// Git's filters that the repository's `.gitattributes` name, such as `lfs`. One that the person's own (global) git
    /// configuration has needs no entry; what stands in the repository's configuration is never used.
    pub filters: BTreeMap<String, Filter>,
    /// Always forbidden, added by whoever reads the policy: the roadmap and the policy itself.
    #[serde(skip)]
    #[schemars(skip)]
    pub always_forbidden: Vec<Pattern>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            target: None,
            push: Push::Never,
            max_sessions: 2,
            agents: BTreeMap::new(),
            default_agent: None,
            gates: BTreeMap::new(),
            defaults: ContractKeys::default(),
            limits: Limits::default(),
            setup: Setup::default(),
            reviewers: Reviewers::default(),
            notify: Notify::default(),
            environment: Environment::default(),
            filters: BTreeMap::new(),
            always_forbidden: Vec::new(),
        }
    }
}

/// Where an accepted change goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "PushText", into = "PushText")]
#[schemars(with = "PushText")]
pub enum Push {
    /// To the target branch of this remote; the person's own branch is left alone.
    Remote(String),
    /// To the target branch of the repository itself.
    Never,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum PushText {
    Flag(bool),
    Remote(String),
}

impl TryFrom<PushText> for Push {
    type Error = &'static str;
    fn try_from(text: PushText) -> Result<Self, Self::Error> {
        match text {
            PushText::Flag(false) => Ok(Self::Never),
            PushText::Remote(name) if !name.is_empty() && !name.starts_with('-') => Ok(Self::Remote(name)),
            PushText::Flag(true) | PushText::Remote(_) => Err("`push` takes the name of a remote, such as \"origin\", or false"),
        }
    }
}

impl From<Push> for PushText {
    fn from(push: Push) -> Self {
        match push {
            Push::Remote(name) => Self::Remote(name),
            Push::Never => Self::Flag(false),
        }
    }
}

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
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

impl GateRule {
    /// The rule under its name, as a contract keeps it.
    #[must_use]
    pub fn named(&self, name: &GateName) -> GateSpec {
        let (name, run, surface, cache) = (name.clone(), self.run.clone(), self.surface.clone(), self.cache.clone());
        GateSpec { name, run, surface, timeout: self.timeout, cache, rerun: self.rerun }
    }
}

/// What is done in a workspace before its worker comes.
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
}

impl Default for Setup {
    fn default() -> Self {
        Self { bring: Vec::new(), run: Commands::default(), timeout: ten_minutes() }
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
    /// Their names in `[agents]`, in the order in which they are asked; one that cannot look is replaced by the next.
    pub agents: Vec<BackendName>,
    /// How many of them must have looked, each another. What they call an error then goes back to the worker. 0: all are asked,
    /// and what they say stands in the record alone.
    pub count: u32,
    /// After this an agent is stopped, and was unavailable. Default: `10m`.
    pub timeout: Span,
    /// What follows when fewer could look.
    pub unavailable: WhenUnavailable,
}

impl Default for Reviewers {
    fn default() -> Self {
        Self { agents: Vec::new(), count: 0, timeout: ten_minutes(), unavailable: WhenUnavailable::default() }
    }
}

impl Reviewers {
    fn check(&self) -> Result<(), PolicyError> {
        let value = |key: &str, why: String| Err(PolicyError::Value { key: format!("reviewers.{key}"), why });
        for (at, name) in self.agents.iter().enumerate() {
            if self.agents[..at].contains(name) {
                return value("agents", format!("`{name}` stands there twice: a second opinion is another agent's"));
            }
        }
        if self.count as usize > self.agents.len() {
            return value("count", format!("{} are to look, and `agents` names {}", self.count, self.agents.len()));
        }
        Ok(())
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
        Self { run: Vec::new(), remind: Span::secs(4 * 3600) }
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
    /// Wall time of one turn.
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
    /// First pause before a task is tried again; doubled each time, with full jitter.
    pub backoff: Span,
    /// The longest such pause.
    pub backoff_max: Span,
    /// Tasks that may be under review or waiting to land before no new one is started.
    pub review_debt: u32,
    /// Attempts in the whole run.
    pub run_attempts: Option<u32>,
    /// Tokens in the whole run, where the agents tell.
    pub run_tokens: Option<u64>,
    /// US dollars in the whole run, where the agents tell.
    pub run_usd: Option<f64>,
    /// Wall time after which nothing new is started.
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
            backoff: Span::secs(1),
            backoff_max: Span::secs(300),
            review_debt: 8,
            run_attempts: None,
            run_tokens: None,
            run_usd: None,
            run_wall: None,
        }
    }
}

/// What workers and gates see of our environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Environment {
    /// Names of variables that are passed on where they are set. Everything else is kept from them.
    pub allow: BTreeSet<String>,
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
        Self { allow: allow.map(str::to_owned).into() }
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

/// A policy that cannot be used. The message names the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("line {line}: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A value that cannot be meant.
    #[error("`{key}`: {why}")]
    Value {
        /// The key, with its tables.
        key: String,
        /// What is wrong, and the mend.
        why: String,
    },
}

impl Policy {
    /// Reads and checks a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the line, or with the key and the mend.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            PolicyError::Syntax { line, message: error.message().trim().replace('\n', ", ") }
        })?;
        policy.check()?;
        Ok(policy)
    }

    /// The checks of [`Policy::parse`], for a policy that was built in code.
    ///
    /// # Errors
    /// [`PolicyError::Value`] with the key and the mend.
    pub fn check(&self) -> Result<(), PolicyError> {
        let value = |key: String, why: String| Err(PolicyError::Value { key, why });
        let positive = [
            ("max_sessions", u64::from(self.max_sessions)),
            ("limits.attempts", u64::from(self.limits.attempts)),
            ("limits.turns", u64::from(self.limits.turns)),
            ("limits.same_finding", u64::from(self.limits.same_finding)),
            ("reviewers.timeout", self.reviewers.timeout.0),
            ("notify.remind", self.notify.remind.0),
            ("limits.review_debt", u64::from(self.limits.review_debt)),
            ("limits.turn", self.limits.turn.0),
            ("limits.stall", self.limits.stall.map_or(1, |stall| stall.0)),
            ("limits.heartbeat", self.limits.heartbeat.0),
            ("setup.timeout", self.setup.timeout.0),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, number)| *number == 0) {
            return value((*key).to_owned(), "must be greater than zero".to_owned());
        }
        self.reviewers.check()?;
        for (name, filter) in &self.filters {
            let lines = [&filter.clean, &filter.smudge, &filter.process];
            let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if name.is_empty() || !plain(name) {
                return value(format!("filters.{name}"), "is made of letters, digits, `-`, `_` and `.`".to_owned());
            }
            if lines.iter().all(|line| line.is_none()) || lines.into_iter().flatten().any(|line| line.contains(['\n', '\0'])) {
                return value(format!("filters.{name}"), "needs `clean`, `smudge` or `process`, each a single line".to_owned());
            }
        }
        for (name, gate) in &self.gates {
            if gate.run.first().is_none_or(String::is_empty) {
                return value(format!("gates.{name}.run"), "needs a program, as in `run = [\"cargo\", \"test\"]`".to_owned());
            }
            if gate.rerun > 5 {
                return value(format!("gates.{name}.rerun"), "at most 5: a gate that needs more is no gate".to_owned());
            }
            if gate.timeout.0 == 0 {
                return value(format!("gates.{name}.timeout"), "must be greater than zero".to_owned());
            }
        }
        if self.setup.run.0.iter().any(|command| command.first().is_none_or(String::is_empty)) {
            return value("setup.run".to_owned(), "each command needs a program, as in `run = [[\"npm\", \"ci\"]]`".to_owned());
        }
        for (name, agent) in &self.agents {
            if let AgentSpec::Command { run } = agent
                && run.first().is_none_or(String::is_empty)
            {
                return value(format!("agents.{name}.run"), "needs a program, as in `run = [\"./agent.sh\"]`".to_owned());
            }
        }
        if let Some(name) = &self.default_agent
            && !self.agents.is_empty()
            && !self.agents.contains_key(name)
        {
            let known = self.agents.keys().map(BackendName::as_str).collect::<Vec<_>>().join("`, `");
            return value("default_agent".to_owned(), format!("there is no agent `{name}`; the policy has `{known}`"));
        }
        Ok(())
    }

    /// The policy's name in the ledger: the SHA-256 of its JSON form.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of_json(self)
    }

    /// The agent of a task that names none.
    #[must_use]
    pub fn fallback_agent(&self) -> Option<&BackendName> {
        let only = || (self.agents.len() == 1).then(|| self.agents.keys().next()).flatten();
        self.default_agent.as_ref().or_else(only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_where_it_is_wrong() {
        let error = |text: &str| Policy::parse(text).expect_err(text).to_string();
        assert_eq!(error("max_sessions = 0"), "`max_sessions`: must be greater than zero");
        assert!(error("\n\nmax_session = 3").starts_with("line 3: unknown field `max_session`"));
        assert!(error("push = true").contains("`push` takes the name of a remote"));
        assert!(error("[gates.unit]\nrun = []").starts_with("`gates.unit.run`: needs a program"));
        assert!(error("[agents.x]\nkind = \"robot\"").contains("unknown variant `robot`"));
        assert!(error("default_agent = \"b\"\n[agents.a]\nkind = \"codex\"").contains("there is no agent `b`"));
    }

    #[test]
    fn defaults_are_what_the_documentation_says() {
        let policy = Policy::parse("").expect("an empty policy");
        assert_eq!(policy, Policy::default());
        assert_eq!(policy.push, Push::Never);
    }
}
