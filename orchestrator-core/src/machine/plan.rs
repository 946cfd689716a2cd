//! What is due now: the one place that starts things.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    context::{Context, reopened},
    entry::{Active, Phase, TaskEntry},
    freeze::after,
    state::State,
    step::{Asked, Step},
    tasks::{Clock, List},
};
use crate::model::{
    AttemptId, Effect, EffectId, EndCause, EndReason, HoldReason, Policy, Record, RunMode, Span,
    StopReason, Timestamp, Usage,
};

/// Asks for everything that is due and allowed, dispatches ready tasks, and ends the run when nothing is left.
pub(super) fn tick(state: &State, at: Timestamp, policy: &Policy) -> Vec<Record> {
    let cx = Context { state, policy, at };
    let mut plan = Plan {
        cx: &cx,
        records: Vec::new(),
        last_effect: state.last_effect,
        sessions: u32::try_from(state.tasks.count(List::TakesSession)).unwrap_or(u32::MAX),
    };
    if state.ended.is_some() {
        return plan.records;
    }
    plan.roadmap();
    plan.history();
    if state.roadmap.read_at.is_some() {
        plan.withdraw();
        plan.steps();
        if plan.knows_roadmap() && plan.knows_history() {
            plan.dispatch();
            plan.baseline();
        }
    }
    plan.end();
    plan.records
}

/// When, after `now`, the machine wants a [`Tick`](crate::model::EventKind::Tick) even if nothing happens; `None` if only an
/// event can change anything.
#[must_use]
pub fn wake_at(state: &State, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    // When the first is due whose clock is not yet as far behind as that.
    let after = |clock: Clock| {
        let distance = clock.distance(policy);
        let first = state
            .tasks
            .first_after(clock, now.0.checked_sub(distance.0).map(Timestamp));
        first.map(|time| time.after(distance))
    };
    let clocks = [
        Clock::Until,
        Clock::WallEnds,
        Clock::TurnBegan,
        Clock::AskedAt,
    ]
    .into_iter()
    .filter_map(after);
    let away = state.away.as_ref().map(|away| away.until);
    let agents = state
        .troubled_agents(now)
        .filter_map(|(_, troubled)| troubled.until);
    state
        .ended
        .is_none()
        .then(|| {
            clocks
                .chain(away)
                .chain(agents)
                .filter(|due| *due > now)
                .min()
        })
        .flatten()
}

/// How long the turn may take: the policy's limit, or what is left of the task's wall time.
fn turn_limit(entry: &TaskEntry, active: &Active, policy: &Policy) -> Span {
    entry
        .wall_left(active)
        .map_or(policy.limits.turn, |left| left.min(policy.limits.turn))
}

/// Why a running turn must be stopped now, if it must: `stuck` where nothing weighs more.
pub(super) fn stop_reason(
    cx: &Context<'_>,
    active: &Active,
    stuck: Option<StopReason>,
    usage: Usage,
) -> Option<StopReason> {
    let working = active.step.working()?;
    let entry = cx.state.task(&active.attempt.id.task)?;
    if working.stopping.is_some() {
        return None;
    }
    let spent = entry.spent.total().plus(usage);
    let budget = active.attempt.contract.budget;
    if budget.tokens.is_some_and(|most| spent.tokens() >= most)
        || budget
            .usd
            .is_some_and(|most| spent.usd.is_some_and(|usd| usd >= most))
    {
        return Some(StopReason::Budget);
    }
    if cx.at.since(working.began) >= turn_limit(entry, active, cx.policy) {
        return Some(StopReason::Deadline);
    }
    stuck
}

pub(super) struct Plan<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) records: Vec<Record>,
    last_effect: u64,
    /// Sessions that are taken, those that were asked for just now included.
    pub(super) sessions: u32,
}

impl<'a> Plan<'a> {
    pub(super) fn request(&mut self, what: Effect) {
        self.last_effect += 1;
        self.records.push(Record::Requested {
            effect: EffectId(self.last_effect),
            at: self.cx.at,
            what,
        });
    }

    /// Whether the remote may be asked: it answered last time, or it is time to try again.
    pub(super) fn may_ask_remote(&self) -> bool {
        self.cx
            .state
            .away
            .as_ref()
            .is_none_or(|away| away.until <= self.cx.at)
    }

    /// Whether the roadmap is known as it is at the tip.
    fn knows_roadmap(&self) -> bool {
        let state = self.cx.state;
        // A target that is gone makes what was read at its last tip useless.
        let refused = state.roadmap.refused.as_ref().map(|(tip, _)| *tip);
        state.tip.is_some() && state.roadmap.read_at == state.tip && refused != state.tip
    }

    /// Reads the roadmap at the beginning of a run, and whenever the target has moved.
    fn roadmap(&mut self) {
        let state = self.cx.state;
        let refused = state.roadmap.refused.as_ref().map(|(tip, _)| *tip);
        if state.roadmap.reading.is_some()
            || self.knows_roadmap()
            || (refused.is_some() && refused == state.tip)
        {
            return;
        }
        if self.may_ask_remote() {
            let tip = state
                .tip
                .filter(|_| state.roadmap.read_at.or(refused).is_some());
            self.request(Effect::ReadRoadmap { tip });
        }
    }

    /// Ends what is no longer wanted, as soon as nothing is done for it, and begins again what is
    /// wanted again.
    fn withdraw(&mut self) {
        for entry in self.cx.state.tasks.on(List::Withdrawn) {
            if entry.unticked && entry.has_landed() && self.knows_history() {
                self.records.push(reopened(&entry.task.id, None));
            }
            let Some(why) = entry.withdrawn else { continue };
            let gone = Record::Withdrawn {
                task: entry.task.id.clone(),
                why,
            };
            match &entry.phase {
                Phase::Waiting(_) => self.records.push(gone),
                Phase::Held(held) => self.records.push(Record::HoldAnswered {
                    hold: held.hold.id,
                    answer: None,
                    at: self.cx.at,
                }),
                Phase::Active(active) => match &active.step {
                    Step::Working(working) if working.stopping.is_none() => {
                        let attempt = active.attempt.id.clone();
                        self.request(Effect::StopTurn {
                            attempt,
                            turn: working.effect,
                            why: StopReason::Withdrawn,
                        });
                    }
                    // Its work is taken in; a landing that was begun may be done already.
                    Step::Collect { .. } | Step::Land { .. } => {}
                    step if step.asked() == Asked::Due => {
                        let ended = self
                            .cx
                            .attempt_ended(active, EndCause::Withdrawn, false, None);
                        self.records.extend([ended, gone]);
                    }
                    Step::Prepare(_)
                    | Step::TurnDue { .. }
                    | Step::Working(_)
                    | Step::Review { .. }
                    | Step::Merge { .. }
                    | Step::Gate(_) => {}
                },
                Phase::Landed(_) | Phase::Parked { .. } => {}
            }
        }
    }

    /// Effects that are due for attempts under way and for those that are over.
    fn steps(&mut self) {
        let state = self.cx.state;
        let lane = self.next_in_lane();
        let mut due = self.due();
        due.extend(lane);
        for at in due {
            let entry = &state.tasks.entries()[at];
            let task = &entry.task.id;
            let attempt = |number: u32| AttemptId {
                task: task.clone(),
                number,
            };
            for (number, _) in entry
                .cleanups
                .iter()
                .filter(|(_, asked)| **asked == Asked::Due)
            {
                let attempt = attempt(*number);
                let landed = entry.landed_by(&attempt);
                let landing = landed.and_then(|landed| landed.landing.as_ref());
                let by = landed.and_then(|landed| landed.by.as_ref());
                self.request(Effect::CleanUp {
                    attempt: attempt.clone(),
                    tip: state.tip,
                    landed: landing.map(|landing| landing.acceptance.tree),
                    carried: by.and_then(|by| by.carried),
                });
            }
            if entry.report == Some(Asked::Due)
                && let Some(end) = entry.end()
            {
                let attempt = attempt(entry.last_attempt);
                self.request(Effect::Report { attempt, end });
            }
            match &entry.phase {
                // What was done is taken in first, and a landing that was begun is finished.
                Phase::Active(active)
                    if entry.withdrawn.is_none()
                        || matches!(active.step, Step::Collect { .. } | Step::Land { .. }) =>
                {
                    self.step(entry, active, lane == Some(at));
                }
                Phase::Held(held) if entry.withdrawn.is_none() => {
                    // The tip that was red is no longer the tip.
                    if let HoldReason::TipRed { tip, .. } = &held.hold.about
                        && Some(*tip) != state.tip
                    {
                        self.records.push(Record::HoldAnswered {
                            hold: held.hold.id,
                            answer: None,
                            at: self.cx.at,
                        });
                    } else if held.remind_at(self.cx.policy) <= self.cx.at {
                        self.records.push(Record::Reminded {
                            hold: held.hold.id,
                            at: self.cx.at,
                        });
                    }
                }
                Phase::Active(_)
                | Phase::Held(_)
                | Phase::Waiting(_)
                | Phase::Landed(_)
                | Phase::Parked { .. } => {}
            }
        }
        self.cancel_gate();
        self.ask_about_tip();
        self.ask_about_agents();
    }

    /// The places of the tasks that have something to be asked for: because it is due, or because its time has come.
    fn due(&self) -> BTreeSet<usize> {
        let tasks = &self.cx.state.tasks;
        let past = |clock: Clock| {
            let until = self.cx.at.0.checked_sub(clock.distance(self.cx.policy).0);
            until
                .into_iter()
                .flat_map(move |until| tasks.up_to(clock, Timestamp(until)))
        };
        let timely = [Clock::WallEnds, Clock::TurnBegan, Clock::AskedAt]
            .into_iter()
            .flat_map(past);
        tasks.places(List::Due).chain(timely).collect()
    }

    fn step(&mut self, entry: &TaskEntry, active: &Active, lane: bool) {
        let attempt = || active.attempt.id.clone();
        let paused = self.cx.state.mode == RunMode::Paused;
        match &active.step {
            Step::Prepare(Asked::Due) => self.request(Effect::Prepare {
                attempt: attempt(),
                base: active.attempt.base,
            }),
            Step::TurnDue { .. } if paused => {}
            Step::TurnDue { .. } if !self.can_use(active) => {
                self.records.extend(self.passed_on(entry, active));
            }
            Step::TurnDue { .. } if self.sessions >= self.cx.policy.max_sessions => {}
            Step::TurnDue { turn, ask } => {
                self.sessions += 1;
                let known = &active.attempt;
                self.request(Effect::RunTurn {
                    attempt: attempt(),
                    turn: *turn,
                    backend: known.contract.agent.clone(),
                    resume: known.session.clone(),
                    used: known.used.clone(),
                    ask: ask.clone(),
                    contract: Arc::clone(&known.contract),
                    base: known.base,
                    predecessor: known.predecessor.clone(),
                    advice: known.advice.clone(),
                });
            }
            Step::Working(working) => {
                let over =
                    self.cx.at.since(working.began) >= turn_limit(entry, active, self.cx.policy);
                if over && working.stopping.is_none() {
                    self.request(Effect::StopTurn {
                        attempt: attempt(),
                        turn: working.effect,
                        why: StopReason::Deadline,
                    });
                }
            }
            Step::Collect {
                asked: Asked::Due,
                ended,
            } => self.request(Effect::Collect {
                attempt: attempt(),
                turn: ended.turn,
                contract: Arc::clone(&active.attempt.contract),
                base: active.attempt.base,
            }),
            Step::Review {
                asked: Asked::Due,
                work,
                ..
            } => self.request(Effect::Review {
                attempt: attempt(),
                work: Arc::clone(work),
                contract: Arc::clone(&active.attempt.contract),
                before: entry.findings.clone(),
            }),
            Step::Merge {
                asked: Asked::Due,
                reviewed,
            } if lane => self.enter_lane(active, reviewed),
            Step::Gate(checked) => self.gate(entry, active, checked),
            Step::Land {
                asked: Asked::Due, ..
            } if !self.may_ask_remote() => {}
            Step::Land {
                asked: Asked::Due,
                landing,
                ..
            } => self.request(Effect::Land {
                landing: landing.clone(),
            }),
            Step::Prepare(Asked::Open(_))
            | Step::Collect {
                asked: Asked::Open(_),
                ..
            }
            | Step::Review {
                asked: Asked::Open(_),
                ..
            }
            | Step::Merge { .. }
            | Step::Land {
                asked: Asked::Open(_),
                ..
            } => {}
        }
    }

    /// Whether the attempt's agent can be used now.
    fn can_use(&self, active: &Active) -> bool {
        let agent = &active.attempt.contract.agent;
        self.cx.state.trouble_of(agent, self.cx.at).is_none()
    }

    /// Ends the run if nothing runs, nothing was started just now, and nothing will be ready by waiting.
    fn end(&mut self) {
        let state = self.cx.state;
        let idle = self.records.is_empty() && state.open.is_empty();
        if !idle {
            return;
        }
        // A turn that is due and was not asked for waits for the mode; what is stuck on a red tip waits for a person.
        let waits =
            |active: &Active| matches!(active.step, Step::TurnDue { .. }) || state.is_stuck(active);
        let under_way = state.tasks.active().any(|active| !waits(active));
        let refused = state.roadmap.refused.is_some();
        if under_way || !(self.knows_roadmap() || refused) {
            return;
        }
        let tasks = &state.tasks;
        let (waiting, held) = (tasks.count(List::Waiting) > 0, tasks.count(List::Held) > 0);
        let soon = tasks.on(List::Waiting).any(|entry| {
            matches!(&entry.phase, Phase::Waiting(waiting) if waiting.until > self.cx.at)
                && !blocked(state, entry)
        });
        let soon = soon || self.agent_comes_back();
        let attempts = state.run.as_ref().map_or(0, |run| run.attempts);
        let wait = state.run.as_ref().is_some_and(|run| run.wait);
        let reason = if !refused && tasks.count(List::Landed) == tasks.entries().len() {
            EndReason::Complete
        } else if state.mode == RunMode::Drain {
            EndReason::Drained
        } else if state.mode == RunMode::Paused {
            if wait {
                return;
            }
            EndReason::Paused
        } else if waiting && self.run_budget(attempts).is_some() {
            EndReason::Budget
        } else if soon {
            return;
        } else if held || refused {
            if wait {
                return;
            }
            EndReason::WaitingForAPerson
        } else {
            EndReason::Blocked
        };
        self.records.push(Record::RunEnded {
            reason,
            at: self.cx.at,
        });
    }
}

/// Whether a task comes after one that cannot land without a person, or not in this run.
pub(super) fn blocked(state: &State, entry: &TaskEntry) -> bool {
    let mut before: Vec<_> = after(&entry.task).iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = before.pop() {
        let Some(entry) = state.task(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        match &entry.phase {
            Phase::Parked { .. } | Phase::Held(_) => return true,
            Phase::Waiting(_) => before.extend(after(&entry.task)),
            Phase::Active(_) | Phase::Landed(_) => {}
        }
    }
    false
}
