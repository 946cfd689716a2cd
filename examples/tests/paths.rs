//! Every path that `supervise` is given may be relative, hold spaces, be no UTF-8, or lead through a link.

mod common;

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Output},
};

use common::example;
use orchestrator_testkit::{Sandbox, git, shell_worker};

const ROADMAP: &str = "- [ ] **A** First\n  ```toml\n  allow = [\"A.txt\"]\n  claims = [{ id = \"seen\", text = \"it is seen\", \
     surface = \"device:screen\" }]\n  ```\n";

const WORK: &str = "echo A > A.txt; commit work; handoff done";

fn supervise(directory: &Path, arguments: &[&OsStr]) -> Output {
    Command::new(example("supervise"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("supervise was built")
}

/// What it prints; it must end with this status.
#[track_caller]
fn said(directory: &Path, status: i32, arguments: &[&OsStr]) -> String {
    let output = supervise(directory, arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
    text
}

/// Lands a task by way of a question, and asks for every view, with these paths as they are given in `here`.
fn whole_run(sandbox: &Sandbox, here: &Path, repository: &OsStr, state: &OsStr) {
    fs::write(
        here.join("policy.toml"),
        "push = \"origin\"\n[limits]\nbackoff = \"1ms\"\n",
    )
    .expect("writes");
    fs::write(here.join("photo.txt"), "seen\n").expect("writes");
    let worker = shell_worker(sandbox.path(), "worker", WORK).join(" ");
    let worker = OsString::from(worker);
    let word = OsStr::new;
    let place = [word("--repo"), repository, word("--state-dir"), state];
    let command = |words: &[&'static str]| -> Vec<OsString> {
        let first = words[..1].iter().map(OsString::from);
        let rest = words[1..].iter().map(OsString::from);
        first
            .chain(place.iter().map(|word| (*word).to_owned()))
            .chain(rest)
            .collect()
    };
    let run = |status: i32, words: &[&'static str]| {
        let mut arguments = command(words);
        if words[0] == "run" {
            arguments.extend([OsString::from("--agent-command"), worker.clone()]);
        }
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        said(here, status, &arguments)
    };
    let inputs = ["run", "--roadmap", "ROADMAP.md", "--policy", "policy.toml"];
    let with = |more: &[&'static str]| [&inputs[..], more].concat();
    assert!(run(0, &with(&["--plan"])).contains("A First: starts now"));
    run(3, &with(&["--status-json", "status.json"]));
    assert!(here.join("status.json").exists());
    let asked = run(0, &["status"]);
    assert!(
        asked.contains("H1") && asked.contains("observed"),
        "{asked}"
    );
    run(0, &["answer", "H1", "observed", "--artifact", "photo.txt"]);
    run(0, &with(&[]));
    assert!(run(0, &["report"]).contains("First"));
    run(0, &["report", "--html", "page.html"]);
    assert!(here.join("page.html").exists());
    assert!(run(0, &["export", "A"]).contains("First"));
    assert!(run(0, &["verify"]).contains("whole"));
    git(&here.join(repository), &["fetch", "--quiet", "origin"]);
    run(0, &["drain"]);
}

fn published() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    sandbox
}

#[test]
fn relative_paths_work_for_every_command() {
    let sandbox = published();
    whole_run(&sandbox, sandbox.path(), "repo".as_ref(), "state".as_ref());
}

#[test]
fn path_through_a_parent_works_for_every_command() {
    let sandbox = published();
    let here = sandbox.repo().join("sub");
    fs::create_dir(&here).expect("makes");
    fs::write(sandbox.repo().join(".git/info/exclude"), "sub\n").expect("writes");
    whole_run(&sandbox, &here, "..".as_ref(), "../../state".as_ref());
}

#[test]
fn path_with_spaces_works_for_every_command() {
    let sandbox = published();
    let here = sandbox.path().join("a b");
    fs::create_dir(&here).expect("makes");
    fs::rename(sandbox.repo(), here.join("my repo")).expect("moves");
    git(
        &here.join("my repo"),
        &["remote", "set-url", "origin", "../../remote.git"],
    );
    whole_run(&sandbox, &here, "my repo".as_ref(), "my state".as_ref());
}

#[test]
fn path_through_a_link_works_for_every_command() {
    let sandbox = published();
    std::os::unix::fs::symlink(sandbox.repo(), sandbox.path().join("linked")).expect("links");
    fs::create_dir(sandbox.path().join("elsewhere")).expect("makes");
    std::os::unix::fs::symlink("elsewhere", sandbox.path().join("state")).expect("links");
    whole_run(
        &sandbox,
        sandbox.path(),
        "linked".as_ref(),
        "state".as_ref(),
    );
}

#[test]
fn path_that_is_no_utf8_works_for_every_command() {
    let sandbox = published();
    let repository = OsStr::from_bytes(b"re\xffpo");
    fs::rename(sandbox.repo(), sandbox.path().join(repository)).expect("moves");
    git(
        &sandbox.path().join(repository),
        &[
            "remote",
            "set-url",
            "origin",
            &sandbox.remote().to_string_lossy(),
        ],
    );
    whole_run(
        &sandbox,
        sandbox.path(),
        repository,
        OsStr::from_bytes(b"st\xffate"),
    );
}
