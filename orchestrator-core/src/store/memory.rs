//! For tests, and for embedders who need nothing to survive.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    model::{ContentHash, Record, Timestamp},
    port::{
        Epoch, EvidenceError, EvidenceStore, Ledger, LedgerEntry, LedgerError, Opening, Sequence,
        Stored,
    },
};

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<(u64, Vec<LedgerEntry>)>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked left whole entries: each is pushed at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn open(&self) -> Result<Opening, LedgerError> {
        let mut inner = lock(&self.0);
        inner.0 += 1;
        Ok(Opening {
            epoch: Epoch(inner.0),
            next: Sequence(inner.1.len() as u64 + 1),
            torn: None,
        })
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let mut inner = lock(&self.0);
        if epoch.0 != inner.0 {
            return Err(LedgerError::Fenced);
        }
        let next = inner.1.len() as u64 + 1;
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
        inner.1.extend(entries);
        Ok(Sequence(inner.1.len() as u64 + 1))
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let skip = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(lock(&self.0)
            .1
            .iter()
            .skip(skip)
            .take(limit)
            .cloned()
            .collect())
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
        let failed = |source| EvidenceError::Io {
            what: "reading what is to be kept".to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        (&mut *content)
            .take(cap)
            .read_to_end(&mut bytes)
            .await
            .map_err(failed)?;
        let truncated = content.read(&mut [0]).await.map_err(failed)? > 0;
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
