//! What the examples share: a live view of a run, and how a command prints.
//!
//! On a terminal, a spinner for each task under way; elsewhere, a plain line for each thing that was decided.

// What panics where nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod checks;
mod holds;
mod kinds;
mod output;
mod records;
mod screen;
mod view;

pub use checks::print_checks;
pub use holds::{agents, holds};
pub use kinds::agent_kinds;
pub use output::{NOBODY_READS, complain, print};
pub use view::show;
