//! Any agent that speaks the [Agent Client Protocol](https://agentclientprotocol.com), version 1, as an agent of the orchestrator:
//! `opencode acp`, `gemini --acp`, `qwen --acp`, and the adapters for others.
//!
//! ```text
//! initialize ─► session/new | session/load ─► [session/set_mode] ─► session/prompt ─► updates … ─► stop reason
//!                                                                        ▲  permission? ─► asked of the permissions
//!                                                                        └─ session/cancel, when it is stopped
//! ```
//!
//! One process for each turn; a further turn loads the session. Agents differ in where they say what they cost, in whether they
//! ask for permission and in how they end: what is common is read, and the rest is ignored. What was measured, with which versions,
//! and what was not, is in the tests beside this file.
//!
//! It is the least that agents have in common: no answer by a schema, and no tokens where a turn was stopped. Where an agent has a backend of
//! its own, that one knows more.
//!
//! # What it cannot promise
//!
//! The agent runs as this user. Nothing but its own configuration and the [`Permissions`] given here keep it from a tool; agents that do
//! not ask are not kept from anything.

mod backend;
mod conversation;
mod settings;

pub use backend::AcpBackend;
pub use orchestrator_core::agent::{Permission, Permissions};
pub use settings::AcpSettings;
