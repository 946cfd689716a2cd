//! Refs of our own repository, written in process.
//!
//! Nobody but this process writes beneath `refs/orchestrator` (the state directory is locked), so no lock is taken; what git calls
//! of ours write there themselves, [`Trusted`] keeps apart. A ref is a file with an id: written beside its place, flushed, and renamed.

use std::{fs, io, io::Write as _};

use super::{GitError, Trusted, cli::io_error};
use crate::{failpoint::reach, model::CommitId};

/// So often a directory is made that others take away.
const TRIES: u32 = 10;

impl Trusted {
    /// Makes a ref of ours, by its full name, name a commit; durably, whatever it named before.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn set_ref(&self, name: &str, commit: CommitId) -> Result<(), GitError> {
        let path = self.dir().join(name);
        let directory = path.parent().unwrap_or(self.dir());
        let write = || -> io::Result<()> {
            let mut scratch = tempfile::NamedTempFile::new_in(self.dir())?;
            writeln!(scratch, "{commit}")?;
            scratch.as_file().sync_all()?;
            reach("before ref");
            fs::create_dir_all(directory)?;
            // Between the two, the deletion of a neighbour may take the directory away.
            let mut tries = 0;
            while let Err(failed) = scratch.persist(&path) {
                tries += 1;
                if failed.error.kind() != io::ErrorKind::NotFound || tries == TRIES {
                    return Err(failed.error);
                }
                fs::create_dir_all(directory)?;
                scratch = failed.file;
            }
            reach("after ref");
            Ok(())
        };
        write().map_err(io_error(&path))
    }

    /// Deletes a ref of ours. One that is not there is none.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub(super) async fn delete_ref(&self, name: &str, was: CommitId) -> Result<(), GitError> {
        if self.dir().join("packed-refs").exists() {
            // It may be there as well, and only git takes it out.
            return self.call().args(["update-ref", "-d"]).args([name.to_owned(), was.to_string()]).run().await;
        }
        let path = self.dir().join(name);
        reach("before ref is deleted");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
            Ok(()) | Err(_) => {
                // Directories that are empty now; one that is not stays.
                let beneath = path.ancestors().skip(1).take_while(|parent| !parent.ends_with("refs/orchestrator"));
                let _: Option<()> = beneath.map(|parent| fs::remove_dir(parent).ok()).collect();
                Ok(())
            }
        }
    }
}
