//! What follows from an event.

use thiserror::Error;

use super::{
    plan,
    state::{Active, Grant, Phase, State, Step, TaskEntry, Then},
    verdict::{candidate_verdict, head_verdict},
};
use crate::model::{
    Acceptance, Answer, AttemptId, Candidate, Collected, ContentHash, Effect, EffectId, EndReason, Event, EventKind, Finding,
    GateReport, HandoffReport, Hold, HoldOption, HoldReason, Landing, LandingOutcome, MergeFailure, Policy, Record, Review,
    Severity, Span, TaskId, Timestamp, TurnOutcome, Verdict,
};

/// An event that cannot have happened: a bug in whoever told it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IllegalEvent {
    /// It came before any [`EventKind::Opened`].
    #[error("no run was opened")]
    NotOpened,
    /// The effect was never asked for.
    #[error("effect {0} was never asked for")]
    UnknownEffect(EffectId),
    /// The effect is open, but is of a kind that such an event does not close.
    #[error("effect {0} is of another kind than the event that came for it")]
    WrongKind(EffectId),
}

/// Decides what follows from an event. Pure; what it returns counts once it was appended to the ledger and applied.
///
/// An event that changes nothing gives no records. One that closes an effect for a second time gives [`Record::Stale`].
///
/// # Errors
/// [`IllegalEvent`] for an event that cannot have happened.
pub fn decide(state: &State, event: Event, policy: &Policy) -> Result<Vec<Record>, IllegalEvent> {
    let at = event.at;
    if state.run.is_none() && !matches!(event.kind, EventKind::Opened(_)) {
        return Err(IllegalEvent::NotOpened);
    }
    let cx = Context { state, policy, at };
    match event.kind {
        EventKind::Opened(opened) => {
            let resumed = state.run.is_some() && state.ended.is_none();
            let interrupted = state.open.keys().map(|effect| Record::Closed { effect: *effect, interrupted: true });
            Ok([Record::RunOpened { opened, resumed, at }].into_iter().chain(interrupted).collect())
        }
        EventKind::ModeAsked(mode) => Ok((mode != state.mode).then_some(Record::ModeSet(mode)).into_iter().collect()),
        EventKind::Answered(answer) => Ok(cx.answered(answer)),
        EventKind::TipSeen(tip) => Ok((state.tip != Some(tip)).then_some(Record::TipSeen(tip)).into_iter().collect()),
        EventKind::CheckoutSeen(checkout) => {
            if state.checkout.as_ref() == Some(&checkout) {
                return Ok(Vec::new());
            }
            let freed = match &checkout {
                crate::model::Checkout::Dirty { .. } => Vec::new(),
                crate::model::Checkout::Clean | crate::model::Checkout::Untouched => state
                    .holds()
                    .filter(|hold| matches!(hold.about, HoldReason::CheckoutDirty { .. }))
                    .map(|hold| Record::HoldAnswered { hold: hold.id, answer: None })
                    .collect(),
            };
            Ok([Record::CheckoutSeen(checkout)].into_iter().chain(freed).collect())
        }
        EventKind::Tick => Ok(plan::tick(state, at, policy)),
        EventKind::StopAsked => {
            Ok(state.ended.is_none().then_some(Record::RunEnded { reason: EndReason::Stopped, at }).into_iter().collect())
        }
        EventKind::RoadmapRead { effect, roadmap } => {
            cx.closing(effect, |what| matches!(what, Effect::ReadRoadmap).then(|| vec![Record::RoadmapRead(roadmap)]))
        }
        EventKind::Prepared { effect, failure } => cx.closing_step(effect, |entry, active| match &active.step {
            Step::Prepare(_) => Some(match failure {
                None => vec![Record::WorkspaceReady { attempt: active.attempt.id.clone() }],
                Some(why) => cx.try_again(entry, active, format!("its workspace could not be made: {why}"), true),
            }),
            Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Gate { .. }
            | Step::Land { .. } => None,
        }),
        EventKind::SessionSeen { effect, session } => cx.running(effect, |active| {
            let known = active.attempt.session.as_ref() == Some(&session);
            (!known).then(|| Record::SessionSeen { attempt: active.attempt.id.clone(), session }).into_iter().collect()
        }),
        EventKind::TurnSeen { effect, active: last, tool_in_flight, silence, head, usage } => cx.running(effect, |active| {
            let moved = head.filter(|head| active.attempt.head != Some(*head));
            let moved = moved.map(|head| Record::HeadSeen { attempt: active.attempt.id.clone(), head });
            let quiet = at.since(last);
            let patience = policy.limits.stall.or(silence).filter(|_| !tool_in_flight);
            let stop = plan::stop_reason(&cx, active, patience.is_some_and(|patience| quiet >= patience), usage);
            let stop = stop.map(|why| {
                let what = Effect::StopTurn { attempt: active.attempt.id.clone(), turn: effect, why };
                Record::Requested { effect: EffectId(state.last_effect + 1), at, what }
            });
            moved.into_iter().chain(stop).collect()
        }),
        EventKind::TurnEnded { effect, outcome, usage } => cx.closing_step(effect, |_, active| match &active.step {
            Step::Working(working) => {
                let took = at.since(working.began);
                Some(vec![Record::TurnEnded { attempt: active.attempt.id.clone(), outcome, usage, took }])
            }
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Gate { .. }
            | Step::Land { .. } => None,
        }),
        EventKind::StopSent { effect } => cx.closing(effect, |what| matches!(what, Effect::StopTurn { .. }).then(Vec::new)),
        EventKind::Collected { effect, result } => cx.closing_step(effect, |entry, active| match &active.step {
            Step::Collect { outcome, .. } => Some(cx.collected(entry, active, outcome, result)),
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Gate { .. }
            | Step::Land { .. } => None,
        }),
        EventKind::Reviewed { effect, reviews } => cx.reviewed(effect, reviews),
        EventKind::Merged { effect, result } => cx.closing_step(effect, |entry, active| match &active.step {
            Step::Merge { reviewed, .. } => Some(cx.merged(entry, active, &reviewed.reviews, result)),
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Gate { .. }
            | Step::Land { .. } => None,
        }),
        EventKind::GateRan { effect, report } => cx.closing_step(effect, |entry, active| match &active.step {
            Step::Gate { checked, .. } => {
                let mut reports = checked.reports.clone();
                reports.push(report.clone());
                let mut records = vec![Record::GateReported { attempt: active.attempt.id.clone(), report }];
                if reports.len() >= active.attempt.contract.gates.len() {
                    records.extend(cx.judge_candidate(entry, active, &checked.reviewed, &checked.candidate, &reports));
                }
                Some(records)
            }
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Land { .. } => None,
        }),
        EventKind::LandingTried { effect, outcome } => cx.closing_step(effect, |_, active| match &active.step {
            Step::Land { .. } => Some(cx.landing_tried(active, outcome)),
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Gate { .. } => None,
        }),
        EventKind::CleanedUp { effect, fate } => cx.closing(effect, |what| match what {
            Effect::CleanUp { attempt } => Some(vec![Record::WorkspaceSettled { attempt: attempt.clone(), fate }]),
            Effect::ReadRoadmap
            | Effect::Prepare { .. }
            | Effect::RunTurn { .. }
            | Effect::StopTurn { .. }
            | Effect::Collect { .. }
            | Effect::Review { .. }
            | Effect::Merge { .. }
            | Effect::RunGate { .. }
            | Effect::Land { .. }
            | Effect::Report { .. } => None,
        }),
        EventKind::Reported { effect, failure: _ } => {
            cx.closing(effect, |what| matches!(what, Effect::Report { .. }).then(Vec::new))
        }
        EventKind::Interrupted { effect } => match cx.open(effect)? {
            None => Ok(vec![Record::Stale { effect }]),
            Some(_) => Ok(vec![Record::Closed { effect, interrupted: true }]),
        },
    }
}

/// What every decision may look at.
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    pub(super) policy: &'a Policy,
    pub(super) at: Timestamp,
}

impl<'a> Context<'a> {
    /// The open effect; `None` if it was closed before.
    fn open(&self, effect: EffectId) -> Result<Option<&'a Effect>, IllegalEvent> {
        if effect.0 == 0 || effect.0 > self.state.last_effect {
            return Err(IllegalEvent::UnknownEffect(effect));
        }
        Ok(self.state.open.get(&effect))
    }

    /// For an event that closes an effect: what `then` says follows, or `None` from it for an effect of another kind.
    fn closing(&self, effect: EffectId, then: impl FnOnce(&Effect) -> Option<Vec<Record>>) -> Result<Vec<Record>, IllegalEvent> {
        let Some(what) = self.open(effect)? else { return Ok(vec![Record::Stale { effect }]) };
        let follows = then(what).ok_or(IllegalEvent::WrongKind(effect))?;
        Ok([Record::Closed { effect, interrupted: false }].into_iter().chain(follows).collect())
    }

    /// The same for the effect that a task's step waits for.
    fn closing_step(
        &self,
        effect: EffectId,
        then: impl FnOnce(&'a TaskEntry, &'a Active) -> Option<Vec<Record>>,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let (entry, active) = self.waiting_for(what, effect)?;
            then(entry, active)
        })
    }

    /// The task whose step waits for this effect.
    fn waiting_for(&self, what: &Effect, effect: EffectId) -> Option<(&'a TaskEntry, &'a Active)> {
        let entry = self.state.task(plan::attempt_of(what).map(|attempt| &attempt.task)?)?;
        match &entry.phase {
            Phase::Active(active) if active.step.asked() == super::Asked::Open(effect) => Some((entry, active)),
            Phase::Active(_) | Phase::Waiting(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => None,
        }
    }

    /// For an event about a turn that runs, which closes nothing.
    fn running(&self, effect: EffectId, then: impl FnOnce(&Active) -> Vec<Record>) -> Result<Vec<Record>, IllegalEvent> {
        let Some(what) = self.open(effect)? else { return Ok(vec![Record::Stale { effect }]) };
        match (what, self.waiting_for(what, effect)) {
            (Effect::RunTurn { .. }, Some((_, active))) => Ok(then(active)),
            (_, _) => Err(IllegalEvent::WrongKind(effect)),
        }
    }

    fn collected(&self, entry: &TaskEntry, active: &Active, outcome: &TurnOutcome, result: Collected) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        match result {
            // A clean commit is work, whatever its session said at the end (law 3).
            Collected::Work(submission) => vec![Record::Submitted { attempt, submission }],
            Collected::Unusable { reason } => self.try_again(entry, active, reason, true),
            Collected::Nothing { blocked: Some(reason), .. } => self.give_up(active, format!("blocked: {reason}")),
            Collected::Nothing { blocked: None, dirty } => match outcome {
                TurnOutcome::Completed => {
                    let what = if dirty { "the work was left uncommitted: commit it" } else { "nothing was committed" };
                    let finding = Finding::new(Severity::Error, "commit/missing", format!("the session ended, but {what}"));
                    self.revise(entry, active, vec![finding])
                }
                TurnOutcome::Crashed { detail } => self.try_again(entry, active, format!("the agent failed: {detail}"), true),
                TurnOutcome::ContextFull => self.try_again(entry, active, "the agent's context was full".to_owned(), true),
                TurnOutcome::Stopped => self.try_again(entry, active, "the turn was stopped".to_owned(), true),
                TurnOutcome::UsageLimited { until } => {
                    let mut records = self.end_attempt(active, "the agent's usage limit was reached", false);
                    let until = until.unwrap_or_else(|| self.backoff(entry));
                    records.push(Record::Waiting { task: attempt.task, until });
                    records
                }
                TurnOutcome::Overloaded { reason } => {
                    self.try_again(entry, active, format!("the agent's service: {reason}"), false)
                }
                TurnOutcome::NeedsInput { question } => {
                    self.hold_ended(active, HoldReason::Question, format!("the agent asks: {question}"))
                }
                TurnOutcome::Refused { reason } => {
                    self.hold_ended(active, HoldReason::Question, format!("the agent declined the task: {reason}"))
                }
                TurnOutcome::Authentication { reason } => self.hold_ended(
                    active,
                    HoldReason::Authentication,
                    format!("the agent cannot be used until a person has seen to it: {reason}"),
                ),
                TurnOutcome::Drifted { detail } => {
                    let question = format!("the agent speaks a protocol that its backend does not know: {detail}");
                    self.hold_ended(active, HoldReason::Question, question)
                }
            },
        }
    }

    fn reviewed(&self, effect: EffectId, reviews: Vec<Review>) -> Result<Vec<Record>, IllegalEvent> {
        let mut unavailable = false;
        let mut records = self.closing_step(effect, |entry, active| match &active.step {
            Step::Review { work, .. } => {
                let attempt = &active.attempt;
                let verdict = head_verdict(work, &reviews, attempt.grants.contains(&Grant::Unreviewed));
                let said = Record::Reviewed { attempt: attempt.id.clone(), reviews };
                Some(match verdict {
                    Verdict::Accept => vec![said],
                    Verdict::Revise { findings } => [said].into_iter().chain(self.revise(entry, active, findings)).collect(),
                    Verdict::Reject { reason } if reason.starts_with("blocked") => {
                        [said].into_iter().chain(self.give_up(active, reason)).collect()
                    }
                    Verdict::Reject { reason } => [said].into_iter().chain(self.try_again(entry, active, reason, true)).collect(),
                    Verdict::Escalate { question } => {
                        unavailable = true;
                        vec![self.hold(&attempt.id.task, HoldReason::Review, question, &[HoldOption::Approve, HoldOption::Retry])]
                    }
                })
            }
            Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Working(_)
            | Step::Collect { .. }
            | Step::Merge { .. }
            | Step::Gate { .. }
            | Step::Land { .. } => None,
        })?;
        // Nothing was reviewed: when the person has answered, the same review is due again.
        if unavailable && let Some(Record::Closed { interrupted, .. }) = records.first_mut() {
            *interrupted = true;
        }
        Ok(records)
    }

    fn merged(
        &self,
        entry: &TaskEntry,
        active: &Active,
        reviews: &[Review],
        result: Result<Candidate, MergeFailure>,
    ) -> Vec<Record> {
        let attempt = &active.attempt.id;
        match result {
            Ok(candidate) => {
                let Step::Merge { reviewed, .. } = &active.step else { return Vec::new() };
                debug_assert_eq!(reviewed.reviews, reviews);
                let known = reviewed.reports.iter().filter(|report| report.tree == candidate.tree && report.passed());
                let known: Vec<_> = known.cloned().collect();
                let judged = (known.len() >= active.attempt.contract.gates.len())
                    .then(|| self.judge_candidate(entry, active, reviewed, &candidate, &known));
                [Record::CandidateBuilt { attempt: attempt.clone(), candidate }]
                    .into_iter()
                    .chain(judged.into_iter().flatten())
                    .collect()
            }
            Err(MergeFailure::Conflict { tip, paths }) => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                let reason = format!("conflict with {} in {}", tip.short(), paths.join(", "));
                // The next attempt begins on the tip that this one conflicts with.
                let seen = (self.state.tip != Some(tip)).then_some(Record::TipSeen(tip));
                seen.into_iter().chain(self.try_again(entry, active, reason, true)).collect()
            }
            Err(MergeFailure::Offends { findings }) => self.revise(entry, active, findings),
            Err(MergeFailure::Impossible { reason }) => {
                let question = format!("the merge could not be built: {reason}");
                self.hold_due(active, HoldReason::MergeImpossible { reason }, question, &[HoldOption::Retry])
            }
        }
    }

    fn judge_candidate(
        &self,
        entry: &TaskEntry,
        active: &Active,
        reviewed: &super::Reviewed,
        candidate: &Candidate,
        reports: &[GateReport],
    ) -> Vec<Record> {
        let attempt = &active.attempt;
        let (verdict, about) = candidate_verdict(&attempt.contract, reports, &attempt.grants);
        match verdict {
            Verdict::Revise { findings } => self.revise(entry, active, findings),
            Verdict::Reject { reason } => self.try_again(entry, active, reason, true),
            Verdict::Escalate { question } => {
                let about = about.unwrap_or(HoldReason::Review);
                self.hold_due(active, about, question, &[HoldOption::Approve])
            }
            Verdict::Accept => {
                let risks = match &reviewed.work.handoff {
                    HandoffReport::Read(handoff) => handoff.residual_risks.clone(),
                    HandoffReport::Missing | HandoffReport::Broken { .. } => Vec::new(),
                };
                let acceptance = Acceptance {
                    version: 1,
                    attempt: attempt.id.clone(),
                    contract: attempt.contract_hash,
                    head: candidate.head,
                    tip: candidate.tip,
                    tree: candidate.tree,
                    reviews: reviewed.reviews.clone(),
                    gates: reports.to_vec(),
                    artifacts: reviewed.work.artifacts.clone(),
                    residual_risks: risks,
                    approvals: attempt.approvals.clone(),
                };
                let run = self.state.run.as_ref().map(|run| run.id.to_string()).unwrap_or_default();
                let landing = Landing {
                    id: format!("{run}/{}/{}", attempt.id, self.state.last_effect + 1),
                    attempt: attempt.id.clone(),
                    subject: format!("{}: {}", attempt.id.task, attempt.contract.title),
                    head: candidate.head,
                    tip: candidate.tip,
                    tree: candidate.tree,
                    acceptance,
                    at: self.at,
                };
                let judged = Record::Judged { attempt: attempt.id.clone(), head: candidate.head, verdict: Verdict::Accept };
                vec![judged, Record::Accepted { landing: Box::new(landing) }]
            }
        }
    }

    fn landing_tried(&self, active: &Active, outcome: LandingOutcome) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        match outcome {
            LandingOutcome::Landed { commit } => vec![Record::Landed { attempt, commit }],
            LandingOutcome::TipMoved => vec![Record::Queued { attempt }],
            LandingOutcome::Refused { reason } => {
                let question = format!("the landing was refused: {reason}");
                self.hold_due(active, HoldReason::LandingRefused { reason }, question, &[HoldOption::Retry])
            }
            LandingOutcome::CheckoutDirty { paths } => {
                let seen = Record::CheckoutSeen(crate::model::Checkout::Dirty { paths: paths.clone() });
                let question = plan::dirty_question(&paths);
                [seen]
                    .into_iter()
                    .chain(self.hold_due(active, HoldReason::CheckoutDirty { paths }, question, &[HoldOption::Retry]))
                    .collect()
            }
        }
    }

    fn answered(&self, answer: Answer) -> Vec<Record> {
        let refuse = |answer: Answer, why: String| vec![Record::AnswerRefused { answer, why }];
        let Some((entry, held)) = self.state.held(answer.hold) else {
            let why = if answer.hold.0 <= self.state.last_hold { "it was answered before" } else { "there is no such hold" };
            return refuse(answer, why.to_owned());
        };
        if !held.hold.options.contains(&answer.option) {
            let options: Vec<_> = held.hold.options.iter().map(|option| option.as_str()).collect();
            return refuse(answer, format!("its options are: {}", options.join(", ")));
        }
        let (hold, option) = (answer.hold, answer.option);
        let said = Record::HoldAnswered { hold, answer: Some(answer) };
        match (option, &held.then) {
            (HoldOption::Approve | HoldOption::Retry, _) => vec![said],
            (HoldOption::Park, Then::Resume(active)) => {
                [said].into_iter().chain(self.give_up(active, "parked by a person".to_owned())).collect()
            }
            (HoldOption::Park, Then::Wait(_)) => {
                vec![said, Record::Parked { task: entry.task.id.clone(), reason: "parked by a person".to_owned() }]
            }
        }
    }

    /// Back to the same session if turns are left and the agent can resume, else to another attempt.
    fn revise(&self, entry: &TaskEntry, active: &Active, findings: Vec<Finding>) -> Vec<Record> {
        let attempt = &active.attempt;
        let turn = match &active.step {
            Step::Collect { turn, .. } | Step::Review { turn, .. } => *turn,
            Step::Merge { reviewed, .. } => reviewed.turn,
            Step::Gate { checked, .. } | Step::Land { checked, .. } => checked.reviewed.turn,
            Step::Prepare(_) | Step::TurnDue { .. } | Step::Working(_) => 0,
        };
        let head = attempt.head.unwrap_or(attempt.base);
        let resumes = self.state.run.as_ref().and_then(|run| run.backends.get(&attempt.contract.agent)).copied().unwrap_or(false);
        let summary = summarise(&findings);
        if turn < self.policy.limits.turns && resumes && self.over_budget(entry, active).is_none() {
            return vec![Record::Judged { attempt: attempt.id.clone(), head, verdict: Verdict::Revise { findings } }];
        }
        let judged = Record::Judged { attempt: attempt.id.clone(), head, verdict: Verdict::Reject { reason: summary.clone() } };
        [judged].into_iter().chain(self.try_again(entry, active, summary, true)).collect()
    }

    /// Ends the attempt, and lets the task wait for the next if its limits allow one.
    fn try_again(&self, entry: &TaskEntry, active: &Active, reason: String, counts: bool) -> Vec<Record> {
        let limit = entry.attempt_limit(self.policy);
        if counts && entry.counted >= limit {
            let reason = if limit == 1 { reason } else { format!("{limit} attempts are used up; the last: {reason}") };
            return self.give_up(active, reason);
        }
        if let Some(budget) = self.over_budget(entry, active) {
            return self.give_up(active, format!("{budget}; the last attempt: {reason}"));
        }
        let mut records = self.end_attempt(active, &reason, counts);
        records.push(Record::Waiting { task: entry.task.id.clone(), until: self.backoff(entry) });
        records
    }

    fn give_up(&self, active: &Active, reason: String) -> Vec<Record> {
        let task = active.attempt.id.task.clone();
        let mut records = self.end_attempt(active, &reason, true);
        records.push(Record::Parked { task, reason });
        records
    }

    fn end_attempt(&self, active: &Active, reason: &str, counts: bool) -> Vec<Record> {
        vec![Record::AttemptEnded { attempt: active.attempt.id.clone(), reason: reason.to_owned(), counts }]
    }

    /// A question after which only another attempt can follow.
    fn hold_ended(&self, active: &Active, about: HoldReason, question: String) -> Vec<Record> {
        let mut records = self.end_attempt(active, &question, false);
        records.push(self.hold(&active.attempt.id.task, about, question, &[HoldOption::Retry]));
        records
    }

    /// A question after which the same attempt waits for the lane again.
    fn hold_due(&self, active: &Active, about: HoldReason, question: String, options: &[HoldOption]) -> Vec<Record> {
        let task = &active.attempt.id.task;
        vec![Record::Queued { attempt: active.attempt.id.clone() }, self.hold(task, about, question, options)]
    }

    pub(super) fn hold(&self, task: &TaskId, about: HoldReason, question: String, options: &[HoldOption]) -> Record {
        let options = options.iter().copied().chain([HoldOption::Park]).collect();
        Record::HoldOpened {
            hold: Hold { id: self.state.next_hold(), task: task.clone(), about, question, options, since: self.at },
        }
    }

    /// Which budget of the task is used up.
    fn over_budget(&self, entry: &TaskEntry, active: &Active) -> Option<String> {
        let budget = active.attempt.contract.budget;
        let wall = budget.wall.filter(|wall| entry.wall >= *wall).map(|wall| format!("its wall time of {wall} is used up"));
        let tokens = budget.tokens.filter(|tokens| entry.spent.tokens() >= *tokens);
        let usd = budget.usd.filter(|usd| entry.spent.usd >= *usd);
        wall.or_else(|| tokens.map(|tokens| format!("its {tokens} tokens are used up")))
            .or_else(|| usd.map(|usd| format!("its {usd} US dollars are used up")))
    }

    /// Exponential with full jitter, from the seed in the ledger.
    fn backoff(&self, entry: &TaskEntry) -> Timestamp {
        let limits = &self.policy.limits;
        let exponent = entry.last_attempt.saturating_sub(1).min(20);
        let most = limits.backoff.0.saturating_mul(1 << exponent).min(limits.backoff_max.0);
        let seed = self.state.run.as_ref().map_or(0, |run| run.seed);
        let hash = ContentHash::of_json(&(seed, &entry.task.id, entry.last_attempt));
        let random = hash.as_bytes().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.at.after(Span(random % (most + 1)))
    }
}

fn summarise(findings: &[Finding]) -> String {
    match findings {
        [] => "rejected".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// The attempt that an effect belongs to, where it belongs to one.
impl Effect {
    /// The attempt that the effect belongs to; `None` for one of the run.
    #[must_use]
    pub fn attempt(&self) -> Option<&AttemptId> {
        plan::attempt_of(self)
    }
}
