//! What follows from the end of each effect: the consequences that [`decide`](super::decide) draws.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    context::{Context, IllegalEvent},
    entry::{Active, TaskEntry},
    freeze::freeze,
    step::{Reviewed, Step},
    verdict::{HeadCase, confirmed_by, head_verdict},
};
use crate::model::{
    Candidate, Carried, Checkout, ContentHash, EffectId, EndCause, Finding, FindingId, Findings,
    Hold, HoldId, HoldReason, LandingOutcome, MergeFailure, Obstacle, ParkReason, Predecessor,
    Question, Record, Redefinition, Review, Severity, Span, Submission, Task, TaskId, Timestamp,
    UsedUp, Verdict, Waiver, WhenExhausted,
};

/// Where findings come from that a worker is sent back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Reviewers, or our own look at the work.
    Review,
    /// Gates.
    Gates,
}

impl Source {
    /// The errors that lead to a person when they repeat. What a gate says is not a reviewer's word:
    /// the limits of turns and attempts are for that.
    fn counted(self, findings: &[Finding]) -> Vec<FindingId> {
        match self {
            Self::Gates => Vec::new(),
            Self::Review => {
                let errors = findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Error);
                let ids: BTreeSet<_> = errors.map(Finding::id).collect();
                ids.into_iter().collect()
            }
        }
    }
}

impl Context<'_> {
    pub(super) fn reviewed(
        &self,
        effect: EffectId,
        reviews: Vec<Review>,
        carried: Option<Carried>,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing_step(effect, |entry, active| {
            let Step::Review { work, .. } = &active.step else {
                return None;
            };
            let once = carried.map(|carried| Arc::new(work.as_carried(carried)));
            let follows = match &once {
                Some(once) => self.judge_head(entry, active, once, &reviews, &[]),
                None => self.judge_head(entry, active, work, &reviews, &active.attempt.waivers),
            };
            let attempt = active.attempt.id.clone();
            let over = once.map(|submission| Record::CarriedOver {
                attempt,
                submission,
            });
            let said = Record::Reviewed {
                attempt: active.attempt.id.clone(),
                reviews,
            };
            Some(over.into_iter().chain([said]).chain(follows).collect())
        })
    }

    /// What follows from what reviewers said; nothing where the head is good enough to be merged.
    pub(super) fn judge_head(
        &self,
        entry: &TaskEntry,
        active: &Active,
        work: &Submission,
        reviews: &[Review],
        waivers: &[Waiver],
    ) -> Vec<Record> {
        let confirmed = confirmed_by(reviews, self.policy);
        let case = HeadCase {
            work,
            reviews,
            waivers,
            rejections: &entry.rejections,
            ended: active.attempt.ended.as_ref(),
            completion: active.attempt.completion.as_ref().or(confirmed.as_ref()),
        };
        match head_verdict(&case, self.policy) {
            Verdict::Accept => {
                let attempt = active.attempt.id.clone();
                let new = confirmed.filter(|_| active.attempt.completion.is_none());
                let completed = new.map(|completion| Record::Completed {
                    attempt,
                    completion,
                });
                completed.into_iter().collect()
            }
            Verdict::Revise { findings } => self.revise(entry, active, findings, Source::Review),
            Verdict::Reject { findings } => {
                let cause = EndCause::Rejected(Findings::of(&findings));
                self.try_again(entry, active, cause)
            }
            Verdict::GaveUp { said } => self.try_again(entry, active, EndCause::GaveUp { said }),
            Verdict::Blocked { said } => self.hold_ended(active, HoldReason::Blocked { said }),
            Verdict::Escalate(question) => vec![self.ask(&active.attempt.id.task, *question)],
        }
    }

    pub(super) fn merged(
        &self,
        entry: &TaskEntry,
        active: &Active,
        reviewed: &Reviewed,
        result: Result<Candidate, MergeFailure>,
    ) -> Vec<Record> {
        let attempt = &active.attempt.id;
        let follows = match result {
            Ok(candidate) => vec![Record::CandidateBuilt {
                attempt: attempt.clone(),
                candidate,
            }],
            Err(MergeFailure::Conflict { tip, paths }) => {
                let cause = EndCause::Conflict {
                    tip,
                    paths: paths.clone(),
                };
                // The next attempt begins on the tip that this one conflicts with, and knows what it was about.
                let seen = (self.state.tip != Some(tip)).then_some(Record::TipSeen(tip));
                let left = Predecessor {
                    head: reviewed.work.head,
                    tip,
                    obstacle: Obstacle::Conflict { paths },
                };
                seen.into_iter()
                    .chain(self.again(entry, active, cause, true, Some(left)))
                    .collect()
            }
            Err(MergeFailure::Offends { findings }) => {
                self.revise(entry, active, findings, Source::Review)
            }
            Err(MergeFailure::CarriedOver(carried)) => {
                let seen =
                    (self.state.tip != Some(carried.onto)).then_some(Record::TipSeen(carried.onto));
                let over = self.carried_over(active, &reviewed.work, carried);
                seen.into_iter().chain([over]).collect()
            }
            Err(MergeFailure::PastReview { tip }) => {
                let about = HoldReason::PastReview {
                    attempt: attempt.clone(),
                    head: reviewed.work.head,
                    tip,
                };
                self.hold_ended(active, about)
            }
            Err(MergeFailure::Impossible { reason }) => {
                self.hold_due(active, HoldReason::MergeImpossible { reason })
            }
            Err(MergeFailure::Unreachable { reason }) => {
                return vec![
                    Record::Queued {
                        attempt: attempt.clone(),
                    },
                    self.away(reason),
                ];
            }
        };
        self.reached().into_iter().chain(follows).collect()
    }

    pub(super) fn landing_tried(
        &self,
        effect: EffectId,
        outcome: LandingOutcome,
    ) -> Result<Vec<Record>, IllegalEvent> {
        let unreachable = matches!(outcome, LandingOutcome::Unreachable { .. });
        let mut records = self.closing_step(effect, |_, active| {
            let Step::Land { .. } = &active.step else {
                return None;
            };
            let reached = self.reached().filter(|_| !unreachable);
            Some(
                reached
                    .into_iter()
                    .chain(self.landing_ended(active, outcome))
                    .collect(),
            )
        })?;
        // Whether it was done is not known: when the remote is back, the very same landing is due again.
        if unreachable {
            still_due(&mut records);
        }
        Ok(records)
    }

    fn landing_ended(&self, active: &Active, outcome: LandingOutcome) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        match outcome {
            LandingOutcome::Landed { commit } => vec![Record::Landed { attempt, commit }],
            LandingOutcome::TipMoved => vec![Record::Queued { attempt }],
            LandingOutcome::Unreachable { reason } => vec![self.away(reason)],
            LandingOutcome::Refused(refusal) => {
                self.hold_due(active, HoldReason::LandingRefused(refusal))
            }
            LandingOutcome::CheckoutDirty { paths } => {
                let seen = Record::CheckoutSeen(Checkout::Dirty {
                    paths: paths.clone(),
                });
                [seen]
                    .into_iter()
                    .chain(self.hold_due(active, HoldReason::CheckoutDirty { paths }))
                    .collect()
            }
        }
    }

    /// The remote could not be reached just now.
    pub(super) fn away(&self, why: String) -> Record {
        let tries = self.state.away.as_ref().map_or(0, |away| away.tries);
        let until = self.pause(tries, &("remote", tries));
        Record::RemoteAway {
            why,
            at: self.at,
            until,
        }
    }

    /// The remote no longer has the target: nothing new starts until it is there again, or another is named.
    pub(super) fn target_gone(&self, why: String) -> Vec<Record> {
        let refused = self.state.roadmap.refused.as_ref();
        let is_known =
            refused.is_some_and(|(tip, known)| Some(*tip) == self.state.tip && *known == why);
        let said = self.state.tip.filter(|_| !is_known);
        let said = said.map(|tip| Record::RoadmapRefused { tip, why });
        self.reached().into_iter().chain(said).collect()
    }

    /// The remote answered: said once.
    pub(super) fn reached(&self) -> Option<Record> {
        self.state.away.is_some().then_some(Record::RemoteBack)
    }

    /// Back to the same session if turns are left and the agent can resume, else to another attempt.
    pub(super) fn revise(
        &self,
        entry: &TaskEntry,
        active: &Active,
        findings: Vec<Finding>,
        source: Source,
    ) -> Vec<Record> {
        let attempt = &active.attempt;
        let head = attempt.head.unwrap_or(attempt.base);
        let cause = EndCause::Rejected(Findings::of(&findings));
        let counted = source.counted(&findings);
        if self.turn_left(entry, active) {
            return vec![Record::Judged {
                attempt: attempt.id.clone(),
                head,
                verdict: Verdict::Revise { findings },
                counted,
            }];
        }
        let judged = Record::Judged {
            attempt: attempt.id.clone(),
            head,
            verdict: Verdict::Reject { findings },
            counted,
        };
        [judged]
            .into_iter()
            .chain(self.try_again(entry, active, cause))
            .collect()
    }

    /// Whether the session may be sent back once more.
    pub(super) fn turn_left(&self, entry: &TaskEntry, active: &Active) -> bool {
        let turn = active.step.turn_over().unwrap_or(0);
        // A turn for the handoff alone is no revision, nor is one that goes on with what was cut off.
        let revisions = turn.saturating_sub(active.attempt.extra_turns);
        revisions < self.policy.limits.turns && self.may_go_on(entry, active)
    }

    /// Whether another turn of the same session is possible: the agent can resume, and the task's budget is not used up.
    pub(super) fn may_go_on(&self, entry: &TaskEntry, active: &Active) -> bool {
        let backends = self.state.run.as_ref().map(|run| &run.backends);
        let resumes = backends
            .and_then(|backends| backends.get(&active.attempt.contract.agent))
            .copied()
            .unwrap_or(false);
        resumes && self.over_budget(entry, active).is_none()
    }

    /// Ends the attempt as a failure, and lets the task wait for the next if its limits allow one.
    pub(super) fn try_again(
        &self,
        entry: &TaskEntry,
        active: &Active,
        cause: EndCause,
    ) -> Vec<Record> {
        self.again(entry, active, cause, true, None)
    }

    /// The same, for an end that may not count, or that leaves something to the next attempt.
    pub(super) fn again(
        &self,
        entry: &TaskEntry,
        active: &Active,
        cause: EndCause,
        counts: bool,
        left: Option<Predecessor>,
    ) -> Vec<Record> {
        let limit = entry.attempt_limit(self.policy);
        if counts && entry.counted >= limit {
            return self.exhausted(active, UsedUp::Attempts(limit), cause);
        }
        if let Some(budget) = self.over_budget(entry, active) {
            return self.exhausted(active, budget, cause);
        }
        let ended = self.attempt_ended(active, cause, counts, left);
        vec![
            ended,
            Record::Waiting {
                task: entry.task.id.clone(),
                until: self.backoff(entry),
                named: false,
            },
        ]
    }

    /// The task has had all that it may have: a person may give it as much again.
    fn exhausted(&self, active: &Active, limit: UsedUp, last: EndCause) -> Vec<Record> {
        let last = Box::new(last);
        match self.policy.limits.exhausted {
            WhenExhausted::Park => {
                let parked = Record::Parked {
                    task: active.attempt.id.task.clone(),
                    reason: ParkReason::Exhausted {
                        limit,
                        last: last.clone(),
                    },
                    hold: None,
                };
                let cause = EndCause::Exhausted { limit, last };
                vec![self.attempt_ended(active, cause, true, None), parked]
            }
            WhenExhausted::Ask => {
                self.ended_and_asked(active, HoldReason::Exhausted { limit, last }, true)
            }
        }
    }

    pub(super) fn attempt_ended(
        &self,
        active: &Active,
        cause: EndCause,
        counts: bool,
        left: Option<Predecessor>,
    ) -> Record {
        Record::AttemptEnded {
            attempt: active.attempt.id.clone(),
            cause,
            counts,
            left,
        }
    }

    /// A question after which only another attempt can follow.
    pub(super) fn hold_ended(&self, active: &Active, about: HoldReason) -> Vec<Record> {
        self.ended_and_asked(active, about, false)
    }

    fn ended_and_asked(&self, active: &Active, about: HoldReason, counts: bool) -> Vec<Record> {
        let cause = EndCause::Asked(Box::new(about.clone()));
        let ended = self.attempt_ended(active, cause, counts, None);
        // What follows takes the contract as it is then.
        let asked = self.ask_as(
            self.state.next_hold(),
            &active.attempt.id.task,
            about.into(),
        );
        vec![ended, asked]
    }

    /// A question after which the same attempt waits for the lane again.
    pub(super) fn hold_due(&self, active: &Active, question: impl Into<Question>) -> Vec<Record> {
        vec![
            Record::Queued {
                attempt: active.attempt.id.clone(),
            },
            self.ask(&active.attempt.id.task, question),
        ]
    }

    /// A question, and with it whether task and policy make another contract of the attempt by now.
    pub(super) fn ask(&self, task: &TaskId, question: impl Into<Question>) -> Record {
        let question = question.into();
        let redefined = self.state.task(task).and_then(|entry| {
            let active = entry.active()?;
            self.redefinition(active, &entry.task, &question.about)
        });
        self.hold_opened(self.state.next_hold(), task, question, redefined)
    }

    /// A question by the given id, for one of several in one decision, or about work that does not go on.
    pub(super) fn ask_as(&self, id: HoldId, task: &TaskId, question: Question) -> Record {
        self.hold_opened(id, task, question, None)
    }

    /// What task and policy make of an attempt's contract now, where that is another, and could make
    /// right what is asked about: where nothing has to be done, none could.
    pub(super) fn redefinition(
        &self,
        active: &Active,
        task: &Task,
        about: &HoldReason,
    ) -> Option<Redefinition> {
        if matches!(about, HoldReason::NothingToDo { .. }) {
            return None;
        }
        let agents = self.state.run.as_ref()?.backends.keys();
        let now = freeze(task, self.policy, agents).ok()?;
        Redefinition::of(&active.attempt.contract, now)
    }

    fn hold_opened(
        &self,
        id: HoldId,
        task: &TaskId,
        Question { about, items }: Question,
        redefined: Option<Redefinition>,
    ) -> Record {
        Record::HoldOpened {
            hold: Hold {
                id,
                task: task.clone(),
                about,
                items,
                left: None,
                redefined,
                since: self.at,
            },
        }
    }

    /// Which budget of the task is used up.
    pub(super) fn over_budget(&self, entry: &TaskEntry, active: &Active) -> Option<UsedUp> {
        let budget = active.attempt.contract.budget;
        let spent = entry.spent.total();
        if let Some(wall) = budget.wall.filter(|wall| entry.wall >= *wall) {
            return Some(UsedUp::Wall(wall));
        }
        if let Some(tokens) = budget.tokens.filter(|tokens| spent.tokens() >= *tokens) {
            return Some(UsedUp::Tokens(tokens));
        }
        let usd = budget
            .usd
            .filter(|usd| spent.usd.is_some_and(|spent| spent >= *usd));
        usd.map(UsedUp::Usd)
    }

    /// When the task is tried again.
    pub(super) fn backoff(&self, entry: &TaskEntry) -> Timestamp {
        self.pause(
            entry.last_attempt.saturating_sub(1),
            &(&entry.task.id, entry.last_attempt),
        )
    }

    /// From now, exponential in the number of failures before, with full jitter from the seed in the ledger.
    pub(super) fn pause(&self, failures: u32, what: &impl serde::Serialize) -> Timestamp {
        let limits = &self.policy.limits;
        let most = limits
            .backoff
            .0
            .saturating_mul(1 << failures.min(20))
            .min(limits.backoff_max.0);
        self.at.after(self.pause_within(most, what))
    }

    /// Up to so many milliseconds, by the seed in the ledger.
    pub(super) fn pause_within(&self, most: u64, what: &impl serde::Serialize) -> Span {
        let seed = self.state.run.as_ref().map_or(0, |run| run.seed);
        let hash = ContentHash::of_json(&(seed, what));
        let random = hash
            .as_bytes()
            .iter()
            .take(8)
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        Span(random % (most + 1))
    }
}

/// Says of the effect that these records close that it has come to nothing, so that the step asks for it again.
fn still_due(records: &mut [Record]) {
    if let Some(Record::Closed { interrupted, .. }) = records.first_mut() {
        *interrupted = true;
    }
}
