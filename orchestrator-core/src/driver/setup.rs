//! Making a workspace ready for its worker, and a gate's directory for its gate, as the policy says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    effects::agents_environment, host::Host, ports::PORT_BASE, progress::Progress, step::LongStep,
};
use crate::{
    git::{GitError, Workspace},
    model::{CommitId, RepoPath, Setup, with_source},
    process::{Exit, OutputLimits, Spawn, run_to_end, with_ends},
    untrusted::{Mirror, place_beneath},
};

/// What is kept of what a set-up command prints, in bytes: its end says why it failed.
const KEPT: OutputLimits = OutputLimits {
    head: 0,
    tail: 8192,
};

/// Of each stream, so many characters are shown.
const SHOWN: usize = 1000;

/// Where set-up commands run, and what they see.
pub(super) struct SetupPlace<'a> {
    pub(super) directory: &'a Path,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) mark: &'a str,
}

impl Host {
    /// Makes the workspace, brings along what git ignores, runs the set-up commands, and checks that git sees none of it.
    /// One that is whole is left as it is.
    pub(super) async fn prepare(
        &self,
        workspace: &Workspace,
        base: CommitId,
        progress: &Progress,
    ) -> Result<(), String> {
        if workspace.is_ready() {
            return Ok(());
        }
        self.begin(&workspace.attempt);
        let setup = &self.policy.setup;
        let said = |error: GitError| with_source(&error);
        let sparse = if setup.sparse {
            self.trusted.user().sparse().await.map_err(said)?
        } else {
            None
        };
        let created = workspace.create_sparse(&self.trusted, base, &setup.bring, sparse.as_ref());
        created.await.map_err(said)?;
        if setup.submodules {
            let placed = workspace.place_modules(&self.trusted, base).await;
            placed.map_err(|error| with_source(&error))?;
        }
        self.bring(workspace).await?;
        let mark = format!("{}{}.setup", self.mark, workspace.attempt.slug());
        let place = SetupPlace {
            directory: &workspace.tree(),
            environment: self.workers_environment(workspace)?,
            mark: &mark,
        };
        run_commands(setup, &place, Some(progress)).await?;
        if setup.submodules || !(setup.bring.is_empty() && setup.run.0.is_empty()) {
            let seen = workspace
                .uncommitted(&self.trusted, base, 5)
                .await
                .map_err(|error| with_source(&error))?;
            if !seen.is_empty() {
                let names: Vec<_> = seen.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                return Err(format!(
                    "set-up left what git sees as work ({names}): let git ignore it, or set up otherwise"
                ));
            }
        }
        workspace.seal().map_err(|error| with_source(&error))
    }

    /// What an attempt's worker sees, and so do its set-up commands.
    ///
    /// # Errors
    /// In words, when there are no ports for it.
    pub(super) fn workers_environment(
        &self,
        workspace: &Workspace,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut environment = agents_environment(&self.environment);
        let base = self.ports.of_attempt(workspace)?;
        environment.insert(PORT_BASE.to_owned(), base.to_string());
        Ok(environment)
    }

    async fn bring(&self, workspace: &Workspace) -> Result<(), String> {
        let Some(root) = self.trusted.user().root().map(PathBuf::from) else {
            return Ok(());
        };
        for path in &self.policy.setup.bring {
            let (root, tree, within) = (root.clone(), workspace.tree(), path.clone());
            let copied = tokio::task::spawn_blocking(move || {
                let to = place_of(&tree, &within)?;
                Mirror::of(&root, root.join(within.to_path())).refresh(&to)
            });
            let copied = copied
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)));
            copied.map_err(|error| not_brought(path, &error))?;
        }
        Ok(())
    }
}

/// The place of something that is brought. The tree may have a link on the way.
pub(super) fn place_of(tree: &Path, path: &RepoPath) -> std::io::Result<PathBuf> {
    let place = place_beneath(tree, path, true)?;
    place.ok_or_else(|| std::io::Error::other("a link or a file is in its way"))
}

pub(super) fn not_brought(path: &RepoPath, error: &std::io::Error) -> String {
    format!("`{path}` could not be brought along: {error}")
}

/// Runs the commands of a set-up, one after another.
///
/// # Errors
/// In words: which one failed, and how.
pub(super) async fn run_commands(
    setup: &Setup,
    place: &SetupPlace<'_>,
    progress: Option<&Progress>,
) -> Result<(), String> {
    for command in &setup.run.0 {
        let run = run_command(setup, command, place);
        let Some(progress) = progress else {
            run.await?;
            continue;
        };
        let step = LongStep::SetUp {
            command: command.join(" "),
        };
        let passed = |ran: &Result<(), String>| Some(ran.is_ok());
        progress.during_with(step, run, passed, || None).await?;
    }
    Ok(())
}

async fn run_command(
    setup: &Setup,
    command: &[String],
    place: &SetupPlace<'_>,
) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let spawn = Spawn::new(program, place.directory)
        .args(arguments)
        .envs(&place.environment)
        .marked(place.mark);
    let named = |why: String| format!("set-up `{}` {why}", command.join(" "));
    let timeout = setup.timeout;
    let finished = run_to_end(spawn, &[], timeout.to_std(), KEPT).await;
    let finished = finished.map_err(|error| named(format!("could not be started: {error}")))?;
    let stdout = finished.stdout.end(SHOWN);
    let stderr = finished.stderr.end(SHOWN);
    let failed = |how: String| Err(named(with_ends(&how, &stdout, &stderr)));
    match finished.exit {
        Some(Exit::Code(0)) => Ok(()),
        Some(exit) => failed(format!("failed ({exit})")),
        None => failed(format!("did not end within {timeout}, and was stopped")),
    }
}
