//! What can be known before money is spent.
//!
//! ```text
//! build      here ─► beyond                    the first that failed is an error; warnings are kept
//! preflight  here ─► beyond ─► default gates   each is given when it is known; one that failed stops only what needs it
//! ```
//!
//! `here` asks no network; `beyond` asks the remote, and looks at what the target holds. A run runs its default gates beside the first
//! workers.

mod beyond;
mod budgets;
mod check;
mod elsewhere;
mod found;
mod gates;
mod here;
mod hooks;
mod programs;
mod pushing;
mod scratch;

pub use check::{Check, CheckOutcome, Preflight};

pub(super) use elsewhere::remarks_of;
pub(super) use found::Found;
pub(super) use scratch::preflight;
