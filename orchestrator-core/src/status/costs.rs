//! What was used, for people: by agent and model, for each task and attempt.

use std::collections::BTreeMap;

use crate::model::{BackendName, Spend};

/// What several agents have used together.
pub(super) fn sum<'a>(parts: impl IntoIterator<Item = &'a Spend>) -> Spend {
    let add = |sum: Spend, part| sum.plus(part);
    parts.into_iter().fold(Spend::default(), add)
}

/// One line for each agent, and one for each of its models where it has used more than one:
/// `codex: 1,234 tokens, money unknown (gpt-6.1-sol)`.
pub(super) fn lines(by_agent: &BTreeMap<BackendName, Spend>) -> Vec<String> {
    let mut lines = Vec::new();
    for (agent, spend) in by_agent {
        let models: Vec<_> = spend
            .models
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .collect();
        match &models[..] {
            [] => lines.push(format!("{agent}: {spend}")),
            [(model, _)] if spend.models.iter().count() == 1 => {
                lines.push(format!("{agent} ({model}): {spend}"));
            }
            _ => {
                lines.push(format!("{agent}: {spend}"));
                for (model, usage) in models {
                    let one = Spend::of_model(model, usage);
                    lines.push(format!("{agent}, {model}: {one}"));
                }
            }
        }
    }
    lines
}
