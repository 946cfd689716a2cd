//! Starting ready tasks, as far as mode, slots, review debt, budget and package allow (laws 9 and 10).

use std::sync::Arc;

use super::{
    agents::agent_of,
    entry::{Phase, TaskEntry},
    failover::Outlook,
    fence::Fence,
    freeze::freeze,
    plan::Plan,
    ready::{Wait, away, is_ready, waits},
    tasks::List,
};
use crate::model::{
    Approval, AttemptId, Checkout, Granted, HoldReason, PackageChange, PackageName, ParkReason,
    Record, RunMode,
};

impl Plan<'_> {
    /// Starts ready tasks, in the roadmap's order, as far as mode, slots, review debt, budget and package allow.
    pub(super) fn dispatch(&mut self) {
        let (state, policy) = (self.cx.state, self.cx.policy);
        let Some(tip) = state.tip else { return };
        let tasks = &state.tasks;
        // Work that came back goes before new work.
        let waiting = tasks.count(List::WaitsForSession);
        let returned = tasks.on(List::WaitsForSession).filter(|entry| {
            let agent = agent_of(state, entry, policy);
            agent.is_none_or(|agent| state.trouble_of(agent, self.cx.at).is_none())
        });
        let returned = returned.count();
        let settled = tasks.count(List::TakesSession) + waiting + state.stuck().count();
        let debt = tasks.count(List::Active).saturating_sub(settled);
        if state.mode != RunMode::Active || debt >= policy.limits.review_debt as usize {
            return;
        }
        let free = policy.max_sessions.saturating_sub(self.sessions) as usize;
        let mut slots = free.saturating_sub(returned);
        if slots == 0 || tasks.count(List::Free) == 0 {
            return;
        }
        let mut attempts = state.run.as_ref().map_or(0, |run| run.attempts);
        let agents = || state.run.iter().flat_map(|run| run.backends.keys());
        let mut taken: Option<Fence> = None;
        let mut package = state.package.clone();
        let mut stays = package.as_ref().is_some_and(|package| self.moves(package));
        let mut records = Vec::new();
        // With each dispatch more is taken, and never less: who was refused need not be asked again.
        let mut seen = vec![false; tasks.entries().len()];
        while slots > 0 && self.run_budget(attempts).is_none() {
            let eligible =
                |at: &usize| !stays || package.as_ref() == Some(&tasks.entries()[*at].task.package);
            let mut free = tasks.places(List::Free).filter(eligible);
            let candidate = free.find(|at| {
                let fences = [Some(tasks.fence()), taken.as_ref()];
                !std::mem::replace(&mut seen[*at], true)
                    && away(state, &tasks.entries()[*at], policy, self.cx.at).is_none()
                    && is_ready(*at, &tasks.entries()[*at], fences, policy, self.cx.at)
            });
            let Some((at, entry)) = candidate.map(|at| (at, &tasks.entries()[at])) else {
                break;
            };
            if let Some(hold) = self.ask_first(entry) {
                // One question at a time: the others follow when this one is in the state.
                records.extend(hold);
                break;
            }
            if package.as_ref() != Some(&entry.task.package) {
                records.push(Record::PackageEntered {
                    package: entry.task.package.clone(),
                    why: self.why_enter(package.as_ref()),
                });
                package = Some(entry.task.package.clone());
            }
            match freeze(&entry.task, policy, agents()) {
                Ok(mut contract) => {
                    let failover = self.failover(entry).map(|(agent, failover)| {
                        contract.agent = agent;
                        failover
                    });
                    let contract = Arc::new(contract);
                    if slots > 1 {
                        taken.get_or_insert_default().add(at, &contract);
                    }
                    let attempt = AttemptId {
                        task: entry.task.id.clone(),
                        number: entry.last_attempt + 1,
                    };
                    records.push(Record::Dispatched {
                        attempt,
                        contract,
                        base: tip,
                        at: self.cx.at,
                        failover,
                    });
                }
                Err(error) => {
                    records.push(Record::Parked {
                        task: entry.task.id.clone(),
                        reason: ParkReason::NoContract(error),
                        hold: None,
                    });
                    break;
                }
            }
            stays = true;
            slots -= 1;
            attempts += 1;
        }
        self.records.extend(records);
    }

    /// Whether something of the package is under way, or can still come.
    fn moves(&self, package: &Option<PackageName>) -> bool {
        let tasks = &self.cx.state.tasks;
        let entries = tasks.entries();
        let of = |list| {
            tasks
                .places(list)
                .filter(|at| entries[*at].task.package == *package)
        };
        of(List::Active).next().is_some()
            || of(List::Free).any(|at| self.can_come(at, &entries[at]))
    }

    /// Whether a waiting task of the current package can still come without leaving the package: it is ready, or only time
    /// or running work is before it. What waits for a person, or for another package, keeps nobody.
    fn can_come(&self, place: usize, entry: &TaskEntry) -> bool {
        let state = self.cx.state;
        match waits(state, (place, entry), self.cx.policy, self.cx.at) {
            None | Some(Wait::Until(_)) => true,
            Some(Wait::Agent { .. }) => self.outlook(entry) != Outlook::NeedsPerson,
            Some(Wait::After(_)) => false,
            Some(Wait::Behind(obstacle)) => {
                matches!(state.tasks()[obstacle.at].phase, Phase::Active(_))
            }
        }
    }

    /// Why the work leaves the package that it was taken from.
    fn why_enter(&self, from: Option<&Option<PackageName>>) -> PackageChange {
        let Some(from) = from else {
            return PackageChange::FirstReady;
        };
        let entries = self.cx.state.tasks().iter();
        let left: Vec<_> = entries
            .filter(|entry| entry.task.package == *from && !entry.has_landed())
            .map(|entry| entry.task.id.clone())
            .collect();
        let from = from.clone();
        if left.is_empty() {
            PackageChange::Landed { from }
        } else {
            PackageChange::Blocked { from, left }
        }
    }

    /// The question that comes before a dispatch, if one does.
    fn ask_first(&self, entry: &TaskEntry) -> Option<Vec<Record>> {
        let task = &entry.task.id;
        if let Some(Checkout::Dirty { paths }) = &self.cx.state.checkout {
            // It would be in the way of every landing: one question is enough.
            let asked = self
                .cx
                .state
                .holds()
                .any(|hold| matches!(hold.about, HoldReason::CheckoutDirty { .. }));
            let about = HoldReason::CheckoutDirty {
                paths: paths.clone(),
            };
            let hold = || self.cx.ask(task, about);
            return Some(if asked { Vec::new() } else { vec![hold()] });
        }
        let approve = entry
            .task
            .keys
            .approve
            .as_ref()
            .or(self.cx.policy.defaults.approve.as_ref());
        let needed = approve.is_some_and(|approve| approve.contains(&Approval::Dispatch))
            && !Granted::Dispatch.is_among(&entry.grants);
        needed.then(|| vec![self.cx.ask(task, HoldReason::Approval(Approval::Dispatch))])
    }

    /// Which budget of the run is used up.
    pub(super) fn run_budget(&self, attempts: u32) -> Option<&'static str> {
        let (limits, run) = (&self.cx.policy.limits, self.cx.state.run.as_ref()?);
        if limits.run_attempts.is_some_and(|most| attempts >= most) {
            return Some("attempts");
        }
        let spent = run.spent.total();
        if limits.run_tokens.is_some_and(|most| spent.tokens() >= most) {
            return Some("tokens");
        }
        if limits
            .run_usd
            .is_some_and(|most| spent.usd.is_some_and(|usd| usd >= most))
        {
            return Some("US dollars");
        }
        limits
            .run_wall
            .is_some_and(|most| self.cx.at.since(run.began) >= most)
            .then_some("wall time")
    }
}
