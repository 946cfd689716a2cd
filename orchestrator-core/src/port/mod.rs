//! The traits by which others take part: nothing but the traits, their requests and their errors.
//!
//! ```text
//!                 ┌── AgentBackend ── Turn      who does the work
//!                 ├── TaskSource                where tasks come from
//! driver ─────────┼── Reviewer                  who looks at it
//!                 ├── Ledger                    what was decided
//!                 └── EvidenceStore             what was seen
//! ```
//!
//! All are object-safe and open to strangers, and an `Arc<T>` or `Box<T>` of one is one. A port decides nothing: no retry, no timeout, no acceptance. What must grow
//! grows as a field of a `#[non_exhaustive]` request, not as a method with a default.

mod agent;
mod error;
mod evidence;
mod ledger;
mod pointers;
mod reviewer;
mod source;

pub use agent::{
    AgentBackend, AgentError, Capabilities, Counting, Probe, Silence, Turn, TurnControl, TurnInput,
    TurnRequest, Update,
};
pub use error::{ErrorClass, PortFailure};
pub use evidence::{EvidenceError, EvidenceStore, Stored};
pub use ledger::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, Sequence};
pub use reviewer::{ChangeView, ReviewError, ReviewRequest, Reviewer};
pub use source::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView};
