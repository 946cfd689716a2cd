//! The state that a ledger tells of.

use super::{BuildError, StoreLimits, recorder::read};
use crate::{
    machine::{ReplayError, State, apply},
    model::Timestamp,
    port::{Ledger, LedgerEntry, Sequence},
};

/// So many entries are in memory at once, and as many that are read while these are folded.
pub(super) const PAGE: usize = 8000;

/// The state that a ledger tells of, and when it was last written. Read page by page, each while the one before is folded: so
/// memory is bounded by the state, however long the ledger is.
///
/// # Errors
/// When the ledger cannot be read, or its records do not fit one another.
pub async fn fold_ledger(ledger: &dyn Ledger) -> Result<(State, Option<Timestamp>), BuildError> {
    fold_within(ledger, StoreLimits::default()).await
}

/// The same within these limits.
pub(super) async fn fold_within(
    ledger: &dyn Ledger,
    limits: StoreLimits,
) -> Result<(State, Option<Timestamp>), BuildError> {
    let mut state = State::default();
    let mut at = None;
    let mut page = read(ledger, Sequence(1), PAGE, limits).await?;
    while let Some(last) = page.last() {
        at = Some(last.at);
        let next = Sequence(last.sequence.0 + 1);
        let folding = async { fold(&mut state, page) };
        let (read, folded) = tokio::join!(read(ledger, next, PAGE, limits), folding);
        folded?;
        page = read?;
    }
    Ok((state, at))
}

fn fold(state: &mut State, page: Vec<LedgerEntry>) -> Result<(), ReplayError> {
    page.into_iter().try_for_each(|entry| {
        apply(state, &entry.record).map_err(|misfit| ReplayError {
            at: entry.sequence.0,
            misfit,
        })
    })
}
