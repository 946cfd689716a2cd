//! A preflight alone: everything of ours lies in a temporary directory.

use std::{fs, fs::File, io, path::Path, sync::Arc};

use tokio::sync::{Notify, mpsc};

use super::{Check, Found, Preflight};
use crate::{
    driver::{
        BuildError, OrchestratorBuilder,
        builder::Ground,
        fold::fold_within,
        marks::{Marks, SURVIVORS},
        world::World,
    },
    machine::State,
    process::sweep_marked,
};

/// Begins one.
pub(in crate::driver) fn preflight(builder: OrchestratorBuilder) -> Preflight {
    let (listener, checks) = mpsc::channel(64);
    let stopped = Arc::new(Notify::new());
    let stop = Arc::clone(&stopped);
    let task = tokio::spawn(async move {
        let mut found = Found::told_to(listener);
        if let Err(error) = look(builder, &mut found, &stop).await {
            drop(found.add(subject(&error), Err(error)).await);
        }
    });
    Preflight::new(checks, task, stopped)
}

async fn look(
    builder: OrchestratorBuilder,
    found: &mut Found,
    stop: &Notify,
) -> Result<(), BuildError> {
    let (mut ground, state_dir) = builder.ground().await?;
    ground.only_looks = true;
    let inputs = "the policy and the agents that it names can be used";
    found
        .add("input", Ok(Check::passed("input", inputs)))
        .await?;
    found.add("alone", Ok(alone(ground.user.git_dir()))).await?;
    ground.look_here(&state_dir, found).await?;
    let state = ground.state(&state_dir).await?;
    let temporary = std::env::temp_dir();
    let unusable = |error: io::Error| BuildError::StateDir {
        path: temporary.clone(),
        why: error.to_string(),
    };
    let scratch = tempfile::tempdir_in(&temporary).map_err(unusable)?;
    let path = scratch.path().canonicalize().map_err(unusable)?;
    ground.borrow_objects(&path).await.map_err(unusable)?;
    let world = ground.open(&path, &state, Marks::of_a_look()).await?;
    let looked = tokio::select! {
        looked = look_further(&world, &state, found) => looked,
        () = stop.notified() => Ok(()),
    };
    sweep_marked(&world.mark, SURVIVORS).await;
    looked
}

/// What takes longer: the remote, and the default gates.
async fn look_further(world: &World, state: &State, found: &mut Found) -> Result<(), BuildError> {
    if world.look_beyond(found).await?.is_some() {
        world.default_gates(state, found).await?;
    }
    Ok(())
}

impl Ground {
    /// What the ledger tells; it is only read.
    pub(in crate::driver) async fn state(&self, state_dir: &Path) -> Result<State, BuildError> {
        let ledger = self.ledger_in(state_dir);
        let (state, _) = fold_within(&*ledger, self.limits).await?;
        Ok(state)
    }

    /// Lets a repository of ours that is to be made in this directory read the objects of the person's, so that only what is new has to
    /// be fetched. A history that is cut off is not borrowed: git would take it for a whole one.
    async fn borrow_objects(&self, directory: &Path) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt as _;
        let objects = self.user.git_dir().join("objects");
        let path = objects.as_os_str().as_bytes();
        let is_plain = !path.contains(&b'\n') && path.starts_with(b"/");
        if !is_plain || self.user.complete().await.is_err() {
            return Ok(());
        }
        let info = directory.join("trusted.git/objects/info");
        fs::create_dir_all(&info)?;
        fs::write(info.join("alternates"), [path, b"\n"].concat())
    }
}

/// Whether another orchestrator works on this repository just now.
fn alone(git_dir: &Path) -> Check {
    let free = File::open(git_dir).is_ok_and(|lock| lock.try_lock_shared().is_ok());
    if free {
        return Check::passed("alone", "no orchestrator works on this repository");
    }
    let what = "an orchestrator works on this repository: another run is refused";
    Check::warning("alone", what, "wait for its end, or speak to that one")
}

/// What an error is about that nothing else can be looked at with.
fn subject(error: &BuildError) -> &'static str {
    match error {
        BuildError::Policy(_) => "policy",
        BuildError::NoAgent | BuildError::Agent { .. } => "agents",
        BuildError::Git(_) | BuildError::Repository { .. } => "repository",
        BuildError::StateDir { .. } => "state directory",
        BuildError::Ledger(_) | BuildError::Replay(_) => "ledger",
        BuildError::Roadmap(_) => "roadmap",
        BuildError::Nested { .. }
        | BuildError::Missing(_)
        | BuildError::Preflight(_)
        | BuildError::Illegal(_)
        | BuildError::Misfit(_) => "input",
    }
}
