//! The one seam between the loop and the world: an effect goes in, its closing event comes out.
//!
//! ```text
//! perform(effect, sink) -> event
//!    ├── Host   workspaces, agents, processes
//!    └── Lane   roadmap, reviews, candidates, gates, landings
//! ```

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{RunError, effects::Sink, host::Host, lane::Lane};
use crate::model::{Effect, EventKind, Policy, RunId};

/// Who performs effects, and what both of them share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) run: RunId,
    pub(super) state_dir: PathBuf,
    /// What the markers of our processes begin with.
    pub(super) mark: String,
    pub(super) policy: Arc<Policy>,
    /// What the policy lets workers and gates see of our environment.
    pub(super) environment: Arc<BTreeMap<String, String>>,
    pub(super) host: Host,
    pub(super) lane: Lane,
}

impl World {
    /// Does it, and says how it went. An effect holds all that is needed to do it.
    pub(super) async fn perform(&self, what: Effect, sink: Sink) -> Result<EventKind, RunError> {
        match &what {
            Effect::Prepare { .. }
            | Effect::RunTurn { .. }
            | Effect::Nudge { .. }
            | Effect::StopTurn { .. }
            | Effect::Collect { .. } => self.host.perform(what, sink).await,
            Effect::CleanUp {
                attempt, landed, ..
            } => {
                self.lane.settle_caches(attempt, *landed).await;
                self.host.perform(what, sink).await
            }
            Effect::ReadRoadmap { .. }
            | Effect::CheckHistory { .. }
            | Effect::Review { .. }
            | Effect::Merge { .. }
            | Effect::RunGate { .. }
            | Effect::CancelGate { .. }
            | Effect::Land { .. }
            | Effect::Report { .. } => self.lane.perform(what, sink).await,
        }
    }
}
