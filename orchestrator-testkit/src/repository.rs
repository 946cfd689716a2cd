//! A repository, its remote, and a place for an orchestrator's state.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use orchestrator_core::process::marked;
use tempfile::TempDir;

/// A bare remote, a clone of it with one commit on `main`, and a state directory, all in one temporary directory.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
}

/// Runs git in a directory with an environment of its own, and returns what it prints, without the last line's end.
///
/// # Panics
/// When git fails: the test that asked is over.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("HOME", "/nowhere"),
            ("LC_ALL", "C"),
        ])
        .envs([
            ("GIT_AUTHOR_NAME", "Test"),
            ("GIT_AUTHOR_EMAIL", "test@example.org"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Test"),
            ("GIT_COMMITTER_EMAIL", "test@example.org"),
        ])
        .output()
        .expect("git can be run");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end_matches('\n')
        .to_owned()
}

/// Each git that this machine has on its `PATH`, one for each version.
#[must_use]
pub fn git_binaries() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for binary in std::env::split_paths(&path)
        .map(|dir| dir.join("git"))
        .filter(|binary| binary.is_file())
    {
        let Ok(output) = Command::new(&binary).arg("version").output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && !found.iter().any(|(known, _)| *known == version) {
            found.push((version, binary));
        }
    }
    found.into_iter().map(|(_, binary)| binary).collect()
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// With a first commit that holds `README.md`.
    ///
    /// # Panics
    /// When the temporary directory cannot be used.
    #[must_use]
    pub fn new() -> Self {
        let sandbox = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        let top = sandbox.dir.path();
        git(
            top,
            &[
                "init",
                "--quiet",
                "--bare",
                "--template=",
                "--initial-branch=main",
                "remote.git",
            ],
        );
        git(top, &["clone", "--quiet", "remote.git", "repo"]);
        let repo = sandbox.repo();
        for (key, value) in [
            ("user.name", "Test"),
            ("user.email", "test@example.org"),
            ("commit.gpgSign", "false"),
        ] {
            git(&repo, &["config", key, value]);
        }
        git(&repo, &["symbolic-ref", "HEAD", "refs/heads/main"]);
        sandbox.commit(&[("README.md", "# Test\n")], "begin");
        git(
            &repo,
            &["push", "--quiet", "--set-upstream", "origin", "main"],
        );
        sandbox
    }

    /// The whole temporary directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The clone: what a person works in.
    #[must_use]
    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// The bare remote.
    #[must_use]
    pub fn remote(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    /// For an orchestrator's state; not made.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What lives of all that orchestrators on the ledger in this state directory have started.
    ///
    /// # Panics
    /// When there is no ledger.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let ledger = fs::read_to_string(self.state().join("ledger")).expect("a ledger is there");
        let (_, header) = ledger
            .lines()
            .next()
            .and_then(|line| line.split_once(' '))
            .expect("a first line");
        let header: serde_json::Value = serde_json::from_str(header).expect("is JSON");
        let id = header["ledger"].as_str().expect("has an id");
        marked(&format!("{id}."))
    }

    /// Writes files in the clone, without committing them.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = self.repo().join(name);
            fs::create_dir_all(path.parent().expect("a file has a directory"))
                .expect("makes the directory");
            fs::write(path, content).expect("writes the file");
        }
    }

    /// Writes files in the clone, commits them, and returns the commit.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        self.write(files);
        git(&self.repo(), &["add", "--all"]);
        git(&self.repo(), &["commit", "--quiet", "--message", message]);
        git(&self.repo(), &["rev-parse", "HEAD"])
    }

    /// The same, and pushes.
    pub fn publish(&self, files: &[(&str, &str)], message: &str) -> String {
        let commit = self.commit(files, message);
        git(&self.repo(), &["push", "--quiet", "origin", "main"]);
        commit
    }

    /// A file of the remote's `main`.
    #[must_use]
    pub fn remote_file(&self, path: &str) -> String {
        git(&self.remote(), &["show", &format!("main:{path}")])
    }

    /// The subjects of the first-parent line of the remote's `main`, newest first.
    #[must_use]
    pub fn remote_subjects(&self) -> Vec<String> {
        git(
            &self.remote(),
            &["log", "--first-parent", "--format=%s", "main"],
        )
        .lines()
        .map(str::to_owned)
        .collect()
    }
}
