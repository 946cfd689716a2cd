//! For tests, and for embedders who need nothing to survive.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    model::{ContentHash, LedgerId, Record, Timestamp},
    port::{
        Epoch, EvidenceError, EvidenceStore, Ledger, LedgerEntry, LedgerError, Opening, Sequence,
        Stored,
    },
};

/// A ledger in memory.
#[derive(Debug)]
pub struct MemoryLedger {
    id: LedgerId,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: u64,
    entries: Vec<LedgerEntry>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self {
            id: LedgerId::random(),
            inner: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked left whole entries: each is pushed at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn open(&self) -> Result<Opening, LedgerError> {
        let mut inner = lock(&self.inner);
        inner.epoch += 1;
        let next = Sequence(inner.entries.len() as u64 + 1);
        Ok(Opening::new(self.id.clone(), Epoch(inner.epoch), next))
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let mut inner = lock(&self.inner);
        if epoch.0 != inner.epoch {
            return Err(LedgerError::Fenced);
        }
        let next = inner.entries.len() as u64 + 1;
        if expected.0 != next {
            return Err(LedgerError::Conflict {
                expected: expected.0,
                actual: next,
            });
        }
        let entries = records
            .iter()
            .zip(next..)
            .map(|(record, sequence)| LedgerEntry {
                sequence: Sequence(sequence),
                at,
                record: record.clone(),
            });
        inner.entries.extend(entries);
        Ok(Sequence(inner.entries.len() as u64 + 1))
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let skip = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let inner = lock(&self.inner);
        let found = inner.entries.iter().skip(skip).take(limit);
        Ok(found.cloned().collect())
    }
}

/// An evidence store in memory.
#[derive(Debug, Default)]
pub struct MemoryEvidence(Mutex<HashMap<ContentHash, Vec<u8>>>);

#[async_trait]
impl EvidenceStore for MemoryEvidence {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let mut bytes = Vec::new();
        (&mut *content)
            .take(cap)
            .read_to_end(&mut bytes)
            .await
            .map_err(EvidenceError::Content)?;
        let more = content.read(&mut [0]).await;
        let truncated = more.map_err(EvidenceError::Content)? > 0;
        let stored = Stored {
            hash: ContentHash::of(&bytes),
            size: bytes.len() as u64,
            truncated,
        };
        lock(&self.0).insert(stored.hash, bytes);
        Ok(stored)
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let bytes = lock(&self.0)
            .get(&hash)
            .cloned()
            .ok_or(EvidenceError::Unknown(hash))?;
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}
