//! What was decided.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ErrorClass, PortFailure};
use crate::model::{LedgerId, Record, Timestamp};

/// The append-only list of records from which all state is folded.
///
/// # Contract
/// - [`open`](Self::open) begins a new epoch; from then on, appends of every earlier epoch are refused. Who writes opens first
///   and then reads, so that nobody else's record comes in between. Who only looks reads, without opening.
/// - [`append`](Self::append) is conditional on the sequence number that it expects, atomic for the whole batch, and
///   durable when it returns.
/// - [`read`](Self::read) gives entries in their order, without gaps.
///
/// # Cancellation
/// An `append` that was dropped may or may not have happened; the next one with the same expectation tells.
///
/// # Errors
/// [`LedgerError`]; [`LedgerError::Fenced`] means that another orchestrator has taken over, and this one must stop. After a
/// failed `append` the batch may be there: the caller reads back before it appends again.
///
/// # Example
/// What another ledger has taken is told to somebody as well:
///
/// ```
/// # #[cfg(feature = "driver")]
/// # mod example {
/// use std::sync::mpsc::Sender;
/// use async_trait::async_trait;
/// use orchestrator_core::{
///     model::{Record, Timestamp},
///     port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, Sequence},
/// };
///
/// #[derive(Debug)]
/// struct Told<L> {
///     inner: L,
///     listener: Sender<Record>,
/// }
///
/// #[async_trait]
/// impl<L: Ledger> Ledger for Told<L> {
///     async fn open(&self) -> Result<Opening, LedgerError> {
///         self.inner.open().await
///     }
///
///     async fn append(&self, epoch: Epoch, expected: Sequence, at: Timestamp, records: &[Record]) -> Result<Sequence, LedgerError> {
///         let next = self.inner.append(epoch, expected, at, records).await?;
///         // Only now: what was refused has not happened.
///         records.iter().for_each(|record| drop(self.listener.send(record.clone())));
///         Ok(next)
///     }
///
///     async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
///         self.inner.read(from, limit).await
///     }
/// }
/// # }
/// ```
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Takes the ledger over.
    async fn open(&self) -> Result<Opening, LedgerError>;

    /// Appends a batch whose first record gets the number `expected`; returns the number of the next.
    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError>;

    /// At most `limit` entries, beginning with number `from`.
    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError>;
}

/// One opening of a ledger, numbered from 1: who opened it later may write, who opened it earlier may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A record's number in the ledger, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// What opening a ledger found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// Which ledger it is: the same in every opening, and another one for every other ledger.
    pub ledger: LedgerId,
    /// The new epoch.
    pub epoch: Epoch,
    /// The number that the next record gets.
    pub next: Sequence,
    /// What a crash had left at its end and was mended, for a person; `None` as a rule.
    pub mended: Option<String>,
}

impl Opening {
    /// An opening that found everything whole.
    #[must_use]
    pub fn new(ledger: LedgerId, epoch: Epoch, next: Sequence) -> Self {
        Self {
            ledger,
            epoch,
            next,
            mended: None,
        }
    }

    /// Says what was mended.
    #[must_use]
    pub fn with_mended(mut self, mended: Option<String>) -> Self {
        self.mended = mended;
        self
    }
}

/// A record with its place in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    /// Its number.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    pub record: Record,
}

/// Why a ledger cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another orchestrator has opened it since.
    #[error("another orchestrator has taken the ledger over")]
    Fenced,
    /// The batch does not follow what is there.
    #[error("the ledger goes on with record {actual}, not {expected}")]
    Conflict {
        /// What was expected.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// It is damaged, and not only at its torn end.
    #[error("{place}: the ledger is damaged: {why}")]
    Damaged {
        /// Where, as a person finds it: a file and its line, a table and its row.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// It was written in another version of the format.
    #[error("{place}: the ledger is of version {found} of its format, and this release reads version {reads}: {}", way_out(*found, *reads))]
    Version {
        /// Where, as a person finds it.
        place: String,
        /// Its version.
        found: u32,
        /// The one that can be read.
        reads: u32,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Failed(#[from] PortFailure),
}

/// What a person can do about a ledger of another version.
fn way_out(found: u32, reads: u32) -> &'static str {
    if found < reads {
        "finish its run with the release that wrote it, or begin anew with another state directory"
    } else {
        "use the release that wrote it, or a newer one"
    }
}

impl LedgerError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fenced => ErrorClass::Permanent,
            Self::Conflict { .. } => ErrorClass::Bug,
            Self::Damaged { .. } | Self::Version { .. } => ErrorClass::NeedsPerson,
            Self::Failed(failure) => failure.class(),
        }
    }
}
