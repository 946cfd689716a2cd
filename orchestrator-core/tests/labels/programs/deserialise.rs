//! A label, and evidence, out of a file.
use orchestrator_core::model::{Evidence, Label};

fn main() {
    let _: Label = serde_json::from_str("\"direct\"").unwrap();
    let _: Evidence = serde_json::from_str("{}").unwrap();
}
