//! The state that a ledger tells of.

use super::BuildError;
use crate::{
    machine::{ReplayError, State, apply},
    model::Timestamp,
    port::{Ledger, LedgerEntry, Sequence},
};

/// So many entries are in memory at once, and as many that are read while these are folded.
const PAGE: usize = 8000;

/// The state that a ledger tells of, and when it was last written. Read page by page, each while the one before is folded: so
/// memory is bounded by the state, however long the ledger is.
///
/// # Errors
/// When the ledger cannot be read, or its records do not fit one another.
pub async fn fold_ledger(ledger: &dyn Ledger) -> Result<(State, Option<Timestamp>), BuildError> {
    let mut folding = Folding::new();
    folding.go_on(ledger).await?;
    Ok((folding.state, folding.at))
}

/// A ledger that is being folded.
#[derive(Debug)]
pub(super) struct Folding {
    /// What it told of so far.
    pub(super) state: State,
    /// When that was written.
    pub(super) at: Option<Timestamp>,
    next: Sequence,
}

impl Folding {
    pub(super) fn new() -> Self {
        Self {
            state: State::default(),
            at: None,
            next: Sequence(1),
        }
    }

    /// Folds all that there is now and was not folded yet.
    pub(super) async fn go_on(&mut self, ledger: &dyn Ledger) -> Result<(), BuildError> {
        let mut page = ledger.read(self.next, PAGE).await?;
        while let Some(last) = page.last() {
            (self.at, self.next) = (Some(last.at), Sequence(last.sequence.0 + 1));
            let (read, folded) = tokio::join!(ledger.read(self.next, PAGE), async {
                fold(&mut self.state, page)
            });
            folded?;
            page = read?;
        }
        Ok(())
    }
}

fn fold(state: &mut State, page: Vec<LedgerEntry>) -> Result<(), ReplayError> {
    page.into_iter().try_for_each(|entry| {
        apply(state, &entry.record).map_err(|misfit| ReplayError {
            at: entry.sequence.0,
            misfit,
        })
    })
}
