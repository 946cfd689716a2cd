//! The limits of the account, as `account/rateLimits/updated` says them.

use orchestrator_core::model::Timestamp;

use super::wire::{Limits, Window};

/// What was said last of each limit.
#[derive(Debug, Clone, Default)]
pub(super) struct Reached {
    primary: Window,
    secondary: Window,
}

impl Reached {
    /// Takes what is said; a limit of which nothing is said stays as it was.
    pub(super) fn take(&mut self, limits: Limits) {
        let [primary, secondary] = [limits.primary, limits.secondary];
        if primary.used.0.is_some() {
            self.primary = primary;
        }
        if secondary.used.0.is_some() {
            self.secondary = secondary;
        }
    }

    /// When everything that is used up is reset; `None` where nothing is, or it is not said.
    pub(super) fn reset(&self) -> Option<Timestamp> {
        [&self.primary, &self.secondary]
            .into_iter()
            .filter(|window| window.used.0.is_some_and(|percent| percent >= 100))
            .filter_map(|window| window.resets_at.0)
            .max()
            .map(|seconds| Timestamp(seconds.saturating_mul(1000)))
    }

    /// For people: how much is used, where it is known.
    pub(super) fn line(&self) -> Option<String> {
        let percent = |window: &Window| window.used.0.map(|percent| format!("{percent} %"));
        let said: Vec<_> = [&self.primary, &self.secondary]
            .into_iter()
            .filter_map(percent)
            .collect();
        (!said.is_empty()).then(|| format!("of its limits are used: {}", said.join(", ")))
    }
}
