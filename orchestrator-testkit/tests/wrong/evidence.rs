//! Wrong evidence stores.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use orchestrator_core::{
    model::ContentHash,
    port::{EvidenceError, EvidenceStore, Stored},
    store::MemoryEvidence,
};
use orchestrator_testkit::conformance::{
    Opener,
    evidence::{CLAUSES, EvidenceFixture, check},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TakesItForText,
    CountsWrong,
    DoesNotSayThatItCut,
    InventsWhatIsNotThere,
    AppendsToWhatIsThere,
    HasOneScratchFile,
    KeepsWhatCame,
    KeepsWhatWasDropped,
    KeepsToItself,
    TakesSixteenMebibytes,
}

#[test]
fn each_clause_of_the_evidence_suite_catches_a_fault() {
    use Fault::*;
    let faults = [
        ("what_was_put_can_be_opened", TakesItForText),
        ("the_name_is_the_sha256", CountsWrong),
        ("more_than_the_cap_is_cut_and_said", DoesNotSayThatItCut),
        ("what_is_not_there_is_unknown", InventsWhatIsNotThere),
        ("the_same_again_changes_nothing", AppendsToWhatIsThere),
        ("many_at_once_do_not_mix", HasOneScratchFile),
        ("a_stream_that_fails_leaves_nothing", KeepsWhatCame),
        ("a_dropped_put_leaves_nothing", KeepsWhatWasDropped),
        ("another_handle_sees_what_was_put", KeepsToItself),
        ("what_is_large_passes", TakesSixteenMebibytes),
    ];
    super::caught(CLAUSES, &faults, |clause, fault, deadline| {
        check(clause, &Bent(fault), deadline)
    });
}

#[derive(Debug)]
struct Bent(Fault);

impl EvidenceFixture for Bent {
    fn place(&self) -> Opener<dyn EvidenceStore> {
        let fault = self.0;
        let shared = Arc::new(BentStore {
            fault,
            ..BentStore::new(fault)
        });
        Box::new(move || {
            if fault == Fault::KeepsToItself {
                Arc::new(BentStore::new(fault))
            } else {
                shared.clone()
            }
        })
    }
}

#[derive(Debug)]
struct BentStore {
    fault: Fault,
    inner: MemoryEvidence,
    /// What is kept beside the rest.
    own: Mutex<HashMap<ContentHash, Vec<u8>>>,
    scratch: tokio::sync::Mutex<Vec<u8>>,
}

impl BentStore {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            inner: MemoryEvidence::default(),
            own: Mutex::default(),
            scratch: Default::default(),
        }
    }

    fn keep(&self, bytes: &[u8]) {
        self.own
            .lock()
            .expect("no panic")
            .insert(ContentHash::of(bytes), bytes.to_vec());
    }
}

#[async_trait]
impl EvidenceStore for BentStore {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let mut buffer = vec![0; 1 << 16];
        match self.fault {
            Fault::DoesNotSayThatItCut => {
                let stored = self.inner.put(content, cap).await?;
                Ok(Stored {
                    truncated: false,
                    ..stored
                })
            }
            Fault::CountsWrong => {
                let stored = self.inner.put(content, cap).await?;
                Ok(Stored {
                    size: stored.size + 1,
                    ..stored
                })
            }
            Fault::TakesSixteenMebibytes => self.inner.put(content, cap.min(16 << 20)).await,
            Fault::KeepsWhatCame => {
                let mut bytes = Vec::new();
                let read = content.read_to_end(&mut bytes).await;
                self.keep(&bytes);
                read.map_err(EvidenceError::Content)?;
                self.inner.put(&mut &bytes[..], cap).await
            }
            Fault::KeepsWhatWasDropped => {
                let mut bytes = Vec::new();
                while let Ok(read @ 1..) = content.read(&mut buffer).await {
                    bytes.extend_from_slice(&buffer[..read]);
                    self.keep(&bytes);
                }
                self.inner.put(&mut &bytes[..], cap).await
            }
            Fault::HasOneScratchFile => {
                while let Ok(read @ 1..) = content.read(&mut buffer).await {
                    self.scratch.lock().await.extend_from_slice(&buffer[..read]);
                    tokio::task::yield_now().await;
                }
                let bytes = std::mem::take(&mut *self.scratch.lock().await);
                self.inner.put(&mut &bytes[..], cap).await
            }
            Fault::AppendsToWhatIsThere => {
                let stored = self.inner.put(content, cap).await?;
                let mut bytes = Vec::new();
                drop(self.open(stored.hash).await?.read_to_end(&mut bytes).await);
                let twice = self
                    .own
                    .lock()
                    .expect("no panic")
                    .contains_key(&stored.hash);
                let bytes = if twice { bytes.repeat(2) } else { bytes };
                self.own
                    .lock()
                    .expect("no panic")
                    .insert(stored.hash, bytes);
                Ok(stored)
            }
            _ => self.inner.put(content, cap).await,
        }
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        if let Some(bytes) = self.own.lock().expect("no panic").get(&hash).cloned() {
            return Ok(Box::new(std::io::Cursor::new(bytes)));
        }
        match (self.fault, self.inner.open(hash).await) {
            (Fault::InventsWhatIsNotThere, Err(_)) => Ok(Box::new(tokio::io::empty())),
            (Fault::TakesItForText, Ok(mut content)) => {
                let mut bytes = Vec::new();
                drop(content.read_to_end(&mut bytes).await);
                Ok(Box::new(std::io::Cursor::new(
                    String::from_utf8_lossy(&bytes).into_owned(),
                )))
            }
            (_, opened) => opened,
        }
    }
}
