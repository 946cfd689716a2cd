//! Waiting for a person: a durable state, not a failure (law 11).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Claim, ClaimId, Contract, ContractKey, EvidenceBasis, Finding, FindingId, HoldId, HoldReason,
    KeptArtifact, RepoPath, TaskId, Timestamp, WorkLeft,
};

/// A question to a person, with all that is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// By this the answer names it.
    pub id: HoldId,
    /// The task that waits.
    pub task: TaskId,
    /// What it is about.
    pub about: HoldReason,
    /// What an approval would waive, or an observation prove, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<HoldItem>,
    /// What the turn left after which it is asked, where that is not told by an attempt that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<WorkLeft>,
    /// The attempt's contract as it would be now, where task and policy have changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redefined: Option<Redefinition>,
    /// Since when.
    pub since: Timestamp,
}

impl Hold {
    /// What is asked, in words.
    #[must_use]
    pub fn question(&self) -> String {
        let question = self.about.question(&self.items);
        match &self.redefined {
            None => question,
            Some(redefined) => format!(
                "{question}. Since the attempt began, {} changed: `adopt` judges the same work by that",
                redefined.in_words()
            ),
        }
    }
}

/// Another contract for an attempt that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redefinition {
    /// The contract, whole.
    pub contract: Arc<Contract>,
    /// In what it differs.
    pub keys: Vec<ContractKey>,
}

impl Redefinition {
    /// What task and policy make of an attempt's contract now; `None` where that is what the attempt
    /// is under. What is wanted, and from which agent, stays: other words would be another task.
    #[must_use]
    pub fn of(known: &Contract, now: Contract) -> Option<Self> {
        let keys = known.differs_in(&now);
        if keys.is_empty() {
            return None;
        }
        let contract = Contract {
            allow: now.allow,
            forbid: now.forbid,
            gates: now.gates,
            claims: now.claims,
            docs: now.docs,
            artifacts: now.artifacts,
            approve: now.approve,
            budget: now.budget,
            ..known.clone()
        };
        let contract = Arc::new(contract);
        Some(Self { contract, keys })
    }

    fn in_words(&self) -> String {
        let names: Vec<_> = self
            .keys
            .iter()
            .map(|key| format!("`{}`", key.as_str()))
            .collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        format!("{} {verb}", names.join(", "))
    }
}

/// What is to be asked, before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What it is about.
    pub about: HoldReason,
    /// What an approval would waive, or an observation prove.
    pub items: Vec<HoldItem>,
}

impl From<HoldReason> for Question {
    /// A question without items.
    fn from(about: HoldReason) -> Self {
        Self {
            about,
            items: Vec::new(),
        }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.about.question(&self.items))
    }
}

/// One thing that a person can let pass, or has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldItem {
    /// A claim that nothing here observed directly.
    Claim {
        /// The claim.
        claim: Claim,
        /// What is known of it.
        basis: EvidenceBasis,
    },
    /// A reviewer that could not look.
    Reviewer {
        /// Its name.
        name: String,
        /// Why it could not.
        reason: String,
    },
    /// A finding.
    Finding(Finding),
}

impl HoldItem {
    /// What a waiver or an observation of it is about.
    #[must_use]
    pub fn what(&self) -> Item {
        match self {
            Self::Claim { claim, .. } => Item::Claim(claim.id.clone()),
            Self::Reviewer { name, .. } => Item::Reviewer(name.clone()),
            Self::Finding(finding) => Item::Finding(finding.id()),
        }
    }

    /// Whether one of these lets it pass.
    #[must_use]
    pub fn is_waived_by(&self, waivers: &[Waiver]) -> bool {
        self.what().is_waived_by(waivers)
    }
}

impl std::fmt::Display for HoldItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim { claim, basis } => {
                let Claim { id, text, .. } = claim;
                let (label, reason) = (basis.label(), basis.about(claim));
                write!(f, "`{id}` ({text}) is {label}: {reason}")
            }
            Self::Reviewer { name, reason } => {
                write!(f, "reviewer `{name}` could not look: {reason}")
            }
            Self::Finding(finding) => write!(f, "{finding}"),
        }
    }
}

/// What a waiver or an observation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A claim, by id.
    Claim(ClaimId),
    /// A reviewer, by name.
    Reviewer(String),
    /// A finding, by id.
    Finding(FindingId),
}

impl Item {
    /// Whether one of these lets it pass.
    #[must_use]
    pub fn is_waived_by(&self, waivers: &[Waiver]) -> bool {
        waivers.iter().any(|waiver| waiver.item.what() == *self)
    }
}

impl std::fmt::Display for Item {
    /// The word by which an answer names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim(id) => write!(f, "{id}"),
            Self::Reviewer(name) => f.write_str(name),
            Self::Finding(id) => write!(f, "{id}"),
        }
    }
}

/// A person's decision: their answer to a hold, without the option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The hold that was answered.
    pub hold: HoldId,
    /// Who answered, as the answer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The note of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was answered.
    pub at: Timestamp,
}

impl Decision {
    /// Who decided, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.by.as_deref().unwrap_or("a person")
    }
}

/// What a person let pass, for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// What.
    pub item: HoldItem,
    /// Whose decision it was.
    #[serde(flatten)]
    pub decision: Decision,
}

/// Something that a person allowed, for one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What.
    #[serde(flatten)]
    pub what: Granted,
    /// Whose decision it was.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What a person can allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "granted", content = "path")]
#[non_exhaustive]
pub enum Granted {
    /// An agent may start.
    Dispatch,
    /// The candidate may land.
    Landing,
    /// The task is done without a change.
    NoChange,
    /// The task may change this file, by which other tools are told what to do.
    Change(RepoPath),
}

impl Granted {
    /// Whether one of these allows it.
    #[must_use]
    pub fn is_among(&self, grants: &[Grant]) -> bool {
        grants.iter().any(|grant| grant.what == *self)
    }

    /// Whether it is for one head alone, and is void for the next.
    #[must_use]
    pub fn is_for_one_head(&self) -> bool {
        match self {
            Self::Landing | Self::NoChange => true,
            Self::Dispatch | Self::Change(_) => false,
        }
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = self.decision.name();
        match &self.what {
            Granted::Dispatch => write!(f, "dispatch approved by {by}")?,
            Granted::Landing => write!(f, "landing approved by {by}")?,
            Granted::NoChange => write!(f, "done without a change, says {by}")?,
            Granted::Change(path) => write!(f, "a change of `{path}` approved by {by}")?,
        }
        if let Some(note) = &self.decision.note {
            write!(f, ": {note}")?;
        }
        write!(f, " ({})", self.decision.hold)
    }
}

/// What a person may answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldOption {
    /// Go on as asked. What is not as it should be is waived, item by item; what was unproven stays labelled so.
    Approve,
    /// The person has seen for themselves that the claims hold, on their own surface: this is evidence.
    Observed,
    /// The task is done without a change: tick it.
    Done,
    /// Try again what did not work.
    Retry,
    /// Judge the same work by the contract as task and policy have it now.
    Adopt,
    /// Give the task up until it is taken up again with `retry`; its work is kept.
    Park,
}

impl HoldOption {
    /// The word by which it is answered.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Observed => "observed",
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Adopt => "adopt",
            Self::Park => "park",
        }
    }
}

impl std::fmt::Display for HoldOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for HoldOption {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [
            Self::Approve,
            Self::Observed,
            Self::Done,
            Self::Retry,
            Self::Adopt,
            Self::Park,
        ];
        known
            .into_iter()
            .find(|option| option.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no answer: approve, observed, done, retry, adopt or park")
            })
    }
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// To which hold.
    pub hold: HoldId,
    /// One of its options.
    pub option: HoldOption,
    /// In the person's words; kept in the ledger.
    #[serde(default)]
    pub note: Option<String>,
    /// Who answers. Nobody checks it: whoever may write the state directory may answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// For which of the hold's items, as they are written; empty: for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
    /// What is brought as a proof; its content is in the evidence store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<KeptArtifact>,
}

impl Answer {
    /// An answer to all that is asked, without a word.
    #[must_use]
    pub fn new(hold: HoldId, option: HoldOption) -> Self {
        Self {
            hold,
            option,
            note: None,
            by: None,
            items: Vec::new(),
            artifact: None,
        }
    }

    /// Says why.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Says who.
    #[must_use]
    pub fn with_name(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }

    /// For these items alone.
    #[must_use]
    pub fn with_items(mut self, items: impl IntoIterator<Item = String>) -> Self {
        self.items = items.into_iter().collect();
        self
    }

    /// Brings a proof, which the evidence store must have.
    #[must_use]
    pub fn with_artifact(mut self, artifact: KeptArtifact) -> Self {
        self.artifact = Some(artifact);
        self
    }
}

/// Whether new work may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// Work is started as it becomes ready.
    #[default]
    Active,
    /// What runs is finished; nothing is started.
    Drain,
    /// Nothing is started, and nothing that needs a new session goes on.
    Paused,
}

impl std::fmt::Display for RunMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Drain => "drain",
            Self::Paused => "paused",
        })
    }
}

/// Why a run ended. There is no other way for it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndReason {
    /// Every task has landed.
    Complete,
    /// Drained: what ran is finished, and the mode forbids more.
    Drained,
    /// Paused: nothing runs, and the mode forbids more.
    Paused,
    /// Only a person can bring it on.
    WaitingForAPerson,
    /// Nothing is left that can be done.
    Blocked,
    /// A budget of the run is used up.
    Budget,
    /// It was told to stop.
    Stopped,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Drained => "drained",
            Self::Paused => "paused",
            Self::WaitingForAPerson => "waiting-for-a-person",
            Self::Blocked => "blocked",
            Self::Budget => "budget",
            Self::Stopped => "stopped",
        })
    }
}
