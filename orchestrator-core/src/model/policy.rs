//! The rules that decide, as a person writes them in TOML (design: "Policy").
//!
//! Parsed and checked here, once; the machine reads it, and its hash is in the ledger.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    AgentSpec, Authority, BackendName, BranchName, ContentHash, ContractKeys, Environment, Filter,
    GateName, GateRule, Limits, Notify, Pattern, Reviewers, Setup,
    agents::{line_at, note_lines},
    failover::check_failover,
};

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
    /// Which files a person is asked about though a contract allows them.
    pub authority: Authority,
    /// What is done in a workspace before its worker comes.
    pub setup: Setup,
    /// Agents that review what workers leave.
    pub reviewers: Reviewers,
    /// How a person is told that they are asked.
    pub notify: Notify,
    /// What workers, gates and git's filters see of our environment.
    pub environment: Environment,
    /// Git's filters that the repository's `.gitattributes` name, such as `lfs`. One that the person's own (global) git
    /// configuration has needs no entry, and that of git-lfs none where it is installed; what stands in the repository's configuration
    /// is never used.
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
            authority: Authority::default(),
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
            PushText::Remote(name) if !name.is_empty() && !name.starts_with('-') => {
                Ok(Self::Remote(name))
            }
            PushText::Flag(true) | PushText::Remote(_) => {
                Err("`push` takes the name of a remote, such as \"origin\", or false")
            }
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

/// A policy that cannot be used. The message names the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, an unknown key, a value of the wrong kind, or a setting that an agent's kind does
    /// not take.
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
    /// Reads and checks a policy. The settings of an agent's kind are checked by
    /// [`AgentKinds`](crate::agent::AgentKinds).
    ///
    /// # Errors
    /// [`PolicyError`] with the line, or with the key and the mend.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy: Self = toml::from_str(text).map_err(|error| PolicyError::Syntax {
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            message: error.message().trim().replace('\n', ", "),
        })?;
        note_lines(text, &mut policy.agents);
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
            ("limits.file", self.limits.file.0),
            ("limits.work", self.limits.work.0),
            ("limits.objects", u64::from(self.limits.objects)),
            ("limits.readable", self.limits.readable.0),
            ("limits.turn", self.limits.turn.0),
            ("limits.stall", self.limits.stall.map_or(1, |stall| stall.0)),
            ("limits.heartbeat", self.limits.heartbeat.0),
            ("limits.remote_silence", self.limits.remote_silence.0),
            ("setup.timeout", self.setup.timeout.0),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, number)| *number == 0) {
            return value((*key).to_owned(), "must be greater than zero".to_owned());
        }
        self.reviewers.check()?;
        self.environment.ports.check(self.max_sessions)?;
        for (name, filter) in &self.filters {
            let lines = [&filter.clean, &filter.smudge, &filter.process];
            let plain = |name: &str| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            if name.is_empty() || !plain(name) {
                return value(
                    format!("filters.{name}"),
                    "is made of letters, digits, `-`, `_` and `.`".to_owned(),
                );
            }
            if lines.iter().all(|line| line.is_none())
                || lines
                    .into_iter()
                    .flatten()
                    .any(|line| line.contains(['\n', '\0']))
            {
                return value(
                    format!("filters.{name}"),
                    "needs `clean`, `smudge` or `process`, each a single line".to_owned(),
                );
            }
        }
        for (name, gate) in &self.gates {
            if gate.run.first().is_none_or(String::is_empty) {
                return value(
                    format!("gates.{name}.run"),
                    "needs a program, as in `run = [\"cargo\", \"test\"]`".to_owned(),
                );
            }
            if gate.rerun > 5 {
                return value(
                    format!("gates.{name}.rerun"),
                    "at most 5: a gate that needs more is no gate".to_owned(),
                );
            }
            if let Some(path) = gate
                .cache
                .iter()
                .find(|path| gate.setup && self.setup.brings(path))
            {
                return value(
                    format!("gates.{name}.cache"),
                    format!("`{path}` is brought by `[setup]` as well: take it out of one of them"),
                );
            }
            if gate.timeout.0 == 0 {
                return value(
                    format!("gates.{name}.timeout"),
                    "must be greater than zero".to_owned(),
                );
            }
        }
        if self
            .setup
            .run
            .0
            .iter()
            .any(|command| command.first().is_none_or(String::is_empty))
        {
            return value(
                "setup.run".to_owned(),
                "each command needs a program, as in `run = [[\"npm\", \"ci\"]]`".to_owned(),
            );
        }
        check_failover(&self.agents).map_err(|(name, error)| PolicyError::Value {
            key: format!("agents.{name}.failover"),
            why: error.to_string(),
        })?;
        if let Some(name) = &self.default_agent
            && !self.agents.is_empty()
            && !self.agents.contains_key(name)
        {
            let known = self
                .agents
                .keys()
                .map(BackendName::as_str)
                .collect::<Vec<_>>()
                .join("`, `");
            return value(
                "default_agent".to_owned(),
                format!("there is no agent `{name}`; the policy has `{known}`"),
            );
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
        let only = || {
            (self.agents.len() == 1)
                .then(|| self.agents.keys().next())
                .flatten()
        };
        self.default_agent.as_ref().or_else(only)
    }
}

impl Reviewers {
    fn check(&self) -> Result<(), PolicyError> {
        let value = |key: &str, why: String| {
            Err(PolicyError::Value {
                key: format!("reviewers.{key}"),
                why,
            })
        };
        for (at, name) in self.agents.iter().enumerate() {
            if self.agents[..at].contains(name) {
                return value(
                    "agents",
                    format!("`{name}` stands there twice: a second opinion is another agent's"),
                );
            }
        }
        if self.count as usize > self.agents.len() {
            return value(
                "count",
                format!(
                    "{} are to look, and `agents` names {}",
                    self.count,
                    self.agents.len()
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_where_it_is_wrong() {
        let error = |text: &str| Policy::parse(text).expect_err(text).to_string();
        assert_eq!(
            error("max_sessions = 0"),
            "`max_sessions`: must be greater than zero"
        );
        assert!(error("\n\nmax_session = 3").starts_with("line 3: unknown field `max_session`"));
        assert!(error("push = true").contains("`push` takes the name of a remote"));
        assert!(error("[gates.unit]\nrun = []").starts_with("`gates.unit.run`: needs a program"));
        let cached =
            "[setup]\nbring = [\"deps/a\"]\n[gates.unit]\nrun = [\"x\"]\ncache = [\"deps\"]\n";
        assert!(Policy::parse(cached).is_ok(), "the gate has none of it");
        assert_eq!(
            error(&format!("{cached}setup = true")),
            "`gates.unit.cache`: `deps` is brought by `[setup]` as well: take it out of one of them"
        );
        let few =
            "max_sessions = 3\n[environment]\nports = { first = 20000, last = 20029, each = 10 }";
        assert!(error(few).starts_with("`environment.ports`: 20000 to 20029 are 3 ranges of 10"));
        assert!(
            error("[agents.x]\nkind = \"\"").starts_with("line 2: `` is no valid kind of agent")
        );
        assert!(
            error("default_agent = \"b\"\n[agents.a]\nkind = \"robot\"")
                .contains("there is no agent `b`")
        );
    }

    #[test]
    fn defaults_are_what_the_documentation_says() {
        let policy = Policy::parse("").expect("an empty policy");
        assert_eq!(policy, Policy::default());
        assert_eq!(policy.push, Push::Never);
    }
}
