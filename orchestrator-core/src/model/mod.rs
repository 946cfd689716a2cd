//! Plain data: the words of the project as types.
//!
//! Nothing here does anything. Whatever crosses a border (roadmap, policy, handoff, snapshot, ledger) is defined here once,
//! parsed into types that cannot hold a wrong value, and has a JSON schema where people or other programs meet it.

mod agent_warning;
mod agents;
mod answer_error;
mod authority;
mod contract;
mod contract_error;
mod cut;
mod effect;
mod end_cause;
mod event;
mod evidence;
mod failover;
mod fold;
mod glob;
mod handoff;
mod handoff_fault;
mod hold;
mod hold_reason;
mod id;
mod lacking;
mod landing;
mod missing_target;
mod name;
mod operation;
mod opinion;
mod package_change;
mod path;
mod policy;
mod ports;
mod record;
mod refusal;
mod review;
mod reviewer_choice;
mod settings;
mod text;
mod trouble;
mod turn;
mod usage;
mod when;
mod work_left;

pub use agent_warning::AgentWarning;
pub use agents::{AgentSpec, DoneBy};
pub use answer_error::AnswerError;
pub use authority::{Authority, PrivilegedKind, PrivilegedPath};
pub use contract::{
    Approval, Budget, Claim, Contract, ContractKey, ContractKeys, DocsRule, GateSpec, Task,
};
pub use contract_error::ContractError;
pub(crate) use cut::end_after;
pub use cut::{end_of, shortened, start_of};
pub use effect::{Effect, TaskEnd};
pub use end_cause::{EndCause, Findings, ParkReason, UsedUp};
pub use event::{
    Collected, Event, EventKind, MissingCommit, Opened, Reading, Roadmap, Withdrawal, WorkspaceFate,
};
pub use evidence::{Evidence, EvidenceBasis, GateOutcome, GateReport, Label, Observation};
pub use failover::Failover;
pub(crate) use fold::{folded, is_dotgit};
pub use glob::{InvalidPattern, Pattern};
pub use handoff::{
    ClaimedArtifact, ClaimedEvidence, ClaimedGate, ClaimedLabel, HANDOFF_VERSION, Handoff,
    HandoffError, HandoffStatus, MAX_HANDOFF,
};
pub use handoff_fault::HandoffFault;
pub use hold::{
    Answer, Decision, EndReason, Grant, Granted, Hold, HoldItem, HoldOption, Item, Question,
    Redefinition, RunMode, Waiver,
};
pub use hold_reason::{HoldReason, RedGate};
pub use id::{
    AttemptId, BlobId, CommitId, ContentHash, EffectId, FindingId, HoldId, InvalidFinding,
    InvalidHold, InvalidOid, InvalidSize, InvalidSpan, Oid, SessionRef, Shift, Size, Span,
    Timestamp, TreeId,
};
pub use lacking::Lacking;
pub use landing::{
    Acceptance, Candidate, Carried, Checkout, GateHead, Landing, LandingOutcome, MergeFailure,
    Obstacle, Predecessor,
};
pub use missing_target::MissingTarget;
pub use name::{
    AgentKind, BackendName, BranchName, ClaimId, GateName, InvalidName, LedgerId, PackageName,
    ResourceName, RunId, Surface, TaskId,
};
pub use operation::Operation;
pub use opinion::{
    AgentFinding, AgentOpinion, AgentSays, MAX_OPINION, OPINION_VERSION, OpinionError,
};
pub use package_change::PackageChange;
pub use path::{InvalidPath, RepoPath};
pub use policy::{Policy, PolicyError, Push};
pub use ports::Ports;
pub use record::Record;
pub use refusal::{LandingPlace, Refusal, RefusalCause};
pub use review::{
    AgentReview, Change, ChangeKind, Entry, Finding, HandoffReport, KeptArtifact, Mode, Opinion,
    PastChange, PastChanges, Review, Severity, Submission, TreeShape, Verdict, only_history,
};
pub use reviewer_choice::ReviewerChoice;
pub use settings::{
    Commands, Environment, Filter, GateRule, Limits, Notify, Reviewers, Setup, WhenExhausted,
    WhenUnavailable,
};
pub use text::{causes, clean, clean_line, escaped_json, with_source};
pub(crate) use text::{fenced, is_binary, listed};
pub use trouble::Trouble;
pub use turn::{Ask, Completion, Pulse, StopReason, TurnEnd, TurnOutcome, TurnSight};
pub use usage::{ModelUsage, SessionUsage, Spend, TurnUsage, Usage, UsageSource, dollars};
pub use work_left::{HandoffLeft, WorkLeft};
