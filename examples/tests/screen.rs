//! What `supervise` shows of a run: one line for each thing that happened, in words, with its times.

mod common;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use common::example;
use orchestrator_testkit::{Sandbox, shell_worker};

const ROADMAP: &str = "- [ ] **A** First\n  ```toml\n  allow = [\"A.txt\"]\n  ```\n";
const WORK: &str = "echo A > A.txt; commit work; handoff done";

/// A sandbox with one task, and the arguments of each call; `more` stands in the policy.
fn sandbox(more: &str) -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    let policy = sandbox.path().join("policy.toml");
    std::fs::write(&policy, format!("push = \"origin\"\n{more}\n")).expect("writes");
    let place = |path: PathBuf| path.to_string_lossy().into_owned();
    let arguments = [
        ("--repo", place(sandbox.repo())),
        ("--state-dir", place(sandbox.state())),
        ("--roadmap", "ROADMAP.md".to_owned()),
        ("--policy", place(policy)),
    ];
    let arguments = arguments
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    (sandbox, arguments)
}

/// The same with a command agent that runs this script.
fn with_worker(script: &str, more: &str) -> (Sandbox, Vec<String>) {
    let (sandbox, mut arguments) = sandbox(more);
    let worker = shell_worker(sandbox.path(), "worker", script).join(" ");
    arguments.extend(["--agent-command".to_owned(), worker]);
    (sandbox, arguments)
}

fn command(sandbox: &Sandbox, verb: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(example("supervise"));
    command
        .arg(verb)
        .args(arguments)
        .current_dir(sandbox.path());
    command
}

fn run(sandbox: &Sandbox, arguments: &[String]) -> Output {
    let output = command(sandbox, "run", arguments).output();
    output.expect("supervise was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What another verb says beside the run.
fn said(sandbox: &Sandbox, verb: &str, arguments: &[String]) -> String {
    // Where, without the roadmap and the policy.
    let output = command(sandbox, verb, &arguments[..4]).output();
    text(&output.expect("supervise was built").stdout)
}

/// A run whose standard error is read line by line.
fn begun(sandbox: &Sandbox, arguments: &[String]) -> Child {
    let mut command = command(sandbox, "run", arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("supervise was built")
}

/// The lines up to the first that has this.
fn until(child: &mut Child, part: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let stderr = child.stderr.take().expect("is piped");
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let found = line.contains(part);
        lines.push(line);
        if found {
            return lines;
        }
    }
    panic!("no line has `{part}`: {lines:#?}");
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill can be run").success());
}

/// A program that answers `--version` as Codex does, and else does this.
fn codex(sandbox: &Sandbox, version: &str, script: &str) -> PathBuf {
    let program = sandbox.path().join("codex");
    let worker = shell_worker(sandbox.path(), "codex-worker", script).join(" ");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo codex-cli {version}; exit; }}\nexec {worker}\n"
    );
    std::fs::write(&program, script).expect("writes");
    make_executable(&program);
    program
}

fn make_executable(program: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(program, mode).expect("can be run");
}

fn policy_of_codex(program: &Path) -> String {
    format!(
        "push = \"origin\"\n[agents.codex]\nkind = \"codex\"\nprotocol = \"exec\"\nsandbox = \"off\"\nprogram = {program:?}\n"
    )
}

fn with_codex(version: &str, script: &str) -> (Sandbox, Vec<String>) {
    let (sandbox, mut arguments) = sandbox("");
    let program = codex(&sandbox, version, script);
    let policy = sandbox.path().join("policy.toml");
    std::fs::write(policy, policy_of_codex(&program)).expect("writes");
    arguments.extend(["--agent".to_owned(), "codex".to_owned()]);
    (sandbox, arguments)
}

const THREAD: &str = r#"echo '{"type":"thread.started","thread_id":"t"}'"#;

#[test]
fn limit_has_its_reset_on_every_view() {
    let limit = |message: &str| {
        format!(
            "cat > /dev/null; {THREAD}; echo '{{\"type\":\"turn.failed\",\"error\":{{\"message\":\"{message}\"}}}}'; exit 1"
        )
    };
    let named = limit("You have hit your usage limit, try again at Nov 26th, 2099 6:51 AM.");
    let (sandbox, arguments) = with_codex("0.169.0", &named);
    let mut child = begun(&sandbox, &arguments);
    let lines = until(&mut child, "its session goes on");
    let limits: Vec<_> = lines.iter().filter(|line| line.contains("limit")).collect();
    let reset = "agent codex: its usage limit is reached; it is reset at 2099-11-26 06:51 UTC, in ";
    assert!(
        limits.len() == 1 && limits[0].starts_with(reset),
        "{lines:#?}"
    );
    let last = lines.last().map(String::as_str).unwrap_or_default();
    assert_eq!(
        last,
        "A#1      its session goes on as soon as its agent can be used"
    );
    let status = said(&sandbox, "status", &arguments);
    let shown =
        "agent `codex`: its usage limit is reached; it is reset at 2099-11-26 06:51 UTC, in ";
    assert!(status.contains(shown), "{status}");
    let report = said(&sandbox, "report", &arguments);
    let shown = "agent codex could not be used: its usage limit is reached; it is reset at \
                 2099-11-26 06:51 UTC, in ";
    assert!(report.contains(shown), "{report}");
    signal(&child, "TERM");
    let output = child.wait_with_output().expect("it ends");
    let summary = text(&output.stdout);
    assert!(
        summary.contains("it is reset at 2099-11-26 06:51 UTC, in "),
        "{summary}"
    );

    let (sandbox, arguments) = with_codex("0.169.0", &limit("usage limit reached"));
    let mut child = begun(&sandbox, &arguments);
    let lines = until(&mut child, "its session goes on");
    let told = "agent codex: its usage limit is reached, and it does not say when that is reset; it \
                is tried again at 20";
    assert!(
        lines.iter().any(|line| line.starts_with(told)),
        "{lines:#?}"
    );
    let status = said(&sandbox, "status", &arguments);
    let told = "and it does not say when that is reset; it is tried again at 20";
    assert!(status.contains(told), "{status}");
    signal(&child, "TERM");
    child.wait().expect("it ends");
}

#[test]
fn json_is_not_shown_as_an_agents_words() {
    let json = r#"{"version":1,"status":"done","task":"A"}"#;
    let script = format!(
        "cat > /dev/null; echo before; echo '{json}'; printf '```json\\n{{\\n  \"a\": 1\\n}}\\n```\\n'; \
         echo '{json}'; echo after; {WORK}"
    );
    let (sandbox, arguments) = with_worker(&script, "");
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr);
    let says: Vec<_> = shown
        .lines()
        .filter(|line| line.contains("says:"))
        .collect();
    assert_eq!(says, ["A#1      says: before", "A#1      says: after"]);

    let message = format!("All is done.\n```json\n{json}\n```");
    let message = serde_json::json!({ "id": "0", "type": "agent_message", "text": message });
    let message = serde_json::json!({ "type": "item.completed", "item": message });
    let ends = r#"{"type":"turn.completed","usage":{}}"#;
    let script = format!("cat > /dev/null; {THREAD}; {WORK}; printf '%s\\n' '{message}' '{ends}'");
    let (sandbox, arguments) = with_codex("0.169.0", &script);
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr);
    let says: Vec<_> = shown
        .lines()
        .filter(|line| line.contains("says:"))
        .collect();
    assert_eq!(says, ["A#1      says: All is done."], "{shown}");
}

/// Each line by what it begins with, so that none is a part of another's text.
fn assert_lines(shown: &str) {
    let begins = [
        "A#",
        "A ",
        "run ",
        "agent ",
        "gate ",
        "warning: ",
        "mode: ",
        "tasks ",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for line in shown.lines() {
        assert!(
            begins.iter().any(|begin| line.starts_with(begin)),
            "`{line}` is a line of its own:\n{shown}"
        );
        assert!(seen.insert(line), "`{line}` is told twice:\n{shown}");
    }
}

#[test]
fn event_is_one_line_and_is_told_once() {
    let crash = "cat > /dev/null; printf 'one\\ntwo\\n'; printf 'bad\\nthings\\n' >&2; exit 7";
    let (sandbox, arguments) = with_worker(crash, "[limits]\nattempts = 1\nbackoff = \"1ms\"");
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr);
    assert_lines(&shown);
    let reason = "exit status 7";
    assert_eq!(shown.matches(reason).count(), 1, "{shown}");
    assert!(shown.contains("A waits for a person: H1\n"), "{shown}");
    // All of it is in what is printed at the end.
    assert!(text(&output.stdout).contains("things"));

    let asks = "cat > /dev/null; handoff blocked ',\"reason\":\"which tray?\\nand which paper?\"'";
    let (sandbox, arguments) = with_worker(asks, "");
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr);
    assert_lines(&shown);
    assert_eq!(shown.matches("which tray?").count(), 1, "{shown}");
}

#[test]
fn death_of_the_orchestrator_is_told_with_its_times() {
    let once = "[ -e ../../../once ] || { touch ../../../once; echo ready; sleep 1000; }";
    let script = format!("cat > /dev/null; {once}; {WORK}");
    let (sandbox, arguments) = with_worker(&script, "");
    let mut child = begun(&sandbox, &arguments);
    until(&mut child, "says: ready");
    assert!(said(&sandbox, "status", &arguments).starts_with("mode: active; the run goes on\n"));
    signal(&child, "KILL");
    child.wait().expect("it ends");
    let status = said(&sandbox, "status", &arguments);
    assert!(
        status.starts_with("mode: active; the run has not ended, and no orchestrator is running;"),
        "{status}"
    );
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr);
    let told: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with("the orchestrator was not running from 20"))
        .collect();
    assert_eq!(told.len(), 1, "{shown}");
    assert!(told[0].matches(" UTC").count() == 2, "{}", told[0]);
    assert!(!shown.contains("cause"), "{shown}");
    assert!(!shown.contains("heartbeats were missed"), "{shown}");
    let report = said(&sandbox, "report", &arguments);
    assert!(
        report.contains("the orchestrator was not running from 20"),
        "{report}"
    );
}

#[test]
fn program_that_vanished_is_named_without_advice_to_log_in() {
    let agent = "#!/bin/sh\ncat > /dev/null; rm \"$0\"; exit 7\n";
    let broken = "#!/bin/sh\ncat > /dev/null; printf '#!/no/such/interpreter\\n' > \"$0.new\"; \
                  chmod +x \"$0.new\"; mv \"$0.new\" \"$0\"; exit 7\n";
    for (script, what) in [
        (agent, "it is not there"),
        (
            broken,
            "its interpreter `/no/such/interpreter` is not there, or may not be run",
        ),
    ] {
        let (sandbox, mut arguments) = sandbox("[limits]\nattempts = 3\nbackoff = \"1ms\"");
        let program = sandbox.path().join("agent");
        std::fs::write(&program, script).expect("writes");
        make_executable(&program);
        let name = program.to_string_lossy().into_owned();
        arguments.extend(["--agent-command".to_owned(), name.clone()]);
        let output = run(&sandbox, &arguments);
        let (shown, summary) = (text(&output.stderr), text(&output.stdout));
        let canonical = program.parent().and_then(|dir| dir.canonicalize().ok());
        let name = canonical.map_or(name, |dir| dir.join("agent").display().to_string());
        let told = format!("`{name}` cannot be run: {what}");
        assert!(
            shown.contains(&format!("agent command: {told}; its tasks wait")),
            "{shown}"
        );
        assert!(summary.contains(&told), "{summary}");
        assert!(
            summary
                .contains("We would: put back what is missing, or correct its path in the policy"),
            "{summary}"
        );
        assert!(!(summary + &shown).contains("log"), "no login helps");
    }
}

#[test]
fn warning_of_a_probe_is_shown_once_by_check_and_by_run() {
    let events = format!(
        "cat > /dev/null; {THREAD}; {WORK}; echo '{{\"type\":\"turn.completed\",\"usage\":{{}}}}'"
    );
    let (sandbox, arguments) = with_codex("9.99.9", &events);
    let check = command(&sandbox, "check", &arguments).output();
    let check = text(&check.expect("supervise was built").stdout);
    assert_eq!(check.matches("9.99.9").count(), 1, "{check}");
    assert!(check.contains("warning  agent codex: "), "{check}");
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(shown.matches("9.99.9").count(), 1, "{shown}");
    assert!(shown.contains("warning: agent codex: "), "{shown}");
}

#[test]
fn tasks_without_a_package_are_told_as_that() {
    let (sandbox, arguments) = with_worker(WORK, "");
    run(&sandbox, &arguments);
    let report = said(&sandbox, "report", &arguments);
    assert!(!report.contains("(none)"), "{report}");
    assert!(
        report.contains("work went on with tasks without a package: "),
        "{report}"
    );
}

#[test]
fn wrong_attempt_number_is_no_warning() {
    let handoff = r#"printf '{"version":1,"task":"A","attempt":7,"status":"done"}' > "$ORCHESTRATOR_HANDOFF""#;
    let script = format!("cat > /dev/null; echo A > A.txt; commit work; {handoff}");
    let (sandbox, arguments) = with_worker(&script, "");
    let output = run(&sandbox, &arguments);
    let shown = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(!shown.contains("warning"), "{shown}");
    assert!(!shown.contains("attempt 7"), "{shown}");
}
