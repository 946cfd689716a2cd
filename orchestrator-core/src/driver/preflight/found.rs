//! Checks as they are found.

use tokio::sync::mpsc;

use super::{Check, CheckOutcome};
use crate::{driver::BuildError, model::with_source};

/// Checks as they are found: all of them told to whoever listens, or the first that failed an error.
#[derive(Debug, Default)]
pub(in crate::driver) struct Found {
    checks: Vec<Check>,
    listener: Option<mpsc::Sender<Check>>,
}

impl Found {
    /// For a run: one that failed is an error.
    pub(in crate::driver) fn strict() -> Self {
        Self::default()
    }

    /// For whoever wants to know all.
    pub(super) fn told_to(listener: mpsc::Sender<Check>) -> Self {
        Self {
            checks: Vec::new(),
            listener: Some(listener),
        }
    }

    /// Whether a failure ends it.
    pub(super) fn is_strict(&self) -> bool {
        self.listener.is_none()
    }

    /// Takes what a look came to. Whether it is not a failure.
    pub(super) async fn add(
        &mut self,
        name: &str,
        looked: Result<Check, BuildError>,
    ) -> Result<bool, BuildError> {
        let check = match looked {
            Ok(check) => check,
            Err(error) if self.is_strict() => return Err(error),
            Err(error) => Check::failed(name, with_source(&error), None),
        };
        let failed = check.outcome == CheckOutcome::Failed;
        if failed && self.is_strict() {
            return Err(BuildError::Preflight(check));
        }
        if let Some(listener) = &self.listener {
            // Who listens may have gone away.
            drop(listener.send(check.clone()).await);
        }
        self.checks.push(check);
        Ok(!failed)
    }

    /// What a person should know of, though a run starts.
    pub(in crate::driver) fn into_warnings(self) -> Vec<Check> {
        let mut checks = self.checks;
        checks.retain(|check| check.outcome == CheckOutcome::Warning);
        checks
    }
}
