//! Agents that are programs: what they share, and the one in the box, any command.
//!
//! ```text
//! AgentBackend::start ──► AgentProcess (environment, marker, pipes, end) ──► Turn
//!                              │  lines in, replies out
//!                              ▼
//!                          Protocol   all that one agent's backend has to know
//! ```
//!
//! [The guide](crate::guide::writing_a_backend) builds a backend of this.

mod bubblewrap;
mod command;
mod installed;
mod kinds;
mod last_word;
pub mod lenient;
mod permission;
mod process;
mod program;
mod protocol;
mod pump;
mod sandbox_watch;
mod schema;
mod session_files;
mod turn_control;
mod turn_usage;
mod words;

pub use bubblewrap::{BubblewrapFault, try_bubblewrap};
pub use command::CommandAgent;
pub use installed::{is_installed, told_version};
pub use kinds::{AgentEntry, AgentKinds, RegisterError, SettingError};
pub use last_word::handoff_in;
pub use permission::{Bounds, Permission, Permissions};
pub use process::AgentProcess;
pub use program::AgentProgram;
pub use protocol::{Ended, Protocol, Reply};
pub use sandbox_watch::SandboxWatch;
pub use schema::strict_schema;
pub use session_files::{SessionFiles, read_session_file};

pub use crate::untrusted::{make_beneath, read_small, touch};
pub(crate) use words::LineWords;
pub use words::words;
