//! How each task came to where it stands, folded from the ledger.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    costs,
    nudges::{NudgeStory, Nudged, Nudges},
    snapshot::EvidenceView,
};
use crate::model::{
    Answer, Approval, AttemptId, BackendName, CommitId, ContentHash, Contract, Effect, EffectId,
    Evidence, Failover, Finding, GateReport, Hold, HoldId, HoldReason, KeptArtifact, Landing,
    PackageName, Record, Review, Spend, TaskId, Timestamp, TurnEnd, TurnUsage, Verdict,
};

/// One task with all that happened to it, over all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskStory {
    /// The task's id in the roadmap.
    pub id: TaskId,
    /// Its title, as its source told it last.
    pub title: String,
    /// Its package, likewise.
    pub package: Option<PackageName>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptStory>,
    /// What a person was asked about it, in order.
    pub holds: Vec<HoldStory>,
}

impl TaskStory {
    /// What its attempts have used, over all agents.
    #[must_use]
    pub(crate) fn spend(&self) -> Spend {
        costs::sum(
            self.attempts
                .iter()
                .flat_map(|attempt| attempt.used.values()),
        )
    }
}

/// One attempt, with all that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttemptStory {
    /// The attempt: task and number.
    pub id: AttemptId,
    /// By which agent.
    pub agent: BackendName,
    /// In place of which agent, and why; `None` for the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// From which commit.
    pub base: CommitId,
    /// Under which contract.
    pub contract: Contract,
    /// The contract's name.
    pub contract_hash: ContentHash,
    /// When it began: milliseconds since 1970-01-01T00:00:00Z, like all times here.
    pub began: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// What came of it.
    pub end: AttemptEnd,
    /// What it did when, without gaps between one thing and the next.
    pub phases: Vec<PhaseSpan>,
    /// What its turns have used, by agent; agents that reviewed its work are among them.
    pub used: BTreeMap<BackendName, Spend>,
    /// Its head, as it was reviewed last.
    pub head: Option<CommitId>,
    /// How often it was sent back.
    pub revisions: u32,
    /// How turns ended after which its session went on.
    pub continued: Vec<TurnEnd>,
    /// When its agent was reminded to go on, and what came of it.
    pub nudges: Vec<NudgeStory>,
    /// What it was sent back or rejected for last.
    pub findings: Vec<Finding>,
    /// What was noticed while it worked and while its work was taken in, such as a call of a tool that was refused.
    pub noticed: Vec<Finding>,
    /// What reviewers said last.
    pub reviews: Vec<Review>,
    /// What gates said, of all its candidates.
    pub gates: Vec<GateReport>,
    /// What is kept of its turns.
    pub kept: Vec<KeptArtifact>,
    /// What it rests on, if it was accepted.
    pub landing: Option<Landing>,
}

impl AttemptStory {
    /// Its worker had a turn.
    fn works(&mut self, usage: &TurnUsage, settled: u32) {
        let agent = self.agent.clone();
        self.uses(&agent, usage, settled);
    }

    fn uses(&mut self, agent: &BackendName, usage: &TurnUsage, settled: u32) {
        let known = self.used.entry(agent.clone()).or_default();
        known.add(usage, settled);
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptEnd {
    /// It goes on, or waits for a person.
    UnderWay,
    /// It landed on the target.
    Accepted {
        /// As this commit.
        commit: CommitId,
    },
    /// It was looked at, and not good enough.
    Rejected {
        /// The reason, as it is told to people.
        reason: String,
    },
    /// Its worker gave it back.
    Blocked {
        /// The reason, as it is told to people.
        reason: String,
    },
    /// It came to nothing otherwise: it crashed, was stopped, or did not fit any more.
    Abandoned {
        /// The reason, as it is told to people.
        reason: String,
    },
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PhaseSpan {
    /// What the time was spent on.
    pub what: PhaseKind,
    /// When it began.
    pub from: Timestamp,
    /// Until when; `None` while it goes on.
    pub to: Option<Timestamp>,
}

/// What took time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhaseKind {
    /// Its workspace was made, or it waited for a session.
    Preparing,
    /// An agent worked.
    Working,
    /// What it left was taken in and looked at.
    Reviewing,
    /// It was merged, gated and landed, or waited for that.
    Landing,
    /// A person was asked.
    Asking,
}

/// One question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HoldStory {
    /// The question, as it was put.
    pub hold: Hold,
    /// The answer; `None` while it waits, and where the reason went away by itself.
    pub answer: Option<Answer>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// How often the person was reminded.
    pub reminders: u32,
}

impl AttemptStory {
    /// What was observed about each claim, for the last candidate.
    #[must_use]
    pub fn evidence(&self) -> Vec<EvidenceView> {
        let accepted = self.landing.as_ref().map(|landing| &landing.acceptance);
        let reports = accepted.map_or(&[][..], |accepted| &accepted.gates);
        let seen = accepted.map_or(&[][..], |accepted| &accepted.observations);
        let claimed = accepted.map_or(&[][..], |accepted| &accepted.claimed);
        let claims = self.contract.claims.iter();
        claims
            .map(|claim| EvidenceView::from(&Evidence::of(claim, claimed, reports, seen)))
            .collect()
    }

    fn enter(&mut self, what: PhaseKind, at: Timestamp) {
        if self
            .phases
            .last()
            .is_some_and(|last| last.what == what && last.to.is_none())
        {
            return;
        }
        // A phase that took no time is none.
        self.phases
            .pop_if(|last| last.from == at && last.to.is_none());
        self.leave(at);
        self.phases.push(PhaseSpan {
            what,
            from: at,
            to: None,
        });
    }

    fn leave(&mut self, at: Timestamp) {
        if let Some(last) = self.phases.last_mut() {
            last.to.get_or_insert(at);
        }
    }

    fn end(&mut self, end: AttemptEnd, at: Timestamp) {
        self.leave(at);
        (self.end, self.ended) = (end, Some(at));
    }
}

/// Folds what was recorded, with when. In the roadmap's order; tasks that it no longer has come last.
#[must_use]
pub fn stories<'a>(entries: impl IntoIterator<Item = (Timestamp, &'a Record)>) -> Vec<TaskStory> {
    let mut fold = Fold::default();
    for (at, record) in entries {
        fold.record(at, record);
    }
    fold.tasks
}

#[derive(Default)]
struct Fold {
    tasks: Vec<TaskStory>,
    turns: BTreeMap<EffectId, AttemptId>,
    nudges: Nudges,
    rejected: Option<AttemptId>,
}

impl Fold {
    fn task(&mut self, id: &TaskId) -> &mut TaskStory {
        let at = self
            .tasks
            .iter()
            .position(|task| task.id == *id)
            .unwrap_or_else(|| {
                let (id, title) = (id.clone(), String::new());
                self.tasks.push(TaskStory {
                    id,
                    title,
                    package: None,
                    attempts: Vec::new(),
                    holds: Vec::new(),
                });
                self.tasks.len() - 1
            });
        &mut self.tasks[at]
    }

    fn attempt(&mut self, id: &AttemptId) -> Option<&mut AttemptStory> {
        self.task(&id.task)
            .attempts
            .iter_mut()
            .find(|attempt| attempt.id == *id)
    }

    fn enter(&mut self, id: &AttemptId, what: PhaseKind, at: Timestamp) {
        if let Some(attempt) = self.attempt(id) {
            attempt.enter(what, at);
        }
    }

    fn nudged(&mut self, record: &Record) {
        let Some((attempt, nudged)) = self.nudges.fold(record) else {
            return;
        };
        let Some(story) = self.attempt(&attempt) else {
            return;
        };
        match nudged {
            Nudged::Begun(at) => story.nudges.push(NudgeStory { at, end: None }),
            Nudged::Ended(end) => {
                if let Some(last) = story.nudges.last_mut() {
                    last.end = Some(end);
                }
            }
        }
    }

    fn record(&mut self, at: Timestamp, record: &Record) {
        self.nudged(record);
        match record {
            Record::RoadmapRead(roadmap) => {
                let mut known = std::mem::take(&mut self.tasks);
                for task in &roadmap.tasks {
                    let before = known
                        .iter()
                        .position(|story| story.id == task.id)
                        .map(|at| known.remove(at));
                    let (attempts, holds) = before
                        .map(|story| (story.attempts, story.holds))
                        .unwrap_or_default();
                    let (id, title, package) =
                        (task.id.clone(), task.title.clone(), task.package.clone());
                    self.tasks.push(TaskStory {
                        id,
                        title,
                        package,
                        attempts,
                        holds,
                    });
                }
                self.tasks.extend(known);
            }
            Record::RoadmapChanged(roadmap) => {
                for task in &roadmap.tasks {
                    let story = self.task(&task.id);
                    (story.title, story.package) = (task.title.clone(), task.package.clone());
                }
            }
            Record::Dispatched {
                attempt,
                contract,
                base,
                at,
                failover,
            } => {
                let story = AttemptStory {
                    id: attempt.clone(),
                    agent: contract.agent.clone(),
                    failover: failover.clone(),
                    base: *base,
                    contract: (**contract).clone(),
                    contract_hash: contract.hash(),
                    began: *at,
                    ended: None,
                    end: AttemptEnd::UnderWay,
                    phases: vec![PhaseSpan {
                        what: PhaseKind::Preparing,
                        from: *at,
                        to: None,
                    }],
                    used: BTreeMap::new(),
                    head: None,
                    revisions: 0,
                    continued: Vec::new(),
                    nudges: Vec::new(),
                    findings: Vec::new(),
                    noticed: Vec::new(),
                    reviews: Vec::new(),
                    gates: Vec::new(),
                    kept: Vec::new(),
                    landing: None,
                };
                self.task(&attempt.task).attempts.push(story);
            }
            Record::Requested {
                effect,
                what: Effect::RunTurn { attempt, .. },
                at,
            } => {
                self.turns.insert(*effect, attempt.clone());
                self.enter(attempt, PhaseKind::Working, *at);
            }
            // A turn that was cut off by the death of its orchestrator: how long it lived is not known better.
            Record::Closed {
                effect,
                interrupted: true,
            } => {
                if let Some(attempt) = self.turns.get(effect).cloned() {
                    self.enter(&attempt, PhaseKind::Reviewing, at);
                    if let Some(story) = self.attempt(&attempt) {
                        story.works(&TurnUsage::lost(), 0);
                    }
                }
            }
            Record::TurnEnded {
                attempt,
                usage,
                settled,
                ..
            } => {
                self.enter(attempt, PhaseKind::Reviewing, at);
                if let Some(story) = self.attempt(attempt) {
                    story.works(usage, *settled);
                }
            }
            Record::Continued { attempt, ended, .. } => {
                if let Some(story) = self.attempt(attempt) {
                    story.continued.push(ended.clone());
                }
            }
            Record::Kept { attempt, files } => {
                if let Some(story) = self.attempt(attempt) {
                    story.kept.extend(files.iter().cloned());
                }
            }
            Record::Noticed { attempt, finding } => {
                if let Some(story) = self.attempt(attempt) {
                    story.noticed.push(finding.clone());
                }
            }
            Record::Submitted {
                attempt,
                submission,
                ..
            }
            | Record::CarriedOver {
                attempt,
                submission,
            } => {
                if let Some(story) = self.attempt(attempt) {
                    story.head = Some(submission.head);
                    story.noticed.clone_from(&submission.findings);
                }
            }
            Record::Reviewed { attempt, reviews } => {
                self.enter(attempt, PhaseKind::Landing, at);
                if let Some(story) = self.attempt(attempt) {
                    for by in reviews.iter().filter_map(|review| review.by_agent.as_ref()) {
                        story.uses(&by.agent, &by.usage, 0);
                    }
                    story.reviews.clone_from(reviews);
                }
            }
            Record::GateReported {
                candidate_of,
                report,
            } => {
                let of = candidate_of.as_ref();
                if let Some(story) = of.and_then(|attempt| self.attempt(attempt)) {
                    story.gates.push((**report).clone());
                }
            }
            Record::ContractAdopted { attempt, contract } => {
                if let Some(story) = self.attempt(attempt) {
                    story.contract = (**contract).clone();
                    story.contract_hash = contract.hash();
                }
            }
            Record::Judged {
                attempt, verdict, ..
            } => self.judged(attempt, verdict, at),
            Record::Accepted { landing } => {
                if let Some(story) = self.attempt(&landing.acceptance.attempt) {
                    story.landing = Some((**landing).clone());
                }
            }
            Record::Landed { attempt, commit } => {
                if let Some(story) = self.attempt(attempt) {
                    story.end(AttemptEnd::Accepted { commit: *commit }, at);
                }
            }
            Record::AttemptEnded { attempt, cause, .. } => {
                let rejected = self.rejected.as_ref() == Some(attempt);
                let reason = cause.to_string();
                if let Some(story) = self.attempt(attempt) {
                    let end = if rejected {
                        AttemptEnd::Rejected { reason }
                    } else {
                        AttemptEnd::Abandoned { reason }
                    };
                    story.end(end, at);
                    // What was accepted and then not landed is no acceptance.
                    story.landing = None;
                }
            }
            Record::HoldOpened { hold } => self.asked(hold, at),
            Record::HoldAnswered { hold, answer, .. } => {
                if let Some((task, at_hold)) = self.hold(*hold) {
                    let story = &mut task.holds[at_hold];
                    (story.answer, story.ended) = (answer.clone(), Some(at));
                    if let Some(attempt) = task
                        .attempts
                        .last_mut()
                        .filter(|attempt| attempt.ended.is_none())
                    {
                        attempt.enter(PhaseKind::Landing, at);
                    }
                }
            }
            Record::ReviewDue { attempt } => self.enter(attempt, PhaseKind::Reviewing, at),
            Record::Reminded { hold, .. } => {
                if let Some((task, at_hold)) = self.hold(*hold) {
                    task.holds[at_hold].reminders += 1;
                }
            }
            Record::RunOpened { .. }
            | Record::RoadmapRefused { .. }
            | Record::Withdrawn { .. }
            | Record::RemoteAway { .. }
            | Record::RemoteBack
            | Record::ClockJumped { .. }
            | Record::ModeSet(_)
            | Record::TipSeen(_)
            | Record::HistoryKept { .. }
            | Record::TargetRewritten { .. }
            | Record::LandingMoved { .. }
            | Record::Reopened { .. }
            | Record::Granted { .. }
            | Record::Waived { .. }
            | Record::Observed { .. }
            | Record::Advised { .. }
            | Record::LimitsReset { .. }
            | Record::TipForgotten
            | Record::AgentForgotten { .. }
            | Record::CleanupDue { .. }
            | Record::CheckoutSeen(_)
            | Record::PackageEntered { .. }
            | Record::Requested { .. }
            | Record::Closed { .. }
            | Record::Stale { .. }
            | Record::WorkspaceReady { .. }
            | Record::SessionSeen { .. }
            | Record::PulseSeen { .. }
            | Record::HeadSeen { .. }
            | Record::Rescued { .. }
            | Record::ContextFilled { .. }
            | Record::NothingDone { .. }
            | Record::NothingToDo { .. }
            | Record::RepairAsked { .. }
            | Record::ReviewerAsked { .. }
            | Record::Completed { .. }
            | Record::AgentTroubled { .. }
            | Record::AgentFailed { .. }
            | Record::AgentRecovered { .. }
            | Record::Queued { .. }
            | Record::CandidateBuilt { .. }
            | Record::HoldRedefined { .. }
            | Record::Remarked(_)
            | Record::TipRed { .. }
            | Record::Waiting { .. }
            | Record::AnswerRefused { .. }
            | Record::Parked { .. }
            | Record::WorkspaceSettled { .. }
            | Record::RunEnded { .. } => {}
        }
    }

    fn judged(&mut self, attempt: &AttemptId, verdict: &Verdict, at: Timestamp) {
        if let Verdict::Reject { .. } = verdict {
            self.rejected = Some(attempt.clone());
        }
        let Some(story) = self.attempt(attempt) else {
            return;
        };
        match verdict {
            Verdict::Revise { findings } => {
                story.revisions += 1;
                story.findings.clone_from(findings);
                story.enter(PhaseKind::Preparing, at);
            }
            Verdict::Reject { findings } => story.findings.clone_from(findings),
            Verdict::Accept => story.findings.clear(),
            Verdict::GaveUp { .. } | Verdict::Blocked { .. } | Verdict::Escalate(_) => {}
        }
    }

    fn asked(&mut self, hold: &Hold, at: Timestamp) {
        let task = self.task(&hold.task);
        task.holds.push(HoldStory {
            hold: hold.clone(),
            answer: None,
            ended: None,
            reminders: 0,
        });
        if let Some(attempt) = task.attempts.last_mut() {
            match (&hold.about, &mut attempt.end) {
                (HoldReason::Blocked { .. }, AttemptEnd::Abandoned { reason }) => {
                    attempt.end = AttemptEnd::Blocked {
                        reason: std::mem::take(reason),
                    };
                }
                (HoldReason::Approval(Approval::Dispatch), _) => {}
                (_, AttemptEnd::UnderWay) => attempt.enter(PhaseKind::Asking, at),
                (_, _) => {}
            }
        }
    }

    fn hold(&mut self, id: HoldId) -> Option<(&mut TaskStory, usize)> {
        self.tasks.iter_mut().find_map(|task| {
            let at = task.holds.iter().position(|story| story.hold.id == id)?;
            Some((task, at))
        })
    }
}
