//! Hermetic git repositories, scripted workers, and checks for what is built on `orchestrator-core`.
//!
//! Everything is real: real git, real processes, real files, in a temporary directory that goes with its owner. Nothing
//! reads or writes the user's configuration.

mod check;
mod repository;
mod worker;

pub use check::{RunOutcome, replayed, run_checked};
pub use repository::{Sandbox, git, git_binaries};
pub use worker::{ScriptedAgent, shell_worker};
