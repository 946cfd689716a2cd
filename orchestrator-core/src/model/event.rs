//! What is told to the machine. What it asks for is an [`Effect`](super::Effect), what it keeps a [`Record`](super::Record).
//!
//! ```text
//! world ── Event ──► decide ── Record ──► ledger ──► apply ──► State
//!   ▲                            │
//!   └──── perform ◄── Effect ◄───┘
//! ```

use serde::{Deserialize, Serialize};

use super::{
    Answer, BackendName, Candidate, Carried, Checkout, CommitId, ContentHash, EffectId, Finding,
    GateReport, HandoffReport, KeptArtifact, LandingOutcome, MergeFailure, RepoPath, Review,
    ReviewerChoice, RunId, RunMode, SessionRef, Shift, Span, Submission, Task, Timestamp, TreeId,
    TurnOutcome, TurnSight, TurnUsage,
};

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When the teller learned of it.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// An orchestrator opened the ledger.
    Opened(Opened),
    /// The roadmap was read: closes [`Effect::ReadRoadmap`](super::Effect::ReadRoadmap).
    RoadmapRead {
        /// The effect that this closes.
        effect: EffectId,
        /// What was read, or why nothing was.
        reading: Reading,
    },
    /// A person wants another run mode.
    ModeAsked(RunMode),
    /// A person answers.
    Answered(Answer),
    /// The target's tip was seen.
    TipSeen(CommitId),
    /// The remote was asked for the target's tip, and could not be reached.
    RemoteAway {
        /// In git's words.
        why: String,
    },
    /// The remote was asked for the target's tip, and no longer has the target.
    TargetGone {
        /// What it has instead, and how to fix it.
        why: String,
    },
    /// The person's checkout was seen.
    CheckoutSeen(Checkout),
    /// What a person has that is no part of the run was looked for, such as commits that are not pushed: a sentence for each.
    RemarksSeen(Vec<String>),
    /// Time has passed, or something was applied: whatever is due is asked for now.
    Tick,
    /// The clock shows that much more, or less, than has passed of the time awake: the machine slept, or the clock was set. The
    /// time of this event, and of those that follow, is the clock's as it is now.
    ClockJumped {
        /// How much.
        by: Shift,
    },
    /// The run is to end at once; what is in flight was stopped, and goes on when the ledger is opened again.
    StopAsked,
    /// The target's history was looked through: closes
    /// [`Effect::CheckHistory`](super::Effect::CheckHistory).
    HistoryChecked {
        /// The effect that this closes.
        effect: EffectId,
        /// Those of the commits that the tip does not have. One of which that cannot be told, since
        /// history is cut off, is not among them.
        missing: Vec<MissingCommit>,
    },
    /// A workspace is ready, or cannot be made: closes [`Effect::Prepare`](super::Effect::Prepare).
    Prepared {
        /// The effect that this closes.
        effect: EffectId,
        /// Why it could not be made.
        failure: Option<String>,
    },
    /// The agent named its session.
    SessionSeen {
        /// The [`Effect::RunTurn`](super::Effect::RunTurn) that runs.
        effect: EffectId,
        /// The session.
        session: SessionRef,
    },
    /// Something about a running turn that its reviewers should know, such as a refused call of a tool.
    Noticed {
        /// The [`Effect::RunTurn`](super::Effect::RunTurn) that runs.
        effect: EffectId,
        /// What.
        finding: Finding,
    },
    /// A heartbeat looked at a running turn.
    TurnSeen {
        /// The [`Effect::RunTurn`](super::Effect::RunTurn) that runs.
        effect: EffectId,
        /// What was seen.
        seen: TurnSight,
    },
    /// A turn is over, and none of its processes lives: closes [`Effect::RunTurn`](super::Effect::RunTurn).
    TurnEnded {
        /// The effect that this closes.
        effect: EffectId,
        /// How it ended.
        outcome: TurnOutcome,
        /// What it used.
        usage: TurnUsage,
    },
    /// The agent was reminded to go on, or cannot be spoken to: closes [`Effect::Nudge`](super::Effect::Nudge).
    Nudged {
        /// The effect that this closes.
        effect: EffectId,
        /// Whether it took the reminder.
        heard: bool,
    },
    /// A turn or a gate was told to stop: closes [`Effect::StopTurn`](super::Effect::StopTurn) and
    /// [`Effect::CancelGate`](super::Effect::CancelGate).
    StopSent {
        /// The effect that this closes.
        effect: EffectId,
    },
    /// The attempt's work was taken in: closes [`Effect::Collect`](super::Effect::Collect).
    Collected {
        /// The effect that this closes.
        effect: EffectId,
        /// What was found.
        result: Collected,
        /// What was kept of the turn, whatever was found: its raw streams and its handoff.
        kept: Vec<KeptArtifact>,
    },
    /// A reviewer was asked that is an agent, or one that takes long.
    ReviewerAsked {
        /// The [`Effect::Review`](super::Effect::Review) that is open.
        effect: EffectId,
        /// Its name.
        reviewer: String,
        /// For an agent: how it stands to the agent whose work it is.
        choice: Option<ReviewerChoice>,
        /// For how long it has looked already.
        looked: Span,
    },
    /// The reviewers have spoken: closes [`Effect::Review`](super::Effect::Review).
    Reviewed {
        /// The effect that this closes.
        effect: EffectId,
        /// One for each reviewer.
        reviews: Vec<Review>,
        /// What was reviewed instead of the head, where only the head's history was wrong: the same
        /// tree, committed once.
        carried: Option<Carried>,
    },
    /// Closes [`Effect::Merge`](super::Effect::Merge).
    Merged {
        /// The effect that this closes.
        effect: EffectId,
        /// The candidate, or why there is none.
        result: Result<Candidate, MergeFailure>,
    },
    /// Closes [`Effect::RunGate`](super::Effect::RunGate).
    GateRan {
        /// The effect that this closes.
        effect: EffectId,
        /// What it did.
        report: GateReport,
    },
    /// The gate was stopped before it ended: closes [`Effect::RunGate`](super::Effect::RunGate).
    GateCancelled {
        /// The effect that this closes.
        effect: EffectId,
    },
    /// Closes [`Effect::Land`](super::Effect::Land).
    LandingTried {
        /// The effect that this closes.
        effect: EffectId,
        /// How it went.
        outcome: LandingOutcome,
    },
    /// Closes [`Effect::CleanUp`](super::Effect::CleanUp).
    CleanedUp {
        /// The effect that this closes.
        effect: EffectId,
        /// What was done.
        fate: WorkspaceFate,
    },
    /// The task's source was told: closes [`Effect::Report`](super::Effect::Report).
    Reported {
        /// The effect that this closes.
        effect: EffectId,
        /// Why it could not be told.
        failure: Option<String>,
    },
    /// The orchestrator died, or failed by a bug of its own, while this effect was open: closes it.
    Interrupted {
        /// The effect that this closes.
        effect: EffectId,
    },
}

/// Who opened the ledger, and under which rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The id of the run that begins, if none is to be gone on with.
    pub run: RunId,
    /// The policy's hash.
    pub policy: ContentHash,
    /// The environment that gates see, as [`GateReport::environment`] tells it: what gates said in
    /// another one does not count.
    pub environment: ContentHash,
    /// The seed for jitter.
    pub seed: u64,
    /// The agents that can be used, and whether they can resume a session.
    pub backends: Vec<(BackendName, bool)>,
    /// Whether the run goes on while only a person can bring it on, or its mode is paused.
    pub wait: bool,
    /// Whether gates that apply by default are run on the target itself beside the first workers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline: bool,
}

/// A roadmap as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roadmap {
    /// The source's own name for this state, such as a commit.
    pub revision: String,
    /// The target's tip that it was read at.
    pub tip: CommitId,
    /// The tree of that tip.
    pub tree: TreeId,
    /// In the order of the roadmap.
    pub tasks: Vec<Task>,
}

/// What came of reading the roadmap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// It can be worked on.
    Read(Roadmap),
    /// It cannot be understood, or not be worked on.
    Refused {
        /// The tip that it was read at.
        tip: CommitId,
        /// The places and the mends.
        why: String,
    },
    /// The remote could not be reached.
    Unreachable {
        /// In git's words.
        why: String,
    },
}

/// A commit that the target's history does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingCommit {
    /// Which.
    pub commit: CommitId,
    /// The commit of the target that is the same landing: with its id, and its tree or its patch.
    pub again: Option<CommitId>,
}

/// Why a task that was under way is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// The roadmap no longer has it.
    Removed,
    /// A person ticked it.
    Ticked,
}

/// What was found when a turn was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Collected {
    /// Commits on top of the base, now in our repository.
    Work(Submission),
    /// No commit.
    Nothing {
        /// The base, which is the head.
        base: CommitId,
        /// The base's tree.
        tree: TreeId,
        /// The worker's claims.
        handoff: HandoffReport,
        /// What the agent said last, cut to 1,000 characters.
        said: Option<String>,
        /// Whether the workspace holds uncommitted work.
        dirty: bool,
        /// Some of the files that are changed and not committed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uncommitted: Vec<RepoPath>,
        /// The commit of ours that keeps it.
        rescued: Option<CommitId>,
    },
    /// The head is not taken in as it is, and its worker can mend that: it is too large, does not descend from the base, or holds what
    /// git refuses.
    Refused {
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
    /// The head could not be taken in: it is damaged or gone.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// What became of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkspaceFate {
    /// Gone, with proof that nothing was lost.
    Removed {
        /// The ref in our repository that keeps its head, where the target does not contain it, or its uncommitted work.
        kept: Option<String>,
    },
    /// Still there.
    Kept {
        /// Why: what would have been lost.
        reason: String,
    },
}
