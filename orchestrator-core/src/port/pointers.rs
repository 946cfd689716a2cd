//! Each port through `Arc<T>` and `Box<T>`, so that a wrapper holds either, and what is chosen at run time fits where a type is
//! asked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::io::AsyncRead;

use super::*;
use crate::model::{AttemptId, ContentHash, Finding, Record, RepoPath, TaskId, Timestamp};

/// Writes these implementations once for each pointer, which they call `Pointer`.
macro_rules! through_pointers {
    ($($implementation:item)*) => {
        mod arc {
            use super::*;
            use std::sync::Arc as Pointer;
            $($implementation)*
        }

        mod boxed {
            use super::*;
            use std::boxed::Box as Pointer;
            $($implementation)*
        }
    };
}

through_pointers! {
    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: AgentBackend + ?Sized> AgentBackend for Pointer<T> {
        fn name(&self) -> &str {
            (**self).name()
        }

        fn capabilities(&self) -> Capabilities {
            (**self).capabilities()
        }

        async fn probe(&self) -> Result<Probe, AgentError> {
            (**self).probe().await
        }

        async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
            (**self).probe_in(environment).await
        }

        async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
            (**self).start(request).await
        }
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: TurnControl + ?Sized> TurnControl for Pointer<T> {
        async fn send(&self, input: TurnInput) -> Result<(), AgentError> {
            (**self).send(input).await
        }

        fn is_alive(&self) -> Option<bool> {
            (**self).is_alive()
        }

        async fn stop(&self, grace: Duration) {
            (**self).stop(grace).await;
        }
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: TaskSource + ?Sized> TaskSource for Pointer<T> {
        async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
            (**self).snapshot(tree).await
        }

        async fn landing_edits(
            &self,
            task: &TaskId,
            tree: &dyn TreeView,
        ) -> Result<Vec<LandingEdit>, SourceError> {
            (**self).landing_edits(task, tree).await
        }

        async fn report(
            &self,
            task: &TaskId,
            attempt: &AttemptId,
            outcome: &Outcome,
        ) -> Result<(), SourceError> {
            (**self).report(task, attempt, outcome).await
        }

        fn own_paths(&self) -> Vec<RepoPath> {
            (**self).own_paths()
        }
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: Reviewer + ?Sized> Reviewer for Pointer<T> {
        fn name(&self) -> &str {
            (**self).name()
        }

        async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
            (**self).review(request).await
        }
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: Ledger + ?Sized> Ledger for Pointer<T> {
        async fn open(&self) -> Result<Opening, LedgerError> {
            (**self).open().await
        }

        async fn append(
            &self,
            epoch: Epoch,
            expected: Sequence,
            at: Timestamp,
            records: &[Record],
        ) -> Result<Sequence, LedgerError> {
            (**self).append(epoch, expected, at, records).await
        }

        async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
            (**self).read(from, limit).await
        }
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl<T: EvidenceStore + ?Sized> EvidenceStore for Pointer<T> {
        async fn put(
            &self,
            content: &mut (dyn AsyncRead + Send + Unpin),
            cap: u64,
        ) -> Result<Stored, EvidenceError> {
            (**self).put(content, cap).await
        }

        async fn open(&self, hash: ContentHash) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
            (**self).open(hash).await
        }
    }
}

/// A turn is nobody else's: it has no `Arc`.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Turn + ?Sized> Turn for Box<T> {
    async fn next(&mut self) -> Option<Update> {
        (**self).next().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        (**self).control()
    }
}
