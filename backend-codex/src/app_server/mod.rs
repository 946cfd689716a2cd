//! A turn through `codex app-server`: JSON-RPC over its standard streams, one process for each turn.
//!
//! ```text
//! initialize ─► thread/start | thread/resume ─► (is the sandbox as it should be?) ─► turn/start ─► notifications ─► turn/completed
//!                                                                                       ▲
//!                                                            turn/steer, turn/interrupt ┘
//! ```

mod conversation;
mod failure;
mod held;
mod items;
mod limits;
mod requests;
mod usage;
mod wire;

pub(crate) use conversation::{AppServer, Begin};
pub(crate) use held::{Held, settings};
