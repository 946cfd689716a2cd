//! What keeps our repository as quick after a thousand landings as after the first, and takes up what killed runs left in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{GitError, TARGET, Trusted, error::io_error, landing::LANDINGS, target::SEED};
use crate::{model::CommitId, untrusted::remove};

/// More refs than this in files of their own are packed into one.
const LOOSE_REFS: usize = 64;
/// More objects than this in files of their own, or more packs, are packed. As git counts them: by one directory of 256.
const LOOSE_OBJECTS: usize = 2_000;
const PACKS: usize = 30;

/// Names of what git and we write beside its place, and rename or remove when it is whole. A temporary directory may be among them.
const SCRATCH: [&str; 3] = [".tmp", "tmp_", "incoming-"];

impl Trusted {
    /// Takes up what a run that was killed left half done: files beside their places, locks whose holders are dead, and refs that were
    /// there for a moment. What refs keep is kept: deleted are those alone of which the target contains what they name.
    ///
    /// Only for whoever has the state directory to itself, when no process of an earlier run works in it any more.
    ///
    /// # Errors
    /// When something cannot be removed, or as `git for-each-ref` and `git pack-refs`.
    pub async fn tidy(&self) -> Result<(), GitError> {
        let dir = self.dir().to_owned();
        self.look(move |_| sweep(&dir).map_err(io_error(&dir)))
            .await?;
        self.forget(SEED).await?;
        if self.tip()?.is_some() && !self.refs(LANDINGS)?.is_empty() {
            let merged = self.call().args([
                "for-each-ref",
                "--format=%(refname)",
                "--merged",
                TARGET,
                LANDINGS,
            ]);
            for landed in merged.text().await?.lines() {
                self.forget(landed).await?;
            }
        }
        let dir = self.dir().to_owned();
        let loose = self
            .look(move |_| Ok(files_beneath(&dir.join("refs"))))
            .await?;
        if loose > LOOSE_REFS {
            // Now, since nobody writes refs yet: we take none of git's locks.
            self.call().args(["pack-refs", "--all"]).run().await?;
        }
        Ok(())
    }

    /// Packs objects, where there are many in files of their own. All of them, whatever refs say: nothing is lost by it, and whoever
    /// reads beside it finds each object in one place or the other. Killed in the middle, it leaves a file that
    /// [`tidy`](Self::tidy) removes.
    ///
    /// # Errors
    /// As `git repack`.
    pub async fn pack_objects(&self) -> Result<(), GitError> {
        let objects = self.dir().join("objects");
        let due = self.look(move |_| {
            let loose = files_in(&objects.join("17"), "") * 256;
            Ok(loose > LOOSE_OBJECTS || files_in(&objects.join("pack"), ".pack") > PACKS)
        });
        if !due.await? {
            return Ok(());
        }
        self.call()
            .args([
                "repack",
                "--geometric=2",
                "-d",
                "--quiet",
                "--no-write-bitmap-index",
            ])
            .transfers()
            .run()
            .await?;
        // Who asks for what is nowhere looks for new packs.
        let nowhere: CommitId = "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("an id");
        self.look(move |objects| Ok(objects.has(nowhere)))
            .await
            .map(drop)
    }
}

/// Removes what is of no more use now that whoever wrote it is dead.
fn sweep(dir: &Path) -> io::Result<()> {
    let objects = dir.join("objects");
    let packs = objects.join("pack");
    let taken_in = dir.join("lfs/tmp");
    let mut places = vec![dir.to_owned(), objects.clone(), packs, taken_in];
    places.extend((0..=u8::MAX).map(|first| objects.join(format!("{first:02x}"))));
    for place in places {
        for path in entries(&place)? {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.ends_with(b".lock")
                || SCRATCH
                    .iter()
                    .any(|begin| name.starts_with(begin.as_bytes()))
            {
                remove(&path)?;
            }
        }
    }
    sweep_locks(&dir.join("refs"))
}

fn sweep_locks(directory: &Path) -> io::Result<()> {
    for path in entries(directory)? {
        if path.is_dir() {
            sweep_locks(&path)?;
        } else if path.extension().is_some_and(|end| end == "lock") {
            remove(&path)?;
        }
    }
    Ok(())
}

/// What is in a directory of ours; nothing where there is none.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// How many files there are whose names end so; one that cannot be listed has none.
fn files_in(directory: &Path, end: &str) -> usize {
    let names = entries(directory).unwrap_or_default();
    names
        .iter()
        .filter(|path| {
            path.as_os_str()
                .as_encoded_bytes()
                .ends_with(end.as_bytes())
        })
        .count()
}

fn files_beneath(directory: &Path) -> usize {
    let count = |path: &PathBuf| {
        if path.is_dir() {
            files_beneath(path)
        } else {
            1
        }
    };
    entries(directory)
        .unwrap_or_default()
        .iter()
        .map(count)
        .sum()
}
