//! Whether budgets can be kept: an agent may not say what it uses.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::{
    driver::world::World,
    machine::{budget, check_task},
    model::{BackendName, Roadmap},
    port::Counting,
};

const LABEL: &str = "budgets";

/// What open tasks and the run have a budget of.
#[derive(Debug, Default, Clone, Copy)]
struct Wanted {
    tokens: bool,
    money: bool,
}

impl World {
    /// Whether the agents of open tasks say what budgets count.
    pub(super) fn budgets(&self, roadmap: &Roadmap) -> Check {
        let mut unkept = BTreeSet::new();
        let mut is_any = false;
        for (agent, wanted) in self.wanted_budgets(roadmap) {
            is_any |= wanted.tokens || wanted.money;
            let Some(backend) = self.host.backends.get(&agent) else {
                continue;
            };
            let (tokens, money) = match backend.capabilities().counting {
                Counting::Nothing => (Some("does not say"), Some("does not say")),
                Counting::Tokens => (None, Some("does not say")),
                Counting::TokensAndMoney => (None, None),
                Counting::Varies => (Some("may not say"), Some("may not say")),
            };
            if let Some(says) = tokens.filter(|_| wanted.tokens) {
                unkept.insert(format!("agent `{agent}` {says} how many tokens it uses"));
            }
            if let Some(says) = money.filter(|_| wanted.money) {
                unkept.insert(format!("agent `{agent}` {says} what it costs"));
            }
        }
        if unkept.is_empty() {
            let what = if is_any {
                "the agents say what they use"
            } else {
                "none is set on tokens or money"
            };
            return Check::passed(LABEL, what);
        }
        let unkept: Vec<_> = unkept.into_iter().collect();
        let what = format!("some cannot be kept: {}", unkept.join("; "));
        let fix = "give these agents a budget of `wall` time, or `tokens` where they say those";
        Check::warning(LABEL, what, fix)
    }

    /// By the agents of open tasks.
    fn wanted_budgets(&self, roadmap: &Roadmap) -> BTreeMap<BackendName, Wanted> {
        let agents: Vec<_> = self.host.backends.keys().collect();
        let limits = &self.policy.limits;
        let mut wanted: BTreeMap<_, Wanted> = BTreeMap::new();
        for task in roadmap.tasks.iter().filter(|task| !task.done) {
            let Ok(agent) = check_task(task, &self.policy, &agents) else {
                continue;
            };
            let own = budget(task, &self.policy);
            let of = wanted.entry(agent.clone()).or_default();
            of.tokens |= own.tokens.is_some() || limits.run_tokens.is_some();
            of.money |= own.usd.is_some() || limits.run_usd.is_some();
        }
        wanted
    }
}
