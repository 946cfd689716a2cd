//! A reviewer with one opinion: a TODO names the task that will see to it, as in `TODO(R7)`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use orchestrator_core::{
    model::{Entry, Finding, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// Larger files are nobody's notes, in bytes.
const LARGEST: u64 = 1 << 20;

/// Looks at the lines that a change brings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnedTodos;

#[async_trait]
impl Reviewer for OwnedTodos {
    fn name(&self) -> &str {
        "owned-todos"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let mut findings = Vec::new();
        for change in &request.submission.changes {
            let (before, after) = (
                text(request, change.old).await?,
                text(request, change.new).await?,
            );
            let known: BTreeSet<&str> = before.lines().collect();
            for (number, line) in (1..)
                .zip(after.lines())
                .filter(|(_, line)| !known.contains(line))
            {
                if line.contains("TODO") && !line.contains("TODO(") {
                    let message =
                        "a TODO without a task that will see to it: write `TODO(R7)`, or do it";
                    findings.push(
                        Finding::new(Severity::Error, "todo/unowned", message)
                            .at(change.path.clone())
                            .on(number),
                    );
                }
            }
        }
        Ok(findings)
    }
}

/// One side of a change as text; empty where there is none, and where it is too large.
async fn text(request: &ReviewRequest, entry: Option<Entry>) -> Result<String, ReviewError> {
    let Some(entry) = entry else {
        return Ok(String::new());
    };
    let content = request
        .view
        .blob(entry.id, LARGEST)
        .await?
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(&content).into_owned())
}
