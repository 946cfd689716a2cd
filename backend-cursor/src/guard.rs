//! What refuses a push in a configuration of the workers' own. Unverified: no real `cursor-agent` has read these files here.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::json;

/// What the hook runs: it is given the command as JSON, and says what becomes of it. A word such as `push` in the command itself is seen; one
/// that is hidden in a script is not.
const HOOK: &str = r#"#!/bin/sh
if grep -Eq '(^|[^[:alnum:]_-])git([[:space:]]+-[^[:space:]]+([[:space:]]+[^-[:space:]][^[:space:]]*)?)*[[:space:]]+(push|send-pack)([^[:alnum:]_-]|$)'; then
    echo '{"permission":"deny","user_message":"workers never push","agent_message":"Workers commit and never push: the orchestrator does, when the work has passed."}'
else
    echo '{"permission":"allow"}'
fi
"#;

/// Leaves the permissions and the hook in this directory, unless they are there.
pub(crate) fn place(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let hook = directory.join("no-push.sh");
    let permissions = json!({
        "version": 1, "editor": { "vimMode": false }, "permissions": { "allow": [], "deny": ["Shell(git:push*)"] },
    });
    let command = format!("'{}'", hook.to_string_lossy().replace('\'', r"'\''"));
    let hooks = json!({ "version": 1, "hooks": { "beforeShellExecution": [{ "command": command, "failClosed": true }] } });
    leave(&hook, HOOK, 0o755)?;
    leave(
        &directory.join("cli-config.json"),
        &permissions.to_string(),
        0o600,
    )?;
    leave(&directory.join("hooks.json"), &hooks.to_string(), 0o600)
}

/// Whole or not at all, also where several begin at once; what is there stays.
fn leave(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let new = path.with_extension(format!(
        "{}-{:?}.new",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut file = File::create(&new)?;
    file.write_all(content.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    drop(file);
    let left = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    left.or_else(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Ok(())
        } else {
            Err(error)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_hook_refuses_a_push_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        place(directory.path()).expect("is left");
        let says = |command: &str| {
            let mut hook = Command::new("/bin/sh");
            let mut hook = hook
                .arg(directory.path().join("no-push.sh"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell");
            let asked = json!({ "hook_event_name": "beforeShellExecution", "command": command, "cwd": "/tmp" });
            hook.stdin
                .take()
                .expect("is piped")
                .write_all(asked.to_string().as_bytes())
                .expect("listens");
            let said = hook.wait_with_output().expect("ends").stdout;
            let said: serde_json::Value = serde_json::from_slice(&said).expect("is JSON");
            said["permission"].as_str().expect("says it").to_owned()
        };
        for push in [
            "git push",
            "echo before && git push origin HEAD",
            "git -C . push",
            "/usr/bin/git --no-pager push",
            "(git push)",
        ] {
            assert_eq!(says(push), "deny", "{push}");
        }
        for other in [
            "git commit -m 'do not push'",
            "git log",
            "make push",
            "git stash push",
        ] {
            assert_eq!(says(other), "allow", "{other}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("cli-config.json"), "mine").expect("writes");
        place(directory.path()).expect("is left");
        place(directory.path()).expect("is left");
        assert_eq!(
            fs::read_to_string(directory.path().join("cli-config.json")).expect("is there"),
            "mine"
        );
        let mut files: Vec<_> = fs::read_dir(directory.path())
            .expect("can be read")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["cli-config.json", "hooks.json", "no-push.sh"]);
    }
}
