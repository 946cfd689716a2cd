//! Running gates: deterministic checks on an exact tree, as untrusted processes (law 8).

mod cache;
mod run;

pub use cache::{CacheOf, GateCaches};
pub(crate) use run::visible_environment;
pub use run::{GateRun, run_gate};
