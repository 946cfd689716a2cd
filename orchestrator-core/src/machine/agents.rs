//! What is known of each agent: whether it can be used, and since when not.
//!
//! A limit, a lost login, an outage and a broken set-up belong to an agent, and not to the task that
//! met them. So its tasks wait together, one question covers all of them, and other agents go on.

use super::{
    agent_state::{AgentState, Troubled},
    context::Context,
    entry::{Phase, TaskEntry},
    failover::{Outlook, own_agent},
    plan::{Plan, blocked},
    state::State,
    step::{Asked, Step},
};
use crate::model::{BackendName, HoldReason, Policy, Record, Span, Timestamp, Trouble};

/// After so many tries in a row an agent that is away is a person's question.
const MOST_TRIES: u32 = 20;
/// The first pause before an agent that is away is tried again; doubled each time.
const FIRST_PAUSE: Span = Span::secs(5);

impl State {
    /// What is known of an agent that keeps it, or may keep it, from working.
    #[must_use]
    pub fn agent(&self, name: &BackendName) -> Option<&AgentState> {
        self.agents.get(name)
    }

    /// Why an agent cannot be used now, if it cannot.
    #[must_use]
    pub fn trouble_of(&self, agent: &BackendName, at: Timestamp) -> Option<&Troubled> {
        let troubled = self.agents.get(agent)?.trouble.as_ref()?;
        (!troubled.is_over(at)).then_some(troubled)
    }

    /// The agents that could not be used when this was last seen, and why, whether or not their time is
    /// over.
    pub fn agents_in_trouble(&self) -> impl Iterator<Item = (&BackendName, &Troubled)> {
        self.agents
            .iter()
            .filter_map(|(name, known)| Some((name, known.trouble.as_ref()?)))
    }

    /// The agents that cannot be used now, and why.
    pub fn troubled_agents(
        &self,
        at: Timestamp,
    ) -> impl Iterator<Item = (&BackendName, &Troubled)> {
        let troubled = self
            .agents
            .iter()
            .filter_map(|(name, known)| Some((name, known.trouble.as_ref()?)));
        troubled.filter(move |(_, troubled)| !troubled.is_over(at))
    }
}

/// The agent that works on a task, or would.
pub(super) fn agent_of<'a>(
    state: &'a State,
    entry: &'a TaskEntry,
    policy: &'a Policy,
) -> Option<&'a BackendName> {
    match entry.active() {
        Some(active) => Some(&active.attempt.contract.agent),
        None => own_agent(state, entry, policy),
    }
}

impl Context<'_> {
    /// An agent cannot be used. One that is away is tried again after a pause that grows; several
    /// tasks that find out at the same time are one try.
    pub(super) fn troubled(
        &self,
        agent: &BackendName,
        trouble: Trouble,
        named: Option<Timestamp>,
    ) -> Record {
        let known = self
            .state
            .agents
            .get(agent)
            .and_then(|known| known.trouble.as_ref());
        let tries = match known {
            Some(known) if known.is_over(self.at) => known.tries + 1,
            Some(known) => known.tries,
            None => 1,
        };
        // A time that has come already says nothing: it was told without its seconds, or the limit
        // is reached again.
        let told = named.filter(|until| *until > self.at);
        let before = known.and_then(|known| known.until);
        let until = match told {
            Some(until) => until,
            // What is known already is not made shorter.
            None => self
                .agent_pause(agent, tries)
                .max(before.unwrap_or(self.at)),
        };
        let asks = !trouble.is_passing() || tries > MOST_TRIES;
        // Turns that were under way at once end in any order: the latest reset that was named holds.
        let limit = known.filter(|known| known.named && known.until >= Some(until));
        match limit {
            Some(limit) if !asks => Record::AgentTroubled {
                agent: agent.clone(),
                trouble: limit.trouble.clone(),
                at: self.at,
                until: limit.until,
                named: true,
                tries,
            },
            Some(_) | None => Record::AgentTroubled {
                agent: agent.clone(),
                trouble,
                at: self.at,
                until: (!asks).then_some(until),
                named: told.is_some() && !asks,
                tries,
            },
        }
    }

    fn agent_pause(&self, agent: &BackendName, tries: u32) -> Timestamp {
        let limits = &self.policy.limits;
        let first = FIRST_PAUSE
            .0
            .max(limits.backoff.0)
            .min(limits.backoff_max.0);
        let longest = first.saturating_mul(1 << tries.saturating_sub(1).min(20));
        let longest = longest.min(limits.backoff_max.0);
        // At least half of it: an agent's service is not asked again at once.
        let jitter = self.pause_within(longest / 2, &("agent", agent, tries));
        self.at.after(Span(longest / 2 + jitter.0))
    }
}

impl Plan<'_> {
    /// Asks a person about an agent that does not come back by itself: one question, however many of
    /// its tasks wait.
    pub(super) fn ask_about_agents(&mut self) {
        let state = self.cx.state;
        let mut last = state.next_hold();
        for (agent, known) in &state.agents {
            let Some(troubled) = &known.trouble else {
                continue;
            };
            if troubled.until.is_some() || troubled.asked {
                continue;
            }
            let Some(entry) = self.who_needs(agent) else {
                continue;
            };
            let about = HoldReason::Agent {
                agent: agent.clone(),
                trouble: troubled.trouble.clone(),
            };
            let hold = self.cx.ask_as(last, &entry.task.id, about.into());
            self.records.push(hold);
            last.0 += 1;
        }
    }

    /// Whether something waits for an agent that comes back by itself.
    pub(super) fn agent_comes_back(&self) -> bool {
        let state = self.cx.state;
        let mut away = state.troubled_agents(self.cx.at);
        away.any(|(agent, _)| {
            let mut waiting = self.who_waits_for(agent);
            waiting.any(|entry| self.outlook(entry) == Outlook::ComesBack)
        })
    }

    /// The first task that does not come on without this agent.
    fn who_needs(&self, agent: &BackendName) -> Option<&TaskEntry> {
        let mut waiting = self.who_waits_for(agent);
        waiting.find(|entry| self.outlook(entry) == Outlook::NeedsPerson)
    }

    /// The tasks that only wait for this agent.
    fn who_waits_for(&self, agent: &BackendName) -> impl Iterator<Item = &TaskEntry> {
        let state = self.cx.state;
        let waits = move |entry: &&TaskEntry| match &entry.phase {
            Phase::Waiting(_) => !blocked(state, entry),
            Phase::Active(active) => {
                matches!(active.step, Step::TurnDue { .. }) && active.step.asked() == Asked::Due
            }
            Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => false,
        };
        let by_it = move |entry: &&TaskEntry| agent_of(state, entry, self.cx.policy) == Some(agent);
        let wanted = state
            .tasks()
            .iter()
            .filter(|entry| entry.withdrawn.is_none());
        wanted.filter(waits).filter(by_it)
    }
}
