//! Hooks of the project that run for a person and not here.

use super::Check;
use crate::{
    driver::{BuildError, builder::Ground},
    git::Overview,
};

const FIX: &str = "make what they check a gate, as in `[gates.NAME]`";

impl Ground {
    /// Hooks in the person's repository.
    pub(super) async fn hooks_here(&self) -> Result<Check, BuildError> {
        let (path, hooks) = self.user.hooks().await?;
        if hooks.is_empty() {
            return Ok(Check::passed("hooks", "none runs for a person either"));
        }
        let what = format!(
            "{} in {} will not run: neither workers' commits nor landings run hooks",
            hooks.join(", "),
            path.display()
        );
        Ok(Check::warning("hooks", what, FIX))
    }
}

/// Hooks that a file of the target tells a program to install.
pub(super) fn hooks_of(overview: &Overview) -> Check {
    if overview.hook_managers.is_empty() {
        return Check::passed("installed hooks", "the target configures none");
    }
    let managers: Vec<_> = overview.hook_managers.iter().copied().collect();
    let what = format!(
        "the target configures hooks for {}, which will not run: neither workers' commits nor landings run hooks",
        managers.join(", ")
    );
    Check::warning("installed hooks", what, FIX)
}
