//! Who looks at what a worker left.

use std::{fmt::Debug, path::Path, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use super::ErrorClass;
use crate::model::{
    AttemptId, BlobId, CommitId, Contract, Finding, PastChanges, RepoPath, Size, Submission,
    TreeShape,
};

/// Looks at one commit and says what it finds.
///
/// # Contract
/// The same commit and contract give the same findings, unless the reviewer says otherwise of itself. It changes nothing.
///
/// # Cancellation
/// `review` may be dropped at any time.
///
/// # Errors
/// Failing to look is no rejection: it is recorded as "unavailable", and a person is asked.
///
/// # Example
///
/// ```
/// use async_trait::async_trait;
/// use orchestrator_core::{
///     model::{Finding, Severity},
///     port::{ReviewError, ReviewRequest, Reviewer},
/// };
///
/// /// No file may be empty.
/// #[derive(Debug)]
/// struct NotEmpty;
///
/// #[async_trait]
/// impl Reviewer for NotEmpty {
///     fn name(&self) -> &str {
///         "not-empty"
///     }
///
///     async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
///         let mut findings = Vec::new();
///         for change in &request.submission.changes {
///             // `None`: it is gone, or has more than no bytes.
///             let Some(new) = change.new else { continue };
///             if request.view.blob(new.id, 0).await?.is_some() {
///                 let finding = Finding::new(Severity::Error, "files/empty", "it is empty: fill it, or remove it");
///                 findings.push(finding.at(change.path.clone()));
///             }
///         }
///         Ok(findings)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ReviewError> {
/// let change = orchestrator_testkit::ProposedChange::new().writes("a.txt", "").writes("b.txt", "b\n");
/// let findings = NotEmpty.review(&change.request()).await?;
/// assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), ["files/empty: a.txt: it is empty: fill it, or remove it"]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Reviewer: Debug + Send + Sync + 'static {
    /// Its name, under which its findings are kept.
    fn name(&self) -> &str;

    /// The findings in one commit; none accept it. Failing to look is an error and no finding.
    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError>;
}

/// What a reviewer sees.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReviewRequest {
    /// The attempt whose head is looked at.
    pub attempt: AttemptId,
    /// What the worker had to keep.
    pub contract: Contract,
    /// The pinned base.
    pub base: CommitId,
    /// What git says of the work, and the worker's claims.
    pub submission: Submission,
    /// What reviewers before this one have found in the same commit.
    pub findings: Vec<Finding>,
    /// What the task was sent back for before.
    pub before: Vec<Finding>,
    /// The largest file that is to be read; a larger one nobody can review.
    pub readable: Size,
    /// Contents and differences, by id.
    pub view: Arc<dyn ChangeView>,
}

impl ReviewRequest {
    /// All that a reviewer sees.
    #[must_use]
    pub fn new(
        attempt: AttemptId,
        contract: Contract,
        base: CommitId,
        submission: Submission,
        view: Arc<dyn ChangeView>,
    ) -> Self {
        let readable = Size::mib(10);
        Self {
            attempt,
            contract,
            base,
            submission,
            findings: Vec::new(),
            before: Vec::new(),
            readable,
            view,
        }
    }

    /// Sets the largest file that is to be read; 10 MiB unless said otherwise.
    #[must_use]
    pub fn with_readable(mut self, readable: Size) -> Self {
        self.readable = readable;
        self
    }

    /// Sets what the task was sent back for before.
    #[must_use]
    pub fn with_before(mut self, before: Vec<Finding>) -> Self {
        self.before = before;
        self
    }
}

/// The repository as a reviewer may see it: objects by id, and nothing that could be run or changed.
#[async_trait]
pub trait ChangeView: Debug + Send + Sync {
    /// A blob's content, if it has at most `limit` bytes; `None` if it is larger.
    async fn blob(&self, id: BlobId, limit: u64) -> Result<Option<Vec<u8>>, ReviewError>;

    /// The names and links of the tree before the change, and of the head's.
    async fn shapes(&self) -> Result<[TreeShape; 2], ReviewError>;

    /// What commits before the head did that the change does not show.
    async fn history(&self) -> Result<PastChanges, ReviewError>;

    /// The difference between base and head in one path, as a unified diff; bytes, since files are.
    async fn diff(&self, path: &RepoPath) -> Result<Vec<u8>, ReviewError>;

    /// Lays the head's files out in an empty directory: a copy, and no repository.
    async fn export(&self, into: &Path) -> Result<(), ReviewError>;
}

/// Why a reviewer could not look.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// Something that it needs could not be read.
    #[error("the change could not be read: {0}")]
    Unreadable(String),
    /// It cannot look now.
    #[error("the reviewer is not available: {0}")]
    Unavailable(String),
}

impl ReviewError {
    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreadable(_) => ErrorClass::Bug,
            Self::Unavailable(_) => ErrorClass::TRANSIENT,
        }
    }
}
