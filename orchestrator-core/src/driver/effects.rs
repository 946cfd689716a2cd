//! The one seam between the loop and the world: an effect goes in, its closing event comes out.
//!
//! ```text
//! perform(effect, sink) -> event
//!    ├── Host   workspaces, agents, processes
//!    └── Lane   roadmap, reviews, candidates, gates, landings
//! ```

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::sync::{broadcast, mpsc};

use super::{RunError, handle::Notice, host::Host, lane::Lane, progress::Progress};
use crate::model::{AttemptId, Effect, EffectId, EventKind, Policy, RunId};

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

/// Where an effect tells what happens before it ends.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    /// The effect.
    pub(super) effect: EffectId,
    pub(super) events: mpsc::Sender<EventKind>,
    pub(super) notices: broadcast::Sender<Notice>,
}

impl Sink {
    /// Tells of what takes long.
    pub(super) fn progress(&self, attempt: Option<&AttemptId>) -> Progress {
        Progress::of(&self.notices, attempt.cloned())
    }

    /// Tells the loop, which is gone only when the run is.
    pub(super) async fn tell(&self, event: EventKind) {
        drop(self.events.send(event).await);
    }
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

/// What agents see: what the policy allows, and nothing that lets git ask for, or find, a credential to push with.
pub(super) fn agents_environment(allowed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = allowed.clone();
    let off = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "/bin/false"),
        ("GIT_SSH_COMMAND", "/bin/false"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "credential.helper"),
        ("GIT_CONFIG_VALUE_0", ""),
    ];
    environment.extend(off.map(|(key, value)| (key.to_owned(), value.to_owned())));
    environment
}
