//! What gates said of trees: one book, for candidates and for the target's own tips.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ContentHash, EffectId, GateReport, GateSpec, TreeId};

/// The reports of gates by tree, all of them of the run's environment.
///
/// It holds the trees that something may still be decided by: the tip's, those of candidates in the
/// lane, and those of candidates whose attempts wait for it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateBook {
    reports: BTreeMap<TreeId, Vec<GateReport>>,
}

impl GateBook {
    /// What a gate said of a tree. A gate that was defined otherwise is another gate.
    #[must_use]
    pub fn get(&self, tree: TreeId, gate: &GateSpec) -> Option<&GateReport> {
        self.of(tree).iter().find(|report| report.gate == *gate)
    }

    /// All that gates said of a tree, in the order in which they ran.
    #[must_use]
    pub fn of(&self, tree: TreeId) -> &[GateReport] {
        self.reports.get(&tree).map_or(&[], Vec::as_slice)
    }

    /// A later report takes the place of an earlier one.
    pub(super) fn insert(&mut self, report: GateReport) {
        let known = self.reports.entry(report.tree).or_default();
        known.retain(|before| before.gate != report.gate);
        known.push(report);
    }

    /// What failed on this tree runs again.
    pub(super) fn forget_failures(&mut self, tree: TreeId) {
        if let Some(known) = self.reports.get_mut(&tree) {
            known.retain(GateReport::passed);
        }
    }

    pub(super) fn forget(&mut self, tree: TreeId) {
        self.reports.remove(&tree);
    }

    pub(super) fn keep_trees(&mut self, needed: &BTreeSet<TreeId>) {
        self.reports.retain(|tree, _| needed.contains(tree));
    }

    pub(super) fn keep_environment(&mut self, environment: ContentHash) {
        for known in self.reports.values_mut() {
            known.retain(|report| report.environment == environment);
        }
    }
}

/// A gate that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunningGate {
    /// By which effect.
    pub(super) effect: EffectId,
    /// On which tree.
    pub(super) tree: TreeId,
    /// Whether it was told to stop.
    pub(super) cancelled: bool,
}
