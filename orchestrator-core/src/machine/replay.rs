//! The state of a ledger, from its beginning.

use thiserror::Error;

use super::{apply::apply, lookup::Misfit, state::State};
use crate::model::Record;

/// A ledger that cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("record {at} of the ledger")]
pub struct ReplayError {
    /// Counted from 1.
    pub at: u64,
    /// What does not fit.
    #[source]
    pub misfit: Misfit,
}

/// Folds records into a state, from nothing.
///
/// # Errors
/// [`ReplayError`] with the first record that does not fit.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<State, ReplayError> {
    let mut state = State::default();
    for (record, at) in records.into_iter().zip(1..) {
        apply(&mut state, record).map_err(|misfit| ReplayError { at, misfit })?;
    }
    Ok(state)
}
