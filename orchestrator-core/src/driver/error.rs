//! Why a run cannot begin, or go on.

use std::path::PathBuf;

use thiserror::Error;

use super::{Check, StoreError};
use crate::{
    git::GitError,
    machine::{IllegalEvent, Misfit, ReplayError, RoadmapFault},
    model::{BackendName, EffectId, PolicyError},
    port::{AgentError, EvidenceError, LedgerError, SourceError},
};

/// Why an orchestrator cannot be built. Nothing was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// We are inside an agent's environment: agents start no agents.
    #[error("this runs inside an agent's session ({variable} is set), and agents start no agents")]
    Nested {
        /// The variable that tells.
        variable: &'static str,
    },
    /// Something that must be said was not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The policy cannot be used.
    #[error("the policy cannot be used")]
    Policy(#[from] PolicyError),
    /// Git, or the repository, cannot be used.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The repository is in use.
    #[error("{path}: {why}")]
    Repository {
        /// Its git directory.
        path: PathBuf,
        /// Why it cannot be used, and the mend.
        why: String,
    },
    /// The state directory cannot be used.
    #[error("the state directory {path}: {why}")]
    StateDir {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The roadmap cannot be read, or not be worked on.
    #[error(transparent)]
    Roadmap(#[from] RoadmapError),
    /// Nobody is there to do the work.
    #[error(
        "there is no agent: define one in the policy, as in `[agents.NAME]`, or give one to the builder"
    )]
    NoAgent,
    /// An agent cannot be used.
    #[error("agent `{name}` cannot be used")]
    Agent {
        /// Which.
        name: BackendName,
        /// Why.
        #[source]
        error: AgentError,
    },
    /// Something that can be known before money is spent speaks against it.
    #[error("{0}")]
    Preflight(Check),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] StoreError<LedgerError>),
    /// The ledger cannot be folded.
    #[error("the ledger does not make sense")]
    Replay(#[from] ReplayError),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Illegal(#[from] IllegalEvent),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Misfit(#[from] Misfit),
}

/// Why a roadmap cannot be worked on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RoadmapError {
    /// The commit that it is in cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It was read, and makes no sense as a whole.
    #[error("the roadmap cannot be worked on:\n{}", .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<RoadmapFault>),
}

/// Why a run broke off. What was in flight goes on when the same state directory is opened again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The ledger cannot be written: nothing may be done that is not in it.
    #[error(transparent)]
    Ledger(#[from] StoreError<LedgerError>),
    /// Evidence cannot be kept.
    #[error(transparent)]
    Evidence(#[from] StoreError<EvidenceError>),
    /// Our own repository, or the target, cannot be read or written any more.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Illegal(#[from] IllegalEvent),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Misfit(#[from] Misfit),
    /// A bug of ours.
    #[error("a bug in the orchestrator: effect {0} was given to the wrong performer")]
    WrongPerformer(EffectId),
    /// A port's implementation panicked.
    #[error("an effect panicked: {0}")]
    Panicked(String),
}
