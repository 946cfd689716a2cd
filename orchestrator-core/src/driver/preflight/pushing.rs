//! Whether a push would come through, and what the person has that is not pushed.

use super::Check;
use crate::{
    driver::{BuildError, world::World},
    git::{Destination, Distance, DryRun, GitError, LocalRemote},
    model::CommitId,
};

impl World {
    /// Connection, login and, for a remote on this machine, what a dry run does not see.
    pub(super) async fn pushing(&self, tip: CommitId) -> Result<Check, BuildError> {
        let Destination::Remote { name, .. } = self.lane.trusted.destination() else {
            return Ok(Check::skipped("push", "the policy pushes nothing"));
        };
        let target = self.lane.trusted.target();
        let failed = |why: String| {
            let what = format!("`git push --dry-run` to `{name}` failed: {why}");
            let fix = format!("make `git push {name} {target}` work here without a question");
            Check::failed("push", what, Some(fix))
        };
        match self.lane.trusted.dry_run(tip).await {
            Ok(None | Some(DryRun::Reached)) => {}
            Ok(Some(DryRun::Refused { why })) => return Ok(failed(why)),
            Err(error @ (GitError::Silent { .. } | GitError::TimedOut { .. })) => {
                return Ok(failed(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(match self.lane.trusted.local_remote().await? {
            Some(LocalRemote::CheckedOut { path }) => {
                let what = format!(
                    "`{target}` is checked out in {}, which refuses to have it changed",
                    path.display()
                );
                let fix = "push to a bare repository, or set `receive.denyCurrentBranch` there";
                Check::warning("push", what, fix)
            }
            Some(LocalRemote::ReadOnly { path }) => {
                let what = format!("{} cannot be written", path.display());
                let fix = "change its owner or mode, or push elsewhere".to_owned();
                Check::failed("push", what, Some(fix))
            }
            Some(LocalRemote::Open) | None => {
                let what = format!(
                    "`{name}` was reached for a push (this proves connection and login only)"
                );
                Check::passed("push", what)
            }
        })
    }

    /// Commits of the person's branch that the remote does not have.
    pub(super) async fn unpushed(&self, tip: CommitId) -> Result<Check, BuildError> {
        let Destination::Remote { name, .. } = self.lane.trusted.destination() else {
            return Ok(Check::skipped(
                "unpushed commits",
                "the policy pushes nothing",
            ));
        };
        let target = self.lane.trusted.target();
        let theirs = format!("{name}/{target}");
        let known = self
            .lane
            .trusted
            .user()
            .distance(target, &self.lane.trusted, tip);
        let Some(distance) = known.await? else {
            let what = format!("there is no branch `{target}` here that can be compared");
            return Ok(Check::skipped("unpushed commits", what));
        };
        let Distance {
            ahead,
            behind,
            newest,
        } = distance;
        if ahead == 0 {
            let what = match behind {
                0 => format!("{target} is where {theirs} is"),
                behind => format!("{target} is {behind} behind {theirs}, which is worked on"),
            };
            return Ok(Check::passed("unpushed commits", what));
        }
        let more = if newest.len() < ahead as usize {
            ", ..."
        } else {
            ""
        };
        let also = match behind {
            0 => String::new(),
            behind => format!(" and {behind} behind"),
        };
        let what = format!(
            "{target} is {ahead} ahead of{also} {theirs} ({}{more}): not part of this run",
            newest.join(", ")
        );
        let fix = match behind {
            0 => format!("git push {name} {target}"),
            _ => format!("git pull --rebase {name} {target} && git push {name} {target}"),
        };
        Ok(Check::warning("unpushed commits", what, fix))
    }
}
