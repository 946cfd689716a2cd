//! The real Claude Code in its own sandbox, where bubblewrap and socat are there.

use std::{env, process::ExitCode};

use backend_claude::{ClaudeBackend, ClaudeSandbox};
use orchestrator_core::{AgentBackend, model::TurnOutcome};
use orchestrator_testkit::{
    RealAgent, RealStage, block_on, git,
    model_server::{Answer, ModelServer, Script},
    ran, real_agent_main,
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
                "ORCHESTRATOR_TEST_BWRAP",
                "apt-get install bubblewrap socat, then the path of bwrap; socat lies beside it",
            ),
        ],
        &[(
            "sandbox_lets_it_commit_and_no_more",
            sandbox_lets_it_commit_and_no_more,
        )],
    )
}

fn sandbox_lets_it_commit_and_no_more(agent: &RealAgent) {
    let bwrap = agent.others.first().expect("bubblewrap");
    let ours = env::var_os("PATH").unwrap_or_default();
    let path = bwrap
        .parent()
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(env::split_paths(&ours));
    let path = env::join_paths(path).expect("a path");
    let stage = block_on(
        RealStage::new(Script::default(), |home, _| {
            ClaudeBackend::new()
                .program(&agent.program)
                .model("claude-sonnet-4-5")
                .env("HOME", home.to_string_lossy())
                .env("PATH", path.to_string_lossy())
                .env("ANTHROPIC_API_KEY", "dummy-key")
                .sandbox(ClaudeSandbox::Required)
        })
        .with_workspace(),
    );
    let workspace = stage.workspace();
    let tries = [
        format!(
            "echo x > '{}/hooks/post-commit'",
            workspace.repository().display()
        ),
        format!("echo x >> '{}/config'", workspace.repository().display()),
        format!(
            "echo x > '{}/planted'",
            stage.sandbox.state().join("trusted.git").display()
        ),
        format!("echo x > '{}/planted'", stage.sandbox.path().display()),
        "exec 3<> /dev/tcp/127.0.0.1/1".to_owned(),
    ];
    let script: String = (0..)
        .zip(&tries)
        .map(|(number, what)| format!("({what}) 2> /dev/null && echo {number} >> done.txt; "))
        .collect();
    let commit = "echo hello > hello.txt && git add hello.txt && git commit -qm hello";
    let artifact = "echo kept > \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/artifact.txt\"";
    let answers = [&format!("{script} echo over > over.txt"), commit, artifact].map(|command| {
        Answer::call(
            "Bash",
            json!({ "command": command, "description": "as asked" }),
        )
    });
    let done = Answer::call("StructuredOutput", json!({ "status": "done" }));
    let server = ModelServer::start(Script::new(answers.into_iter().chain([done])));
    let backend = stage
        .backend
        .clone()
        .env("ANTHROPIC_BASE_URL", server.url());
    block_on(backend.probe()).expect("its sandbox works");
    let ran =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(stage.left("over.txt"), "over\n", "{ran:?}");
    assert_eq!(stage.left("done.txt"), "", "by number: {tries:#?}");
    let tree = workspace.tree();
    assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "hello");
    assert!(workspace.out().join("1/artifact.txt").is_file());
    let system = server.requests()[0].body["system"].to_string();
    assert!(system.contains("Add files to a commit by their names"));
    assert_eq!(stage.alive(), 0);
}
