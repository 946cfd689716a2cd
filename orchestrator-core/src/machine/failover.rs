//! Which agent works on a task whose own cannot be used (`failover` in the policy).
//!
//! Taken at each dispatch anew, so that new tasks go back to their own agent as soon as it is well. An
//! attempt that its agent's trouble has cut off ends, without being counted, where nothing of its
//! session is lost:
//!
//! | the attempt | and its agent | what follows |
//! | --- | --- | --- |
//! | has committed nothing | cannot be used | another agent begins anew |
//! | has a commit | comes back by itself | the session waits for it |
//! | has a commit | waits for a person | another agent begins anew, with the commit for reference |

use super::{
    agent_state::Troubled,
    entry::{Active, TaskEntry},
    plan::Plan,
    state::State,
    step::Step,
};
use crate::model::{
    AgentSpec, Ask, BackendName, EndCause, Failover, Obstacle, Policy, Predecessor, Record,
    RunMode, Timestamp,
};

/// So often in one run a task is taken from an agent that cannot be used in the middle of an attempt.
const MOST_PASSED_ON: u32 = 3;

/// Whether somebody can work on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Its agent, or another in place of it, can be used.
    Usable,
    /// One of them can be used again by itself.
    ComesBack,
    /// A person has to see to one of them.
    NeedsPerson,
}

/// The agent that a task names, or the policy for it.
pub(super) fn own_agent<'a>(
    state: &'a State,
    entry: &'a TaskEntry,
    policy: &'a Policy,
) -> Option<&'a BackendName> {
    let named = entry.task.keys.agent.as_ref();
    let backends = state.run().map(|run| &run.backends);
    let only = || {
        let mut names = backends?.keys();
        names.next().filter(|_| names.next().is_none())
    };
    named
        .or(policy.defaults.agent.as_ref())
        .or_else(|| policy.fallback_agent())
        .or_else(only)
}

/// The first agent that can be used in place of this one.
pub(super) fn stand_in<'a>(
    state: &State,
    policy: &'a Policy,
    agent: &BackendName,
    at: Timestamp,
) -> Option<&'a BackendName> {
    let mut stand_ins = stand_ins(policy, agent).into_iter();
    stand_ins.find(|name| is_usable(state, name, at))
}

fn is_usable(state: &State, agent: &BackendName, at: Timestamp) -> bool {
    is_known(state, agent) && state.trouble_of(agent, at).is_none()
}

fn is_known(state: &State, agent: &BackendName) -> bool {
    let run = state.run();
    run.is_some_and(|run| run.backends.contains_key(agent))
}

/// The agents that may work in place of this one, first choice first: those of its list, each with
/// those of that agent's own list after it. Lists may lead back to an agent: each is named once.
fn stand_ins<'a>(policy: &'a Policy, agent: &BackendName) -> Vec<&'a BackendName> {
    let mut found = Vec::new();
    add_stand_ins(policy, agent, agent, &mut found);
    found
}

fn add_stand_ins<'a>(
    policy: &'a Policy,
    own: &BackendName,
    of: &BackendName,
    found: &mut Vec<&'a BackendName>,
) {
    let list = policy.agents.get(of).map_or(&[][..], AgentSpec::failover);
    for name in list {
        if name != own && !found.contains(&name) {
            found.push(name);
            add_stand_ins(policy, own, name, found);
        }
    }
}

/// Who works on a task, if somebody can, and in place of whom.
fn choice<'a>(
    state: &'a State,
    entry: &'a TaskEntry,
    policy: &'a Policy,
    at: Timestamp,
) -> Option<(&'a BackendName, Option<Failover>)> {
    let own = own_agent(state, entry, policy)?;
    let Some(troubled) = state.trouble_of(own, at) else {
        return Some((own, None));
    };
    let failover = Failover {
        from: own.clone(),
        trouble: troubled.trouble.clone(),
    };
    Some((stand_in(state, policy, own, at)?, Some(failover)))
}

impl Plan<'_> {
    /// Who works on a waiting task in place of its own agent, and why, if somebody does.
    pub(super) fn failover(&self, entry: &TaskEntry) -> Option<(BackendName, Failover)> {
        let (agent, failover) = choice(self.cx.state, entry, self.cx.policy, self.cx.at)?;
        failover.map(|failover| (agent.clone(), failover))
    }

    /// Whether somebody can work on a task that waits, as far as agents go.
    pub(super) fn outlook(&self, entry: &TaskEntry) -> Outlook {
        let (state, policy, at) = (self.cx.state, self.cx.policy, self.cx.at);
        let own = own_agent(state, entry, policy);
        let active = entry.active();
        let agent = match active {
            Some(active) => Some(&active.attempt.contract.agent),
            None => own,
        };
        let Some(troubled) = agent.and_then(|agent| state.trouble_of(agent, at)) else {
            return Outlook::Usable;
        };
        let may_leave = active.is_none_or(|active| self.may_leave(entry, active, troubled));
        let own = own.filter(|_| may_leave);
        if own.is_some_and(|own| {
            is_usable(state, own, at) || stand_in(state, policy, own, at).is_some()
        }) {
            return Outlook::Usable;
        }
        let comes_back = |name: &BackendName| {
            let troubled = state.trouble_of(name, at);
            is_known(state, name) && troubled.is_some_and(|troubled| troubled.until.is_some())
        };
        let one_comes_back = |own: &BackendName| {
            comes_back(own) || stand_ins(policy, own).into_iter().any(comes_back)
        };
        if troubled.until.is_some() || own.is_some_and(one_comes_back) {
            Outlook::ComesBack
        } else {
            Outlook::NeedsPerson
        }
    }

    /// The end of an attempt whose agent cannot be used, where another goes on with its task.
    pub(super) fn passed_on(&self, entry: &TaskEntry, active: &Active) -> Option<Record> {
        let (state, policy, at) = (self.cx.state, self.cx.policy, self.cx.at);
        let agent = &active.attempt.contract.agent;
        let troubled = state.trouble_of(agent, at)?;
        if !self.may_leave(entry, active, troubled) {
            return None;
        }
        let (to, _) = choice(state, entry, policy, at)?;
        Some(Record::AttemptEnded {
            attempt: active.attempt.id.clone(),
            cause: EndCause::PassedOn {
                agent: agent.clone(),
                trouble: troubled.trouble.clone(),
                to: to.clone(),
            },
            counts: false,
            left: committed(active).map(|head| Predecessor {
                head,
                tip: active.attempt.base,
                obstacle: Obstacle::Unfinished,
            }),
        })
    }

    /// Whether an attempt that waits for its agent may be left to another, which begins anew.
    fn may_leave(&self, entry: &TaskEntry, active: &Active, troubled: &Troubled) -> bool {
        let Step::TurnDue { ask, .. } = &active.step else {
            return false;
        };
        let attempts = self.cx.state.run().map_or(0, |run| run.attempts);
        let may_begin =
            self.cx.state.mode() == RunMode::Active && self.run_budget(attempts).is_none();
        let is_cut_off = matches!(ask, Ask::Begin | Ask::Continue { .. });
        let needs_person = troubled.until.is_none();
        may_begin
            && is_cut_off
            && entry.passed_on < MOST_PASSED_ON
            && (needs_person || committed(active).is_none())
    }
}

/// The commit from which its session would go on.
fn committed(active: &Active) -> Option<crate::model::CommitId> {
    active.attempt.continued.and_then(|(_, head)| head)
}
