//! One snapshot of the state, and every view rendered from that one: so no two views can disagree.

mod agents;
mod brief;
mod brief_words;
mod cleaned;
mod costs;
mod doing;
mod last_turn;
mod nudges;
#[cfg(feature = "driver")]
mod report;
mod snapshot;
mod story;
mod table;

pub use agents::AgentView;
pub use brief::{Brief, Choice};
pub use doing::Doing;
pub use nudges::{NudgeEnd, NudgeStory, Nudged, Nudges};
#[cfg(feature = "driver")]
pub use report::{Figures, Report, RunEvent};
pub use snapshot::{EvidenceView, HoldView, Snapshot, TaskState, TaskView};
pub use story::{AttemptEnd, AttemptStory, HoldStory, PhaseKind, PhaseSpan, TaskStory, stories};
pub use table::table;
