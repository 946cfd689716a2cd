//! What follows where a task is more than an agent's model takes.
//!
//! An attempt begins with a fresh session. One that fills its context and commits nothing may have
//! had bad luck; two in a row are a task that is too large, and a third would cost the same again.

use super::{
    context::Context,
    entry::{Active, TaskEntry},
};
use crate::model::{EndCause, HoldReason, Record};

/// So many attempts in a row may fill their context and commit nothing.
const MOST_FILLED: u32 = 2;

impl Context<'_> {
    /// An attempt's context was full before anything was committed.
    pub(super) fn context_filled(&self, entry: &TaskEntry, active: &Active) -> Vec<Record> {
        let row = entry.filled + 1;
        if row >= MOST_FILLED {
            return self.hold_ended(active, HoldReason::ContextFull { attempts: row });
        }
        let mut records = self.try_again(entry, active, EndCause::ContextFull);
        records.push(Record::ContextFilled {
            attempt: active.attempt.id.clone(),
            row,
        });
        records
    }

    /// The prompt alone is more than the model takes.
    pub(super) fn prompt_too_long(&self, active: &Active, detail: &str) -> Vec<Record> {
        let said = detail.to_owned();
        self.hold_ended(active, HoldReason::PromptTooLong { said })
    }
}
