//! One snapshot of the state, and every view rendered from that one: so no two views can disagree.

mod brief;
mod snapshot;
mod table;

pub use brief::{Brief, Choice};
pub use snapshot::{EvidenceView, HoldView, Snapshot, TaskState, TaskView};
pub use table::table;
