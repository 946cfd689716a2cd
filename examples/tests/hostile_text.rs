//! Whatever agents, their programs, files and roadmaps say: nothing of it hides or reorders what a person reads.

mod common;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use common::example;
use orchestrator_testkit::{Sandbox, shell_worker};

/// Each kind of character that must not reach a screen, with its code.
const HOSTILE: [(&str, &str); 13] = [
    ("202E", "\u{202e}"),
    ("202A", "\u{202a}"),
    ("2066", "\u{2066}"),
    ("2069", "\u{2069}"),
    ("200F", "\u{200f}"),
    ("061C", "\u{61c}"),
    ("200B", "\u{200b}"),
    ("2028", "\u{2028}"),
    ("FEFF", "\u{feff}"),
    ("00AD", "\u{ad}"),
    ("180E", "\u{180e}"),
    ("E0041", "\u{e0041}"),
    ("FFF9", "\u{fff9}"),
];

/// A word with all of them, an escape sequence and C1 controls.
fn hostile() -> String {
    let all: String = HOSTILE.iter().map(|(_, text)| *text).collect();
    format!("evil{all}\u{1b}[2J\u{9b}2J\u{7f}word")
}

fn supervise(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(example("supervise"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("supervise was built")
}

#[track_caller]
fn is_fit_to_be_read(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("is UTF-8");
    assert!(!text.is_empty(), "{what}");
    for (code, hidden) in HOSTILE {
        assert!(!text.contains(hidden), "{what} has U+{code}:\n{text}");
    }
    let controls = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    assert_eq!(text.chars().find(controls), None, "{what}:\n{text}");
}

/// Runs one task whose title, text, agent, handoff, commits, files and gate say hostile things.
fn night(sandbox: &Sandbox, worker: &str) -> Output {
    let word = hostile();
    let roadmap = format!(
        "- [ ] **A** First {word}\n  ```toml\n  allow = [\"**\"]\n  gates = [\"unit\"]\n  claims = [{{ id = \"seen\", \
         text = \"seen\", surface = \"device:screen\" }}]\n  ```\n\n  Text {word}\n"
    );
    // A TOML string has no C0 controls; the title and the text have them.
    sandbox.publish(&[("ROADMAP.md", &roadmap), ("word", &word)], "roadmap");
    fs::write(
        sandbox.path().join("policy.toml"),
        "push = \"origin\"\n[limits]\nbackoff = \"1ms\"\nattempts = 1\n[gates.unit]\nrun = [\"sh\", \"-c\", \
         \"cat word word >&2; cat word; test -f good\"]\n",
    )
    .expect("writes");
    let worker = shell_worker(sandbox.path(), "worker", worker).join(" ");
    supervise(
        sandbox.path(),
        &[
            "run",
            "--repo",
            "repo",
            "--state-dir",
            "state",
            "--roadmap",
            "ROADMAP.md",
            "--policy",
            "policy.toml",
            "--status-json",
            "status.json",
            "--agent-command",
            &worker,
        ],
    )
}

fn views(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let here = sandbox.path();
    let commands: [&[&str]; 8] = [
        &["status"],
        &["status", "--json"],
        &["report"],
        &["report", "--json"],
        &["export", "A"],
        &["export", "A", "--json"],
        &["verify"],
        &["verify", "--json"],
    ];
    let place = ["--repo", "repo", "--state-dir", "state"];
    let mut views: Vec<(String, Vec<u8>)> = commands
        .iter()
        .map(|command| {
            let output = supervise(here, &[*command, &place[..]].concat());
            let failed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{command:?}: {failed}");
            (command.join(" "), output.stdout)
        })
        .collect();
    let page = ["report", "--html", "page.html"];
    supervise(here, &[&page[..], &place[..]].concat());
    for name in ["page.html", "status.json"] {
        let content = fs::read(here.join(name)).expect("was written");
        views.push((name.to_owned(), content));
    }
    views
}

#[test]
fn text_of_work_that_waits_for_a_person_is_fit_to_be_read() {
    let sandbox = Sandbox::new();
    let word = hostile();
    let script = format!(
        "cat word; cat word >&2; touch good '{word}.txt'; git add -A; git commit -qm '{word}'; handoff done"
    );
    let output = night(&sandbox, &script);
    is_fit_to_be_read("run, standard output", &output.stdout);
    is_fit_to_be_read("run, standard error", &output.stderr);
    let live = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(live.contains("evil<U+202E>"), "{live}");
    for (what, content) in views(&sandbox) {
        is_fit_to_be_read(&what, &content);
        let text = String::from_utf8_lossy(&content);
        let shown = ["evil<U+202E>", "evil&lt;U+202E", "evil\\u202e"];
        assert!(
            what.starts_with("verify") || shown.iter().any(|shown| text.contains(shown)),
            "{what}: {text}"
        );
    }
}

#[test]
fn text_of_an_agent_that_fails_is_fit_to_be_read() {
    let sandbox = Sandbox::new();
    let output = night(&sandbox, "cat word; cat word >&2; exit 7");
    is_fit_to_be_read("run, standard output", &output.stdout);
    is_fit_to_be_read("run, standard error", &output.stderr);
    for (what, content) in views(&sandbox) {
        is_fit_to_be_read(&what, &content);
    }
}

#[test]
fn text_of_a_gate_that_fails_is_fit_to_be_read() {
    let sandbox = Sandbox::new();
    let output = night(&sandbox, "touch bad; commit work; handoff done");
    is_fit_to_be_read("run, standard output", &output.stdout);
    is_fit_to_be_read("run, standard error", &output.stderr);
    for (what, content) in views(&sandbox) {
        is_fit_to_be_read(&what, &content);
    }
}
