//! Claude Code as an agent of the orchestrator: the real `claude -p` in its duplex mode, which reads and writes JSON lines.
//!
//! ```text
//! {"type":"user"} ─► init ─► assistant, tool results … ─► result          the turn is over, with its answer by the schema
//!                              ▲            ▲      └─► no answer by the schema: asked for it once, in the same process
//!                              │            └─ can_use_tool ─► the permissions, where some are given
//!                              └─ get_binary_version, after some silence: does it live?
//!        interrupt ─► result                                              when it is stopped; INT, TERM, KILL and a sweep follow
//! ```
//!
//! One process for each turn; a further turn resumes the session. The program stays until its result was read and its input is closed, so
//! that nothing that it says is lost. What it does is bounded by a list of tools, which has no agents, no web and no background tasks; by
//! its own permissions, under which its file tools change nothing outside of the workspace; and, where they are asked for, by
//! [`Permissions`] in Rust, which judge each call at the moment at which it is tried. Nothing of the user's own set-up counts: no settings,
//! hooks, memory, skills or servers, neither the user's nor the project's, and no `CLAUDE.md`; the prompt says what is to be known.
//!
//! What was measured, with which versions (2.1.197, 2.1.330 and 2.1.332), is in the tests beside this file; `tests/fixtures` are recordings of it.
//!
//! # What it does not do
//!
//! - Nothing keeps its commands from writing elsewhere as this user, or from the network. A worker has nothing with which it could push, and
//!   what it changes is checked by git; for more, give it Claude Code's own sandbox by [`ClaudeBackend::sandbox`] (it needs `bwrap` and
//!   `socat`, and `git add --all` fails in it, which a worker is told), or run all of this in a container.
//! - A key in its environment is seen by its commands.
//! - A session is gone on with in the workspace of its own attempt. From another one's, 2.1.197 does not find it, and the turn ends as
//!   [`SessionLost`](orchestrator_core::model::TurnOutcome::SessionLost); 2.1.330 does, and works in the workspace that it was given.
//! - What earlier turns of a session have cost in US dollars, which 2.1.330 counts in, is known as long as this process lives; after that, a
//!   further turn costs the dollars of all of them. Tokens are right.
//! - That it answers when it is asked whether it lives counts as life while a tool runs. A model that is silent is not heard better for it, so
//!   [`ClaudeBackend::silent_for_at_most`] bounds that.

mod arguments;
mod backend;
mod conversation;
mod features;
mod outcome;
mod sandbox;
mod session;
mod settings;

pub use backend::ClaudeBackend;
pub use orchestrator_core::agent::{Permission, Permissions};
pub use settings::{ClaudeEffort, ClaudePermissions, ClaudeSandbox, ClaudeSettings};
