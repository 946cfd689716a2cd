//! The stored evidence gets another label.
use orchestrator_core::model::{Evidence, Label};

fn promote(evidence: &mut Evidence, direct: Label) {
    evidence.label = direct;
}

fn main() {}
