//! Why a program cannot be run, in words that name what is missing.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::child::{Spawn, can_run, found_in};

/// Of a script, so many bytes of its first line are read: the kernel reads no more.
const FIRST_LINE: u64 = 256;

/// What keeps a program from being run: it is not there, may not be run, or is a script whose
/// interpreter is not there. `None` where nothing is in the way, as far as can be seen. It is looked
/// for as [`can_run`] does; `env` in a script's first line is looked through.
#[must_use]
pub(crate) fn why_not_run(
    program: &OsStr,
    directory: &Path,
    path: Option<&OsStr>,
) -> Option<String> {
    if let Err(error) = can_run(program, directory, path) {
        return Some(match error.kind() {
            io::ErrorKind::PermissionDenied => "it may not be run".to_owned(),
            _ => "it is not there".to_owned(),
        });
    }
    let file = found_in(program, directory, path)?;
    let interpreter = interpreter_of(&file)?;
    can_run(&interpreter, directory, path).err()?;
    let interpreter = interpreter.to_string_lossy();
    Some(format!(
        "its interpreter `{interpreter}` is not there, or may not be run"
    ))
}

impl Spawn {
    /// What keeps the program from being run, in words, such as an interpreter that is not there.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let (directory, path) = self.places();
        why_not_run(self.program(), directory, path)
    }
}

/// What a script is run with; `None` for what is no script, or cannot be read.
fn interpreter_of(file: &PathBuf) -> Option<OsString> {
    let mut start = Vec::new();
    let opened = File::open(file).ok()?;
    opened.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let first = words.next()?;
    let mut of_env = || words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    let interpreter = match first.ends_with(b"/env") {
        true if Path::new(OsStr::from_bytes(first)).exists() => of_env().unwrap_or(first),
        true | false => first,
    };
    Some(OsStr::from_bytes(interpreter).to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn missing_part_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = |content: &str, mode: u32| {
            let file = dir.path().join("script");
            fs::write(&file, content).expect("writes");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("sets");
            why_not_run(
                file.as_os_str(),
                dir.path(),
                Some(OsStr::new("/bin:/usr/bin")),
            )
        };
        let absent = "its interpreter `/no/such/node` is not there, or may not be run";
        assert_eq!(
            script("#! /no/such/node --flag\n", 0o755).as_deref(),
            Some(absent)
        );
        let through_env = "its interpreter `no-such-node` is not there, or may not be run";
        for line in [
            "#!/usr/bin/env no-such-node\n",
            "#!/usr/bin/env -S A=b no-such-node -x",
        ] {
            assert_eq!(script(line, 0o755).as_deref(), Some(through_env), "{line}");
        }
        assert_eq!(script("#!/bin/sh\n", 0o755), None);
        assert_eq!(script("#!/usr/bin/env sh\n", 0o755), None);
        assert_eq!(script("\u{7f}ELF", 0o755), None);
        assert_eq!(
            script("#!/bin/sh\n", 0o644).as_deref(),
            Some("it may not be run")
        );
        let gone = why_not_run(OsStr::new("/no/such/agent"), dir.path(), None);
        assert_eq!(gone.as_deref(), Some("it is not there"));
    }
}
