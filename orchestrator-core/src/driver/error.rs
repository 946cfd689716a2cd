//! Why a run cannot begin, or go on.

use std::path::PathBuf;

use thiserror::Error;

use crate::{
    git::GitError,
    machine::{IllegalEvent, Misfit, ReplayError, RoadmapFault},
    model::{BackendName, EffectId, InvalidName, PolicyError},
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
    /// A path of the repository that is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The state directory cannot be used.
    #[error("the state directory {path}: {why}")]
    StateDir {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The roadmap cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The roadmap cannot be worked on.
    #[error("the roadmap cannot be worked on:\n{}", .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
    Roadmap(Vec<RoadmapFault>),
    /// Nobody is there to do the work.
    #[error("there is no agent: define one in the policy, as in `[agents.NAME]`, or give one to the builder")]
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
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger cannot be folded.
    #[error("the ledger does not make sense")]
    Replay(#[from] ReplayError),
}

/// Why a run broke off. What was in flight goes on when the same state directory is opened again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The ledger cannot be written: nothing may be done that is not in it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Evidence cannot be kept.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The roadmap cannot be read any more.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target cannot be read any more.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The roadmap cannot be worked on any more.
    #[error("the roadmap cannot be worked on: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Roadmap(Vec<RoadmapFault>),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Illegal(#[from] IllegalEvent),
    /// A bug of ours.
    #[error("a bug in the orchestrator")]
    Misfit(#[from] Misfit),
    /// A bug of ours.
    #[error("a bug in the orchestrator: effect {0} belongs to no attempt")]
    NoAttempt(EffectId),
    /// A port's implementation panicked.
    #[error("an effect panicked: {0}")]
    Panicked(String),
}
