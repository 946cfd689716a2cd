//! Files of our repository that are made durable together.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{GitError, error::io_error};
use crate::failpoint::reach;

/// So often a directory is made that others take away.
const TRIES: u32 = 10;

/// Files that were written beside their places. All of them are on the disk before the first is moved to its place, and they are moved
/// in order: so what is named is there before what names it.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<(NamedTempFile, PathBuf, What)>);

/// What a file is.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Object,
    Ref,
}

impl Batch {
    pub(super) fn add(&mut self, what: What, file: NamedTempFile, place: PathBuf) {
        self.0.push((file, place, what));
    }

    /// Makes all of it durable; this blocks for as long as the disk takes.
    pub(super) fn settle(self) -> Result<(), GitError> {
        // One after another: flushed at once from several threads they wait for each other's commits of the journal, and all of it
        // takes two to three times as long (measured on ext4).
        for (file, place, _) in &self.0 {
            file.as_file().sync_all().map_err(io_error(place))?;
        }
        for (file, place, what) in self.0 {
            reach(match what {
                What::Object => "before object",
                What::Ref => "before ref",
            });
            move_to(file, &place).map_err(io_error(&place))?;
            if let What::Ref = what {
                reach("after ref");
            }
        }
        Ok(())
    }
}

fn move_to(mut file: NamedTempFile, place: &Path) -> io::Result<()> {
    let directory = place.parent().unwrap_or(place);
    let mut tries = 0;
    loop {
        match file.persist(place) {
            Ok(_) => return Ok(()),
            // Between two tries, the deletion of a neighbour may take the directory away.
            Err(failed) if failed.error.kind() == io::ErrorKind::NotFound && tries < TRIES => {
                fs::create_dir_all(directory)?;
                (file, tries) = (failed.file, tries + 1);
            }
            Err(failed) => return Err(failed.error),
        }
    }
}
