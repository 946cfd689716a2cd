//! `supervise` with the real Claude Code and the real Codex, against a scripted model on loopback: each alone by one word, and a roadmap
//! whose tasks name the one or the other.

mod common;

use std::{
    path::Path,
    process::{Command, ExitCode, Output, Stdio},
};

use common::example;
use orchestrator_testkit::{
    RealAgent, Sandbox,
    model_server::{Answer, ModelServer, Script},
    real_agent_main,
};
use serde_json::json;

fn main() -> ExitCode {
    real_agent_main(
        &[
            (
                "ORCHESTRATOR_TEST_CLAUDE",
                "npm install --prefix DIR @anthropic-ai/claude-code-linux-x64@2.1.330, then DIR/node_modules/@anthropic-ai/claude-code-linux-x64/claude",
            ),
            (
                "ORCHESTRATOR_TEST_CODEX",
                "npm install --prefix DIR @openai/codex@0.169.0, then DIR/node_modules/@openai/codex/bin/codex.js",
            ),
        ],
        &[
            ("claude_is_one_word", claude_is_one_word),
            (
                "claude_and_codex_work_on_one_roadmap",
                claude_and_codex_work_on_one_roadmap,
            ),
        ],
    )
}

fn handoff(id: &str) -> serde_json::Value {
    json!({
        "version": 1, "task": id, "attempt": 1, "status": "done", "reason": null, "branch": null, "commit": null, "changed_files": [format!("{id}.txt")],
        "gates": [], "artifacts": [], "self_review": "read it once more", "residual_risks": [], "evidence": [],
    })
}

fn commit(id: &str) -> String {
    format!("echo {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}'")
}

/// What the model says to either, each in its own tools.
fn answers(id: &str, agent: &str) -> Vec<Answer> {
    match agent {
        "claude" => vec![
            Answer::call(
                "Bash",
                json!({ "command": "git push origin HEAD", "description": "x" }),
            ),
            Answer::call("Bash", json!({ "command": commit(id), "description": "x" })),
            Answer::call("StructuredOutput", handoff(id)),
        ],
        _ => vec![
            Answer::call("exec_command", json!({ "cmd": commit(id) })),
            Answer::say(handoff(id).to_string()),
        ],
    }
}

/// A sandbox with a roadmap of these tasks, and the model that knows them.
fn stage(tasks: &[(&str, &str)]) -> (Sandbox, ModelServer) {
    let sandbox = Sandbox::new();
    let item = |(id, agent): &(&str, &str)| {
        format!(
            "- [ ] **{id}** Task {id}.\n  ```toml\n  allow = [\"{id}.txt\"]\n  agent = \"{agent}\"\n  ```\n"
        )
    };
    sandbox.publish(
        &[("ROADMAP.md", &tasks.iter().map(item).collect::<String>())],
        "roadmap",
    );
    for directory in ["home/.codex", "home/tmp"] {
        std::fs::create_dir_all(sandbox.path().join(directory)).expect("makes the home");
    }
    let script = tasks.iter().fold(Script::default(), |script, (id, agent)| {
        script.when(format!("Task {id}."), answers(id, agent))
    });
    (sandbox, ModelServer::start(script))
}

fn supervise(
    sandbox: &Sandbox,
    server: &ModelServer,
    path: &str,
    policy: &str,
    more: &[&str],
) -> Output {
    std::fs::write(sandbox.path().join("policy.toml"), policy).expect("writes");
    let home = sandbox.path().join("home");
    let mut supervise = Command::new(example("supervise"));
    supervise
        .arg("run")
        .arg("--repo")
        .arg(sandbox.repo())
        .arg("--state-dir")
        .arg(sandbox.state());
    supervise
        .args(["--roadmap", "ROADMAP.md"])
        .arg("--policy")
        .arg(sandbox.path().join("policy.toml"))
        .args(more);
    supervise.env_clear().envs([
        ("PATH", path),
        ("ANTHROPIC_API_KEY", "dummy-key"),
        ("SCRIPTED_KEY", "dummy-key"),
    ]);
    supervise
        .env("ANTHROPIC_BASE_URL", server.url())
        .env("CODEX_HOME", home.join(".codex"))
        // A home in a temporary directory is one in which Codex works only where no bubblewrap is installed.
        .env("TMPDIR", home.join("tmp"))
        .env("HOME", home);
    supervise
        .stdin(Stdio::null())
        .output()
        .expect("supervise was built")
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn path() -> String {
    std::env::var("PATH").expect("a path")
}

/// With nothing in the policy but which variables are passed on.
fn claude_is_one_word(agent: &RealAgent) {
    let (sandbox, server) = stage(&[("A", "claude")]);
    let beside = sandbox.path().join("bin");
    std::fs::create_dir(&beside).expect("makes it");
    std::os::unix::fs::symlink(&agent.program, beside.join("claude")).expect("links");
    let policy = "push = \"origin\"\n[environment]\nallow = [\"PATH\", \"HOME\", \"ANTHROPIC_API_KEY\", \"ANTHROPIC_BASE_URL\"]\n";
    let output = supervise(
        &sandbox,
        &server,
        &format!("{}:{}", beside.display(), path()),
        policy,
        &["--agent", "claude"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(sandbox.remote_file("A.txt"), "A");
    assert_eq!(sandbox.processes(), Vec::<i32>::new());
}

fn claude_and_codex_work_on_one_roadmap(agent: &RealAgent) {
    let tasks = [
        ("W1", "claude"),
        ("W2", "codex"),
        ("W3", "claude"),
        ("W4", "codex"),
    ];
    let (sandbox, server) = stage(&tasks);
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let provider =
        |what: &str, value: &str| format!("'model_providers.scripted.{what}=\"{value}\"'");
    let config = [
        "'model_provider=\"scripted\"'".to_owned(),
        provider("name", "scripted"),
        provider("base_url", &format!("{}/v1", server.url())),
        provider("wire_api", "responses"),
        provider("env_key", "SCRIPTED_KEY"),
    ];
    let policy = format!(
        "push = \"origin\"\nmax_sessions = 4\n\
         [agents.claude]\nkind = \"claude\"\nprogram = {}\nmodel = \"claude-sonnet-4-5\"\npermissions = \"contract\"\n\
         env = [\"ANTHROPIC_API_KEY\", \"ANTHROPIC_BASE_URL\"]\n\
         [agents.codex]\nkind = \"codex\"\nprogram = {}\nconfig = [{}]\nenv = [\"CODEX_HOME\", \"SCRIPTED_KEY\"]\n",
        quoted(&agent.program),
        quoted(&agent.others[0]),
        config.join(", "),
    );
    let output = supervise(&sandbox, &server, &path(), &policy, &["--agent", "codex"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for (id, _) in tasks {
        assert_eq!(sandbox.remote_file(&format!("{id}.txt")), id);
    }
    assert_eq!(sandbox.processes(), Vec::<i32>::new());
    // What was refused is told where the work is.
    let mut export = Command::new(example("supervise"));
    export
        .args(["export", "W1", "--repo"])
        .arg(sandbox.repo())
        .arg("--state-dir")
        .arg(sandbox.state());
    let export = export.output().expect("supervise was built");
    assert!(
        said(&export).contains("`git push origin HEAD` was refused"),
        "{}",
        said(&export)
    );
}
