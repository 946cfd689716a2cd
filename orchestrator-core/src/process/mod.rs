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
//! A process that clears its environment and leaves its session is found by its control group, where this process may make such
//! groups ([`has_cgroups`]); where not, it is out of reach, and an agent that is not trusted so far belongs into a pid namespace
//! or a container: give the command that makes one (`unshare --pid --kill-child`, `bwrap`, ...) as the agent's program. A worker
//! of the same user that means harm can leave its group; only another user or a container stops that.
//!
//! Public and stable: backends are built on this.

mod capture;
mod cgroup;
mod child;
mod death;
mod ends;
mod hide;
mod init;
mod lines;
mod missing;
mod moment;
mod motion;
mod recording;
mod run;
mod sessions;
mod signals;
mod sweep;

pub use capture::Captured;
pub use cgroup::has_cgroups;
pub use child::{Child, Exit, Input, Killer, Spawn, can_run};
pub(crate) use ends::{labelled_ends, with_ends};
pub use hide::hide_environment;
pub use init::act_as_init;
pub use lines::{Line, LineReader, Read};
pub(crate) use missing::why_not_run;
pub(crate) use moment::Moment;
pub(crate) use motion::{GivenUp, Patience};
pub use recording::StreamRecorder;
pub(crate) use run::run_while_moving;
pub use run::{Finished, OutputLimits, run_to_end};
pub use signals::EndSignals;
pub use sweep::{MARK_VARIABLE, kill_marked, marked};
pub(crate) use sweep::{end_marked, marked_since, sweep_marked};
