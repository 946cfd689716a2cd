//! What was decided.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ErrorClass;
use crate::model::{Record, Timestamp};

/// The append-only list of records from which all state is folded.
///
/// # Contract
/// - [`open`](Self::open) begins a new epoch; from then on, appends of every earlier epoch are refused.
/// - [`append`](Self::append) is conditional on the sequence number that it expects, atomic for the whole batch, and
///   durable when it returns.
/// - [`read`](Self::read) gives entries in their order, without gaps.
///
/// # Cancellation
/// An `append` that was dropped may or may not have happened; the next one with the same expectation tells.
///
/// # Errors
/// [`LedgerError`]; [`LedgerError::Fenced`] means that another orchestrator has taken over, and this one must stop.
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
pub struct Opening {
    /// The new epoch.
    pub epoch: Epoch,
    /// The number that the next record gets.
    pub next: Sequence,
    /// A batch at the end that was torn by a crash and was cut: how many bytes.
    pub torn: Option<u64>,
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
    #[error("{path}:{line}: the ledger is damaged: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Reading or writing failed.
    #[error("the ledger at {path} cannot be used")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl LedgerError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fenced => ErrorClass::Permanent,
            Self::Conflict { .. } => ErrorClass::Bug,
            Self::Damaged { .. } => ErrorClass::NeedsPerson,
            Self::Io { .. } => ErrorClass::Transient,
        }
    }
}
