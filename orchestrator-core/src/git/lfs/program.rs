//! The program that is the filter.

use std::{ffi::OsStr, io, path::Path};

use crate::process::can_run;

pub(in super::super) const PROGRAM: &str = "git-lfs";

/// Whether `git-lfs` is on a `PATH`.
pub(in super::super) fn is_installed(path: Option<&OsStr>) -> bool {
    let found: io::Result<()> = can_run(OsStr::new(PROGRAM), Path::new("/"), path);
    found.is_ok()
}
