//! A turn through `codex app-server`: JSON-RPC over its standard streams, one process for each turn.
//!
//! ```text
//! initialize ─► thread/start | thread/resume ─► (is the sandbox as it should be?) ─► turn/start ─► notifications ─► turn/completed
//!                                                                                       ▲
//!                                                            turn/steer, turn/interrupt ┘
//! ```

mod begin;
mod conversation;
#[cfg(test)]
mod conversation_tests;
mod failure;
mod held;
mod items;
mod limits;
mod requests;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod update_tests;
mod usage;
mod wire;

pub(crate) use begin::Begin;
pub(crate) use conversation::AppServer;
pub(crate) use held::{Held, settings};
