//! What was seen.

use std::fmt::Debug;

use async_trait::async_trait;
use thiserror::Error;
use tokio::io::AsyncRead;

use super::{ErrorClass, PortFailure};
use crate::model::ContentHash;

/// Evidence and artifacts by content hash.
///
/// # Contract
/// - What was put can be opened by its hash for as long as the store lives, and is what was put.
/// - [`put`](Self::put) is durable when it returns. Putting the same content again changes nothing.
///
/// # Cancellation
/// A `put` that was dropped leaves nothing that can be opened.
///
/// # Errors
/// [`EvidenceError`].
///
/// # Example
///
/// ```
/// # #[cfg(feature = "driver")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use orchestrator_core::{port::EvidenceStore, store::MemoryEvidence};
/// use tokio::io::AsyncReadExt as _;
///
/// let store = MemoryEvidence::default();
/// let kept = store.put(&mut &b"a very long story"[..], 6).await?;
/// assert!(kept.truncated && kept.size == 6);
/// let mut content = String::new();
/// store.open(kept.hash).await?.read_to_string(&mut content).await?;
/// assert_eq!(content, "a very");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "driver"))]
/// # fn main() {}
/// ```
#[async_trait]
pub trait EvidenceStore: Debug + Send + Sync + 'static {
    /// Keeps the first `cap` bytes of a stream.
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError>;

    /// Opens what was kept.
    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError>;
}

/// What was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Of the bytes that were kept.
    pub hash: ContentHash,
    /// How many bytes were kept.
    pub size: u64,
    /// Whether there was more.
    pub truncated: bool,
}

/// Why the store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// There is nothing of this hash.
    #[error("nothing is kept under {0}")]
    Unknown(ContentHash),
    /// What was to be kept could not be read to its end or cap; the store is not at fault.
    #[error("what was to be kept cannot be read")]
    Content(#[source] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] PortFailure),
}

impl EvidenceError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unknown(_) => ErrorClass::Permanent,
            Self::Content(error) => ErrorClass::of_io(error),
            Self::Failed(failure) => failure.class(),
        }
    }
}
