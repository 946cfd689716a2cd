//! What the machine keeps: the words of the ledger.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Answer, AnswerError, AttemptId, BackendName, Candidate, Checkout, ClaimedEvidence, CommitId,
    Completion, Contract, Effect, EffectId, EndCause, EndReason, Failover, Finding, FindingId,
    GateName, GateReport, Grant, HandoffFault, Hold, HoldId, KeptArtifact, Landing, Observation,
    Opened, PackageChange, PackageName, ParkReason, Predecessor, Pulse, Redefinition, Review,
    ReviewerChoice, Roadmap, RunMode, SessionRef, Shift, Span, Submission, TaskId, Timestamp,
    Trouble, TurnEnd, TurnOutcome, TurnUsage, Verdict, Waiver, Withdrawal, WorkspaceFate,
};

/// What the machine decided: the only thing that state is folded from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    /// The clock was moved, or the machine slept: what is counted in time awake is counted from as much later, or earlier.
    ClockJumped {
        /// By how much.
        by: Shift,
        /// What the clock shows since.
        at: Timestamp,
    },
    /// The run mode as it counts from now on.
    ModeSet(RunMode),
    /// The target's tip, as seen.
    TipSeen(CommitId),
    /// All that counts is in the history of this tip: the last tip before it, and every landing.
    HistoryKept {
        /// The tip.
        tip: CommitId,
    },
    /// The target was rewritten: an earlier tip is not in its history. Which landings are missing
    /// has yet to be seen.
    TargetRewritten {
        /// The earlier tip.
        from: CommitId,
        /// The tip.
        tip: CommitId,
    },
    /// A landing is another commit of the target now, or (`None`) a person let it count without one.
    LandingMoved {
        /// Of which task.
        task: TaskId,
        /// The commit.
        commit: Option<CommitId>,
    },
    /// A task that had landed, or that a person had parked, is to be done.
    Reopened {
        /// Which.
        task: TaskId,
        /// What a person says to the next attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
    },
    /// The person's checkout, as seen.
    CheckoutSeen(Checkout),
    /// What a person has that is no part of the run, as it counts from now on: a sentence for each.
    Remarked(Vec<String>),
    /// The package that work is taken from, and why it changed.
    PackageEntered {
        /// The package; `None` for tasks outside any.
        package: Option<PackageName>,
        /// Why.
        why: PackageChange,
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
        /// In place of which agent its contract's agent works, and why; `None` for the task's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failover: Option<Failover>,
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
        /// What it used.
        usage: TurnUsage,
        /// How many turns of its session, whose use was not known, are counted in with that.
        #[serde(default)]
        settled: u32,
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
    /// The agent ended its turn, and nothing was committed.
    NothingDone {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The attempt's context was full before anything was committed.
    ContextFilled {
        /// Which attempt.
        attempt: AttemptId,
        /// How many attempts of the task ended so in a row, this one included.
        row: u32,
    },
    /// Nothing has to be done, as the agent says: the attempt is what a person may let count. Its
    /// head is its base.
    NothingToDo {
        /// Which attempt.
        attempt: AttemptId,
        /// The work: no change.
        submission: Arc<Submission>,
        /// How the turn ended.
        ended: TurnEnd,
        /// What the worker says that it has proven.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        claimed: Vec<ClaimedEvidence>,
    },
    /// The turn was cut off, and the session goes on: no attempt of the task is spent.
    Continued {
        /// Which attempt.
        attempt: AttemptId,
        /// How the turn ended.
        ended: TurnEnd,
        /// What a person says to the session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The attempt's head; `None` where nothing is committed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<CommitId>,
        /// How often in a row this was done at this head, this time included.
        row: u32,
    },
    /// There is a commit, and its handoff is missing, cannot be read, or leaves claims out: a turn for that alone is due.
    RepairAsked {
        /// Which attempt.
        attempt: AttemptId,
        /// What is wrong with the handoff.
        why: HandoffFault,
    },
    /// The attempt's work is in our repository.
    Submitted {
        /// Which attempt.
        attempt: AttemptId,
        /// What it is.
        submission: Arc<Submission>,
        /// How the turn ended that left it.
        ended: TurnEnd,
        /// By whom it was confirmed to be complete; `None` where nobody has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completion: Option<Completion>,
        /// What the worker says that it has proven.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        claimed: Vec<ClaimedEvidence>,
    },
    /// The attempt's own changes are a commit of ours, which is to be reviewed: on the present tip,
    /// where the target has dropped the base; where it was, where only the history was wrong.
    CarriedOver {
        /// Which attempt.
        attempt: AttemptId,
        /// The work as it is now.
        submission: Arc<Submission>,
    },
    /// A reviewer was asked that is an agent, or one that takes long.
    ReviewerAsked {
        /// About which attempt.
        attempt: AttemptId,
        /// By this effect.
        effect: EffectId,
        /// Its name.
        reviewer: String,
        /// For an agent: how it stands to the agent whose work it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choice: Option<ReviewerChoice>,
        /// Since when it looks.
        since: Timestamp,
    },
    /// The reviewers have spoken.
    Reviewed {
        /// Which attempt.
        attempt: AttemptId,
        /// One for each reviewer.
        reviews: Vec<Review>,
    },
    /// The work of an attempt is complete, though its worker did not say so.
    Completed {
        /// Which attempt.
        attempt: AttemptId,
        /// By whom this was confirmed.
        completion: Completion,
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
    /// A gate ran on a tree.
    GateReported {
        /// Whose candidate the tree is; `None` for the tip.
        candidate_of: Option<AttemptId>,
        /// What it said.
        report: Box<GateReport>,
    },
    /// The tip itself is red: the attempt waits, and is not to blame.
    TipRed {
        /// Which attempt.
        attempt: AttemptId,
        /// The gates that are red on its candidate, or were on an earlier one: as long as one of
        /// them is red on the tip, no candidate of the attempt can be judged.
        gates: Vec<GateName>,
    },
    /// What follows for one commit.
    Judged {
        /// Which attempt.
        attempt: AttemptId,
        /// The commit.
        head: CommitId,
        /// The verdict.
        verdict: Verdict,
        /// The findings over which the task was sent back, as far as that is counted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        counted: Vec<FindingId>,
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
        cause: EndCause,
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
        /// Whether that is a time of day that somebody named, which no jump of the clock moves; else it is a pause from the time of
        /// the record on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        named: bool,
    },
    /// An agent cannot be used: all of its tasks wait.
    AgentTroubled {
        /// Which.
        agent: BackendName,
        /// Why.
        trouble: Trouble,
        /// When this was found.
        at: Timestamp,
        /// When it is tried again; `None`: when a person has answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Whether that is a time of day that the agent named, which no jump of the clock moves.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        named: bool,
        /// How often in a row it was tried in vain, this time included.
        tries: u32,
    },
    /// An agent failed, and left nothing.
    AgentFailed {
        /// Which.
        agent: BackendName,
        /// How.
        detail: String,
        /// The tasks on which it failed so, one after another, this one included.
        tasks: Vec<TaskId>,
    },
    /// An agent works: how it failed before is no longer of interest.
    AgentRecovered {
        /// Which.
        agent: BackendName,
        /// When.
        at: Timestamp,
        /// What had kept it from being used, if anything had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Trouble>,
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
    /// Task and policy make another contract of the attempt that is asked about, or the same again.
    HoldRedefined {
        /// About which hold.
        hold: HoldId,
        /// The other contract; `None` where it is the same again.
        redefined: Option<Redefinition>,
    },
    /// An attempt is judged by another contract from now on, as a person wanted.
    ContractAdopted {
        /// Which attempt.
        attempt: AttemptId,
        /// The contract, whole.
        contract: Arc<Contract>,
    },
    /// A person allowed something for a task.
    Granted {
        /// Which task.
        task: TaskId,
        /// What.
        grants: Vec<Grant>,
    },
    /// A person let something pass of an attempt's head.
    Waived {
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        waivers: Vec<Waiver>,
    },
    /// A person has seen claims hold.
    Observed {
        /// By which attempt.
        attempt: AttemptId,
        /// What was seen.
        observations: Vec<Observation>,
    },
    /// What a person says to a task's next attempt.
    Advised {
        /// Which task.
        task: TaskId,
        /// In their words.
        advice: String,
    },
    /// What counts against limits of a task counts from zero.
    LimitsReset {
        /// Which task.
        task: TaskId,
        /// How often it was sent back over each finding.
        rejections: bool,
        /// Its attempts and its budget.
        budget: bool,
        /// How often another agent took it over.
        failovers: bool,
    },
    /// The reviewers are to be asked again about the same head.
    ReviewDue {
        /// Of which attempt.
        attempt: AttemptId,
    },
    /// What gates said of the tip no longer counts: they run again.
    TipForgotten,
    /// How an agent failed, or why it could not be used, in an earlier run no longer counts.
    AgentForgotten {
        /// Which.
        agent: BackendName,
    },
    /// The workspace of an attempt that is over is to be removed.
    CleanupDue {
        /// Which attempt.
        attempt: AttemptId,
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
        /// Why.
        why: AnswerError,
    },
    /// The task is stopped: by a limit until the next run, by a person until they take it up again.
    Parked {
        /// Which task.
        task: TaskId,
        /// Why.
        reason: ParkReason,
        /// The question that a person answered so. To answer it with `retry` takes the task up again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldId>,
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
