//! The default gates on the target as it is when a run begins: seen beside the first workers, and not when their work waits.

use std::collections::BTreeSet;

use super::{
    decide::{Context, IllegalEvent},
    plan::Plan,
    state::State,
    tasks::List,
};
use crate::model::{
    CommitId, Effect, EffectId, GateName, GateReport, GateRule, GateSpec, Record, RunMode,
};

/// How far the gates that apply by default were run on the target by itself, in this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// The effect that runs one just now: the lane is taken.
    pub running: Option<EffectId>,
    /// Those that were asked for. Each is once: what a later tip is worth is asked when a candidate fails on it.
    pub asked: BTreeSet<GateName>,
}

impl Baseline {
    /// A gate is being run.
    pub(super) fn begin(&mut self, effect: EffectId, gate: &GateSpec) {
        self.running = Some(effect);
        self.asked.insert(gate.name.clone());
    }

    /// It is not run any more; one that was interrupted is due again.
    pub(super) fn end(&mut self, gate: &GateSpec, interrupted: bool) {
        self.running = None;
        if interrupted {
            self.asked.remove(&gate.name);
        }
    }
}

impl Context<'_> {
    /// What follows from a default gate that ran on a tip: it is kept. One that fails there stops no worker; a candidate that fails as
    /// well needs no second run of it.
    pub(super) fn baseline_checked(
        &self,
        effect: EffectId,
        report: GateReport,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let Effect::CheckBaseline { tip, .. } = what else {
                return None;
            };
            let report = Box::new(report);
            Some(vec![Record::BaselineReported { tip: *tip, report }])
        })
    }
}

impl Plan<'_> {
    /// Asks for the next default gate on the target, where work has begun and the lane is free. Whoever wants to land goes first: what
    /// gates say of the tree that lands is said of the tip as well.
    pub(super) fn baseline(&mut self) {
        let state = self.cx.state;
        let Some(tip) = state.tip else { return };
        let wanted = state.run.as_ref().is_some_and(|run| run.baseline);
        let works = state.tasks.active().next().is_some();
        if !wanted || !works || state.mode != RunMode::Active || self.lane_is_taken() {
            return;
        }
        let by_default = self.cx.policy.gates.iter().filter(|(_, rule)| rule.default);
        let due = by_default
            .map(|(name, rule): (&GateName, &GateRule)| rule.named(name, &self.cx.policy.setup))
            .find(|gate| is_due(state, gate));
        if let Some(gate) = due {
            self.request(Effect::CheckBaseline { tip, gate });
        }
    }

    /// Whether something is in the lane, or was let into it just now.
    fn lane_is_taken(&self) -> bool {
        let state = self.cx.state;
        let entered = self.records.iter().any(|record| {
            let Record::Requested { what, .. } = record else {
                return false;
            };
            matches!(what, Effect::Merge { .. } | Effect::CheckTip { .. })
        });
        entered || state.baseline.running.is_some() || state.tasks.count(List::InLane) > 0
    }
}

/// Whether a gate was neither asked for in this run, nor is known on this tip.
fn is_due(state: &State, gate: &GateSpec) -> bool {
    let is_known = state.tip_reports.iter().any(|report| report.gate == *gate);
    !is_known && !state.baseline.asked.contains(&gate.name)
}

/// Keeps what a gate said of a tip, as long as that is the tip.
pub(super) fn remember(state: &mut State, tip: CommitId, report: &GateReport) {
    let is_known = state
        .tip_reports
        .iter()
        .any(|known| known.gate == report.gate);
    if state.tip == Some(tip) && !is_known {
        state.tip_reports.push(report.clone());
    }
}
