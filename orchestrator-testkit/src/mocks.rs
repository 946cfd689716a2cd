//! A mock of each port, made by [`mockall`]: for a unit test of one call. What has to behave like the real thing is better a
//! [`ScriptedAgent`](crate::ScriptedAgent), or what the core ships in memory.
//!
//! ```
//! use orchestrator_core::port::{AgentBackend, Capabilities, Probe};
//! use orchestrator_testkit::mocks::MockAgentBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut agent = MockAgentBackend::new();
//! agent.expect_capabilities().return_const(Capabilities::least().with_resume());
//! agent.expect_probe().times(1).returning(|| Ok(Probe::found(Some("1.2.3".to_owned()))));
//! assert!(agent.capabilities().resume);
//! assert_eq!(agent.probe().await.unwrap().version.as_deref(), Some("1.2.3"));
//! # }
//! ```

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use mockall::mock;
use orchestrator_core::{
    model::{
        AttemptId, BlobId, ContentHash, Finding, PastChanges, Record, RepoPath, TaskId, Timestamp,
        TreeShape,
    },
    port::{
        AgentBackend, AgentError, Capabilities, ChangeView, Epoch, EvidenceError, EvidenceStore,
        LandingEdit, Ledger, LedgerEntry, LedgerError, Opening, Outcome, Probe, ReviewError,
        ReviewRequest, Reviewer, Sequence, SourceError, SourceSnapshot, Stored, TaskSource,
        TreeView, Turn, TurnControl, TurnInput, TurnRequest, Update,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

mock! {
    /// Mocks [`orchestrator_core::port::AgentBackend`].
    #[derive(Debug)]
    pub AgentBackend {}

    #[async_trait]
    impl AgentBackend for AgentBackend {
        fn name(&self) -> &str;
        fn capabilities(&self) -> Capabilities;
        async fn probe(&self) -> Result<Probe, AgentError>;
        async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError>;
        async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::Turn`].
    #[derive(Debug)]
    pub Turn {}

    #[async_trait]
    impl Turn for Turn {
        async fn next(&mut self) -> Option<Update>;
        fn control(&self) -> Arc<dyn TurnControl>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::TurnControl`].
    #[derive(Debug)]
    pub TurnControl {}

    #[async_trait]
    impl TurnControl for TurnControl {
        async fn send(&self, input: TurnInput) -> Result<(), AgentError>;
        fn is_alive(&self) -> Option<bool>;
        async fn stop(&self, grace: Duration);
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::TaskSource`]. What a tree is expected to be is told by its revision.
    #[derive(Debug)]
    pub TaskSource {
        /// As the port's, with the tree's revision for the tree.
        pub fn snapshot(&self, revision: String) -> Result<SourceSnapshot, SourceError>;
        /// As the port's, with the tree's revision for the tree.
        pub fn landing_edits(&self, task: &TaskId, revision: String) -> Result<Vec<LandingEdit>, SourceError>;
        /// As the port's.
        pub fn report(&self, task: &TaskId, attempt: &AttemptId, outcome: &Outcome) -> Result<(), SourceError>;
        /// As the port's.
        pub fn own_paths(&self) -> Vec<RepoPath>;
    }
}

#[async_trait]
impl TaskSource for MockTaskSource {
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        self.snapshot(tree.revision())
    }

    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        self.landing_edits(task, tree.revision())
    }

    async fn report(
        &self,
        task: &TaskId,
        attempt: &AttemptId,
        outcome: &Outcome,
    ) -> Result<(), SourceError> {
        self.report(task, attempt, outcome)
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        self.own_paths()
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::TreeView`].
    #[derive(Debug)]
    pub TreeView {}

    #[async_trait]
    impl TreeView for TreeView {
        fn revision(&self) -> String;
        async fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, SourceError>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::Reviewer`].
    #[derive(Debug)]
    pub Reviewer {}

    #[async_trait]
    impl Reviewer for Reviewer {
        fn name(&self) -> &str;
        async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::ChangeView`].
    #[derive(Debug)]
    pub ChangeView {}

    #[async_trait]
    impl ChangeView for ChangeView {
        async fn blob(&self, id: BlobId, limit: u64) -> Result<Option<Vec<u8>>, ReviewError>;
        async fn shapes(&self) -> Result<[TreeShape; 2], ReviewError>;
        async fn history(&self) -> Result<PastChanges, ReviewError>;
        async fn diff(&self, path: &RepoPath) -> Result<Vec<u8>, ReviewError>;
        async fn export(&self, into: &Path) -> Result<(), ReviewError>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::Ledger`].
    #[derive(Debug)]
    pub Ledger {}

    #[async_trait]
    impl Ledger for Ledger {
        async fn open(&self) -> Result<Opening, LedgerError>;
        async fn append(&self, epoch: Epoch, expected: Sequence, at: Timestamp, records: &[Record]) -> Result<Sequence, LedgerError>;
        async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError>;
    }
}

mock! {
    /// Mocks [`orchestrator_core::port::EvidenceStore`]. What was to be put is read to its end first.
    #[derive(Debug)]
    pub EvidenceStore {
        /// As the port's, with the whole content.
        pub fn put(&self, content: Vec<u8>, cap: u64) -> Result<Stored, EvidenceError>;
        /// As the port's, with the whole content.
        pub fn open(&self, hash: ContentHash) -> Result<Vec<u8>, EvidenceError>;
    }
}

#[async_trait]
impl EvidenceStore for MockEvidenceStore {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .await
            .map_err(EvidenceError::Content)?;
        self.put(bytes, cap)
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let content = self.open(hash)?;
        Ok(Box::new(std::io::Cursor::new(content)))
    }
}
