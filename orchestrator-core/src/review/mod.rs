//! Reviewers in the box, each small. They find; what follows is the machine's to decide.

mod agent;
mod contents;
mod docs;
mod handoff;
mod past;
mod paths;
mod silences;
mod tree;

pub(crate) use agent::AgentReviewer;
pub use contents::Contents;
pub use docs::DocsInStep;
pub use handoff::HandoffTruth;
pub use paths::ContractPaths;
pub(crate) use paths::path_findings;
pub(crate) use tree::{needs_the_tree, tree_findings};

use std::sync::Arc;

use crate::port::Reviewer;

/// All reviewers in the box.
#[must_use]
pub fn standard() -> Vec<Arc<dyn Reviewer>> {
    vec![
        Arc::new(ContractPaths),
        Arc::new(HandoffTruth),
        Arc::new(DocsInStep),
        Arc::new(Contents),
    ]
}
