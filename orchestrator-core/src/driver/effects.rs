//! What every effect is performed with: where it tells what happens, and what processes see.

use std::collections::BTreeMap;

use tokio::sync::{broadcast, mpsc};

use super::{handle::Notice, progress::Progress};
use crate::{
    git::GitError,
    model::{AttemptId, EffectId, EventKind},
};

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

    /// Tells the loop at once that the remote no longer has the target, so that nothing is started
    /// which could not land.
    pub(super) async fn target_gone(&self, error: &GitError) {
        if let GitError::NoTarget { .. } = error {
            let why = error.to_string();
            self.tell(EventKind::TargetGone { why }).await;
        }
    }

    /// Tells the loop, which is gone only when the run is.
    pub(super) async fn tell(&self, event: EventKind) {
        drop(self.events.send(event).await);
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
