//! What is due now: the one place that starts things.

use super::{
    decide::Context,
    freeze::{after, allowed, freeze, resources},
    state::{Active, Asked, Grant, Phase, State, Step, TaskEntry, Waiting},
};
use crate::model::{
    Approval, AttemptId, Checkout, CommitId, Effect, EffectId, EndReason, GateSpec, HoldOption, HoldReason, PackageName, Pattern,
    Policy, Record, RepoPath, ResourceName, RunMode, StopReason, TaskId, Timestamp, Usage,
};

/// Asks for everything that is due and allowed, dispatches ready tasks, and ends the run when nothing is left.
pub(super) fn tick(state: &State, at: Timestamp, policy: &Policy) -> Vec<Record> {
    let cx = Context { state, policy, at };
    let steps = || state.tasks.iter().filter_map(entry_active).map(|active| &active.step);
    let mut plan = Plan {
        cx: &cx,
        records: Vec::new(),
        last_effect: state.last_effect,
        sessions: u32::try_from(steps().filter(|step| step.takes_session()).count()).unwrap_or(u32::MAX),
        lane_free: !steps().any(Step::in_lane),
    };
    if state.ended.is_some() {
        return plan.records;
    }
    plan.roadmap();
    if state.roadmap.read_at.is_some() {
        plan.withdraw();
        plan.steps();
        if plan.knows_roadmap() {
            plan.dispatch();
        }
    }
    plan.end();
    plan.records
}

/// When, after `now`, the machine wants a [`Tick`](crate::model::EventKind::Tick) even if nothing happens; `None` if only an
/// event can change anything.
#[must_use]
pub fn wake_at(state: &State, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let due = |entry: &TaskEntry| match &entry.phase {
        Phase::Waiting(waiting) => Some(waiting.until),
        Phase::Active(active) => match &active.step {
            Step::Working(working) if working.stopping.is_none() => Some(working.began.after(turn_limit(entry, active, policy))),
            Step::Working(_)
            | Step::Prepare(_)
            | Step::TurnDue { .. }
            | Step::Collect { .. }
            | Step::Review { .. }
            | Step::Merge { .. }
            | Step::Gate { .. }
            | Step::TipCheck { .. }
            | Step::Land { .. } => None,
        },
        Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => None,
    };
    let away = state.away.as_ref().map(|away| away.until);
    state.ended.is_none().then(|| state.tasks.iter().filter_map(due).chain(away).filter(|due| *due > now).min()).flatten()
}

/// How long the turn may take: the policy's limit, or what is left of the task's wall time.
fn turn_limit(entry: &TaskEntry, active: &Active, policy: &Policy) -> crate::model::Span {
    let left = active.attempt.contract.budget.wall.map(|wall| crate::model::Span(wall.0.saturating_sub(entry.wall.0)));
    left.map_or(policy.limits.turn, |left| left.min(policy.limits.turn))
}

/// Why a running turn must be stopped now, if it must.
pub(super) fn stop_reason(cx: &Context<'_>, active: &Active, stalled: bool, usage: Usage) -> Option<StopReason> {
    let Step::Working(working) = &active.step else { return None };
    let entry = cx.state.task(&active.attempt.id.task)?;
    if working.stopping.is_some() {
        return None;
    }
    let spent = entry.spent.plus(usage);
    let budget = active.attempt.contract.budget;
    if budget.tokens.is_some_and(|most| spent.tokens() >= most) || budget.usd.is_some_and(|most| spent.usd >= most) {
        return Some(StopReason::Budget);
    }
    if cx.at.since(working.began) >= turn_limit(entry, active, cx.policy) {
        return Some(StopReason::Deadline);
    }
    stalled.then_some(StopReason::Stalled)
}

/// The attempt that an effect belongs to.
pub(super) fn attempt_of(what: &Effect) -> Option<&AttemptId> {
    match what {
        Effect::ReadRoadmap { .. } => None,
        Effect::Prepare { attempt, .. }
        | Effect::RunTurn { attempt, .. }
        | Effect::StopTurn { attempt, .. }
        | Effect::Collect { attempt, .. }
        | Effect::Review { attempt, .. }
        | Effect::Merge { attempt, .. }
        | Effect::RunGate { attempt, .. }
        | Effect::CheckTip { attempt, .. }
        | Effect::CleanUp { attempt }
        | Effect::Report { attempt, .. } => Some(attempt),
        Effect::Land { landing } => Some(&landing.attempt),
    }
}

pub(super) fn dirty_question(paths: &[RepoPath]) -> String {
    let some: Vec<_> = paths.iter().take(5).map(ToString::to_string).collect();
    format!("the checkout of the target has uncommitted changes ({}): commit or stash them, and the run goes on", some.join(", "))
}

/// Why a waiting task is not dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// Tasks that it comes after have not landed.
    After(Vec<TaskId>),
    /// Its next attempt is not due yet.
    Until(Timestamp),
    /// It may change the same paths as an open task.
    Overlaps {
        /// The other task.
        with: TaskId,
        /// A pattern of this task.
        ours: Pattern,
        /// A pattern of the other.
        theirs: Pattern,
    },
    /// An open task holds a resource.
    Resource {
        /// The other task.
        with: TaskId,
        /// The resource.
        resource: ResourceName,
    },
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(tasks) => {
                let tasks: Vec<_> = tasks.iter().map(TaskId::as_str).collect();
                write!(f, "after {}", tasks.join(", "))
            }
            Self::Until(_) => f.write_str("pausing before its next attempt"),
            Self::Overlaps { with, ours, theirs } => write!(f, "`{ours}` overlaps `{theirs}` of {with}"),
            Self::Resource { with, resource } => write!(f, "`{resource}` is held by {with}"),
        }
    }
}

/// What an open task occupies.
struct Occupied<'a> {
    task: &'a TaskId,
    allow: &'a [Pattern],
    resources: &'a [ResourceName],
}

impl<'a> Occupied<'a> {
    fn of(entry: &'a TaskEntry) -> Option<Self> {
        let contract = &entry.occupying()?.contract;
        Some(Self { task: &entry.task.id, allow: &contract.allow, resources: &contract.resources })
    }
}

/// Whether a waiting task could be dispatched, slots, package and budgets aside.
///
/// # Errors
/// [`NotReady`] with the first reason why not.
pub fn readiness(state: &State, entry: &TaskEntry, policy: &Policy, at: Timestamp) -> Result<(), NotReady> {
    let occupied: Vec<_> = state.tasks.iter().filter_map(Occupied::of).collect();
    ready(state, entry, &occupied, policy, at)
}

fn ready(state: &State, entry: &TaskEntry, occupied: &[Occupied<'_>], policy: &Policy, at: Timestamp) -> Result<(), NotReady> {
    let landed = |id: &TaskId| state.task(id).is_some_and(TaskEntry::has_landed);
    let missing: Vec<_> = after(&entry.task).iter().filter(|id| !landed(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(NotReady::After(missing));
    }
    if let Phase::Waiting(Waiting { until, .. }) = entry.phase
        && until > at
    {
        return Err(NotReady::Until(until));
    }
    let (allow, needs) = (allowed(&entry.task, policy), resources(&entry.task, policy));
    for other in occupied.iter().filter(|other| *other.task != entry.task.id) {
        if let Some(resource) = needs.iter().find(|resource| other.resources.contains(resource)) {
            return Err(NotReady::Resource { with: other.task.clone(), resource: resource.clone() });
        }
        let pairs = allow.iter().flat_map(|ours| other.allow.iter().map(move |theirs| (ours, theirs)));
        if let Some((ours, theirs)) = pairs.into_iter().find(|(ours, theirs)| ours.overlaps(theirs)) {
            return Err(NotReady::Overlaps { with: other.task.clone(), ours: ours.clone(), theirs: theirs.clone() });
        }
    }
    Ok(())
}

struct Plan<'a> {
    cx: &'a Context<'a>,
    records: Vec<Record>,
    last_effect: u64,
    /// Sessions that are taken, those that were asked for just now included.
    sessions: u32,
    /// Whether nobody is in the landing lane, and nobody was let in just now.
    lane_free: bool,
}

impl<'a> Plan<'a> {
    fn request(&mut self, what: Effect) {
        self.last_effect += 1;
        self.records.push(Record::Requested { effect: EffectId(self.last_effect), at: self.cx.at, what });
    }

    /// Whether the remote may be asked: it answered last time, or it is time to try again.
    fn may_ask_remote(&self) -> bool {
        self.cx.state.away.as_ref().is_none_or(|away| away.until <= self.cx.at)
    }

    /// Whether the roadmap is known as it is at the tip.
    fn knows_roadmap(&self) -> bool {
        self.cx.state.tip.is_some() && self.cx.state.roadmap.read_at == self.cx.state.tip
    }

    /// Reads the roadmap at the beginning of a run, and whenever the target has moved.
    fn roadmap(&mut self) {
        let state = self.cx.state;
        let refused = state.roadmap.refused.as_ref().map(|(tip, _)| *tip);
        if state.roadmap.reading.is_some() || self.knows_roadmap() || (refused.is_some() && refused == state.tip) {
            return;
        }
        if self.may_ask_remote() {
            let tip = state.tip.filter(|_| state.roadmap.read_at.or(refused).is_some());
            self.request(Effect::ReadRoadmap { tip });
        }
    }

    /// Ends what is no longer wanted, as soon as nothing is done for it.
    fn withdraw(&mut self) {
        for entry in &self.cx.state.tasks {
            let Some(why) = entry.withdrawn else { continue };
            let gone = Record::Withdrawn { task: entry.task.id.clone(), why };
            match &entry.phase {
                Phase::Waiting(_) => self.records.push(gone),
                Phase::Held(held) => self.records.push(Record::HoldAnswered { hold: held.hold.id, answer: None }),
                Phase::Active(active) => match &active.step {
                    Step::Working(working) if working.stopping.is_none() => {
                        let attempt = active.attempt.id.clone();
                        self.request(Effect::StopTurn { attempt, turn: working.effect, why: StopReason::Withdrawn });
                    }
                    // Its work is taken in; a landing that was begun may be done already.
                    Step::Collect { .. } | Step::Land { .. } => {}
                    step if step.asked() == Asked::Due => {
                        let ended = self.cx.attempt_ended(active, "the task is no longer wanted", false, None);
                        self.records.extend([ended, gone]);
                    }
                    Step::Prepare(_)
                    | Step::TurnDue { .. }
                    | Step::Working(_)
                    | Step::Review { .. }
                    | Step::Merge { .. }
                    | Step::Gate { .. }
                    | Step::TipCheck { .. } => {}
                },
                Phase::Landed(_) | Phase::Parked { .. } => {}
            }
        }
    }

    /// Effects that are due for attempts under way and for those that are over.
    fn steps(&mut self) {
        let state = self.cx.state;
        for entry in &state.tasks {
            let task = &entry.task.id;
            let attempt = |number: u32| AttemptId { task: task.clone(), number };
            for (number, _) in entry.cleanups.iter().filter(|(_, asked)| **asked == Asked::Due) {
                self.request(Effect::CleanUp { attempt: attempt(*number) });
            }
            if entry.report == Some(Asked::Due) {
                let landed = match &entry.phase {
                    Phase::Landed(landed) => landed.commit,
                    Phase::Waiting(_) | Phase::Active(_) | Phase::Held(_) | Phase::Parked { .. } => None,
                };
                self.request(Effect::Report { task: task.clone(), attempt: attempt(entry.last_attempt), landed });
            }
            match &entry.phase {
                // What was done is taken in first, and a landing that was begun is finished.
                Phase::Active(active)
                    if entry.withdrawn.is_none() || matches!(active.step, Step::Collect { .. } | Step::Land { .. }) =>
                {
                    self.step(entry, active);
                }
                Phase::Held(held) if entry.withdrawn.is_none() => {
                    // The tip that was red is no longer the tip.
                    if let HoldReason::TipRed { tip, .. } = &held.hold.about
                        && Some(*tip) != state.tip
                    {
                        self.records.push(Record::HoldAnswered { hold: held.hold.id, answer: None });
                    }
                }
                Phase::Active(_) | Phase::Held(_) | Phase::Waiting(_) | Phase::Landed(_) | Phase::Parked { .. } => {}
            }
        }
        self.ask_about_tip();
    }

    /// Asks a person about a tip that is itself red: one question, however many attempts it keeps from landing.
    fn ask_about_tip(&mut self) {
        let state = self.cx.state;
        let asked = state.holds().any(|hold| matches!(hold.about, HoldReason::TipRed { .. }));
        let stuck = state.tasks.iter().filter_map(entry_active).find(|active| active.step.is_stuck_on(state.tip));
        let (Some(active), Some(tip), false) = (stuck, state.tip, asked) else { return };
        let red = || state.tip_reports.iter().filter(|report| !report.passed());
        let names: Vec<_> = red().map(|report| format!("`{}` ({})", report.gate.name, report.outcome)).collect();
        let question = format!(
            "the target itself is red at {}: {}; nothing can be judged on it until it is mended there",
            tip.short(),
            names.join(", ")
        );
        let about = HoldReason::TipRed { tip, gates: red().map(|report| report.gate.name.clone()).collect() };
        self.records.push(self.cx.hold(&active.attempt.id.task, about, question, &[HoldOption::Retry]));
    }

    fn step(&mut self, entry: &TaskEntry, active: &Active) {
        let attempt = active.attempt.id.clone();
        let paused = self.cx.state.mode == RunMode::Paused;
        match &active.step {
            Step::Prepare(Asked::Due) => self.request(Effect::Prepare { attempt, base: active.attempt.base }),
            Step::TurnDue { .. } if paused => {}
            Step::TurnDue { .. } if active.step.waits_for_session() && self.sessions >= self.cx.policy.max_sessions => {}
            Step::TurnDue { turn, ask } => {
                self.sessions += u32::from(active.step.waits_for_session());
                let (backend, resume) = (active.attempt.contract.agent.clone(), active.attempt.session.clone());
                self.request(Effect::RunTurn { attempt, turn: *turn, backend, resume, ask: ask.clone() });
            }
            Step::Working(working) => {
                let over = self.cx.at.since(working.began) >= turn_limit(entry, active, self.cx.policy);
                if over && working.stopping.is_none() {
                    self.request(Effect::StopTurn { attempt, turn: working.effect, why: StopReason::Deadline });
                }
            }
            Step::Collect { asked: Asked::Due, turn, .. } => self.request(Effect::Collect { attempt, turn: *turn }),
            Step::Review { asked: Asked::Due, work, .. } => self.request(Effect::Review { attempt, head: work.head }),
            Step::Merge { asked: Asked::Due, .. } if !self.may_ask_remote() || active.step.is_stuck_on(self.cx.state.tip) => {}
            Step::Merge { asked: Asked::Due, reviewed } => {
                if std::mem::take(&mut self.lane_free) {
                    self.request(Effect::Merge { attempt, head: reviewed.work.head });
                }
            }
            Step::Gate { asked: Asked::Due, checked } => {
                let ran = |gate: &&GateSpec| checked.reports.iter().any(|report| report.gate.name == gate.name);
                if let Some(gate) = active.attempt.contract.gates.iter().find(|gate| !ran(gate)) {
                    self.request(Effect::RunGate { attempt, tree: checked.candidate.tree, gate: gate.clone() });
                }
            }
            Step::TipCheck { asked: Asked::Due, checked } => {
                let known = |gate: &GateSpec| self.cx.state.tip_reports.iter().any(|report| report.gate == *gate);
                let red = checked.reports.iter().find(|report| !report.passed() && !known(&report.gate));
                match red {
                    Some(report) => {
                        let gate = report.gate.clone();
                        self.request(Effect::CheckTip { attempt, tip: checked.candidate.tip, gate });
                    }
                    // The tip moved while it was looked at.
                    None => self.records.push(Record::Queued { attempt }),
                }
            }
            Step::Land { asked: Asked::Due, .. } if !self.may_ask_remote() => {}
            Step::Land { asked: Asked::Due, landing, .. } => self.request(Effect::Land { landing: landing.clone() }),
            Step::Prepare(Asked::Open(_))
            | Step::Collect { asked: Asked::Open(_), .. }
            | Step::Review { asked: Asked::Open(_), .. }
            | Step::Merge { asked: Asked::Open(_), .. }
            | Step::Gate { asked: Asked::Open(_), .. }
            | Step::TipCheck { asked: Asked::Open(_), .. }
            | Step::Land { asked: Asked::Open(_), .. } => {}
        }
    }

    /// Starts ready tasks, in the roadmap's order, as far as mode, slots, review debt, budget and package allow.
    fn dispatch(&mut self) {
        let (state, policy) = (self.cx.state, self.cx.policy);
        let Some(tip) = state.tip else { return };
        let steps = || state.tasks.iter().filter_map(entry_active).map(|active| &active.step);
        // Work that came back goes before new work.
        let returned = steps().filter(|step| step.waits_for_session()).count();
        let owed = |step: &Step| !step.takes_session() && !step.waits_for_session() && !step.is_stuck_on(state.tip);
        let debt = steps().filter(|step| owed(step)).count();
        if state.mode != RunMode::Active || debt >= policy.limits.review_debt as usize {
            return;
        }
        let free = policy.max_sessions.saturating_sub(self.sessions) as usize;
        let mut slots = free.saturating_sub(returned);
        let mut attempts = state.run.as_ref().map_or(0, |run| run.attempts);
        let mut occupied: Vec<_> = state.tasks.iter().filter_map(Occupied::of).collect();
        let mut package = state.package.clone();
        let moving = |package: &Option<PackageName>, occupied: &[Occupied<'_>]| {
            let mut members = state.tasks.iter().filter(|entry| entry.task.package == *package);
            members.any(|entry| match &entry.phase {
                Phase::Active(_) => true,
                Phase::Waiting(_) => occupied.iter().any(|other| *other.task == entry.task.id) || self.can_come(entry),
                Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => false,
            })
        };
        let mut records = Vec::new();
        let mut dispatched: Vec<&TaskId> = Vec::new();
        while slots > 0 && self.run_budget(attempts).is_none() {
            let stay = package.as_ref().is_some_and(|package| moving(package, &occupied));
            let candidate = state.tasks.iter().find(|entry| {
                matches!(entry.phase, Phase::Waiting(_))
                    && entry.withdrawn.is_none()
                    && !dispatched.contains(&&entry.task.id)
                    && (!stay || package.as_ref() == Some(&entry.task.package))
                    && ready(state, entry, &occupied, policy, self.cx.at).is_ok()
            });
            let Some(entry) = candidate else { break };
            let Phase::Waiting(waiting) = &entry.phase else { break };
            if let Some(hold) = self.ask_first(entry, waiting) {
                // One question at a time: the others follow when this one is in the state.
                records.extend(hold);
                break;
            }
            if package.as_ref() != Some(&entry.task.package) {
                let reason = self.why_enter(package.as_ref(), &entry.task.package);
                records.push(Record::PackageEntered { package: entry.task.package.clone(), reason });
                package = Some(entry.task.package.clone());
            }
            records.push(self.dispatch_one(entry, tip));
            if matches!(records.last(), Some(Record::Parked { .. })) {
                break;
            }
            dispatched.push(&entry.task.id);
            occupied.push(Occupied {
                task: &entry.task.id,
                allow: allowed(&entry.task, policy),
                resources: resources(&entry.task, policy),
            });
            slots -= 1;
            attempts += 1;
        }
        self.records.extend(records);
    }

    /// Whether a waiting task of the current package can still come without leaving the package: it is ready, or only time
    /// or running work is before it. What waits for a person, or for another package, keeps nobody.
    fn can_come(&self, entry: &TaskEntry) -> bool {
        let state = self.cx.state;
        match readiness(state, entry, self.cx.policy, self.cx.at) {
            Ok(()) | Err(NotReady::Until(_)) => true,
            Err(NotReady::After(_)) => false,
            Err(NotReady::Overlaps { with, .. } | NotReady::Resource { with, .. }) => {
                state.task(&with).is_some_and(|other| matches!(other.phase, Phase::Active(_)))
            }
        }
    }

    fn why_enter(&self, from: Option<&Option<PackageName>>, to: &Option<PackageName>) -> String {
        let name = |package: &Option<PackageName>| package.as_ref().map_or("(none)".to_owned(), |name| format!("`{name}`"));
        let Some(from) = from else { return format!("{} has the first ready task", name(to)) };
        let left = self.cx.state.tasks.iter().filter(|entry| entry.task.package == *from && !entry.has_landed());
        let left: Vec<_> = left.map(|entry| entry.task.id.as_str()).collect();
        if left.is_empty() {
            format!("{} has landed", name(from))
        } else {
            format!("nothing of {} can go on: {} wait", name(from), left.join(", "))
        }
    }

    /// The question that comes before a dispatch, if one does.
    fn ask_first(&self, entry: &TaskEntry, waiting: &Waiting) -> Option<Vec<Record>> {
        let task = &entry.task.id;
        if let Some(Checkout::Dirty { paths }) = &self.cx.state.checkout {
            // It would be in the way of every landing: one question is enough.
            let asked = self.cx.state.holds().any(|hold| matches!(hold.about, HoldReason::CheckoutDirty { .. }));
            let about = HoldReason::CheckoutDirty { paths: paths.clone() };
            let hold = || self.cx.hold(task, about, dirty_question(paths), &[]);
            return Some(if asked { Vec::new() } else { vec![hold()] });
        }
        let approve = entry.task.keys.approve.as_ref().or(self.cx.policy.defaults.approve.as_ref());
        let needed =
            approve.is_some_and(|approve| approve.contains(&Approval::Dispatch)) && !waiting.grants.contains(&Grant::Dispatch);
        needed.then(|| {
            let question = "the contract asks for a person's approval before an agent starts".to_owned();
            vec![self.cx.hold(task, HoldReason::Approval(Approval::Dispatch), question, &[HoldOption::Approve])]
        })
    }

    fn dispatch_one(&self, entry: &TaskEntry, base: CommitId) -> Record {
        let agents = self.cx.state.run.iter().flat_map(|run| run.backends.keys());
        match freeze(&entry.task, self.cx.policy, agents) {
            Ok(contract) => {
                let attempt = AttemptId { task: entry.task.id.clone(), number: entry.last_attempt + 1 };
                Record::Dispatched { attempt, contract, base, at: self.cx.at }
            }
            Err(error) => Record::Parked { task: entry.task.id.clone(), reason: error.to_string() },
        }
    }

    /// Which budget of the run is used up.
    fn run_budget(&self, attempts: u32) -> Option<&'static str> {
        let (limits, run) = (&self.cx.policy.limits, self.cx.state.run.as_ref()?);
        if limits.run_attempts.is_some_and(|most| attempts >= most) {
            return Some("attempts");
        }
        if limits.run_tokens.is_some_and(|most| run.spent.tokens() >= most) {
            return Some("tokens");
        }
        if limits.run_usd.is_some_and(|most| run.spent.usd >= most) {
            return Some("US dollars");
        }
        limits.run_wall.is_some_and(|most| self.cx.at.since(run.began) >= most).then_some("wall time")
    }

    /// Ends the run if nothing runs, nothing was started just now, and nothing will be ready by waiting.
    fn end(&mut self) {
        let state = self.cx.state;
        let idle = self.records.is_empty() && state.open.is_empty();
        // A turn that is due and was not asked for waits for the mode; what is stuck on a red tip waits for a person.
        let waits = |step: &Step| matches!(step, Step::TurnDue { .. }) || step.is_stuck_on(state.tip);
        let under_way = state.tasks.iter().filter_map(entry_active).any(|active| !waits(&active.step));
        let refused = state.roadmap.refused.is_some();
        if !idle || under_way || !(self.knows_roadmap() || refused) {
            return;
        }
        let any = |test: &dyn Fn(&TaskEntry) -> bool| state.tasks.iter().any(test);
        let waiting = any(&|entry| matches!(entry.phase, Phase::Waiting(_)));
        let held = any(&|entry| matches!(entry.phase, Phase::Held(_)));
        let soon =
            any(&|entry| matches!(&entry.phase, Phase::Waiting(waiting) if waiting.until > self.cx.at) && !blocked(state, entry));
        let attempts = state.run.as_ref().map_or(0, |run| run.attempts);
        let wait = state.run.as_ref().is_some_and(|run| run.wait);
        let reason = if !refused && !any(&|entry| !entry.has_landed()) {
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
        self.records.push(Record::RunEnded { reason, at: self.cx.at });
    }
}

fn entry_active(entry: &TaskEntry) -> Option<&Active> {
    match &entry.phase {
        Phase::Active(active) => Some(active),
        Phase::Waiting(_) | Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => None,
    }
}

/// Whether a task comes after one that cannot land without a person, or not in this run.
fn blocked(state: &State, entry: &TaskEntry) -> bool {
    after(&entry.task).iter().filter_map(|id| state.task(id)).any(|before| match &before.phase {
        Phase::Parked { .. } | Phase::Held(_) => true,
        Phase::Waiting(_) => blocked(state, before),
        Phase::Active(_) | Phase::Landed(_) => false,
    })
}
