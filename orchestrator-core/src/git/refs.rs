//! Refs of our own repository, written in process.
//!
//! Nobody but this process writes beneath `refs/orchestrator` (the state directory is locked), so no lock is taken; what git calls
//! of ours write there themselves, [`Trusted`] keeps apart. A ref is a file with an id: written beside its place, flushed, and renamed.

use std::{fs, io, io::Write as _, path::Path};

use tempfile::NamedTempFile;

use super::{
    GitError, Trusted,
    batch::{Batch, What},
    error::io_error,
};
use crate::{failpoint::reach, model::CommitId};

/// A ref in the repository in this directory that is to name a commit.
pub(super) fn add_ref(
    batch: &mut Batch,
    dir: &Path,
    name: &str,
    commit: CommitId,
) -> Result<(), GitError> {
    let path = dir.join(name);
    let write = || -> io::Result<NamedTempFile> {
        let mut scratch = NamedTempFile::new_in(dir)?;
        writeln!(scratch, "{commit}")?;
        Ok(scratch)
    };
    batch.add(What::Ref, write().map_err(io_error(&path))?, path);
    Ok(())
}

impl Trusted {
    /// Makes a ref of ours, by its full name, name a commit; durably, whatever it named before.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) async fn set_ref(&self, name: &str, commit: CommitId) -> Result<(), GitError> {
        let (dir, name) = (self.dir().to_owned(), name.to_owned());
        // The disk may take long.
        self.look(move |_| {
            let mut batch = Batch::default();
            add_ref(&mut batch, &dir, &name, commit)?;
            batch.settle()
        })
        .await
    }

    /// Whether a ref is among those that git has packed into one file (gitrepository-layout(5)).
    fn is_packed(&self, name: &str) -> Result<bool, GitError> {
        let packed = self.dir().join("packed-refs");
        let listed = match fs::read(&packed) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error(&packed)(error)),
        };
        let mut lines = listed.split(|byte| *byte == b'\n');
        Ok(lines.any(|line| {
            line.strip_suffix(name.as_bytes())
                .is_some_and(|rest| rest.ends_with(b" "))
        }))
    }

    /// Deletes a ref of ours. One that is not there is none.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub(super) async fn delete_ref(&self, name: &str, was: CommitId) -> Result<(), GitError> {
        if self.is_packed(name)? {
            // Only git takes it out of there.
            return self
                .call()
                .args(["update-ref", "-d"])
                .args([name.to_owned(), was.to_string()])
                .run()
                .await;
        }
        let path = self.dir().join(name);
        reach("before ref is deleted");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
            Ok(()) | Err(_) => {
                // Directories that are empty now; one that is not stays.
                let beneath = path
                    .ancestors()
                    .skip(1)
                    .take_while(|parent| !parent.ends_with("refs/orchestrator"));
                let _: Option<()> = beneath.map(|parent| fs::remove_dir(parent).ok()).collect();
                Ok(())
            }
        }
    }

    /// Refs of ours at or beneath this one, by their numbers.
    ///
    /// # Errors
    /// When refs cannot be read.
    pub fn refs(&self, prefix: &str) -> Result<Vec<String>, GitError> {
        let mut names: Vec<_> = self
            .objects()
            .refs(prefix)?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let number = |name: &String| {
            name.rsplit_once('/')
                .and_then(|(_, last)| last.parse::<u32>().ok())
        };
        names.sort_by_key(|name| (number(name), name.clone()));
        Ok(names)
    }

    /// Deletes refs of ours.
    ///
    /// # Errors
    /// When they cannot be read, or removed.
    pub async fn forget(&self, prefix: &str) -> Result<(), GitError> {
        for (name, id) in self.objects.refs(prefix)? {
            self.delete_ref(&name, id).await?;
        }
        Ok(())
    }
}
