//! `supervise check` as a user meets it: what it prints, its exit status, and that it changes nothing.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use common::example;
use orchestrator_testkit::{Sandbox, git, shell_worker};

const ROADMAP: &str = "- [ ] **A** First\n  ```toml\n  allow = [\"A.txt\"]\n  ```\n";

/// A sandbox with a roadmap, a policy, and directories for a home and for temporary files.
fn sandbox(policy: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    let top = sandbox.path();
    for directory in ["home", "tmp"] {
        fs::create_dir(top.join(directory)).expect("makes");
    }
    fs::write(top.join("policy.toml"), policy).expect("writes");
    sandbox
}

fn check(sandbox: &Sandbox, more: &[&str]) -> Output {
    let mut command = command(sandbox);
    command.args(more).output().expect("supervise was built")
}

fn command(sandbox: &Sandbox) -> Command {
    let top = sandbox.path();
    let mut command = Command::new(example("supervise"));
    command
        .args(["check", "--repo", "repo", "--state-dir", "state"])
        .args(["--roadmap", "ROADMAP.md", "--policy", "policy.toml"])
        .args(["--agent-command", "true"])
        .current_dir(top)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a path"))
        .env("HOME", top.join("home"))
        .env("TMPDIR", top.join("tmp"));
    command
}

/// What a path is: its mode, its time of change in nanoseconds, and its content.
type Entry = (u32, i64, i64, Vec<u8>);

/// All that lies beneath a directory.
fn everything(directory: &Path, into: &mut BTreeMap<PathBuf, Entry>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let found = path.symlink_metadata().expect("is there");
        let content = if found.is_file() {
            fs::read(&path).expect("reads")
        } else {
            Vec::new()
        };
        let mode = found.permissions().mode();
        into.insert(
            path.clone(),
            (mode, found.mtime(), found.mtime_nsec(), content),
        );
        if found.is_dir() {
            everything(&path, into);
        }
    }
}

fn seen(sandbox: &Sandbox) -> BTreeMap<PathBuf, Entry> {
    let mut all = BTreeMap::new();
    for part in ["repo", "remote.git", "home"] {
        let path = sandbox.path().join(part);
        everything(&path, &mut all);
    }
    all
}

#[test]
fn check_changes_nothing_of_the_persons() {
    for push in ["\"origin\"", "false"] {
        let gate =
            "[gates.unit]\nrun = [\"grep\", \"-q\", \"Test\", \"README.md\"]\ndefault = true\n";
        let sandbox = sandbox(&format!("push = {push}\n{gate}"));
        let repo = sandbox.repo();
        // There is something to fetch, something unpushed, and an index that git would like to refresh.
        let before = git(&repo, &["rev-parse", "HEAD"]);
        sandbox.publish(&[("other.txt", "other\n")], "somebody else");
        git(&repo, &["reset", "-q", "--hard", &before]);
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "mine"]);
        let readme = repo.join("README.md");
        let content = fs::read(&readme).expect("reads");
        fs::write(&readme, content).expect("writes");
        fs::write(sandbox.path().join("home/.gitconfig"), "[gc]\n\tauto = 1\n").expect("writes");
        let before = seen(&sandbox);
        let output = check(&sandbox, &[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(
            said.contains("\nok       gate unit: passed on the target"),
            "{said}"
        );
        let after = seen(&sandbox);
        let differs = before
            .iter()
            .chain(&after)
            .filter(|(path, _)| before.get(*path) != after.get(*path));
        let differs: Vec<_> = differs.map(|(path, _)| path).collect();
        assert_eq!(differs, Vec::<&PathBuf>::new(), "push = {push}");
        assert!(!sandbox.state().exists());
        let left = fs::read_dir(sandbox.path().join("tmp")).expect("is there");
        assert_eq!(left.count(), 0, "temporary files are gone");
    }
}

#[test]
fn check_says_what_failed_and_how_to_set_it_right() {
    let sandbox = sandbox("push = \"origin\"\n");
    let repo = sandbox.repo();
    git(
        &repo,
        &["remote", "set-url", "--push", "origin", "/nowhere"],
    );
    let output = check(&sandbox, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("\nFAILED   push: `git push --dry-run` to `origin` failed: fatal: "),
        "{said}"
    );
    assert!(
        said.contains("\n         fix: make `git push origin main` work here"),
        "{said}"
    );
}

#[test]
fn check_as_json_is_one_line_for_each() {
    let sandbox = sandbox("push = \"origin\"\n");
    let output = check(&sandbox, &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("is JSON");
    let checks: Vec<_> = text.lines().map(read).collect();
    let push = checks.iter().find(|check| check["name"] == "push");
    assert_eq!(push.expect("is there")["outcome"], "passed");
    let gates = checks.last().expect("some");
    assert_eq!(
        (&gates["name"], &gates["outcome"]),
        (&"gates".into(), &"skipped".into())
    );
}

#[test]
fn run_says_complete_and_what_was_no_part_of_it() {
    let sandbox = sandbox("push = \"origin\"\n[limits]\nbackoff = \"1ms\"\n");
    let repo = sandbox.repo();
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let script = "echo x > A.txt; commit work; handoff done";
    let worker = shell_worker(sandbox.path(), "worker", script).join(" ");
    let output = Command::new(example("supervise"))
        .args(["run", "--repo", "repo", "--state-dir", "state"])
        .args(["--roadmap", "ROADMAP.md", "--policy", "policy.toml"])
        .args(["--agent-command", &worker])
        .current_dir(sandbox.path())
        .output()
        .expect("supervise was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{warned}");
    let remark = "main is 1 ahead of";
    assert!(said.contains(&format!("Remark: {remark}")), "{said}");
    assert!(
        warned.contains(&format!("warning: unpushed commits: {remark}")),
        "{warned}"
    );
}

#[test]
fn check_that_is_stopped_leaves_nothing() {
    let sandbox = sandbox("");
    let fifo = sandbox.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("starts").success());
    let script = format!("echo $$ > '{}'; exec sleep 1000", fifo.display());
    let policy = format!("[gates.unit]\ndefault = true\nrun = [\"sh\", \"-c\", \"{script}\"]\n");
    fs::write(sandbox.path().join("policy.toml"), policy).expect("writes");

    let started = command(&sandbox).stdout(Stdio::null()).spawn();
    let mut started = started.expect("supervise was built");
    // Until the gate runs.
    let gate = fs::read_to_string(&fifo).expect("reads");
    let interrupted = Command::new("kill")
        .args(["-INT", &started.id().to_string()])
        .status();
    assert!(interrupted.expect("starts").success());
    let ended = started.wait().expect("ends");
    assert_eq!(ended.code(), Some(1));
    let gate = Path::new("/proc").join(gate.trim());
    assert!(!gate.exists(), "its gate lives: {}", gate.display());
    let left: Vec<_> = fs::read_dir(sandbox.path().join("tmp"))
        .expect("a directory")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
