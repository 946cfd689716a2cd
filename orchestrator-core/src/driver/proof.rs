//! A file that a person brings along with an answer.

use std::{fs::File, io, path::Path};

use thiserror::Error;

use super::{StoreError, StoreLimits, keeper::keep_file};
use crate::{
    model::{KeptArtifact, RepoPath},
    port::{EvidenceError, EvidenceStore},
};

/// The largest file that an answer may bring, in bytes.
const MAX_PROOF: u64 = 64 << 20;

/// Why a file cannot be a proof.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Its name has characters that a record cannot have.
    #[error("its name cannot be kept: give it a plain one")]
    Name,
    /// It is a directory, or a pipe.
    #[error("it is not a regular file")]
    NotAFile,
    /// It cannot be opened.
    #[error("it cannot be opened")]
    Unreadable(#[source] io::Error),
    /// It is too large.
    #[error("it has more than {} MiB", MAX_PROOF >> 20)]
    TooLarge,
    /// The evidence store cannot keep it.
    #[error(transparent)]
    Evidence(#[from] StoreError<EvidenceError>),
}

/// Keeps a file where an answer can name it: a person's proof. At most 64 MiB. `evidence` is the store that the run uses.
///
/// # Errors
/// [`ProofError`].
pub async fn bring_proof(
    evidence: &dyn EvidenceStore,
    file: &Path,
) -> Result<KeptArtifact, ProofError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.and_then(|name| name.parse::<RepoPath>().ok());
    let name = name.ok_or(ProofError::Name)?;
    let known = file.metadata().map_err(ProofError::Unreadable)?;
    if !known.is_file() {
        return Err(ProofError::NotAFile);
    }
    let content = File::open(file).map_err(ProofError::Unreadable)?;
    let stored = keep_file(evidence, StoreLimits::default(), content, MAX_PROOF).await?;
    if stored.truncated {
        return Err(ProofError::TooLarge);
    }
    Ok(KeptArtifact {
        name,
        hash: stored.hash,
        size: stored.size,
    })
}
