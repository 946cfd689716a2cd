//! The backend keeps the contract of its port, with a program in the agent's place.

use std::{path::Path, sync::Arc};

use backend_acp::AcpBackend;
use orchestrator_core::AgentBackend;
use orchestrator_testkit::{
    Player, Step, agent_conformance,
    conformance::agent::{AgentFixture, Phrase},
    scripted_worker,
};
use serde_json::{Value, json};

scripted_worker!();

#[derive(Debug)]
struct Acp;

fn result(id: u32, result: &Value) -> Step {
    Step::line(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string())
}

fn update(update: &Value) -> Step {
    let parameters = json!({ "sessionId": "conformance", "update": update });
    Step::line(
        json!({ "jsonrpc": "2.0", "method": "session/update", "params": parameters }).to_string(),
    )
}

fn words(text: &str) -> Step {
    update(
        &json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": text } }),
    )
}

impl AgentFixture for Acp {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        Arc::new(AcpBackend::new("acp", program).args(["acp"]))
    }

    fn answers(&self) -> Vec<(String, String)> {
        vec![("--version".to_owned(), "1.2.3".to_owned())]
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        let initialized = || {
            [
                Step::Hear,
                result(
                    1,
                    &json!({ "protocolVersion": 1, "agentCapabilities": { "loadSession": true } }),
                ),
            ]
        };
        Some(match phrase {
            Phrase::Begin { session } => {
                let begun = [
                    Step::Hear,
                    result(2, &json!({ "sessionId": session })),
                    Step::Hear,
                ];
                initialized().into_iter().chain(begun).collect()
            }
            Phrase::Say(text) => vec![words(&format!("{text}\n"))],
            Phrase::Unknown => vec![
                update(&json!({ "sessionUpdate": "telepathy", "thought": 1 })),
                Step::line(r#"{"jsonrpc":"2.0","method":"vendor/notify","params":null}"#),
                Step::line(r#"{"jsonrpc":"2.0","id":77,"method":"vendor/ask"}"#),
                Step::Hear,
            ],
            Phrase::SessionLost => {
                let error = json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -32002, "message": "no such session" } });
                initialized()
                    .into_iter()
                    .chain([Step::Hear, Step::line(error.to_string()), Step::HearAll])
                    .collect()
            }
            Phrase::End { handoff } => {
                vec![
                    words(&format!("```json\n{handoff}\n```")),
                    result(3, &json!({ "stopReason": "end_turn" })),
                    Step::HearAll,
                ]
            }
            // Between its prompt and its answer nobody can speak to it.
            _ => return None,
        })
    }
}

agent_conformance!(Acp);
