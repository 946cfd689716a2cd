//! What the turn has cost, of what `thread/tokenUsage/updated` says of the whole thread.

use orchestrator_core::model::Usage;

use super::wire::{ThreadUsage, Tokens};

/// What the thread had cost before the turn.
#[derive(Debug, Default)]
pub(super) struct Before(Option<Usage>);

impl Before {
    /// It was said of an earlier turn: a thread that is resumed says at once what it has cost.
    pub(super) fn keep(&mut self, usage: &ThreadUsage) {
        self.0 = Some(tokens(&usage.total));
    }

    /// What the turn itself has cost. Where nothing was said before it, what its first request has not cost is older.
    pub(super) fn since(&mut self, usage: &ThreadUsage) -> Usage {
        let total = tokens(&usage.total);
        let before = *self
            .0
            .get_or_insert_with(|| total.minus(tokens(&usage.last)));
        total.minus(before)
    }
}

fn tokens(tokens: &Tokens) -> Usage {
    Usage::tokens_alone(tokens.input.0.unwrap_or(0), tokens.output.0.unwrap_or(0))
}
