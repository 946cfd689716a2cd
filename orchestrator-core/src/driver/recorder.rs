//! The one writer of a ledger.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Notice, StoreError, StoreLimits, patience::Tries};
use crate::{
    model::{Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, Sequence},
};

/// What messages call it.
const LEDGER: &str = "the ledger";

/// Opens a ledger. An opening whose answer was lost has begun an epoch that nobody uses, and the next one is as good.
pub(super) async fn open(
    ledger: &dyn Ledger,
    limits: StoreLimits,
) -> Result<Opening, StoreError<LedgerError>> {
    let mut tries = Tries::at(LEDGER, limits);
    loop {
        if let Some(opening) = tries.ask(ledger.open()).await? {
            return Ok(opening);
        }
    }
}

/// Reads a page of a ledger.
pub(super) async fn read(
    ledger: &dyn Ledger,
    from: Sequence,
    most: usize,
    limits: StoreLimits,
) -> Result<Vec<LedgerEntry>, StoreError<LedgerError>> {
    let mut tries = Tries::at(LEDGER, limits);
    loop {
        if let Some(page) = tries.ask(ledger.read(from, most)).await? {
            return Ok(page);
        }
    }
}

/// Appends what a run decides.
#[derive(Debug)]
pub(super) struct Recorder {
    ledger: Arc<dyn Ledger>,
    epoch: Epoch,
    next: Sequence,
    limits: StoreLimits,
    /// Whether an append was given up, so that nobody knows what the ledger ends with.
    lost: bool,
}

impl Recorder {
    pub(super) fn new(ledger: Arc<dyn Ledger>, opening: &Opening, limits: StoreLimits) -> Self {
        Self {
            ledger,
            epoch: opening.epoch,
            next: opening.next,
            limits,
            lost: false,
        }
    }

    /// Whether nothing can be appended any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Appends a batch, and returns the number of its first record. A batch whose append failed may be there all the same:
    /// what is there is read back before it is appended again.
    pub(super) async fn append(
        &mut self,
        at: Timestamp,
        records: &[Record],
        notices: &broadcast::Sender<Notice>,
    ) -> Result<Sequence, StoreError<LedgerError>> {
        let first = self.next;
        let appended = self.append_or_find(at, records, notices).await;
        self.lost = appended.is_err();
        appended?;
        self.next = Sequence(first.0 + records.len() as u64);
        Ok(first)
    }

    async fn append_or_find(
        &self,
        at: Timestamp,
        records: &[Record],
        notices: &broadcast::Sender<Notice>,
    ) -> Result<(), StoreError<LedgerError>> {
        let mut tries = Tries::at(LEDGER, self.limits);
        loop {
            let ledger = &*self.ledger;
            let append = ledger.append(self.epoch, self.next, at, records);
            let refused = match tries.ask(append).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => None,
                // An earlier try may have come through late.
                Err(StoreError::Refused(error @ LedgerError::Conflict { .. }))
                    if tries.failed() > 0 =>
                {
                    Some(error)
                }
                Err(error) => return Err(error),
            };
            if tries.failed() == 1 && refused.is_none() {
                let warning = "the ledger did not take what was decided: nothing new begins while it is asked again";
                drop(notices.send(Notice::Warning(warning.to_owned())));
            }
            if self.has(at, records, &mut tries).await? {
                return Ok(());
            }
            if let Some(error) = refused {
                return Err(StoreError::Refused(error));
            }
        }
    }

    /// Whether this batch is where it is to be appended.
    async fn has(
        &self,
        at: Timestamp,
        records: &[Record],
        tries: &mut Tries,
    ) -> Result<bool, StoreError<LedgerError>> {
        loop {
            let read = self.ledger.read(self.next, records.len());
            let Some(entries) = tries.ask(read).await? else {
                continue;
            };
            let is_ours = |(entry, record): (&LedgerEntry, &Record)| {
                entry.at == at && entry.record == *record
            };
            let is_whole = entries.len() == records.len();
            return Ok(is_whole && entries.iter().zip(records).all(is_ours));
        }
    }
}
