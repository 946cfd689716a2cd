//! Keeping evidence.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{StoreError, StoreLimits, patience::Tries};
use crate::{
    model::ContentHash,
    port::{EvidenceError, EvidenceStore, Stored},
};

/// What messages call it.
const STORE: &str = "the evidence store";
/// So much of a file is read at once, in bytes: mostly that is all of it, and costs no change of threads.
const AT_ONCE: u64 = 64 << 10;

/// An evidence store that is asked again. Content that is kept twice is kept once, so nothing has to be looked up before.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    store: Arc<dyn EvidenceStore>,
    limits: StoreLimits,
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn EvidenceStore>, limits: StoreLimits) -> Self {
        Self { store, limits }
    }

    /// Keeps what is in memory.
    pub(super) async fn keep(&self, content: &[u8]) -> Result<Stored, StoreError<EvidenceError>> {
        keep(&*self.store, self.limits, content).await
    }

    /// Keeps the first `cap` bytes of a file.
    pub(super) async fn keep_file(
        &self,
        file: File,
        cap: u64,
    ) -> Result<Stored, StoreError<EvidenceError>> {
        keep_file(&*self.store, self.limits, file, cap).await
    }
}

async fn keep(
    store: &dyn EvidenceStore,
    limits: StoreLimits,
    content: &[u8],
) -> Result<Stored, StoreError<EvidenceError>> {
    let mut tries = tries(limits, content.len() as u64);
    loop {
        let mut rest = content;
        if let Some(stored) = tries.ask(store.put(&mut rest, u64::MAX)).await? {
            return Ok(stored);
        }
    }
}

/// Keeps the first `cap` bytes of a file.
pub(super) async fn keep_file(
    store: &dyn EvidenceStore,
    limits: StoreLimits,
    mut file: File,
    cap: u64,
) -> Result<Stored, StoreError<EvidenceError>> {
    let mut begin = Vec::new();
    (&mut file)
        .take(AT_ONCE)
        .read_to_end(&mut begin)
        .map_err(unreadable)?;
    if (begin.len() as u64) < AT_ONCE.min(cap) {
        return keep(store, limits, &begin).await;
    }
    drop(begin);
    let mut tries = tries(limits, cap);
    loop {
        let mut content = FromItsBeginning {
            file: &file,
            offset: 0,
        };
        if let Some(stored) = tries.ask(store.put(&mut content, cap)).await? {
            return Ok(stored);
        }
    }
}

/// The tries at keeping so many bytes.
fn tries(limits: StoreLimits, size: u64) -> Tries {
    let answer = limits.answer + Duration::from_secs(size >> 20);
    Tries::at(STORE, StoreLimits::new(answer, limits.total))
}

/// Opens what a store keeps.
pub(super) async fn open(
    store: &dyn EvidenceStore,
    hash: ContentHash,
    limits: StoreLimits,
) -> Result<Box<dyn AsyncRead + Send + Unpin>, StoreError<EvidenceError>> {
    let mut tries = Tries::at(STORE, limits);
    loop {
        if let Some(content) = tries.ask(store.open(hash)).await? {
            return Ok(content);
        }
    }
}

/// Reads a file from its beginning, whoever else still reads the same open file: a call that was given up may go on.
struct FromItsBeginning<'a> {
    file: &'a File,
    offset: u64,
}

impl AsyncRead for FromItsBeginning<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let most = room.len().min(AT_ONCE as usize);
        let read = self.file.read_at(&mut room[..most], self.offset)?;
        buffer.advance(read);
        self.offset += read as u64;
        Poll::Ready(Ok(()))
    }
}

fn unreadable(source: io::Error) -> StoreError<EvidenceError> {
    StoreError::Refused(EvidenceError::Content(source))
}
