//! What follows from the end of each effect: the consequences that [`decide`](super::decide) draws.

use super::{
    decide::{Context, IllegalEvent},
    plan,
    state::{Active, Grant, Reviewed, Step, TaskEntry, Then},
    verdict::{candidate_verdict, head_verdict},
};
use crate::model::{
    Acceptance, Answer, Candidate, Checkout, Collected, Conflict, ContentHash, EffectId, Finding, GateReport, HandoffReport, Hold,
    HoldOption, HoldReason, Landing, LandingOutcome, MergeFailure, Record, Review, Severity, Span, StopReason, TaskId, Timestamp,
    TurnOutcome, Verdict,
};

impl Context<'_> {
    pub(super) fn collected(
        &self,
        entry: &TaskEntry,
        active: &Active,
        (outcome, stopped): (&TurnOutcome, Option<StopReason>),
        result: Collected,
    ) -> Vec<Record> {
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
                TurnOutcome::Stopped => {
                    let why = match stopped {
                        None => "the turn was stopped",
                        Some(StopReason::Deadline) => "the turn was stopped: it took longer than it may",
                        Some(StopReason::Stalled) => "the turn was stopped: it was silent for longer than its limit",
                        Some(StopReason::Budget) => "the turn was stopped: its budget was used up",
                    };
                    self.try_again(entry, active, why.to_owned(), true)
                }
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

    pub(super) fn reviewed(&self, effect: EffectId, reviews: Vec<Review>) -> Result<Vec<Record>, IllegalEvent> {
        let mut unavailable = false;
        let mut records = self.closing_step(effect, |entry, active| {
            let Step::Review { work, .. } = &active.step else { return None };
            let attempt = &active.attempt;
            let verdict = head_verdict(work, &reviews, attempt.grants.contains(&Grant::Unreviewed));
            let said = Record::Reviewed { attempt: attempt.id.clone(), reviews };
            let follows = match verdict {
                Verdict::Accept => Vec::new(),
                Verdict::Revise { findings } => self.revise(entry, active, findings),
                Verdict::Reject { reason, retry: false } => self.give_up(active, reason),
                Verdict::Reject { reason, .. } => self.try_again(entry, active, reason, true),
                Verdict::Escalate { question } => {
                    unavailable = true;
                    return Some(vec![self.hold(
                        &attempt.id.task,
                        HoldReason::Review,
                        question,
                        &[HoldOption::Approve, HoldOption::Retry],
                    )]);
                }
            };
            Some([said].into_iter().chain(follows).collect())
        })?;
        // Nothing was reviewed: when the person has answered, the same review is due again.
        if unavailable && let Some(Record::Closed { interrupted, .. }) = records.first_mut() {
            *interrupted = true;
        }
        Ok(records)
    }

    pub(super) fn merged(
        &self,
        entry: &TaskEntry,
        active: &Active,
        reviewed: &Reviewed,
        result: Result<Candidate, MergeFailure>,
    ) -> Vec<Record> {
        let attempt = &active.attempt.id;
        match result {
            Ok(candidate) => {
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
                let names: Vec<_> = paths.iter().map(ToString::to_string).collect();
                let reason = format!("conflict with {} in {}", tip.short(), names.join(", "));
                // The next attempt begins on the tip that this one conflicts with, and knows what it was about.
                let seen = (self.state.tip != Some(tip)).then_some(Record::TipSeen(tip));
                let left = Conflict { head: reviewed.work.head, tip, paths };
                let mut records: Vec<_> = seen.into_iter().chain(self.try_again(entry, active, reason, true)).collect();
                for record in &mut records {
                    if let Record::AttemptEnded { conflict, .. } = record {
                        *conflict = Some(left.clone());
                    }
                }
                records
            }
            Err(MergeFailure::Offends { findings }) => self.revise(entry, active, findings),
            Err(MergeFailure::Impossible { reason }) => {
                let question = format!("the merge could not be built: {reason}");
                self.hold_due(active, HoldReason::MergeImpossible { reason }, question, &[HoldOption::Retry])
            }
        }
    }

    pub(super) fn judge_candidate(
        &self,
        entry: &TaskEntry,
        active: &Active,
        reviewed: &Reviewed,
        candidate: &Candidate,
        reports: &[GateReport],
    ) -> Vec<Record> {
        let attempt = &active.attempt;
        let (verdict, about) = candidate_verdict(&attempt.contract, reports, &attempt.grants);
        match verdict {
            Verdict::Revise { findings } => self.revise(entry, active, findings),
            Verdict::Reject { reason, .. } => self.try_again(entry, active, reason, true),
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

    pub(super) fn landing_tried(&self, active: &Active, outcome: LandingOutcome) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        match outcome {
            LandingOutcome::Landed { commit } => vec![Record::Landed { attempt, commit }],
            LandingOutcome::TipMoved => vec![Record::Queued { attempt }],
            LandingOutcome::Refused { reason } => {
                let question = format!("the landing was refused: {reason}");
                self.hold_due(active, HoldReason::LandingRefused { reason }, question, &[HoldOption::Retry])
            }
            LandingOutcome::CheckoutDirty { paths } => {
                let seen = Record::CheckoutSeen(Checkout::Dirty { paths: paths.clone() });
                let question = plan::dirty_question(&paths);
                [seen]
                    .into_iter()
                    .chain(self.hold_due(active, HoldReason::CheckoutDirty { paths }, question, &[HoldOption::Retry]))
                    .collect()
            }
        }
    }

    pub(super) fn answered(&self, answer: Answer) -> Vec<Record> {
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
        let judged =
            Record::Judged { attempt: attempt.id.clone(), head, verdict: Verdict::Reject { reason: summary.clone(), retry: true } };
        [judged].into_iter().chain(self.try_again(entry, active, summary, true)).collect()
    }

    /// Ends the attempt, and lets the task wait for the next if its limits allow one.
    pub(super) fn try_again(&self, entry: &TaskEntry, active: &Active, reason: String, counts: bool) -> Vec<Record> {
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
        vec![Record::AttemptEnded { attempt: active.attempt.id.clone(), reason: reason.to_owned(), counts, conflict: None }]
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
