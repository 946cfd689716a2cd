//! The directory in which gates run: a tree, and whatever of a checkout the policy gives it besides.
//!
//! ```text
//! lane/tree       the exported tree; what a gate does to it is gone before the next one
//! lane/brought    submodules, and what `[setup] bring` names, between two gates: what a gate did to them is undone
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use super::{
    gate_job::{BROUGHT, GateJob, put_away_at},
    lane::Lane,
    ports::PORT_BASE,
    setup::{SetupPlace, not_brought, place_of, run_commands},
};
use crate::{
    git::{GitError, Module},
    model::{GateOutcome, Lacking, Setup, with_source},
    untrusted::remove,
};

/// A directory that is ready for its gate.
pub(super) struct GatePlace {
    pub(super) directory: PathBuf,
    /// What a gate sees in this place alone, and no report tells.
    pub(super) variables: BTreeMap<String, String>,
}

impl Lane {
    /// Makes the directory ready for a gate.
    ///
    /// # Errors
    /// With the outcome that says why it is not.
    pub(super) async fn make_gate_place(&self, job: &GateJob) -> Result<GatePlace, GateOutcome> {
        let directory = self.directory.join("tree");
        let not_started = |reason: String| GateOutcome::NotStarted { reason };
        let base = self.ports.of_gates().map_err(not_started)?;
        self.put_away().await;
        let exported = self.trusted.export(job.tree, &directory).await;
        exported.map_err(|error| not_started(with_source(&error)))?;
        if self.policy.setup.submodules || job.gate.repository {
            let placed = self.place_repositories(job, &directory).await;
            placed.map_err(|reason| GateOutcome::NotSetUp { reason })?;
        }
        let place = GatePlace {
            directory,
            variables: BTreeMap::from([(PORT_BASE.to_owned(), base.to_string())]),
        };
        if let Some(setup) = &job.gate.setup {
            let brought = self.bring_to_gate(setup, &place.directory).await;
            brought.map_err(|reason| GateOutcome::NotSetUp { reason })?;
        }
        Ok(place)
    }

    /// Runs the commands of the set-up that the gate asks for.
    ///
    /// # Errors
    /// With the outcome that says why it is not set up.
    pub(super) async fn set_up_gate(
        &self,
        job: &GateJob,
        place: &GatePlace,
        mark: &str,
    ) -> Result<(), GateOutcome> {
        let Some(setup) = &job.gate.setup else {
            return Ok(());
        };
        let mut environment = (*self.environment).clone();
        environment.extend(place.variables.clone());
        let ceiling = self.directory.to_string_lossy().into_owned();
        environment.insert("GIT_CEILING_DIRECTORIES".to_owned(), ceiling);
        let at = SetupPlace {
            directory: &place.directory,
            environment,
            mark,
        };
        let ran = run_commands(setup, &at, None).await;
        ran.map_err(|reason| GateOutcome::NotSetUp { reason })
    }

    /// What a gate does without.
    pub(super) async fn lacking(&self, job: &GateJob) -> Lacking {
        let mut lacking = Lacking::default();
        if !self.policy.setup.submodules {
            let links = self.trusted.gitlinks(job.tree).await.unwrap_or_default();
            lacking.submodules = links.into_iter().map(|(path, _)| path).collect();
        }
        lacking.repository = !job.gate.repository;
        if job.gate.setup.is_none() {
            lacking.brought.clone_from(&self.policy.setup.bring);
            lacking.commands = !self.policy.setup.run.0.is_empty();
        }
        lacking
    }

    /// Takes what was brought out of the directory again, before it is made another tree: it may serve once more.
    async fn put_away(&self) {
        let (lane, kept) = (self.directory.clone(), self.kept.clone());
        let moved = tokio::task::spawn_blocking(move || kept.take_out(&lane)).await;
        let moved = moved.unwrap_or_else(|error| Err(io::Error::other(error)));
        // What stays where it is, is removed with all that does not belong to the tree.
        moved.unwrap_or_else(
            |error| tracing::warn!(%error, "what was brought to a gate cannot be kept"),
        );
    }

    /// Gives a gate's directory its submodules, and repositories, as far as it is to have them.
    async fn place_repositories(&self, job: &GateJob, directory: &Path) -> Result<(), String> {
        let said = |error: GitError| with_source(&error);
        let modules = if self.policy.setup.submodules {
            self.place_modules(job, directory).await?
        } else {
            Vec::new()
        };
        if !job.gate.repository {
            return Ok(());
        }
        self.fetch_tags(job).await;
        let setup = job.gate.setup.iter();
        let brought = setup.flat_map(|setup| setup.bring.iter().cloned());
        let ignored: Vec<_> = brought.chain(job.gate.cache.iter().cloned()).collect();
        let made = self
            .trusted
            .write_gate_repository(directory, job.tree, job.head, &ignored);
        made.await.map_err(said)?;
        for module in &modules {
            let laid_out = put_away_at(&self.directory, &module.path);
            let made = self.trusted.write_gate_module(directory, module, &laid_out);
            made.map_err(said)?;
        }
        Ok(())
    }

    /// Fetches tags, once for each tip. What was known before is better than no gate.
    async fn fetch_tags(&self, job: &GateJob) {
        let tip = job.head.tip();
        let known = *self
            .kept
            .tags
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known == Some(tip) {
            return;
        }
        match self.trusted.fetch_tags().await {
            Ok(()) => {
                let mut known = self
                    .kept
                    .tags
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *known = Some(tip);
            }
            Err(error) => tracing::warn!(error = with_source(&error), "tags cannot be fetched"),
        }
    }

    /// Checks out the submodules of a gate's tree.
    async fn place_modules(&self, job: &GateJob, directory: &Path) -> Result<Vec<Module>, String> {
        let modules = self.trusted.modules(job.tree).await;
        let modules = modules.map_err(|error| with_source(&error))?;
        for module in &modules {
            let away = put_away_at(&self.directory, &module.path);
            let wrong = |error: io::Error| format!("submodule `{}`: {error}", module.path);
            fs::create_dir_all(self.directory.join(BROUGHT)).map_err(wrong)?;
            let exported = self.trusted.export_module(module, &away).await;
            exported.map_err(|error| with_source(&error))?;
            let place = place_of(directory, &module.path).map_err(wrong)?;
            // Git has made it an empty directory.
            remove(&place).map_err(wrong)?;
            fs::rename(away, place).map_err(wrong)?;
            let placed = self.kept.modules.lock();
            let mut placed = placed.unwrap_or_else(PoisonError::into_inner);
            placed.push(module.path.clone());
        }
        Ok(modules)
    }

    async fn bring_to_gate(&self, setup: &Setup, directory: &Path) -> Result<(), String> {
        let Some(root) = self.trusted.user().root().map(PathBuf::from) else {
            return Ok(());
        };
        for path in &setup.bring {
            let (root, lane, within) = (root.clone(), self.directory.clone(), path.clone());
            let (kept, directory) = (self.kept.clone(), directory.to_owned());
            let brought =
                tokio::task::spawn_blocking(move || kept.put_in(&root, &lane, &within, &directory));
            let brought = brought
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            brought.map_err(|error| not_brought(path, &error))?;
        }
        Ok(())
    }
}
