//! The backend keeps the contract of its port, with a program in Claude Code's place.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use backend_claude::{ClaudeBackend, ClaudeSandbox, Permissions};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, TaskId, TurnOutcome},
    port::{TurnInput, TurnRequest, Update},
};
use orchestrator_testkit::{
    Play, Player, Ran, Step, agent_conformance, arguments,
    conformance::agent::{AgentFixture, Phrase},
    ran, scripted_worker,
};
use serde_json::{Value, json};

scripted_worker!();

#[derive(Debug)]
struct Claude;

fn said(event: &Value) -> Step {
    Step::line(event.to_string())
}

fn init(session: &str, tools: &[&str]) -> Step {
    said(&json!({ "type": "system", "subtype": "init", "session_id": session, "tools": tools }))
}

fn text(text: &str) -> Step {
    said(
        &json!({ "type": "assistant", "message": { "role": "assistant", "content": [{ "type": "text", "text": text }] } }),
    )
}

fn result(more: &Value) -> Step {
    let mut result = json!({ "type": "result", "subtype": "success", "is_error": false, "result": "done", "permission_denials": [] });
    for (key, value) in more.as_object().into_iter().flatten() {
        result[key] = value.clone();
    }
    said(&result)
}

impl AgentFixture for Claude {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        Arc::new(ClaudeBackend::new().program(program))
    }

    fn variables(&self) -> Vec<String> {
        let names = [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
            "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
            "CLAUDE_CODE_MAX_RETRIES",
            "DISABLE_AUTOUPDATER",
            "BASH_DEFAULT_TIMEOUT_MS",
            "BASH_MAX_TIMEOUT_MS",
        ];
        names.map(str::to_owned).to_vec()
    }

    fn answers(&self) -> Vec<(String, String)> {
        vec![("--version".to_owned(), "2.1.330 (Claude Code)".to_owned())]
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        Some(match phrase {
            Phrase::Begin { session } => vec![Step::Hear, init(session, &["Bash", "Read"])],
            Phrase::Say(words) => vec![text(words)],
            Phrase::Listen => vec![Step::Hear],
            Phrase::Unknown => vec![
                said(&json!({ "type": "daydream", "about": ["sheep"] })),
                said(&json!({ "type": "system", "subtype": "ui_invalidate" })),
                said(
                    &json!({ "type": "assistant", "message": { "content": [{ "type": "poem", "lines": 4 }] } }),
                ),
            ],
            Phrase::SessionLost => {
                let errors = json!(["No conversation found with session ID: x"]);
                let lost = json!({ "subtype": "error_during_execution", "is_error": true, "errors": errors });
                vec![Step::Hear, result(&lost), Step::HearAll, Step::Exit(1)]
            }
            Phrase::End { handoff } => vec![
                result(&json!({ "result": handoff })),
                Step::HearAll,
                Step::Exit(0),
            ],
            _ => return None,
        })
    }
}

agent_conformance!(Claude);

/// A turn with this program in Claude Code's place.
struct Stage {
    directory: tempfile::TempDir,
    program: PathBuf,
    backend: ClaudeBackend,
}

impl Stage {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let program = Play::new(steps).install(player(), directory.path(), "claude");
        Self {
            backend: ClaudeBackend::new().program(&program),
            directory,
            program,
        }
    }

    fn request(&self) -> TurnRequest {
        let attempt = AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        };
        let (workspace, handoff) = (
            self.directory.path().join("workspace"),
            self.directory.path().join("handoff.json"),
        );
        std::fs::create_dir_all(&workspace).expect("makes it");
        let mut request = TurnRequest::new(
            attempt,
            "Please.",
            workspace,
            handoff,
            format!("claude-{}", self.directory.path().display()),
        );
        request
            .environment
            .insert("PATH".to_owned(), std::env::var("PATH").expect("a path"));
        request.with_schema(
            json!({ "type": "object", "properties": { "status": { "type": "string" } } }),
        )
    }

    async fn run(&self) -> Ran {
        ran(self.backend.start(self.request()).await.expect("starts")).await
    }

    fn handoff(&self) -> Option<String> {
        std::fs::read_to_string(self.directory.path().join("handoff.json")).ok()
    }
}

const WITH_ANSWER: [&str; 2] = ["Bash", "StructuredOutput"];

#[tokio::test]
async fn a_version_that_was_never_tried_is_a_warning() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (version, warned) in [
        ("2.1.330", false),
        ("2.1.197", false),
        ("2.1.196", true),
        ("2.1.333", true),
        ("3.0.0", true),
    ] {
        let told = format!("{version} (Claude Code)");
        let program = Play::default().answering("--version", &told).install(
            player(),
            directory.path(),
            version,
        );
        let probe = ClaudeBackend::new()
            .program(&program)
            .probe()
            .await
            .expect("it is there");
        assert_eq!(
            (probe.version.as_deref(), !probe.warnings.is_empty()),
            (Some(version), warned),
            "{:?}",
            probe.warnings
        );
    }
}

#[tokio::test]
async fn an_answer_by_the_schema_is_the_handoff_and_is_asked_for_once_where_it_is_missing() {
    let answer = json!({ "structured_output": { "status": "done" } });
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        result(&Value::Null),
        Step::Hear,
        result(&answer),
        Step::HearAll,
    ]);
    assert_eq!(stage.run().await.outcome, TurnOutcome::Completed);
    assert_eq!(stage.handoff().as_deref(), Some(r#"{"status":"done"}"#));
    // Twice without: the turn is over as well, and whoever wants a handoff asks in the next.
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        result(&Value::Null),
        Step::Hear,
        result(&Value::Null),
        Step::HearAll,
    ]);
    assert_eq!(
        (stage.run().await.outcome, stage.handoff()),
        (TurnOutcome::Completed, None)
    );
}

#[tokio::test]
async fn a_program_that_ends_while_it_is_asked_once_more_has_completed_its_turn() {
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        result(&Value::Null),
        Step::Exit(0),
    ]);
    assert_eq!(stage.run().await.outcome, TurnOutcome::Completed);
}

#[tokio::test]
async fn one_that_takes_the_schema_for_none_has_drifted_and_another_session_is_a_lost_one() {
    let stage = Stage::new([Step::Hear, init("s", &["Bash"]), Step::Hang]);
    assert!(matches!(
        stage.run().await.outcome,
        TurnOutcome::Drifted { .. }
    ));
    let stage = Stage::new([Step::Hear, init("another", &WITH_ANSWER), Step::Hang]);
    let request = stage.request().with_turn(
        2,
        Some(orchestrator_core::model::SessionRef("s".to_owned())),
    );
    assert_eq!(
        ran(stage.backend.start(request).await.expect("starts"))
            .await
            .outcome,
        TurnOutcome::SessionLost
    );
}

#[tokio::test]
async fn what_is_refused_is_a_finding_once_and_so_is_a_tool_that_it_was_not_to_have() {
    let call = json!({
        "type": "control_request", "request_id": "r1",
        "request": { "subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t1", "input": { "command": "cd x && git push" } },
    });
    let denied = |id: &str, tool: &str| json!({ "tool_name": tool, "tool_use_id": id, "tool_input": { "file_path": "/etc/x" } });
    let denials = json!([denied("t1", "Bash"), denied("t2", "Write")]);
    let end = json!({ "permission_denials": denials, "structured_output": {} });
    let stage = Stage::new([
        Step::Hear,
        init("s", &["Bash", "StructuredOutput", "Task"]),
        said(&call),
        Step::Hear,
        result(&end),
        Step::HearAll,
    ]);
    let backend = stage
        .backend
        .clone()
        .permissions(Permissions::within_contract());
    let ran = ran(backend.start(stage.request()).await.expect("starts")).await;
    assert_eq!(ran.outcome, TurnOutcome::Completed);
    let findings: Vec<_> = ran.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "tool/unlisted: Claude Code gave its model tools that it was not to have: Task",
            "tool/refused: `cd x && git push` was refused: workers commit and never push: the orchestrator does, when the work has passed",
            "tool/refused: `Write /etc/x` was refused: Claude Code's own rules",
        ]
    );
    let told = arguments(&stage.program);
    assert!(
        told.iter()
            .any(|argument| argument == "--permission-prompt-tool=stdio"),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|argument| argument == "--allowedTools=Glob,Grep,Read"),
        "{told:?}"
    );
}

/// Silent, it is asked; while a tool runs its answer is a sign of life, and without one it has failed.
#[tokio::test]
async fn one_that_is_silent_is_asked_whether_it_lives() {
    let tool =
        json!({ "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "make" } });
    let begins = said(&json!({ "type": "assistant", "message": { "content": [tool] } }));
    let pong = said(
        &json!({ "type": "control_response", "response": { "subtype": "success", "request_id": "orchestrator-1" } }),
    );
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        begins,
        Step::Hear,
        pong,
        Step::Hang,
    ]);
    let backend = stage
        .backend
        .clone()
        .asking_after(Duration::from_millis(20));
    let mut turn = backend.start(stage.request()).await.expect("starts");
    let (mut alive, mut outcome) = (0, None);
    while let Some(update) = turn.next().await {
        match update {
            Update::Alive => alive += 1,
            Update::Ended { outcome: ended } => outcome = Some(ended),
            _ => {}
        }
    }
    assert!(alive > 0);
    let detail = outcome.map(|outcome| outcome.to_string()).expect("an end");
    assert!(
        detail.contains("whether it lives, though it was asked 10 times"),
        "{detail}"
    );
}

#[tokio::test]
async fn it_listens_while_it_works() {
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        Step::Hear,
        text("heard"),
        result(&json!({ "structured_output": {} })),
        Step::HearAll,
    ]);
    let turn = stage.backend.start(stage.request()).await.expect("starts");
    turn.control()
        .send(TurnInput::Nudge("Go on.".to_owned()))
        .await
        .expect("it listens");
    assert_eq!(ran(turn).await.said, "heard\n");
}

/// As 2.1.197 and 2.1.332 tell a command that bubblewrap does not run.
#[tokio::test]
async fn sandbox_that_fails_each_command_is_a_fault_of_the_machine() {
    let call =
        json!({ "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "make" } });
    let told = "Exit code 1\nbwrap: No permissions to create new namespace, likely because the kernel does not allow it";
    let failed =
        json!({ "type": "tool_result", "tool_use_id": "t1", "content": told, "is_error": true });
    let event = |kind: &str, block: &Value| {
        said(&json!({ "type": kind, "message": { "content": [block] } }))
    };
    let stage = Stage::new([
        Step::Hear,
        init("s", &WITH_ANSWER),
        event("assistant", &call),
        event("user", &failed),
        result(&json!({ "structured_output": { "status": "blocked" } })),
        Step::HearAll,
    ]);
    let programs = stage.directory.path().join("programs");
    std::fs::create_dir(&programs).expect("makes it");
    for name in ["bwrap", "socat"] {
        let program = programs.join(name);
        std::fs::write(&program, "#!/bin/sh\nexit 0\n").expect("writes");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("can be run");
    }
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").expect("a path")
    );
    let backend = stage
        .backend
        .clone()
        .sandbox(ClaudeSandbox::Required)
        .env("PATH", path);
    let ran = ran(backend.start(stage.request()).await.expect("starts")).await;
    let TurnOutcome::Misconfigured { reason } = &ran.outcome else {
        panic!("{ran:?}")
    };
    assert!(reason.contains("user namespaces are refused"), "{reason}");
    assert_eq!(stage.handoff(), None);
}
