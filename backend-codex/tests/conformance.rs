//! The backend keeps the contract of its port by `codex exec`, with a program in Codex's place.

use std::{path::Path, sync::Arc};

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, TurnOutcome},
    port::TurnRequest,
};
use orchestrator_testkit::{
    Play, Player, Step, agent_conformance,
    conformance::agent::{AgentFixture, Phrase},
    ran, scripted_worker,
};
use serde_json::{Value, json};

scripted_worker!();

#[derive(Debug)]
struct Codex;

fn said(event: &Value) -> Step {
    Step::line(event.to_string())
}

fn message(text: &str) -> Step {
    said(
        &json!({ "type": "item.completed", "item": { "id": "item_0", "type": "agent_message", "text": text } }),
    )
}

impl AgentFixture for Codex {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        // There is no sandbox without Codex.
        Arc::new(
            CodexBackend::new()
                .program(program)
                .with_protocol(CodexProtocol::Exec)
                .sandbox(CodexSandbox::Off),
        )
    }

    fn variables(&self) -> Vec<String> {
        vec!["TZ".to_owned()]
    }

    fn answers(&self) -> Vec<(String, String)> {
        vec![("--version".to_owned(), "codex-cli 0.169.0".to_owned())]
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        Some(match phrase {
            Phrase::Begin { session } => vec![
                Step::HearAll,
                said(&json!({ "type": "thread.started", "thread_id": session })),
                said(&json!({ "type": "turn.started" })),
            ],
            Phrase::Say(text) => vec![message(text)],
            Phrase::Unknown => vec![
                said(&json!({ "type": "turn.daydreamed", "about": ["sheep"] })),
                said(
                    &json!({ "type": "item.completed", "item": { "id": "item_9", "type": "poem", "lines": 4 } }),
                ),
                Step::line(
                    r#"{"type":"item.started","item":{"id":"a","id":"b","type":"web_search","query":"twice"}}"#,
                ),
            ],
            Phrase::SessionLost => {
                let complaint = "Error: thread/resume: thread/resume failed: no rollout found for thread id x (code -32600)\n";
                vec![
                    Step::HearAll,
                    Step::Complain(complaint.into()),
                    Step::Exit(1),
                ]
            }
            Phrase::End { handoff } => {
                let usage = json!({ "input_tokens": 10, "output_tokens": 2 });
                vec![
                    message(handoff),
                    said(&json!({ "type": "turn.completed", "usage": usage })),
                    Step::Exit(0),
                ]
            }
            _ => return None,
        })
    }
}

agent_conformance!(Codex);

/// Recorded of 0.169.0; where a command fails at once, later versions say nothing of it.
#[tokio::test]
async fn sandbox_that_fails_each_command_is_a_fault_of_the_machine() {
    let failed = json!({
        "id": "item_0", "type": "command_execution", "command": "/bin/bash -lc 'echo hi'", "exit_code": 1, "status": "failed",
        "aggregated_output": "bwrap: execvp codex-linux-sandbox: No such file or directory\n",
    });
    let usage = json!({ "input_tokens": 10, "output_tokens": 2 });
    let steps = [
        Step::HearAll,
        said(&json!({ "type": "thread.started", "thread_id": "t" })),
        said(&json!({ "type": "item.completed", "item": failed })),
        message(r#"{"version":1,"task":"T1","attempt":1,"status":"blocked","reason":"no shell"}"#),
        said(&json!({ "type": "turn.completed", "usage": usage })),
        Step::Exit(0),
    ];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = Play::new(steps).install(player(), directory.path(), "codex");
    let attempt = AttemptId {
        task: "T1".parse().expect("an id"),
        number: 1,
    };
    let handoff = directory.path().join("handoff.json");
    let place = directory.path().to_owned();
    let request = TurnRequest::new(attempt, "Go.", place, handoff.clone(), "a-mark-of-our-own");
    let backend = CodexBackend::new()
        .program(&program)
        .with_protocol(CodexProtocol::Exec)
        .sandbox(CodexSandbox::Off);
    let ran = ran(backend.start(request).await.expect("starts")).await;
    let TurnOutcome::Misconfigured { reason } = &ran.outcome else {
        panic!("{ran:?}")
    };
    assert!(reason.contains("fix: set `CODEX_HOME`"), "{reason}");
    assert!(
        !handoff.exists(),
        "a worker without commands hands nothing over"
    );
}
