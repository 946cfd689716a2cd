//! Noticing, while it can still be talked about, that work which was kept apart drifts together.

use std::collections::BTreeSet;

use super::handle::Notice;
use crate::{
    machine::State,
    model::{AttemptId, RepoPath},
};

/// What was warned of before: each path of each pair is told once.
#[derive(Debug, Default)]
pub(super) struct Drift {
    told: BTreeSet<(AttemptId, AttemptId, RepoPath)>,
}

impl Drift {
    /// Compares what workers have touched, committed or not, with one another, and with what the contracts of the other open
    /// attempts allow.
    pub(super) fn notices(
        &mut self,
        state: &State,
        touched: &[(AttemptId, Vec<RepoPath>)],
    ) -> Vec<Notice> {
        let open: Vec<_> = state
            .tasks()
            .iter()
            .filter_map(|entry| entry.occupying())
            .collect();
        let has = |attempt: &AttemptId, path: &RepoPath| {
            touched
                .iter()
                .any(|(other, paths)| other == attempt && paths.contains(path))
        };
        let mut notices = Vec::new();
        for (one, paths) in touched {
            for other in open.iter().filter(|other| other.id != *one) {
                let meets =
                    |path: &&RepoPath| other.contract.permits(path).is_ok() || has(&other.id, path);
                let new: Vec<_> = paths
                    .iter()
                    .filter(meets)
                    .filter(|path| self.tell(one, &other.id, path))
                    .cloned()
                    .collect();
                if !new.is_empty() {
                    notices.push(Notice::Drift {
                        attempt: one.clone(),
                        towards: other.id.clone(),
                        paths: new,
                    });
                }
            }
        }
        notices
    }

    /// Whether this is new, whichever of the two it was told of.
    fn tell(&mut self, one: &AttemptId, other: &AttemptId, path: &RepoPath) -> bool {
        let (first, second) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        self.told
            .insert((first.clone(), second.clone(), path.clone()))
    }
}
