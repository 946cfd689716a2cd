//! What follows from a turn that is over, and from what it left.
//!
//! Reviewable is not complete (law 3): a commit is kept and reviewed whatever ended the turn, and it
//! lands only when somebody has confirmed that it is complete. So a turn that was cut off goes on:
//!
//! | the turn ended by | what follows |
//! | --- | --- |
//! | a limit, an outage, a lost login, a missing program, a restart | the session goes on, as soon as the agent can be used |
//! | a setting or a protocol that does not work; without a commit | the same |
//! | the agent itself, a stall, a deadline; without a handoff | the session is asked for the handoff, once |
//! | a crash, with a commit | the session goes on, once; then another attempt, with the commit |
//! | a full context, a lost session | another attempt, with the commit |
//! | a full context without a commit, in two attempts in a row | a person is asked |
//! | a prompt that alone is too long | a person is asked at once |
//! | a budget, a cap, a refusal, a question, an unknown protocol | the work is reviewed, and a person is asked |

use std::sync::Arc;

use super::{
    context::Context,
    entry::{Active, TaskEntry},
    follow::Source,
};
use crate::model::{
    ClaimedEvidence, ClaimedLabel, Collected, CommitId, Completion, DoneBy, EndCause, Finding,
    Handoff, HandoffFault, HandoffReport, HandoffStatus, HoldReason, Obstacle, Predecessor, Record,
    Severity, StopReason, Submission, TreeId, Trouble, TurnEnd, TurnOutcome, WorkLeft,
};

/// So often in a row a session goes on from the same commit after it was cut off.
const MOST_CONTINUED: u32 = 3;
/// On so many tasks an agent fails in the same way before it is no longer used.
const MOST_FAILED: usize = 3;
/// What stands where a reason was to be given.
/// What follows for work that nobody has said to be complete.
enum Unfinished {
    /// It is reviewed, and then a person is asked.
    Review,
    /// The session is asked for the handoff alone.
    Repair { why: HandoffFault },
    /// The session goes on.
    Continue,
    /// Another attempt begins, with this one's commit for reference.
    Again { counts: bool },
}

impl Context<'_> {
    pub(super) fn collected(
        &self,
        entry: &TaskEntry,
        active: &Active,
        ended: &TurnEnd,
        result: Collected,
    ) -> Vec<Record> {
        let left = WorkLeft::of(ended, &result);
        let mut follows = self.after_turn(entry, active, ended, result);
        for record in &mut follows {
            if let Record::HoldOpened { hold } = record {
                hold.left.clone_from(&left);
            }
        }
        follows
    }

    fn after_turn(
        &self,
        entry: &TaskEntry,
        active: &Active,
        ended: &TurnEnd,
        result: Collected,
    ) -> Vec<Record> {
        match result {
            Collected::Work(submission) => self.work_collected(entry, active, ended, submission),
            Collected::Refused { findings } => self.revise(entry, active, findings, Source::Review),
            Collected::Unusable { reason } => {
                self.try_again(entry, active, EndCause::Unreadable { why: reason })
            }
            Collected::Nothing {
                base,
                tree,
                handoff,
                said,
                dirty,
                rescued,
                ..
            } => {
                let kept = rescued.map(|commit| Record::Rescued {
                    attempt: active.attempt.id.clone(),
                    commit,
                });
                let claim = claim_of(&handoff);
                let follows = match claim {
                    Some((HandoffStatus::Blocked, said)) => {
                        let said = said.map(str::to_owned);
                        self.hold_ended(active, HoldReason::Blocked { said })
                    }
                    Some((HandoffStatus::Failed, said)) => {
                        let said = said.map(str::to_owned);
                        self.try_again(entry, active, EndCause::GaveUp { said })
                    }
                    Some((HandoffStatus::Done, _)) | None if ended.is_complete() && !dirty => {
                        let reason = claim.and_then(|(_, reason)| reason).map(str::to_owned);
                        let work = nothing(base, tree, handoff.clone());
                        self.nothing_to_do(entry, active, ended, reason, said, work)
                    }
                    Some((HandoffStatus::Done, _)) | None => {
                        self.nothing_done(entry, active, ended)
                    }
                };
                kept.into_iter().chain(follows).collect()
            }
        }
    }

    /// There is a commit.
    fn work_collected(
        &self,
        entry: &TaskEntry,
        active: &Active,
        ended: &TurnEnd,
        mut submission: Submission,
    ) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        let completion = self.completion(active, ended, &submission);
        let follows = match &completion {
            Some(_) => match self.claims_to_ask_for(entry, active, &submission) {
                Some(why) => Unfinished::Repair { why },
                None => Unfinished::Review,
            },
            // The worker says itself that it has not finished.
            None if claim_of(&submission.handoff).is_some() => Unfinished::Review,
            None => self.unfinished(entry, active, ended, &submission),
        };
        match follows {
            Unfinished::Repair { why } => return vec![Record::RepairAsked { attempt, why }],
            Unfinished::Continue => {
                return vec![self.continued(active, ended, Some(submission.head), None)];
            }
            Unfinished::Again { counts } => {
                let left = Predecessor {
                    head: submission.head,
                    tip: submission.base,
                    obstacle: Obstacle::Unfinished,
                };
                let cause = EndCause::Unfinished(ended.clone());
                return self.again(entry, active, cause, counts, Some(left));
            }
            Unfinished::Review => {}
        }
        submission
            .findings
            .extend(active.attempt.noticed.iter().cloned());
        let claimed = claimed(active, &submission.handoff, completion.as_ref());
        vec![Record::Submitted {
            attempt,
            submission: Arc::new(submission),
            ended: ended.clone(),
            completion,
            claimed,
        }]
    }

    /// Whether the worker has said that its work is complete, and how.
    fn completion(
        &self,
        active: &Active,
        ended: &TurnEnd,
        work: &Submission,
    ) -> Option<Completion> {
        if let Some((HandoffStatus::Done, _)) = claim_of(&work.handoff) {
            return Some(Completion::Handoff);
        }
        let agent = self.policy.agents.get(&active.attempt.contract.agent);
        let by_exit = agent.is_some_and(|agent| agent.done_by() == DoneBy::Exit);
        let clean = work.uncommitted.is_empty() && work.handoff == HandoffReport::Missing;
        (by_exit && ended.is_complete() && clean).then_some(Completion::ExitStatus)
    }

    /// What follows for a commit of which its worker has said nothing.
    fn unfinished(
        &self,
        entry: &TaskEntry,
        active: &Active,
        ended: &TurnEnd,
        work: &Submission,
    ) -> Unfinished {
        let resumes = self.may_go_on(entry, active);
        let ask_once = |stopped: Option<TurnEnd>| {
            if !resumes || active.attempt.repaired {
                return Unfinished::Review;
            }
            let why = match &work.handoff {
                HandoffReport::Broken { reason } => HandoffFault::Unreadable {
                    reason: reason.clone(),
                    stopped,
                },
                HandoffReport::Missing | HandoffReport::Read(_) => {
                    HandoffFault::Missing { stopped }
                }
            };
            Unfinished::Repair { why }
        };
        match (&ended.outcome, ended.stopped) {
            (_, Some(StopReason::Budget | StopReason::Withdrawn)) => Unfinished::Review,
            (TurnOutcome::Completed, _) => ask_once(None),
            (
                TurnOutcome::Stopped,
                Some(StopReason::Stalled | StopReason::Gone | StopReason::Deadline),
            ) => ask_once(Some(ended.clone())),
            (TurnOutcome::Crashed { .. }, _) if self.row(active, Some(work.head)) > 1 => {
                Unfinished::Again { counts: true }
            }
            (TurnOutcome::Crashed { .. } | TurnOutcome::Overloaded { .. }, _) if resumes => {
                Unfinished::Continue
            }
            (
                TurnOutcome::UsageLimited { .. }
                | TurnOutcome::Authentication { .. }
                | TurnOutcome::Misconfigured { .. }
                | TurnOutcome::Missing { .. }
                | TurnOutcome::Interrupted
                | TurnOutcome::Stopped,
                _,
            ) if resumes => {
                if self.row(active, Some(work.head)) > MOST_CONTINUED {
                    Unfinished::Review
                } else {
                    Unfinished::Continue
                }
            }
            (
                TurnOutcome::Crashed { .. } | TurnOutcome::ContextFull | TurnOutcome::SessionLost,
                _,
            ) => Unfinished::Again { counts: true },
            (
                TurnOutcome::UsageLimited { .. }
                | TurnOutcome::Overloaded { .. }
                | TurnOutcome::Authentication { .. }
                | TurnOutcome::Misconfigured { .. }
                | TurnOutcome::Missing { .. }
                | TurnOutcome::Interrupted
                | TurnOutcome::Stopped,
                _,
            ) => Unfinished::Again { counts: false },
            (
                TurnOutcome::NeedsInput { .. }
                | TurnOutcome::Refused { .. }
                | TurnOutcome::CapReached { .. }
                | TurnOutcome::PromptTooLong { .. }
                | TurnOutcome::Drifted { .. },
                _,
            ) => Unfinished::Review,
        }
    }

    /// Which claims the handoff says nothing of, where the session can be asked for them, for once.
    fn claims_to_ask_for(
        &self,
        entry: &TaskEntry,
        active: &Active,
        work: &Submission,
    ) -> Option<HandoffFault> {
        let HandoffReport::Read(handoff) = &work.handoff else {
            return None;
        };
        let claims = active.attempt.contract.claims.iter();
        let left_out: Vec<_> = claims
            .filter(|claim| !says(handoff, claim.id.as_str()))
            .map(|claim| claim.id.clone())
            .collect();
        let may_ask = !active.attempt.repaired && self.may_go_on(entry, active);
        (may_ask && !left_out.is_empty())
            .then_some(HandoffFault::ClaimsLeftOut { claims: left_out })
    }

    /// The session goes on, from this head of its.
    pub(super) fn continued(
        &self,
        active: &Active,
        ended: &TurnEnd,
        head: Option<CommitId>,
        note: Option<String>,
    ) -> Record {
        Record::Continued {
            attempt: active.attempt.id.clone(),
            ended: ended.clone(),
            row: self.row(active, head),
            head,
            note,
        }
    }

    /// How often in a row the session went on from this head, if it does once more.
    fn row(&self, active: &Active, head: Option<CommitId>) -> u32 {
        match active.attempt.continued {
            Some((row, at)) if at == head => row + 1,
            Some(_) | None => 1,
        }
    }

    /// An agent ended its turn, and left nothing. It is sent back once, and not at all where it says
    /// why: then a person is asked, with its words. Another attempt would pay for the same again.
    fn nothing_to_do(
        &self,
        entry: &TaskEntry,
        active: &Active,
        ended: &TurnEnd,
        reason: Option<String>,
        said: Option<String>,
        work: Submission,
    ) -> Vec<Record> {
        let attempt = active.attempt.id.clone();
        // A budget that is used up is what a person is asked about then.
        let may_go_back =
            self.turn_left(entry, active) || self.over_budget(entry, active).is_some();
        if reason.is_none() && !active.attempt.idle && may_go_back {
            let finding = Finding::new(
                Severity::Error,
                "commit/missing",
                "the session ended, but nothing was committed; if nothing has to be done, say why as the \
                 handoff's `reason`",
            );
            let again = self.revise(entry, active, vec![finding], Source::Review);
            return [Record::NothingDone { attempt }]
                .into_iter()
                .chain(again)
                .collect();
        }

        let said = reason.or(said);
        let about = HoldReason::NothingToDo { said };
        let claimed = claimed(active, &work.handoff, None);
        let submission = Arc::new(work);
        vec![
            Record::NothingToDo {
                attempt,
                submission,
                ended: ended.clone(),
                claimed,
            },
            self.ask(&active.attempt.id.task, about),
        ]
    }

    /// A turn that left no commit: what follows is in how it ended.
    fn nothing_done(&self, entry: &TaskEntry, active: &Active, ended: &TurnEnd) -> Vec<Record> {
        match &ended.outcome {
            TurnOutcome::Completed => {
                let what = "the session ended, but the work was left uncommitted: commit it";
                let finding = Finding::new(Severity::Error, "commit/missing", what);
                self.revise(entry, active, vec![finding], Source::Review)
            }
            TurnOutcome::Crashed { detail } => {
                let failed = self.agent_failed(active, detail);
                let detail = detail.clone();
                let follows = self.try_again(entry, active, EndCause::AgentFailed { detail });
                failed.into_iter().chain(follows).collect()
            }
            TurnOutcome::ContextFull => self.context_filled(entry, active),
            TurnOutcome::PromptTooLong { detail } => self.prompt_too_long(active, detail),
            TurnOutcome::SessionLost => self.try_again(entry, active, EndCause::SessionLost),
            TurnOutcome::Stopped => {
                let why = ended.stopped;
                self.try_again(entry, active, EndCause::Stopped { why })
            }
            TurnOutcome::UsageLimited { .. }
            | TurnOutcome::Overloaded { .. }
            | TurnOutcome::Authentication { .. }
            | TurnOutcome::Misconfigured { .. }
            | TurnOutcome::Missing { .. }
            | TurnOutcome::Drifted { .. }
            | TurnOutcome::Interrupted => self.cut_off(entry, active, ended),
            TurnOutcome::NeedsInput { question } => {
                let asked = question.clone();
                self.hold_ended(active, HoldReason::Question { asked })
            }
            TurnOutcome::Refused { reason } => {
                let said = reason.clone();
                self.hold_ended(active, HoldReason::Declined { said })
            }
            TurnOutcome::CapReached { cap } => {
                let cap = cap.clone();
                self.hold_ended(active, HoldReason::CapReached { cap })
            }
        }
    }

    /// A turn was cut off before anything was committed, and its task is not to blame.
    fn cut_off(&self, entry: &TaskEntry, active: &Active, ended: &TurnEnd) -> Vec<Record> {
        // Before there is a session, another turn in the same workspace loses nothing.
        let goes_on = self.may_go_on(entry, active)
            || (active.attempt.session.is_none() && self.over_budget(entry, active).is_none());
        if !goes_on {
            return self.again(entry, active, EndCause::CutOff(ended.clone()), false, None);
        }
        let is_outage = matches!(ended.outcome, TurnOutcome::Overloaded { .. });
        if !is_outage && self.row(active, None) > MOST_CONTINUED {
            let about = HoldReason::CutOff {
                times: MOST_CONTINUED,
                ended: ended.clone(),
            };
            return self.hold_ended(active, about);
        }
        vec![self.continued(active, ended, None, None)]
    }

    /// What a turn's end says of its agent, whatever its task.
    pub(super) fn agent_seen(&self, active: &Active, outcome: &TurnOutcome) -> Option<Record> {
        let agent = &active.attempt.contract.agent;
        match outcome {
            TurnOutcome::UsageLimited { .. } | TurnOutcome::Overloaded { .. }
                if self.waits_for_a_person(active) =>
            {
                None
            }
            TurnOutcome::Authentication { .. }
            | TurnOutcome::Misconfigured { .. }
            | TurnOutcome::Missing { .. }
            | TurnOutcome::Drifted { .. }
                if self.has_recovered_since(active) =>
            {
                None
            }
            TurnOutcome::UsageLimited { until } => {
                Some(self.troubled(agent, Trouble::UsageLimit, *until))
            }
            TurnOutcome::Overloaded { reason } => {
                let reason = reason.clone();
                Some(self.troubled(agent, Trouble::Outage { reason }, None))
            }
            TurnOutcome::Authentication { reason } => {
                let reason = reason.clone();
                Some(self.troubled(agent, Trouble::Login { reason }, None))
            }
            TurnOutcome::Misconfigured { reason } => {
                let reason = reason.clone();
                Some(self.troubled(agent, Trouble::Misconfigured { reason }, None))
            }
            TurnOutcome::Missing { what } => {
                let what = what.clone();
                Some(self.troubled(agent, Trouble::Missing { what }, None))
            }
            TurnOutcome::Drifted { detail } => {
                let detail = detail.clone();
                Some(self.troubled(agent, Trouble::Drifted { detail }, None))
            }
            TurnOutcome::Completed
            | TurnOutcome::NeedsInput { .. }
            | TurnOutcome::Refused { .. }
            | TurnOutcome::ContextFull
            | TurnOutcome::PromptTooLong { .. }
            | TurnOutcome::CapReached { .. } => {
                let known = self.state.agents.get(agent)?;
                let troubled = known.trouble.as_ref();
                // A turn that had begun before the trouble was found says nothing of its end.
                let began = active.step.working()?.began;
                if troubled.is_some_and(|troubled| began <= troubled.found) || known.is_faultless()
                {
                    return None;
                }
                Some(Record::AgentRecovered {
                    agent: agent.clone(),
                    at: self.at,
                    from: troubled.map(|troubled| troubled.trouble.clone()),
                })
            }
            TurnOutcome::SessionLost
            | TurnOutcome::Crashed { .. }
            | TurnOutcome::Stopped
            | TurnOutcome::Interrupted => None,
        }
    }

    /// Whether a person is needed for the agent, and this turn had begun before that was found: what
    /// passes by itself does not take the place of what does not.
    fn waits_for_a_person(&self, active: &Active) -> bool {
        let known = self.state.agents.get(&active.attempt.contract.agent);
        let troubled = known.and_then(|known| known.trouble.as_ref());
        let working = active.step.working();
        let (Some(troubled), Some(working)) = (troubled, working) else {
            return false;
        };
        troubled.until.is_none() && working.began <= troubled.found
    }

    /// Whether the agent could be used again after this turn had begun. The turn may have met what a
    /// person has repaired since, and another question would be the same question again.
    fn has_recovered_since(&self, active: &Active) -> bool {
        let known = self.state.agents.get(&active.attempt.contract.agent);
        let recovered = known.and_then(|known| known.recovered);
        let working = active.step.working();
        recovered
            .zip(working)
            .is_some_and(|(recovered, working)| working.began <= recovered)
    }

    /// An agent failed, and left nothing. Where it does so on one task after another, it is no
    /// longer used.
    fn agent_failed(&self, active: &Active, detail: &str) -> Vec<Record> {
        let agent = &active.attempt.contract.agent;
        let task = &active.attempt.id.task;
        let before = self
            .state
            .agents
            .get(agent)
            .and_then(|known| known.failed.as_ref());
        let mut tasks = match before {
            Some((known, tasks)) if alike(known, detail) => tasks.clone(),
            Some(_) | None => Vec::new(),
        };
        if !tasks.contains(task) {
            tasks.push(task.clone());
        }
        let troubled = (tasks.len() >= MOST_FAILED).then(|| {
            let detail = detail.to_owned();
            self.troubled(agent, Trouble::Failing { detail }, None)
        });
        let failed = Record::AgentFailed {
            agent: agent.clone(),
            detail: detail.to_owned(),
            tasks,
        };
        [failed].into_iter().chain(troubled).collect()
    }
}

/// Whether two failures are the same but for numbers, such as of processes and moments.
fn alike(one: &str, other: &str) -> bool {
    let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphabetic()).collect() };
    letters(one) == letters(other)
}

/// What a handoff says of the work as a whole, and why.
fn claim_of(handoff: &HandoffReport) -> Option<(HandoffStatus, Option<&str>)> {
    match handoff {
        HandoffReport::Read(handoff) => Some((handoff.status, handoff.reason.as_deref())),
        HandoffReport::Missing | HandoffReport::Broken { .. } => None,
    }
}

fn says(handoff: &Handoff, claim: &str) -> bool {
    handoff.evidence.iter().any(|by| by.claim == claim)
}

/// What the worker says that it has proven. An exit status that counts as its statement is one about
/// all that the contract claims.
fn claimed(
    active: &Active,
    handoff: &HandoffReport,
    completion: Option<&Completion>,
) -> Vec<ClaimedEvidence> {
    match (handoff, completion) {
        (HandoffReport::Read(handoff), _) => handoff.evidence.clone(),
        (_, Some(Completion::ExitStatus)) => {
            let claims = active.attempt.contract.claims.iter();
            let by_exit = claims.map(|claim| ClaimedEvidence {
                claim: claim.id.to_string(),
                label: ClaimedLabel::Direct,
                note: Some("exit status 0".to_owned()),
            });
            by_exit.collect()
        }
        (HandoffReport::Missing | HandoffReport::Broken { .. }, _) => Vec::new(),
    }
}

/// The work of an attempt that changed nothing.
fn nothing(base: CommitId, tree: TreeId, handoff: HandoffReport) -> Submission {
    Submission {
        base,
        head: base,
        carried: None,
        tree,
        commits: 0,
        changes: Vec::new(),
        uncommitted: Vec::new(),
        handoff,
        handoff_hash: None,
        findings: Vec::new(),
        artifacts: Vec::new(),
    }
}
