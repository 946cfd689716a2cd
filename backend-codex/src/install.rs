//! Where Codex's own program is: npm puts a script in front of it, which does not pass every signal on.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use orchestrator_core::{port::AgentError, process::can_run};

/// Codex, as it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// The native program.
    pub(crate) program: PathBuf,
    /// What it needs and does not have beside it.
    pub(crate) missing: Vec<String>,
}

/// Finds the native program behind a name on the `PATH`, a path, or npm's script.
pub(crate) fn find(program: &Path) -> Result<Installation, AgentError> {
    let absent = || AgentError::NotInstalled {
        program: program.display().to_string(),
        mend: "npm install --global @openai/codex, or give the path of its native program"
            .to_owned(),
    };
    let named = on_path(program).ok_or_else(absent)?;
    let real = named.canonicalize().map_err(|_| absent())?;
    let native = if real.extension() == Some(OsStr::new("js")) {
        behind(&real).ok_or_else(absent)?
    } else {
        real
    };
    // A program that stands alone runs no command: measured, it starts and every command fails.
    let beside = native.parent().unwrap_or(Path::new("/"));
    let needed = [
        beside.join("codex-code-mode-host"),
        beside.join("../codex-resources/bwrap"),
    ];
    let missing = needed
        .iter()
        .filter(|file| !file.is_file())
        .map(|file| file.display().to_string())
        .collect();
    Ok(Installation {
        program: native,
        missing,
    })
}

fn on_path(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    can_run(program.as_os_str(), Path::new("/"), Some(&path)).ok()?;
    if program.is_absolute() {
        return Some(program.to_owned());
    }
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// `…/@openai/codex/bin/codex.js` stands beside, or around, `…/@openai/codex-linux-x64/vendor/TRIPLE/bin/codex`.
fn behind(script: &Path) -> Option<PathBuf> {
    let package = script.parent()?.parent()?;
    let scopes = [
        package.parent()?.to_owned(),
        package.join("node_modules/@openai"),
    ];
    let platforms = scopes
        .iter()
        .filter_map(|scope| scope.read_dir().ok())
        .flatten()
        .flatten();
    let vendors = platforms
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("codex-"))
        .map(|entry| entry.path().join("vendor"));
    let triples = vendors
        .filter_map(|vendor| vendor.read_dir().ok())
        .flatten()
        .flatten();
    triples
        .map(|triple| triple.path().join("bin/codex"))
        .find(|native| native.is_file())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn the_native_program_is_found_behind_the_script_and_what_it_lacks_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let scope = dir.path().join("node_modules/@openai");
        let native = scope.join("codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex");
        let script = scope.join("codex/bin/codex.js");
        let link = dir.path().join("codex");
        for file in [&native, &script] {
            fs::create_dir_all(file.parent().expect("a parent")).expect("makes");
            fs::write(file, "#!/bin/sh\n").expect("writes");
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("can be run");
        }
        std::os::unix::fs::symlink(&script, &link).expect("links");
        let found = find(&link).expect("is there");
        assert_eq!(found.program, native.canonicalize().expect("is there"));
        assert_eq!(found.missing.len(), 2);
        fs::write(native.with_file_name("codex-code-mode-host"), "").expect("writes");
        assert_eq!(find(&script).expect("is there").missing.len(), 1);
        assert!(matches!(
            find(&dir.path().join("nowhere")),
            Err(AgentError::NotInstalled { .. })
        ));
    }
}
