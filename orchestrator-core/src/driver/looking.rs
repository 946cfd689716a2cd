//! What a heartbeat looks at beyond files of a few bytes: the target, and what workers touch.
//!
//! Git and a remote are asked for that, and may take until their deadlines. So it goes on beside the look at all workspaces, on which stall
//! detection stands, and nothing waits for it.

use super::{host::Host, lane::Lane, world::World};
use crate::{
    git::{Destination, GitError},
    model::{AttemptId, CommitId, EventKind, RepoPath, with_source},
};

/// Of what a worker touches, so many paths are compared.
const MAX_TOUCHED: usize = 1000;

/// What there is to look at.
#[derive(Debug)]
pub(super) struct Question {
    /// The target's tip as it is known.
    pub(super) tip: Option<CommitId>,
    /// Whether the target is looked at.
    pub(super) ask: bool,
    /// Attempts in which an agent works, with their bases.
    pub(super) workers: Vec<(AttemptId, CommitId)>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Checked {
    /// The target's tip as it was known when the look began.
    pub(super) tip: Option<CommitId>,
    pub(super) facts: Vec<EventKind>,
    /// What workers have touched, where that was asked.
    pub(super) touched: Vec<(AttemptId, Vec<RepoPath>)>,
    /// Of each of them, whether that could not be read.
    pub(super) unreadable: Vec<(AttemptId, bool)>,
}

impl World {
    pub(super) async fn check(&self, question: Question) -> Checked {
        let Question { tip, ask, workers } = question;
        let target = async {
            if ask {
                self.lane.target_facts(tip).await
            } else {
                Vec::new()
            }
        };
        let (facts, (touched, unreadable)) = tokio::join!(target, self.host.touched(workers));
        Checked {
            tip,
            facts,
            touched,
            unreadable,
        }
    }
}

impl Lane {
    async fn target_facts(&self, tip: Option<CommitId>) -> Vec<EventKind> {
        let trusted = &self.trusted;
        let remote = matches!(trusted.destination(), Destination::Remote { .. });
        let mut facts = Vec::new();
        // In the person's own repository a look at the ref tells whether there is anything to fetch.
        let moved = remote || trusted.user().tip(trusted.target()).await.ok() != tip;
        if moved {
            match trusted.fetch_target().await {
                Ok(tip) => facts.push(EventKind::TipSeen(tip)),
                Err(GitError::Unreachable { why, .. }) => facts.push(EventKind::RemoteAway { why }),
                Err(error @ GitError::NoTarget { .. }) => {
                    let why = error.to_string();
                    facts.push(EventKind::TargetGone { why });
                }
                // In the person's own repository it is asked again; landing says so if it matters.
                Err(_) => {}
            }
        }
        if !remote && let Ok(checkout) = trusted.user().checkout(trusted.target()).await {
            facts.push(EventKind::CheckoutSeen(checkout));
        }
        facts
    }
}

impl Host {
    async fn touched(
        &self,
        workers: Vec<(AttemptId, CommitId)>,
    ) -> (Vec<(AttemptId, Vec<RepoPath>)>, Vec<(AttemptId, bool)>) {
        let mut touched = Vec::new();
        let mut unreadable = Vec::new();
        for (attempt, base) in workers {
            let workspace = self.workspaces.of(&attempt);
            let paths = workspace.touched(&self.trusted, base, MAX_TOUCHED).await;
            unreadable.push((attempt.clone(), paths.is_err()));
            // A workspace that cannot be read now is looked at again; what counts is the look when the turn is over.
            match paths {
                Ok(paths) => touched.push((attempt, paths)),
                Err(error) => {
                    tracing::warn!(%attempt, error = with_source(&error), "a workspace cannot be looked at");
                }
            }
        }
        (touched, unreadable)
    }
}
