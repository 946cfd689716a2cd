//! Making a workspace ready for its worker, as the policy says.

use std::path::PathBuf;

use super::{
    effects::{World, agents_environment, with_source},
    progress::Progress,
    step::LongStep,
};
use crate::{
    git::Workspace,
    model::CommitId,
    process::{Exit, OutputLimits, Spawn, run_to_end, with_ends},
    untrusted::{copy, place_beneath},
};

/// What is kept of what a set-up command prints, in bytes: its end says why it failed.
const KEPT: OutputLimits = OutputLimits {
    head: 0,
    tail: 8192,
};

/// Of each stream, so many characters are shown.
const SHOWN: usize = 1000;

impl World {
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
        workspace
            .create(&self.trusted, base, &setup.bring)
            .await
            .map_err(|error| with_source(&error))?;
        self.bring(workspace).await?;
        for command in &setup.run.0 {
            let step = LongStep::SetUp {
                command: command.join(" "),
            };
            let run = self.run_setup(workspace, command);
            let passed = |ran: &Result<(), String>| Some(ran.is_ok());
            progress.during_with(step, run, passed, || None).await?;
        }
        if !(setup.bring.is_empty() && setup.run.0.is_empty()) {
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

    async fn bring(&self, workspace: &Workspace) -> Result<(), String> {
        let Some(root) = self.trusted.user().root().map(PathBuf::from) else {
            return Ok(());
        };
        for path in &self.policy.setup.bring {
            let (from, tree, within) = (root.join(path.to_path()), workspace.tree(), path.clone());
            let copied = tokio::task::spawn_blocking(move || {
                // The tree may have a link on the way.
                let to = place_beneath(&tree, &within, true)?;
                let to =
                    to.ok_or_else(|| std::io::Error::other("a link or a file is in its way"))?;
                copy(&from, &to)
            });
            let copied = copied
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)));
            copied.map_err(|error| format!("`{path}` could not be brought along: {error}"))?;
        }
        Ok(())
    }

    async fn run_setup(&self, workspace: &Workspace, command: &[String]) -> Result<(), String> {
        let Some((program, arguments)) = command.split_first() else {
            return Ok(());
        };
        let mark = format!("{}{}.setup", self.mark, workspace.attempt.slug());
        let spawn = Spawn::new(program, workspace.tree())
            .args(arguments)
            .envs(agents_environment(&self.environment))
            .marked(&mark);
        let named = |why: String| format!("set-up `{}` {why}", command.join(" "));
        let timeout = self.policy.setup.timeout;
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
}
