//! One gate on one tree, and what is kept of gates' directories.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::setup::place_of;
use crate::{
    gate::CacheOf,
    model::{CommitId, EffectId, GateHead, GateSpec, RepoPath, TreeId},
    untrusted::{Mirror, place_beneath, remove},
};

/// What is kept of gates' directories from one gate to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) mirrors: Arc<Mutex<BTreeMap<RepoPath, Mirror>>>,
    /// Submodules that are in the directory, each after the one that it lies in.
    pub(super) modules: Arc<Mutex<Vec<RepoPath>>>,
    /// The target's tip for which tags were fetched last.
    pub(super) tags: Arc<Mutex<Option<CommitId>>>,
}

/// One gate on one tree.
#[derive(Debug, Clone)]
pub(super) struct GateJob {
    pub(super) effect: EffectId,
    pub(super) whose: CacheOf,
    pub(super) tree: TreeId,
    pub(super) gate: GateSpec,
    /// Where its repository is to be, if it has one.
    pub(super) head: GateHead,
    /// By which it is told to stop.
    pub(super) stop: Arc<Notify>,
}

impl Kept {
    /// Moves what was brought for the last gate out of its directory.
    pub(super) fn take_out(&self, lane: &Path) -> io::Result<()> {
        let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        // What lies in another comes out first.
        let modules: Vec<_> = modules.drain(..).rev().collect();
        for path in mirrors.keys().chain(&modules) {
            let Some(from) = place_beneath(&lane.join("tree"), path, false)? else {
                continue;
            };
            if from.symlink_metadata().is_ok() {
                let to = put_away_at(lane, path);
                remove(&to)?;
                fs::rename(from, to)?;
            }
        }
        Ok(())
    }

    /// Brings something to a gate: what was put away, after what was done to it is undone.
    pub(super) fn put_in(
        &self,
        root: &Path,
        lane: &Path,
        path: &RepoPath,
        directory: &Path,
    ) -> io::Result<()> {
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors
            .entry(path.clone())
            .or_insert_with(|| Mirror::of(root, root.join(path.to_path())));
        let away = put_away_at(lane, path);
        fs::create_dir_all(lane.join(BROUGHT))?;
        mirror.refresh(&away)?;
        fs::rename(away, place_of(directory, path)?)
    }
}

/// Where things are between two gates.
pub(super) const BROUGHT: &str = "brought";

pub(super) fn put_away_at(lane: &Path, path: &RepoPath) -> PathBuf {
    let name = crate::model::ContentHash::of(path.as_bytes()).to_string();
    lane.join(BROUGHT).join(&name[..16])
}
