//! What is told to the machine, what it keeps, and what it asks for.
//!
//! ```text
//! world ── Event ──► decide ── Record ──► ledger ──► apply ──► State
//!   ▲                            │
//!   └──── perform ◄── Effect ◄───┘
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Answer, Ask, AttemptId, BackendName, Candidate, Checkout, CommitId, ContentHash, Contract, EffectId, EndReason, Finding,
    GateReport, GateSpec, Hold, HoldId, KeptArtifact, Landing, LandingOutcome, MergeFailure, PackageName, Predecessor, Pulse,
    Review, RunId, RunMode, SessionRef, Span, StopReason, Submission, Task, TaskId, Timestamp, TreeId, TurnOutcome, TurnSight,
    Usage, Verdict,
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
pub enum EventKind {
    /// An orchestrator opened the ledger.
    Opened(Opened),
    /// The roadmap was read: closes [`Effect::ReadRoadmap`].
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
    /// The person's checkout was seen.
    CheckoutSeen(Checkout),
    /// Time has passed, or something was applied: whatever is due is asked for now.
    Tick,
    /// The run is to end at once; what is in flight was stopped, and goes on when the ledger is opened again.
    StopAsked,
    /// A workspace is ready, or cannot be made: closes [`Effect::Prepare`].
    Prepared {
        /// The effect that this closes.
        effect: EffectId,
        /// Why it could not be made.
        failure: Option<String>,
    },
    /// The agent named its session.
    SessionSeen {
        /// The [`Effect::RunTurn`] that runs.
        effect: EffectId,
        /// The session.
        session: SessionRef,
    },
    /// Something about a running turn that its reviewers should know, such as a refused call of a tool.
    Noticed {
        /// The [`Effect::RunTurn`] that runs.
        effect: EffectId,
        /// What.
        finding: Finding,
    },
    /// A heartbeat looked at a running turn.
    TurnSeen {
        /// The [`Effect::RunTurn`] that runs.
        effect: EffectId,
        /// What was seen.
        seen: TurnSight,
    },
    /// A turn is over, and none of its processes lives: closes [`Effect::RunTurn`].
    TurnEnded {
        /// The effect that this closes.
        effect: EffectId,
        /// How it ended.
        outcome: TurnOutcome,
        /// What it cost.
        usage: Usage,
    },
    /// The agent was reminded to go on, or cannot be spoken to: closes [`Effect::Nudge`].
    Nudged {
        /// The effect that this closes.
        effect: EffectId,
        /// Whether it took the reminder.
        heard: bool,
    },
    /// A turn was told to stop: closes [`Effect::StopTurn`].
    StopSent {
        /// The effect that this closes.
        effect: EffectId,
    },
    /// The attempt's work was taken in: closes [`Effect::Collect`].
    Collected {
        /// The effect that this closes.
        effect: EffectId,
        /// What was found.
        result: Collected,
        /// What was kept of the turn, whatever was found: its raw streams and its handoff.
        kept: Vec<KeptArtifact>,
    },
    /// The reviewers have spoken: closes [`Effect::Review`].
    Reviewed {
        /// The effect that this closes.
        effect: EffectId,
        /// One for each reviewer.
        reviews: Vec<Review>,
    },
    /// Closes [`Effect::Merge`].
    Merged {
        /// The effect that this closes.
        effect: EffectId,
        /// The candidate, or why there is none.
        result: Result<Candidate, MergeFailure>,
    },
    /// Closes [`Effect::RunGate`].
    GateRan {
        /// The effect that this closes.
        effect: EffectId,
        /// What it did.
        report: GateReport,
    },
    /// Closes [`Effect::CheckTip`].
    TipChecked {
        /// The effect that this closes.
        effect: EffectId,
        /// What the gate did on the tip's own tree.
        report: GateReport,
    },
    /// Closes [`Effect::Land`].
    LandingTried {
        /// The effect that this closes.
        effect: EffectId,
        /// How it went.
        outcome: LandingOutcome,
    },
    /// Closes [`Effect::CleanUp`].
    CleanedUp {
        /// The effect that this closes.
        effect: EffectId,
        /// What was done.
        fate: WorkspaceFate,
    },
    /// The task's source was told: closes [`Effect::Report`].
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
    /// The seed for jitter.
    pub seed: u64,
    /// The agents that can be used, and whether they can resume a session.
    pub backends: Vec<(BackendName, bool)>,
    /// Whether the run goes on while only a person can bring it on, or its mode is paused.
    pub wait: bool,
}

/// A roadmap as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roadmap {
    /// The source's own name for this state, such as a commit.
    pub revision: String,
    /// The target's tip that it was read at.
    pub tip: CommitId,
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
#[expect(clippy::large_enum_variant, reason = "nearly always the large one")]
pub enum Collected {
    /// Commits on top of the base, now in our repository.
    Work(Submission),
    /// No commit.
    Nothing {
        /// The reason that the handoff gives, if it says blocked.
        blocked: Option<String>,
        /// Whether the workspace holds uncommitted work.
        dirty: bool,
        /// The commit of ours that keeps it.
        rescued: Option<CommitId>,
    },
    /// The head could not be taken in: it does not descend from the base, is damaged, too large, or gone.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// What became of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// What the machine wants done. Each has an id and gets exactly one closing event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Read the roadmap.
    ReadRoadmap {
        /// At this tip, which we have; `None`: the target is fetched first.
        tip: Option<CommitId>,
    },
    /// Make the attempt's repository and workspace, from this base.
    Prepare {
        /// For which attempt.
        attempt: AttemptId,
        /// The pinned base.
        base: CommitId,
    },
    /// Run one turn of an agent to its end.
    RunTurn {
        /// For which attempt.
        attempt: AttemptId,
        /// 1 for the first.
        turn: u32,
        /// The agent.
        backend: BackendName,
        /// The session to resume.
        resume: Option<SessionRef>,
        /// What it is asked.
        ask: Ask,
    },
    /// Remind an agent that has gone silent to go on.
    Nudge {
        /// For which attempt.
        attempt: AttemptId,
        /// The [`Effect::RunTurn`] that runs.
        turn: EffectId,
    },
    /// Stop a running turn; its own end follows as [`EventKind::TurnEnded`].
    StopTurn {
        /// For which attempt.
        attempt: AttemptId,
        /// The [`Effect::RunTurn`] to be ended.
        turn: EffectId,
        /// Why.
        why: StopReason,
    },
    /// Take the attempt's head, handoff and artifacts in.
    Collect {
        /// For which attempt.
        attempt: AttemptId,
        /// The turn that is over.
        turn: u32,
    },
    /// Ask the reviewers about a commit.
    Review {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit.
        head: CommitId,
    },
    /// Build the candidate on the target's present tip.
    Merge {
        /// For which attempt.
        attempt: AttemptId,
        /// The commit.
        head: CommitId,
    },
    /// Run one gate on the candidate's tree.
    RunGate {
        /// For which attempt.
        attempt: AttemptId,
        /// The tree.
        tree: TreeId,
        /// The gate, from the frozen contract.
        gate: GateSpec,
    },
    /// Run a gate that is red on the candidate on the tip that the candidate was built on.
    CheckTip {
        /// For which attempt.
        attempt: AttemptId,
        /// The tip.
        tip: CommitId,
        /// The gate.
        gate: GateSpec,
    },
    /// Commit the candidate and make it the target's tip.
    Land {
        /// The intent.
        landing: Arc<Landing>,
    },
    /// Remove the attempt's workspace, if that loses nothing.
    CleanUp {
        /// For which attempt.
        attempt: AttemptId,
    },
    /// Tell the task's source how it went.
    Report {
        /// The task.
        task: TaskId,
        /// The last attempt.
        attempt: AttemptId,
        /// The commit, if it landed.
        landed: Option<CommitId>,
    },
}

/// What the machine decided: the only thing that state is folded from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A run began, or was taken up again after its orchestrator had died.
    RunOpened {
        /// Who and how.
        opened: Opened,
        /// Whether an unended run goes on.
        resumed: bool,
        /// When.
        at: Timestamp,
    },
    /// The roadmap as it counts from now on.
    RoadmapRead(Roadmap),
    /// The same where its tasks and their dependencies are as before: it tells only of those that it tells otherwise now.
    RoadmapChanged(Roadmap),
    /// The roadmap cannot be used as it is at this tip: the one before counts for what is under way, and nothing new begins.
    RoadmapRefused {
        /// The tip.
        tip: CommitId,
        /// The places and the mends.
        why: String,
    },
    /// A task is no longer wanted.
    Withdrawn {
        /// Which.
        task: TaskId,
        /// Why.
        why: Withdrawal,
    },
    /// The remote cannot be reached: what needs it waits.
    RemoteAway {
        /// In git's words.
        why: String,
        /// When this was found.
        at: Timestamp,
        /// When it is asked again.
        until: Timestamp,
    },
    /// The remote can be reached again.
    RemoteBack,
    /// The run mode as it counts from now on.
    ModeSet(RunMode),
    /// The target's tip, as seen.
    TipSeen(CommitId),
    /// The person's checkout, as seen.
    CheckoutSeen(Checkout),
    /// The package that work is taken from, and why it changed.
    PackageEntered {
        /// The package; `None` for tasks outside any.
        package: Option<PackageName>,
        /// Why.
        reason: String,
    },
    /// Something is to be done.
    Requested {
        /// Its id.
        effect: EffectId,
        /// When.
        at: Timestamp,
        /// What.
        what: Effect,
    },
    /// An effect got its closing event.
    Closed {
        /// Its id.
        effect: EffectId,
        /// Whether it was interrupted.
        interrupted: bool,
    },
    /// A closing event came for an effect that was closed before: nothing follows from it.
    Stale {
        /// The effect.
        effect: EffectId,
    },
    /// An attempt began, under a frozen contract, from a pinned base.
    Dispatched {
        /// Which.
        attempt: AttemptId,
        /// The contract, whole.
        contract: Arc<Contract>,
        /// The base.
        base: CommitId,
        /// When.
        at: Timestamp,
    },
    /// The attempt's repository and workspace are ready.
    WorkspaceReady {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The session by which the attempt can be resumed.
    SessionSeen {
        /// Which attempt.
        attempt: AttemptId,
        /// The session.
        session: SessionRef,
    },
    /// A running turn looks different from what it did before.
    PulseSeen {
        /// Which attempt.
        attempt: AttemptId,
        /// How it looks now.
        pulse: Pulse,
    },
    /// Something was noticed in a running turn that its reviewers should know: it is among the findings of what the attempt submits.
    Noticed {
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        finding: Finding,
    },
    /// The attempt's head moved.
    HeadSeen {
        /// Which attempt.
        attempt: AttemptId,
        /// Its head now.
        head: CommitId,
    },
    /// A turn is over.
    TurnEnded {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        outcome: TurnOutcome,
        /// What it cost.
        usage: Usage,
        /// How long it took.
        took: Span,
    },
    /// What is kept of a turn for good, by content: its raw streams and its handoff.
    Kept {
        /// Which attempt.
        attempt: AttemptId,
        /// By name, such as `turn-1/stdout`.
        files: Vec<KeptArtifact>,
    },
    /// What an attempt had not committed is kept as a commit of ours.
    Rescued {
        /// Which attempt.
        attempt: AttemptId,
        /// The commit.
        commit: CommitId,
    },
    /// There is a commit without a handoff that can be read: a turn for that alone is due.
    RepairAsked {
        /// Which attempt.
        attempt: AttemptId,
        /// What is wrong with the handoff.
        why: String,
    },
    /// The attempt's work is in our repository.
    Submitted {
        /// Which attempt.
        attempt: AttemptId,
        /// What it is.
        submission: Arc<Submission>,
    },
    /// The reviewers have spoken.
    Reviewed {
        /// Which attempt.
        attempt: AttemptId,
        /// One for each reviewer.
        reviews: Vec<Review>,
    },
    /// The attempt waits for the landing lane.
    Queued {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The candidate was built.
    CandidateBuilt {
        /// Which attempt.
        attempt: AttemptId,
        /// What is to land.
        candidate: Candidate,
    },
    /// A gate ran on the candidate.
    GateReported {
        /// Which attempt.
        attempt: AttemptId,
        /// What it said.
        report: Box<GateReport>,
    },
    /// The candidate is red: whether the tip itself is, is to be found out.
    TipSuspected {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// A gate ran on the tip itself.
    TipReported {
        /// For which attempt.
        attempt: AttemptId,
        /// What it said.
        report: Box<GateReport>,
    },
    /// The tip itself is red: the attempt waits, and is not to blame.
    TipRed {
        /// Which attempt.
        attempt: AttemptId,
        /// The tip.
        tip: CommitId,
    },
    /// What follows for one commit.
    Judged {
        /// Which attempt.
        attempt: AttemptId,
        /// The commit.
        head: CommitId,
        /// The verdict.
        verdict: Verdict,
    },
    /// The acceptance, before it is landed.
    Accepted {
        /// What it rests on.
        landing: Arc<Landing>,
    },
    /// The target contains the work.
    Landed {
        /// Which attempt.
        attempt: AttemptId,
        /// The merge commit.
        commit: CommitId,
    },
    /// The attempt is over without a landing; its head, if it has one, is kept.
    AttemptEnded {
        /// Which attempt.
        attempt: AttemptId,
        /// Why.
        reason: String,
        /// Whether it counts against the limit of attempts.
        counts: bool,
        /// What it leaves to the next, if the target had moved away from it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Predecessor>,
    },
    /// The task waits for its next attempt.
    Waiting {
        /// Which task.
        task: TaskId,
        /// Not before.
        until: Timestamp,
    },
    /// A person is asked.
    HoldOpened {
        /// What.
        hold: Hold,
    },
    /// A person answered, or the reason went away.
    HoldAnswered {
        /// Which hold.
        hold: HoldId,
        /// With what; `None` when the reason went away by itself.
        answer: Option<Answer>,
        /// When.
        #[serde(default)]
        at: Timestamp,
    },
    /// Nobody has answered for long: the person is asked again, and nothing else follows.
    Reminded {
        /// About which hold.
        hold: HoldId,
        /// When.
        at: Timestamp,
    },
    /// A person answered something that was not asked, or not so: nothing follows from it.
    AnswerRefused {
        /// The answer.
        answer: Answer,
        /// Why it is none.
        why: String,
    },
    /// The task is stopped for good in this run.
    Parked {
        /// Which task.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// What became of an attempt's workspace.
    WorkspaceSettled {
        /// Which attempt.
        attempt: AttemptId,
        /// Its fate.
        fate: WorkspaceFate,
    },
    /// The run ended.
    RunEnded {
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}
