//! What a call of git gave.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::PathBuf};

use super::{error::GitError, filter_failure::FilterFailure};
use crate::process::Exit;

/// What a call that is allowed to fail gave.
pub(super) struct Answer {
    pub(super) exit: Exit,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    /// The first directory that it could not open and went on without, in its words.
    pub(super) skipped: Option<String>,
}

impl Answer {
    /// What it printed, as text without the last line's end.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        text.trim_end_matches('\n').to_owned()
    }

    pub(super) fn failed(self, verb: impl Into<String>) -> GitError {
        if let Some(failure) = FilterFailure::parse(&self.stderr) {
            return GitError::Filter(failure);
        }
        GitError::Failed {
            verb: verb.into(),
            exit: self.exit,
            stderr: self.stderr,
        }
    }
}

/// The first complaint of a directory that could not be opened. What is beneath is neither told nor is its lack a failure.
pub(super) fn skipped(stderr: &[u8]) -> Option<String> {
    let line = stderr
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(b"warning: could not open directory"))?;
    Some(crate::model::clean(&String::from_utf8_lossy(
        &line[..line.len().min(200)],
    )))
}

/// Parts that each end with a NUL.
pub(super) fn split_nul(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
}

/// A path as git prints it.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
