//! What a command prints, and what becomes of it when nobody reads.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use orchestrator_core::model::clean;

/// The exit status of a command whose reader went away: what a shell says of one that was ended by PIPE.
pub const NOBODY_READS: u8 = 128 + 13;

/// Prints to standard output, now: cleaned, since some of it was said by agents.
///
/// # Errors
/// When it cannot be written. `BrokenPipe`: its reader has had enough, as `head` has.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(clean(text).as_bytes())?;
    stdout.flush()
}

/// Prints a line to standard error, cleaned. Where that cannot be written, as on a terminal that is gone, there is nobody to be told.
pub fn complain(line: impl Display) {
    let line = clean(&line.to_string());
    drop(writeln!(io::stderr().lock(), "{line}"));
}
