//! What must hold of agents that cannot be used, and of those that take over from them.

use std::collections::BTreeMap;

use orchestrator_core::model::{
    AgentSpec, BackendName, Effect, EndCause, Failover, Hold, HoldId, HoldReason, Policy, Record,
    Shift, Timestamp, Trouble,
};

use super::World;

/// The laws, over one record after another.
#[derive(Debug, Default)]
pub(super) struct AgentLaws {
    troubled: BTreeMap<BackendName, Troubled>,
    /// How often in this run each task was taken from its agent in the middle of an attempt.
    passed_on: BTreeMap<String, u32>,
}

#[derive(Debug)]
struct Troubled {
    trouble: Trouble,
    until: Option<Timestamp>,
    named: bool,
    /// The question to a person about it.
    asked: Option<HoldId>,
}

impl AgentLaws {
    /// Looks at one record.
    ///
    /// # Panics
    /// When a law is broken, with its name.
    pub(super) fn hold(&mut self, world: &World, record: &Record) {
        match record {
            Record::AgentTroubled {
                agent,
                trouble,
                until,
                named,
                ..
            } => {
                let troubled = Troubled {
                    trouble: trouble.clone(),
                    until: *until,
                    named: *named,
                    asked: None,
                };
                self.troubled.insert(agent.clone(), troubled);
            }
            Record::AgentRecovered { agent, .. } => drop(self.troubled.remove(agent)),
            Record::HoldOpened { hold } => self.asked(hold),
            // Its task is gone: nobody is asked any more.
            Record::HoldAnswered {
                hold, answer: None, ..
            } => {
                let asked = self.troubled.values_mut();
                let of_it = asked.filter(|known| known.asked == Some(*hold));
                of_it.for_each(|known| known.asked = None);
            }
            Record::RunOpened {
                resumed: false, at, ..
            } => {
                self.passed_on.clear();
                self.troubled.retain(|_, known| {
                    known.asked.is_some() || known.named && known.until > Some(*at)
                });
            }
            Record::ClockJumped { by, .. } => self.moved(*by),
            Record::Requested {
                what: Effect::RunTurn { backend, .. },
                at,
                ..
            } => self.can_be_used(backend, *at),
            Record::Dispatched {
                contract,
                at,
                failover,
                ..
            } => {
                self.can_be_used(&contract.agent, *at);
                if let Some(failover) = failover {
                    self.may_take_over(&world.policy, &contract.agent, failover, *at);
                }
            }
            Record::AttemptEnded {
                attempt,
                counts,
                cause: EndCause::PassedOn { to, .. },
                ..
            } => {
                assert!(!counts, "{attempt} is not counted: its agent is to blame");
                assert!(!self.troubled.contains_key(to) || self.is_over(to, world.now));
                let times = self.passed_on.entry(attempt.task.to_string()).or_default();
                *times += 1;
                assert!(*times <= 3, "{attempt} is taken over at most three times");
            }
            _ => {}
        }
    }

    fn asked(&mut self, hold: &Hold) {
        if let HoldReason::Agent { agent, .. } = &hold.about
            && let Some(known) = self.troubled.get_mut(agent)
        {
            known.asked = Some(hold.id);
        }
    }

    fn moved(&mut self, by: Shift) {
        let pauses = self.troubled.values_mut().filter(|known| !known.named);
        pauses.for_each(|known| known.until = known.until.map(|until| until.moved(by)));
    }

    fn is_over(&self, agent: &BackendName, at: u64) -> bool {
        let until = self.troubled.get(agent).and_then(|known| known.until);
        until.is_some_and(|until| until.0 <= at)
    }

    fn can_be_used(&self, agent: &BackendName, at: Timestamp) {
        assert!(
            !self.troubled.contains_key(agent) || self.is_over(agent, at.0),
            "nothing begins with `{agent}` at {at:?}: {:?}",
            self.troubled.get(agent)
        );
    }

    /// Only for an agent that cannot be used, and only those that the policy lists.
    fn may_take_over(
        &self,
        policy: &Policy,
        agent: &BackendName,
        failover: &Failover,
        at: Timestamp,
    ) {
        let from = self.troubled.get(&failover.from);
        let from = from.filter(|_| !self.is_over(&failover.from, at.0));
        assert_eq!(
            from.map(|known| &known.trouble),
            Some(&failover.trouble),
            "`{agent}` takes over from an agent that cannot be used"
        );
        assert!(
            leads(policy, &failover.from, agent),
            "the policy lets `{agent}` take over from `{}`",
            failover.from
        );
    }
}

fn leads(policy: &Policy, from: &BackendName, to: &BackendName) -> bool {
    let list = policy.agents.get(from).map(AgentSpec::failover);
    let mut list = list.unwrap_or_default().iter();
    list.any(|name| name == to || leads(policy, name, to))
}
