//! Hermetic git repositories, scripted workers, and checks for what is built on `orchestrator-core`.
//!
//! Everything is real: real git, real processes, real files, in a temporary directory that goes with its owner. Nothing
//! reads or writes the user's configuration.

mod check;
pub mod conformance;
mod faulty;
mod history;
mod lfs;
#[cfg(feature = "mocks")]
pub mod mocks;
#[cfg(feature = "models")]
pub mod model_server;
mod play;
#[cfg(feature = "programs")]
mod program;
#[cfg(feature = "real")]
mod real;
#[cfg(feature = "real")]
mod real_stage;
mod recording;
mod replay;
mod repository;
pub mod simulator;
mod turn;
mod views;
mod whole_run;
mod worker;

pub use check::{RunOutcome, replayed, run_checked, run_on};
pub use faulty::{Faulty, StoreCall, StoreFault};
pub use history::{Edit, Fork, HISTORIES, History};
pub use play::{Play, Player, Step, arguments, handoff, play_if_asked};
#[cfg(feature = "programs")]
pub use program::{REQUIRED, ToolTest, tool_main};
#[cfg(feature = "real")]
pub use real::{RealAgent, RealTest, private_agent_main, real_agent_main};
#[cfg(feature = "real")]
pub use real_stage::{RealStage, land, wait_for_marked};
pub use recording::{Recording, Recordings, Told};
pub use replay::Replay;
pub use repository::{Sandbox, git, git_binaries};
pub use turn::{Ran, block_on, block_on_within, ran};
pub use views::{MemoryTree, ProposedChange};
pub use whole_run::check_stores;
pub use worker::{ScriptedAgent, shell_worker, write_handoff};
