//! The backend keeps the contract of its port by `codex app-server`, with a program in Codex's place.

use std::{path::Path, sync::Arc};

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox};
use orchestrator_core::AgentBackend;
use orchestrator_testkit::{
    Player, Step, agent_conformance,
    conformance::agent::{AgentFixture, Phrase},
    scripted_worker,
};
use serde_json::{Value, json};

scripted_worker!();

#[derive(Debug)]
struct AppServer;

fn result(id: u32, result: &Value) -> Step {
    Step::line(json!({ "id": id, "result": result }).to_string())
}

fn notification(method: &str, params: &Value) -> Step {
    Step::line(json!({ "method": method, "params": params }).to_string())
}

/// `initialize`, answered; then the thread is asked for.
fn initialized() -> Vec<Step> {
    let initialized = json!({ "userAgent": "orchestrator/0.169.0" });
    // The request, then, after the answer, a notification and a request.
    vec![Step::Hear, result(1, &initialized), Step::Hear, Step::Hear]
}

/// The answer to `thread/start`, with the directory and the access of the turn.
fn thread(session: &str) -> Step {
    let answer = json!({
        "id": 2,
        "result": {
            "thread": { "id": session },
            "cwd": "@CWD@",
            "sandbox": { "type": "@KIND@" },
        },
    });
    let line = answer.to_string();
    Step::Shell(format!(
        "case $ORCHESTRATOR_ACCESS in read) kind=readOnly;; *) kind=dangerFullAccess;; esac\n\
         printf '%s\\n' '{line}' | sed \"s|@CWD@|$PWD|; s|@KIND@|$kind|\" > /dev/fd/3"
    ))
}

fn message(session: &str, text: &str) -> Step {
    let item = json!({ "id": "msg_1", "type": "agentMessage", "text": text });
    notification(
        "item/completed",
        &json!({ "threadId": session, "turnId": "turn-1", "item": item }),
    )
}

const SESSION: &str = "conformance";

impl AgentFixture for AppServer {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        // There is no sandbox without Codex. The program's directory has no configuration.
        let home = program.parent().unwrap_or(Path::new("/nowhere"));
        Arc::new(
            CodexBackend::new()
                .program(program)
                .home(home)
                .with_protocol(CodexProtocol::AppServer)
                .sandbox(CodexSandbox::Off),
        )
    }

    fn variables(&self) -> Vec<String> {
        vec!["TZ".to_owned(), "CODEX_HOME".to_owned()]
    }

    fn answers(&self) -> Vec<(String, String)> {
        // A reader's sandbox is tried, and works.
        let answers = [("--version", "codex-cli 0.169.0"), ("sandbox", "")];
        let owned = |(argument, answer): (&str, &str)| (argument.to_owned(), answer.to_owned());
        answers.map(owned).into()
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        Some(match phrase {
            Phrase::Begin { session } => {
                let turn = json!({ "turn": { "id": "turn-1", "status": "inProgress" } });
                let mut steps = initialized();
                steps.extend([thread(session), Step::Hear, result(3, &turn)]);
                steps
            }
            Phrase::Say(text) => vec![message(SESSION, text)],
            Phrase::Listen => vec![Step::Hear],
            Phrase::Unknown => vec![
                notification("turn/daydreamed", &json!({ "about": ["sheep"] })),
                notification(
                    "item/completed",
                    &json!({ "threadId": SESSION, "item": { "id": "x", "type": "poem", "lines": 4 } }),
                ),
                Step::line(r#"{"id":77,"method":"vendor/ask","params":[1]}"#),
                Step::Hear,
            ],
            Phrase::SessionLost => {
                let error =
                    json!({ "code": -32600, "message": "no rollout found for thread id x" });
                let line = json!({ "id": 2, "error": error }).to_string();
                let mut steps = initialized();
                steps.extend([Step::line(line), Step::HearAll]);
                steps
            }
            Phrase::End { handoff } => {
                let turn = json!({ "id": "turn-1", "status": "completed", "error": null });
                vec![
                    message(SESSION, handoff),
                    notification(
                        "turn/completed",
                        &json!({ "threadId": SESSION, "turn": turn }),
                    ),
                    Step::HearAll,
                ]
            }
            _ => return None,
        })
    }
}

agent_conformance!(AppServer);
