//! The real Claude Code with the settings that a policy may give it, against a scripted model on loopback: what reaches the model, and what
//! a version that does not know a setting does without.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use backend_claude::{ClaudeBackend, ClaudeEffort, ClaudeSandbox};
use orchestrator_core::{
    AgentBackend,
    model::{AgentWarning, TurnOutcome},
    port::{AgentError, ErrorClass},
};
use orchestrator_testkit::{
    Ran, RealAgent, RealStage, block_on,
    model_server::{Answer, ModelRequest, ModelServer, Script},
    ran, real_agent_main,
};
use serde_json::json;

fn main() -> ExitCode {
    real_agent_main(
        &[(
            "ORCHESTRATOR_TEST_CLAUDE",
            "npm install --prefix DIR @anthropic-ai/claude-code-linux-x64@2.1.330, then DIR/node_modules/@anthropic-ai/claude-code-linux-x64/claude",
        )],
        &[
            ("effort_reaches_the_model", effort_reaches_the_model),
            (
                "fallback_model_answers_while_the_other_is_overloaded",
                fallback_model_answers_while_the_other_is_overloaded,
            ),
            (
                "mcp_servers_of_the_policy_are_there_and_no_others",
                mcp_servers_of_the_policy_are_there_and_no_others,
            ),
            (
                "mcp_server_that_fails_is_a_finding",
                mcp_server_that_fails_is_a_finding,
            ),
            (
                "reader_is_confined_where_the_version_can",
                reader_is_confined_where_the_version_can,
            ),
            (
                "rules_are_there_after_a_compaction",
                rules_are_there_after_a_compaction,
            ),
            (
                "context_that_work_has_filled_is_no_prompt_that_is_too_long",
                context_that_work_has_filled_is_no_prompt_that_is_too_long,
            ),
            (
                "settings_that_the_version_does_not_know_are_left_out",
                settings_that_the_version_does_not_know_are_left_out,
            ),
            (
                "sandbox_without_its_programs_is_named_or_done_without",
                sandbox_without_its_programs_is_named_or_done_without,
            ),
            (
                "sandbox_whose_namespaces_are_refused_is_named",
                sandbox_whose_namespaces_are_refused_is_named,
            ),
            (
                "sandbox_that_breaks_in_a_turn_is_a_fault_of_the_machine",
                sandbox_that_breaks_in_a_turn_is_a_fault_of_the_machine,
            ),
        ],
    )
}

type Stage = RealStage<ClaudeBackend>;

fn stage(agent: &RealAgent, script: Script) -> Stage {
    RealStage::new(script, |home, url| {
        ClaudeBackend::new()
            .program(&agent.program)
            .model("claude-sonnet-4-5")
            .env("HOME", home.to_string_lossy())
            .env("ANTHROPIC_BASE_URL", url)
            .env("ANTHROPIC_API_KEY", "dummy-key")
            .env("CLAUDE_CODE_MAX_RETRIES", "1")
    })
}

/// One turn of a changed backend.
fn turn(
    agent: &RealAgent,
    answers: impl IntoIterator<Item = Answer>,
    change: impl FnOnce(ClaudeBackend) -> ClaudeBackend,
) -> (Stage, Ran) {
    let mut stage = block_on(stage(agent, Script::new(answers)).with_workspace());
    stage.backend = change(stage.backend.clone());
    let ran = block_on(stage.run(stage.request(1, None)));
    (stage, ran)
}

fn shell(command: &str) -> Answer {
    Answer::call(
        "Bash",
        json!({ "command": command, "description": "as asked" }),
    )
}

fn read(path: &Path) -> Answer {
    Answer::call("Read", json!({ "file_path": path }))
}

fn done() -> Answer {
    Answer::call("StructuredOutput", json!({ "status": "done" }))
}

/// A program of this content.
fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("writes");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("can be run");
    file
}

/// Our `PATH` behind this directory.
fn behind(directory: &Path) -> String {
    let ours = env::var_os("PATH").unwrap_or_default();
    let path = [directory.to_owned()]
        .into_iter()
        .chain(env::split_paths(&ours));
    let path = env::join_paths(path).expect("a path");
    path.to_string_lossy().into_owned()
}

fn effort_reaches_the_model(agent: &RealAgent) {
    let effort = |wanted: Option<ClaudeEffort>| {
        let (stage, ran) = turn(agent, [done()], |backend| {
            let backend = backend.model("claude-opus-4-8");
            wanted.into_iter().fold(backend, ClaudeBackend::effort)
        });
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        stage.server.requests()[0].body["output_config"]["effort"].clone()
    };
    assert_eq!(effort(Some(ClaudeEffort::Low)), "low");
    assert_ne!(effort(None), "low");
}

fn fallback_model_answers_while_the_other_is_overloaded(agent: &RealAgent) {
    let overloaded = || Answer::fail(529, "overloaded_error", "Overloaded");
    let answers = [overloaded(), overloaded(), overloaded(), done()];
    let (stage, ran) = turn(agent, answers, |backend| {
        backend
            .fallback_model("claude-haiku-4-5")
            .env("CLAUDE_CODE_MAX_RETRIES", "6")
    });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let asked = stage.server.requests();
    let models: Vec<_> = asked.iter().map(|asked| &asked.body["model"]).collect();
    assert_eq!(models.first(), Some(&&json!("claude-sonnet-4-5")));
    let last = models.last().and_then(|model| model.as_str());
    assert!(
        last.is_some_and(|model| model.starts_with("claude-haiku-4-5")),
        "{models:?}"
    );
}

/// A server with one tool, which answers with a variable of its environment.
const SERVER: &str = r#"
while read -r line; do
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
    case "$line" in
    *'"method":"initialize"'*) say '{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"docs","version":"1"}}' ;;
    *'"method":"tools/list"'*) say '{"tools":[{"name":"look_up","description":"Looks up","inputSchema":{"type":"object","properties":{}}}]}' ;;
    *'"method":"tools/call"'*) say "{\"content\":[{\"type\":\"text\",\"text\":\"found with $KEY\"}]}" ;;
    esac
done"#;

fn mcp_servers_of_the_policy_are_there_and_no_others(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = program(directory.path(), "server", SERVER);
    let look_up = Answer::call("mcp__docs__look_up", json!({}));
    let mut stage = block_on(stage(agent, Script::new([look_up, done()])).with_workspace());
    let foreign = json!({ "mcpServers": { "foreign": { "command": server } } }).to_string();
    let home = stage.sandbox.path().join("home");
    fs::write(stage.workspace().tree().join(".mcp.json"), &foreign).expect("writes");
    fs::write(home.join(".claude.json"), &foreign).expect("writes");
    stage.backend = stage.backend.clone().env("DOCS_KEY", "a-key").mcp_server(
        "docs",
        json!({ "command": server, "env": { "KEY": "${DOCS_KEY}" } }),
    );
    let ran = block_on(stage.run(stage.request(1, None)));
    assert_eq!(
        (&ran.outcome, ran.findings.len()),
        (&TurnOutcome::Completed, 0),
        "{ran:?}"
    );
    let asked = stage.server.requests();
    let last = asked.last().expect("it asked").text();
    assert!(last.contains("found with a-key"), "{last}");
    assert!(!last.contains("mcp__foreign"), "{last}");
    assert_eq!(stage.alive(), 0);

    let reader = block_on(stage.run(stage.request(2, None).reading_only()));
    assert_eq!(reader.outcome, TurnOutcome::Completed, "{reader:?}");
    let asked = stage.server.requests();
    let last = asked.last().expect("it asked").text();
    assert!(!last.contains("mcp__docs"), "a reader has none: {last}");
}

fn mcp_server_that_fails_is_a_finding(agent: &RealAgent) {
    let (_, ran) = turn(agent, [done()], |backend| {
        backend.mcp_server("docs", json!({ "command": "/bin/false" }))
    });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let found: Vec<_> = ran.findings.iter().map(ToString::to_string).collect();
    // Where it is told before it has failed, it is told as one that may come.
    assert!(
        found.is_empty() || found == ["tool/missing: MCP server `docs`: failed"],
        "{found:?}"
    );
}

fn knows(agent: &RealAgent, option: &str) -> bool {
    let home = tempfile::tempdir().expect("a home");
    let mut help = std::process::Command::new(&agent.program);
    help.arg("--help")
        .env("HOME", home.path())
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1");
    let help = help.output().expect("it has a help");
    String::from_utf8_lossy(&help.stdout).contains(&format!("  {option}"))
}

fn reader_is_confined_where_the_version_can(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let request = stage.request(1, None).reading_only();
    let outside = stage.sandbox.path().join("outside.txt");
    fs::write(&outside, "of-somebody-else").expect("writes");
    let answers = [read(&request.contract), read(&outside), done()];
    let server = ModelServer::start(Script::new(answers));
    let backend = stage
        .backend
        .clone()
        .env("ANTHROPIC_BASE_URL", server.url());
    let ran = block_on(async { ran(backend.start(request).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let last = server.requests().last().expect("it asked").text();
    assert!(last.contains("forbidden/**"), "it reads what it is told of");
    let confined = knows(agent, "--restricted");
    assert_eq!(last.contains("of-somebody-else"), !confined, "{last}");
}

/// The conversation's beginning, with the prompt, is gone from what the model is asked after a compaction.
fn rules_are_there_after_a_compaction(agent: &RealAgent) {
    let too_long = Answer::fail(
        400,
        "invalid_request_error",
        "prompt is too long: 250000 tokens > 200000 maximum",
    );
    let full = |from: u32| shell(&format!("seq {from} {}", from + 2000)).costing(185_000, 50);
    let summary = Answer::say("<summary>a summary</summary>");
    let answers = [full(1), full(2), too_long, summary, done()];
    let stage = block_on(stage(agent, Script::new(answers)).with_workspace());
    let request = stage.request(1, None).with_rules("Never touch a.txt.\n");
    let ran = block_on(stage.run(request));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let asked = stage.server.requests();
    let last = asked.last().expect("it asked");
    assert!(last.text().contains("a summary"), "it was compacted");
    assert!(
        !last.body["messages"]
            .to_string()
            .contains("This is turn 1.")
    );
    let has_rules = |asked: &ModelRequest| {
        let system = asked.body["system"].to_string();
        system.contains("Never touch a.txt.")
    };
    assert!(asked.iter().all(has_rules));
}

fn context_that_work_has_filled_is_no_prompt_that_is_too_long(agent: &RealAgent) {
    let too_long = || {
        let message = "prompt is too long: 250000 tokens > 200000 maximum";
        Answer::fail(400, "invalid_request_error", message)
    };
    let (_, first) = turn(agent, [too_long()], |backend| backend);
    let TurnOutcome::PromptTooLong { detail } = &first.outcome else {
        panic!("{first:?}")
    };
    assert!(detail.to_lowercase().contains("too long"), "{detail}");
    let (_, later) = turn(agent, [shell("true"), too_long()], |backend| backend);
    assert_eq!(later.outcome, TurnOutcome::ContextFull, "{later:?}");
}

/// An older Claude Code, as far as its options go.
fn settings_that_the_version_does_not_know_are_left_out(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    let unknown = "--effort*|--fallback-model*|--restricted*|--permission-prompts*|--append-system-prompt-file*";
    let script = format!(
        "if [ \"$1\" = --help ]; then echo '  --model <model>  Model'; exit 0; fi\n\
         for given; do case \"$given\" in {unknown}) echo \"error: unknown option '$given'\" >&2; exit 1;; esac; done\n\
         exec '{}' \"$@\"",
        agent.program.display()
    );
    let old = program(directory.path(), "claude", &script);
    let mut stage = block_on(stage(agent, Script::new([done()])).with_workspace());
    stage.backend = stage
        .backend
        .clone()
        .program(old)
        .effort(ClaudeEffort::Low)
        .fallback_model("claude-haiku-4-5");
    let probe = block_on(stage.backend.probe()).expect("it is there");
    let left_out: Vec<_> = probe
        .warnings
        .iter()
        .filter_map(|warning| match warning {
            AgentWarning::LeftOut { setting, .. } => Some(setting.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(left_out, ["effort", "fallback_model"]);
    let worker = stage.request(1, None).with_rules("Never touch a.txt.\n");
    let reader = stage.request(2, None).reading_only();
    for request in [worker, reader] {
        let ran = block_on(stage.run(request));
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    }
    let asked = stage.server.requests();
    let system = asked[0].body["system"].to_string();
    assert!(system.contains("Never touch a.txt."), "{system}");
}

/// What and how to fix it, of an agent that cannot be used.
fn misconfigured(error: AgentError) -> (String, String) {
    assert_eq!(error.class(), ErrorClass::NeedsPerson, "{error}");
    match error {
        AgentError::Misconfigured { what, fix } => (what, fix),
        other => panic!("{other}"),
    }
}

fn sandbox_without_its_programs_is_named_or_done_without(agent: &RealAgent) {
    let nothing = tempfile::tempdir().expect("a directory");
    let stage = stage(agent, Script::default());
    let probe = |sandbox: ClaudeSandbox| {
        let backend = stage.backend.clone().sandbox(sandbox);
        let path = nothing.path().to_string_lossy().into_owned();
        let environment = BTreeMap::from([("PATH".to_owned(), path)]);
        block_on(async { backend.probe_in(&environment).await })
    };
    let (what, fix) = misconfigured(probe(ClaudeSandbox::Required).expect_err("it cannot work"));
    assert!(what.contains("`bwrap`"), "{what}");
    assert!(fix.contains("install bubblewrap and socat"), "{fix}");
    let warnings = probe(ClaudeSandbox::Best)
        .expect("it works without")
        .warnings;
    let without = |warning: &AgentWarning| matches!(warning, AgentWarning::NoSandbox { .. });
    assert!(warnings.iter().any(without), "{warnings:?}");
    let warnings = probe(ClaudeSandbox::Off).expect("it works").warnings;
    assert!(!warnings.iter().any(without), "{warnings:?}");
}

const NO_NAMESPACES: &str = "bwrap: No permissions to create new namespace, likely because the kernel does not allow \
                             non-privileged user namespaces.";

fn sandbox_whose_namespaces_are_refused_is_named(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    program(directory.path(), "socat", "exit 1");
    program(
        directory.path(),
        "bwrap",
        &format!("echo '{NO_NAMESPACES}' >&2; exit 1"),
    );
    let mut stage = block_on(stage(agent, Script::new([shell("true"), done()])).with_workspace());
    let backend = stage.backend.clone().env("PATH", behind(directory.path()));
    let by_settings = json!({ "sandbox": { "enabled": true } });
    for required in [
        backend.clone().sandbox(ClaudeSandbox::Required),
        backend.clone().settings(by_settings),
    ] {
        let (what, fix) = misconfigured(block_on(required.probe()).expect_err("it cannot work"));
        assert!(what.contains("user namespaces are refused"), "{what}");
        assert!(fix.contains("userns"), "{fix}");
        let started = block_on(required.start(stage.request(1, None)));
        misconfigured(started.expect_err("no turn starts"));
    }
    assert_eq!(stage.server.requests().len(), 0, "no model was asked");

    stage.backend = backend.sandbox(ClaudeSandbox::Best);
    let ran = block_on(stage.run(stage.request(2, None)));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
}

/// The trial finds it working; what carries its connections does not.
fn sandbox_that_breaks_in_a_turn_is_a_fault_of_the_machine(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    program(directory.path(), "socat", "exit 1");
    program(directory.path(), "bwrap", "exit 0");
    let path = behind(directory.path());
    let (stage, ran) = turn(agent, [shell("true"), done()], |backend| {
        backend.env("PATH", path).sandbox(ClaudeSandbox::Required)
    });
    let TurnOutcome::Misconfigured { reason } = &ran.outcome else {
        panic!("{ran:?}")
    };
    assert!(
        reason.contains("fix: see whether `socat` works"),
        "{reason}"
    );
    let handoff = stage.workspace().out().join("1/handoff.json");
    assert!(!handoff.exists(), "nothing is handed over");
}
