//! Stores that fail: a ledger, or an evidence store, with faults at calls that a test chooses.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    future::{Future, pending},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{ContentHash, Record, Timestamp},
    port::{
        Epoch, ErrorClass, EvidenceError, EvidenceStore, Ledger, LedgerEntry, LedgerError, Opening,
        PortFailure, Sequence, Stored,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A call of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreCall {
    /// [`Ledger::open`] and [`EvidenceStore::open`].
    Open,
    /// [`Ledger::append`].
    Append,
    /// [`Ledger::read`].
    Read,
    /// [`EvidenceStore::put`].
    Put,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// It fails, and nothing was done.
    FailsBefore(ErrorClass),
    /// It is done, and fails all the same: the answer was lost.
    FailsAfter(ErrorClass),
    /// It never answers, and nothing was done.
    Hangs,
    /// It is done, and never answers.
    HangsAfter,
    /// It is done, and answers so much later.
    AnswersLate(Duration),
    /// It is done so much later, also where nobody waits for it any more.
    ArrivesLate(Duration),
}

/// What goes wrong at the call with a number.
type Plan = Box<dyn Fn(StoreCall, u32) -> Option<StoreFault> + Send + Sync>;

/// A store with faults. What it has done is in the store within.
pub struct Faulty<S> {
    inner: Arc<S>,
    plan: Plan,
    calls: Mutex<BTreeMap<StoreCall, u32>>,
}

impl<S> Debug for Faulty<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

impl<S> Faulty<S> {
    /// A store that does what the one within does, but for what the plan says of a call and its number, from 1 for each kind of call.
    pub fn new(
        inner: Arc<S>,
        plan: impl Fn(StoreCall, u32) -> Option<StoreFault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            plan: Box::new(plan),
            calls: Mutex::default(),
        }
    }

    /// How many calls of this kind there were.
    #[must_use]
    pub fn calls(&self, call: StoreCall) -> u32 {
        self.counts().get(&call).copied().unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<StoreCall, u32>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong at this call.
    fn fault(&self, call: StoreCall) -> Option<StoreFault> {
        let mut counts = self.counts();
        let count = counts.entry(call).or_default();
        *count += 1;
        (self.plan)(call, *count)
    }

    /// Does it, as far as its fault lets it.
    async fn answer<T, E>(
        &self,
        call: StoreCall,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PortFailure> + Send + 'static,
    {
        let Some(fault) = self.fault(call) else {
            return work.await;
        };
        match fault {
            StoreFault::FailsBefore(class) => Err(failure(call, class).into()),
            StoreFault::FailsAfter(class) => {
                work.await?;
                Err(failure(call, class).into())
            }
            StoreFault::Hangs => pending().await,
            StoreFault::HangsAfter => {
                work.await?;
                pending().await
            }
            StoreFault::AnswersLate(by) => {
                let answer = work.await;
                tokio::time::sleep(by).await;
                answer
            }
            StoreFault::ArrivesLate(by) => {
                let late = tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    work.await
                });
                match late.await {
                    Ok(answer) => answer,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }
}

fn failure(call: StoreCall, class: ErrorClass) -> PortFailure {
    let what = format!("a faulty store did not {call:?}");
    PortFailure::new(what, class, io::Error::other("the test wants it so"))
}

#[async_trait]
impl<L: Ledger> Ledger for Faulty<L> {
    async fn open(&self) -> Result<Opening, LedgerError> {
        let inner = Arc::clone(&self.inner);
        let work = async move { inner.open().await };
        self.answer(StoreCall::Open, work).await
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let inner = Arc::clone(&self.inner);
        let records = records.to_vec();
        let work = async move { inner.append(epoch, expected, at, &records).await };
        self.answer(StoreCall::Append, work).await
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let inner = Arc::clone(&self.inner);
        let work = async move { inner.read(from, limit).await };
        self.answer(StoreCall::Read, work).await
    }
}

#[async_trait]
impl<E: EvidenceStore> EvidenceStore for Faulty<E> {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let inner = Arc::clone(&self.inner);
        let mut bytes = Vec::new();
        // One more, by which the store sees that there was more.
        content
            .take(cap.saturating_add(1))
            .read_to_end(&mut bytes)
            .await
            .map_err(EvidenceError::Content)?;
        let work = async move { inner.put(&mut &bytes[..], cap).await };
        self.answer(StoreCall::Put, work).await
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let inner = Arc::clone(&self.inner);
        let work = async move { inner.open(hash).await };
        self.answer(StoreCall::Open, work).await
    }
}
