//! Whether documentation moved together with code.

use async_trait::async_trait;

use crate::{
    model::{Finding, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// For each of the contract's rules: when a path matching `when` changed, one matching `then` must have changed too.
#[derive(Debug, Clone, Copy, Default)]
pub struct DocsInStep;

#[async_trait]
impl Reviewer for DocsInStep {
    fn name(&self) -> &str {
        "docs-in-step"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let changes = &request.submission.changes;
        let broken = request.contract.docs.iter().filter_map(|rule| {
            let cause = changes
                .iter()
                .find(|change| change.touched().any(|path| rule.when.matches(path)))?;
            let kept = changes.iter().any(|change| rule.then.matches(&change.path));
            (!kept).then(|| {
                let message = format!("it changed, so `{}` must change too", rule.then);
                Finding::new(Severity::Error, "docs/in-step", message).at(cause.path.clone())
            })
        });
        Ok(broken.collect())
    }
}
