//! Child processes under supervision: started in a session of their own, bounded in time and output, and gone when they
//! are stopped, with all that they started (law 12).
//!
//! ```text
//! Spawn ──► Child ──┬── stdin, stdout, stderr
//!                   ├── wait ──► Exit
//!                   └── Killer::stop(grace)   TERM ─ grace ─► KILL ─► sweep until nobody is left
//! ```
//!
//! A process is found again by what it cannot shed by accident: the marker in its environment
//! ([`MARK_VARIABLE`]), or membership in the session. Killing a process group is not enough: real agents start each tool
//! in a session of its own. On Linux both are read from `/proc`; elsewhere only the group is signalled.
//!
//! Public and stable: backends are built on this.

mod capture;
mod child;
mod lines;
mod recording;
mod run;
mod sweep;

pub use capture::Captured;
pub use child::{Child, Exit, Input, Killer, Spawn};
pub use lines::{Line, LineReader};
pub use recording::Recording;
pub use run::{Finished, OutputLimits, run_to_end};
pub use sweep::{MARK_VARIABLE, kill_marked, marked};
