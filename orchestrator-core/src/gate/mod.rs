//! Running gates: deterministic checks on an exact tree, as untrusted processes (law 8).

mod cache;
mod run;

pub use cache::{CacheOf, GateCaches};
pub use run::{GateRun, run_gate};
pub(crate) use run::{environment_hash, visible_environment};
