//! What a command prints, and what becomes of it when nobody reads.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// The exit status of a command whose reader went away: what a shell says of one that was ended by PIPE.
pub const NOBODY_READS: u8 = 128 + 13;

/// Prints to standard output, now.
///
/// # Errors
/// When it cannot be written. `BrokenPipe`: its reader has had enough, as `head` has.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints a line to standard error. Where that cannot be written, as on a terminal that is gone, there is nobody to be told.
pub fn complain(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
