//! Reading the roadmap at a commit of the target.

use super::{RunError, error::RoadmapError, lane::Lane};
use crate::{
    git::GitError,
    machine::check_roadmap,
    model::{CommitId, Reading, Roadmap, with_source},
    port::ErrorClass,
};

impl Lane {
    /// Reads the roadmap at a tip that we have, or at the target's as it is now. Only what is our own trouble is an error.
    pub(super) async fn read_roadmap(&self, tip: Option<CommitId>) -> Result<Reading, RunError> {
        let tip = match tip {
            Some(tip) => tip,
            None => match self.trusted.fetch_target().await {
                Ok(tip) => tip,
                Err(GitError::Unreachable { why, .. }) => return Ok(Reading::Unreachable { why }),
                // What runs goes on, and nothing new starts: a branch that was renamed may be named back.
                Err(error @ GitError::NoTarget { .. }) => return self.no_target(error),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(match self.load_roadmap(tip).await {
            Ok(roadmap) => Reading::Read(roadmap),
            Err(RoadmapError::Source(error))
                if matches!(error.class(), ErrorClass::Transient { .. }) =>
            {
                let why = with_source(&error);
                Reading::Unreachable { why }
            }
            Err(RoadmapError::Git(error)) => return Err(error.into()),
            Err(error @ (RoadmapError::Source(_) | RoadmapError::Faults(_))) => Reading::Refused {
                tip,
                why: error.to_string(),
            },
        })
    }

    fn no_target(&self, error: GitError) -> Result<Reading, RunError> {
        let Some(tip) = self.trusted.tip()? else {
            return Err(error.into());
        };
        let why = error.to_string();
        Ok(Reading::Refused { tip, why })
    }

    /// The roadmap as it is at this commit, checked.
    pub(super) async fn load_roadmap(&self, tip: CommitId) -> Result<Roadmap, RoadmapError> {
        let tree = self.trusted.tree_of(tip)?;
        let view = self.tree(tree, format!("commit {}", tip.short()));
        let snapshot = self.source.snapshot(&view).await?;
        check_roadmap(&snapshot.tasks, &self.policy, &self.agents).map_err(RoadmapError::Faults)?;
        Ok(Roadmap {
            revision: snapshot.revision,
            tip,
            tree,
            tasks: snapshot.tasks,
        })
    }
}
