//! What is wanted, and what a worker must keep while doing it.
//!
//! ```text
//! roadmap: Task { keys } ──┐
//!                          ├── freeze, at dispatch ──► Contract, named by its hash
//! policy: defaults, gates ─┘
//! ```

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BackendName, ClaimId, ContentHash, GateName, PackageName, Pattern, RepoPath, ResourceName,
    Setup, Span, Surface, TaskId,
};

/// One thing wanted from the roadmap, as its source tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task {
    /// Unique within the roadmap.
    pub id: TaskId,
    /// One line.
    pub title: String,
    /// The group that it belongs to; `None` for a roadmap without packages.
    pub package: Option<PackageName>,
    /// What is wanted, in prose. Untrusted text where the roadmap is.
    pub text: String,
    /// Whether the source says that it was finished before.
    pub done: bool,
    /// The contract's keys as written beneath the task.
    pub keys: ContractKeys,
    /// Where it is written, such as `ROADMAP.md:12`, for messages; `None` where there is no such place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Task {
    /// A task that is open, in no package, under the policy's defaults.
    pub fn new(id: TaskId, title: impl Into<String>) -> Self {
        let (package, text, keys) = (None, String::new(), ContractKeys::default());
        Self {
            id,
            title: title.into(),
            package,
            text,
            done: false,
            keys,
            place: None,
        }
    }

    /// Puts the task into a package.
    #[must_use]
    pub fn in_package(mut self, package: PackageName) -> Self {
        self.package = Some(package);
        self
    }

    /// Says what is wanted.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Sets the contract's keys.
    #[must_use]
    pub fn with_keys(mut self, keys: ContractKeys) -> Self {
        self.keys = keys;
        self
    }
}

/// The keys of a contract as a person writes them, beneath a task or in the policy's `[defaults]`. Every key may be
/// left out; unknown keys are errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContractKeys {
    /// Paths that may change. Default: everything, so that the task runs alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Pattern>>,
    /// Paths that may not change; wins over `allow`. Added to the defaults'. The roadmap and the policy are always forbidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbid: Option<Vec<Pattern>>,
    /// Names of gates in the policy. Default: the gates that the policy marks `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<GateName>>,
    /// Tasks that must have landed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<TaskId>>,
    /// Resources held alone while the task is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<ResourceName>>,
    /// What is to be true afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<Claim>>,
    /// When a path matching `when` changes, one matching `then` must change too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<Vec<DocsRule>>,
    /// Names of files that the worker leaves beside its handoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Vec<RepoPath>>,
    /// What a person is asked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<BTreeSet<Approval>>,
    /// The agent to use. Default: the policy's `default_agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<BackendName>,
    /// What the task may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// Something that must be true, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Unique within the contract.
    pub id: ClaimId,
    /// The claim in words.
    pub text: String,
    /// Where it is to be seen: `repo` unless said.
    #[serde(default = "Surface::repo")]
    pub surface: Surface,
}

/// Documentation that must move together with code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocsRule {
    /// When a changed path matches this,
    pub when: Pattern,
    /// another must match this.
    pub then: Pattern,
}

/// A step that a person is asked before.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Before an agent starts.
    Dispatch,
    /// Before the result lands.
    Landing,
}

/// A part of a contract by which work is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContractKey {
    /// The paths that may change.
    Allow,
    /// The paths that may not.
    Forbid,
    /// The gates, or how the policy defines one of them.
    Gates,
    /// What is to be true afterwards.
    Claims,
    /// Documentation that must change too.
    Docs,
    /// Files that the worker leaves.
    Artifacts,
    /// What a person is asked before.
    Approve,
    /// What the task may cost.
    Budget,
}

impl ContractKey {
    /// The key as a person writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Forbid => "forbid",
            Self::Gates => "gates",
            Self::Claims => "claims",
            Self::Docs => "docs",
            Self::Artifacts => "artifacts",
            Self::Approve => "approve",
            Self::Budget => "budget",
        }
    }
}

/// What a task may cost. A missing number means: as the policy's limits say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Attempts in one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Wall time of all turns together, awake, such as `45m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Span>,
    /// Tokens, input and output, where the agent tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars, where the agent tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Files that may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
}

/// `usd` is a finite number that a person wrote, so equality is what it seems.
impl Eq for Budget {}

/// One deterministic check that we run ourselves, as the policy defines it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// The gate's name.
    pub name: GateName,
    /// Program and arguments; never a shell line.
    pub run: Vec<String>,
    /// What the gate observes.
    pub surface: Surface,
    /// After this it is stopped and counts as red.
    pub timeout: Span,
    /// Directories of the tree that are kept from one run to the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<RepoPath>,
    /// How often it is run again on the same tree when it is red.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rerun: u32,
    /// What its directory is set up with; `None`: with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Box<Setup>>,
    /// Whether its directory is a repository.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repository: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl GateSpec {
    /// What the report of a run binds to: any change of the definition is another gate.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of_json(self)
    }
}

/// What a worker must keep. Frozen when the task is dispatched, and named by its hash from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contract {
    /// The task's id.
    pub task: TaskId,
    /// Its title.
    pub title: String,
    /// Its package.
    pub package: Option<PackageName>,
    /// What is wanted, in prose.
    pub text: String,
    /// Paths that may change.
    pub allow: Vec<Pattern>,
    /// Paths that may not; wins over `allow`.
    pub forbid: Vec<Pattern>,
    /// The gates, whole: a later policy does not rewrite them.
    pub gates: Vec<GateSpec>,
    /// What is to be true afterwards.
    pub claims: Vec<Claim>,
    /// Tasks whose landed commits the base contains.
    pub after: Vec<TaskId>,
    /// Resources held alone while the task is open.
    pub resources: Vec<ResourceName>,
    /// Documentation that must move along.
    pub docs: Vec<DocsRule>,
    /// Files that the worker leaves beside its handoff.
    pub artifacts: Vec<RepoPath>,
    /// What a person is asked before.
    pub approve: BTreeSet<Approval>,
    /// The agent that does it.
    pub agent: BackendName,
    /// What it may cost.
    pub budget: Budget,
}

impl Contract {
    /// The parts by which work is judged, as far as they are not the same in another contract.
    #[must_use]
    pub fn differs_in(&self, other: &Self) -> Vec<ContractKey> {
        let parts = [
            (ContractKey::Allow, self.allow == other.allow),
            (ContractKey::Forbid, self.forbid == other.forbid),
            (ContractKey::Gates, self.gates == other.gates),
            (ContractKey::Claims, self.claims == other.claims),
            (ContractKey::Docs, self.docs == other.docs),
            (ContractKey::Artifacts, self.artifacts == other.artifacts),
            (ContractKey::Approve, self.approve == other.approve),
            (ContractKey::Budget, self.budget == other.budget),
        ];
        let other = parts.into_iter().filter(|(_, same)| !same);
        other.map(|(key, _)| key).collect()
    }

    /// The contract's name: the SHA-256 of its JSON form.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of_json(self)
    }

    /// Whether the contract lets this path change, and if not, which rule forbids it.
    ///
    /// # Errors
    /// The rule in words, for a finding.
    pub fn permits(&self, path: &RepoPath) -> Result<(), String> {
        if let Some(pattern) = self.forbid.iter().find(|pattern| pattern.matches(path)) {
            return Err(format!("forbidden by `{pattern}`"));
        }
        if self.allow.iter().any(|pattern| pattern.matches(path)) {
            return Ok(());
        }
        Err("not among the allowed paths".to_owned())
    }
}
