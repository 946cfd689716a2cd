//! What the remote says, and what the target holds.

use std::{collections::BTreeSet, ffi::OsStr, path::Path};

use super::{Check, Found, hooks::hooks_of};
use crate::{
    driver::{BuildError, effects::agents_environment, world::World},
    git::{Destination, Overview},
    machine::check_task,
    model::{AgentWarning, BackendName, CommitId, Roadmap},
    process::can_run,
};

impl World {
    /// Looks at all that is known when the remote has been asked; the roadmap, if it can be worked on.
    pub(in crate::driver) async fn look_beyond(
        &self,
        found: &mut Found,
    ) -> Result<Option<Roadmap>, BuildError> {
        let tip = match self.lane.trusted.fetch_target().await {
            Ok(tip) => tip,
            Err(error) => {
                found.add("target", Err(error.into())).await?;
                return Ok(None);
            }
        };
        found.add("target", Ok(self.target_at(tip))).await?;
        let roadmap = match self.lane.load_roadmap(tip).await {
            Ok(roadmap) => roadmap,
            Err(error) => {
                found.add("roadmap", Err(error.into())).await?;
                return Ok(None);
            }
        };
        let open = roadmap.tasks.iter().filter(|task| !task.done).count();
        let what = format!("{} tasks, {open} of them open", roadmap.tasks.len());
        found
            .add("roadmap", Ok(Check::passed("roadmap", what)))
            .await?;
        for name in self.needed_agents(&roadmap) {
            let label = format!("agent {name}");
            found.add(&label, self.agent(&label, &name).await).await?;
        }
        found.add("budgets", Ok(self.budgets(&roadmap))).await?;
        found
            .add("unpushed commits", self.unpushed(tip).await)
            .await?;
        let elsewhere = self.tasks_elsewhere(&roadmap).await;
        found.add("unpushed tasks", elsewhere).await?;
        let tree = self.lane.trusted.tree_of(tip)?;
        let overview = self.lane.trusted.overview(tree).await?;
        let filtered = self.filtered_files(tip, &overview).await;
        found.add("lfs", filtered).await?;
        let submodules = self.submodules(&overview);
        found.add("submodules", Ok(submodules)).await?;
        found
            .add("installed hooks", Ok(hooks_of(&overview)))
            .await?;
        for check in self.programs_in(tree)? {
            found.add("programs", Ok(check)).await?;
        }
        found.add("push", self.pushing(tip).await).await?;
        Ok(Some(roadmap))
    }

    fn target_at(&self, tip: CommitId) -> Check {
        let target = self.lane.trusted.target();
        let where_ = match self.lane.trusted.destination() {
            Destination::Remote { name, .. } => format!("{name}/{target}"),
            Destination::Local => target.to_string(),
        };
        Check::passed("target", format!("{where_} is at {}", tip.short()))
    }

    /// The agents that open tasks and reviews need, and those that may take over from them.
    fn needed_agents(&self, roadmap: &Roadmap) -> BTreeSet<BackendName> {
        let agents: Vec<_> = self.host.backends.keys().collect();
        let open = roadmap.tasks.iter().filter(|task| !task.done);
        let needed = open.filter_map(|task| check_task(task, &self.policy, &agents).ok());
        let reviewers = &self.policy.reviewers.agents;
        let mut all: BTreeSet<_> = needed.cloned().collect();
        let mut new: Vec<_> = all.iter().cloned().collect();
        while let Some(name) = new.pop() {
            let spec = self.policy.agents.get(&name);
            for other in spec.iter().flat_map(|spec| spec.failover()) {
                if all.insert(other.clone()) {
                    new.push(other.clone());
                }
            }
        }
        all.extend(reviewers.iter().cloned());
        all
    }

    async fn agent(&self, label: &str, name: &BackendName) -> Result<Check, BuildError> {
        let Some(backend) = self.host.backends.get(name) else {
            return Ok(Check::skipped(label, "nobody gave it"));
        };
        let environment = agents_environment(&self.environment);
        let probed = backend.probe_in(&environment).await;
        let probe = probed.map_err(|error| BuildError::Agent {
            name: name.clone(),
            error,
        })?;
        for warning in &probe.warnings {
            tracing::warn!(agent = %name, %warning);
        }
        if !probe.warnings.is_empty() {
            return Ok(warned(label, &probe.warnings));
        }
        let version = probe.version.as_deref().unwrap_or("it can be used");
        Ok(Check::passed(label, version))
    }

    /// Whether files of Git LFS, and of other filters, can be read and written here.
    async fn filtered_files(
        &self,
        tip: CommitId,
        overview: &Overview,
    ) -> Result<Check, BuildError> {
        let filters = &self.policy.filters;
        self.lane.trusted.check_filters(tip, filters).await?;
        if let Some(missing) = self.missing_filter(overview) {
            return Ok(missing);
        }
        let workers_path = self.environment.get("PATH").map(OsStr::new);
        self.lane.trusted.check_lfs(tip, workers_path).await?;
        Ok(match overview.lfs.first() {
            None => Check::passed("lfs", "the target has no such files"),
            Some(attributes) => {
                let what = format!("git-lfs is here, for the files that `{attributes}` names");
                Check::passed("lfs", what)
            }
        })
    }

    /// That a program is not here that the policy names for files of Git LFS.
    fn missing_filter(&self, overview: &Overview) -> Option<Check> {
        let attributes = overview.lfs.first()?;
        let filter = self.policy.filters.get("lfs")?;
        let lines = [&filter.process, &filter.clean, &filter.smudge];
        let line = lines.into_iter().flatten().next()?;
        let program = line.split_whitespace().next()?;
        let path = std::env::var_os("PATH");
        can_run(program.as_ref(), Path::new("/"), path.as_deref()).err()?;
        let what = format!("`{attributes}` names the filter `lfs`, and `{program}` is not here");
        let fix = "install it, or correct `[filters.lfs]` in the policy".to_owned();
        Some(Check::failed("lfs", what, Some(fix)))
    }

    /// Whether submodules are there for workers and gates.
    fn submodules(&self, overview: &Overview) -> Check {
        let label = "submodules";
        let Some(first) = overview.submodules.first() else {
            return Check::passed(label, "the target has none");
        };
        if self.policy.setup.submodules {
            return Check::passed(label, "workspaces and gates have them");
        }
        let what = match overview.submodules.len() {
            1 => format!("the target has the submodule `{first}`, which stays empty"),
            count => {
                format!("the target has {count} submodules, such as `{first}`, which stay empty")
            }
        };
        let fix = "set `submodules = true` in `[setup]` of the policy";
        Check::warning(label, what, fix)
    }
}

/// What an agent's probe warns of, as one check.
fn warned(label: &str, warnings: &[AgentWarning]) -> Check {
    let what: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let fixes: Vec<_> = warnings.iter().filter_map(AgentWarning::fix).collect();
    let fix = if fixes.is_empty() {
        "see what the agent says of it".to_owned()
    } else {
        fixes.join("; ")
    };
    Check::warning(label, what.join("; "), fix)
}
