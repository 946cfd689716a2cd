//! What is only kept to be used again, or waits to be removed: trees of gates, files of workspaces that are gone.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::git::{Discard, Workspaces};

/// How long a run that has ended is kept by removals. What stays serves the next run, or is removed by it.
const TIDYING: Duration = Duration::from_secs(3);

/// Removes what was thrown away, beside the work. Ends when it is dropped, wherever it is.
#[derive(Debug)]
pub(super) struct Sweeper {
    discard: Discard,
    ended: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
}

impl Sweeper {
    pub(super) fn of(discard: Discard) -> Self {
        Self {
            discard,
            ended: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// Begins to remove what was thrown away, unless that is under way.
    pub(super) fn begin(&self) {
        if self.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let discard = self.discard.clone();
        let ended = Arc::clone(&self.ended);
        let busy = Arc::clone(&self.busy);
        tokio::task::spawn_blocking(move || {
            told(discard.sweep(&|| ended.load(Ordering::Relaxed)));
            busy.store(false, Ordering::Relaxed);
        });
    }

    /// Ends what is under way.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a run has left in its state directory, which is locked as long as this lives. Dropped without [`clear`](Self::clear), it is
/// there for the next run.
#[derive(Debug)]
pub struct Leftovers {
    lane: PathBuf,
    workspaces: Workspaces,
    discard: Discard,
    _locks: [File; 2],
}

impl Leftovers {
    /// What the sweeper has yet to remove, the directory of gates, and the workspaces.
    pub(super) fn of(
        sweeper: &Sweeper,
        lane: PathBuf,
        workspaces: Workspaces,
        locks: [File; 2],
    ) -> Self {
        sweeper.end();
        Self {
            lane,
            workspaces,
            discard: sweeper.discard.clone(),
            _locks: locks,
        }
    }

    /// Removes it, as far as a few seconds are enough for that. What is left then is removed by the next run, or serves it.
    pub async fn clear(self) {
        let cleared = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + TIDYING;
            told(self.remove_until(&|| Instant::now() >= deadline));
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "files that were kept to be used again could not be removed");
        }
    }

    fn remove_until(&self, stop: &dyn Fn() -> bool) -> io::Result<()> {
        self.discard.throw(&self.lane)?;
        self.discard.sweep(stop)?;
        for spare in self.workspaces.spares()? {
            // One that is whole serves the next run: half a one would only be removed by it.
            if stop() {
                break;
            }
            self.discard.throw(&spare)?;
            self.discard.sweep(stop)?;
        }
        Ok(())
    }
}

/// Takes up what a run that was killed left half done in a state directory that we have locked.
pub(super) fn tidy(state_dir: &Path, workspaces: &Workspaces) -> io::Result<()> {
    workspaces.tidy()?;
    let unused = |place: &str, is: fn(&str) -> bool| -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(state_dir.join(place)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let named = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some_and(is);
        Ok(entries
            .flatten()
            .filter(named)
            .map(|entry| entry.path())
            .collect())
    };
    let discard = Discard::beneath(state_dir);
    let locks = unused("lane", |name| name.ends_with(".lock"))?;
    let caches = unused("caches", |name| name.ends_with(".half"))?;
    locks
        .iter()
        .chain(&caches)
        .try_for_each(|path| discard.throw(path))?;
    // Others than us write there as well, and hold what they write.
    let held = |path: &PathBuf| !File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    let evidence = unused("evidence", |name| name.starts_with(".tmp"))?;
    let letters = unused("inbox", |name| name.starts_with(".letter-"))?;
    let scratch = evidence.iter().chain(&letters).filter(|path| !held(path));
    scratch.into_iter().try_for_each(|path| discard.throw(path))
}

fn told(swept: io::Result<()>) {
    if let Err(error) = swept {
        tracing::warn!(%error, "what was thrown away could not be removed");
    }
}
