//! The default gates on the target as it is.

use std::sync::Arc;

use super::{Check, Found};
use crate::{
    driver::{BuildError, gate_job::GateJob, world::World},
    gate::CacheOf,
    machine::State,
    model::{CommitId, EffectId, GateHead, GateReport, GateSpec, TreeId, with_source},
};

/// A preflight is no effect of the machine's: no effect has this number.
const NONE: EffectId = EffectId(0);

impl World {
    /// Runs each gate that applies by default, unless the ledger knows what it does on this very tree.
    pub(super) async fn default_gates(
        &self,
        state: &State,
        found: &mut Found,
    ) -> Result<(), BuildError> {
        let Some(tip) = self.lane.trusted.tip()? else {
            return Ok(());
        };
        let tree = self.lane.trusted.tree_of(tip)?;
        let rules = self.policy.gates.iter().filter(|(_, rule)| rule.default);
        let gates: Vec<_> = rules
            .map(|(name, rule)| rule.named(name, &self.policy.setup))
            .collect();
        if gates.is_empty() {
            let why = "the policy has no gate that applies by default";
            found.add("gates", Ok(Check::skipped("gates", why))).await?;
        }
        for gate in gates {
            let label = format!("gate {}", gate.name);
            let check = match state.gates().get(tree, &gate) {
                Some(report) => said(&label, report, "as the ledger has it"),
                None => self.default_gate(&label, gate, tip, tree).await,
            };
            found.add(&label, Ok(check)).await?;
        }
        Ok(())
    }

    async fn default_gate(
        &self,
        label: &str,
        gate: GateSpec,
        tip: CommitId,
        tree: TreeId,
    ) -> Check {
        let job = GateJob {
            effect: NONE,
            whose: CacheOf::Lane,
            tree,
            gate,
            head: GateHead::Tip(tip),
            stop: Arc::default(),
        };
        match self.lane.run_gate(job).await {
            Ok(None) => Check::skipped(label, "it was stopped"),
            Ok(Some(report)) => {
                let took = format!("took {} s", report.took.0.div_ceil(1000));
                said(label, &report, &took)
            }
            Err(error) => Check::failed(label, with_source(&error), None),
        }
    }
}

/// What a gate said of the target. One that fails there starts no task over: a task may be what sets it right.
fn said(label: &str, report: &GateReport, how: &str) -> Check {
    if report.passed() {
        return Check::passed(label, format!("passed on the target ({how})"));
    }
    let last = report.tail.lines().rfind(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(": {}", line.trim()));
    let what = format!(
        "fails on the target: {} ({how}){}; nothing lands until it passes there",
        report.outcome,
        last.unwrap_or_default()
    );
    Check::warning(
        label,
        what,
        "set it right on the target, or let a task do so",
    )
}
