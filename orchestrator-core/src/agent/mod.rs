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

mod command;
mod installed;
mod last_word;
pub mod lenient;
mod permission;
mod process;
mod protocol;
mod schema;
mod spent;
mod words;

pub use command::CommandAgent;
pub use installed::{is_installed, named_variables, told_version};
pub use last_word::handoff_in;
pub use permission::{Bounds, Permission, Permissions};
pub use process::AgentProcess;
pub use protocol::{Ended, Protocol, Reply};
pub use schema::strict_schema;
pub use spent::Spent;

pub use crate::untrusted::{make_beneath, read_small, touch};
pub use words::{LineWords, words};
