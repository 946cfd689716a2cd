//! The backend keeps the contract of its port, with a program in the place of Cursor's agent.

use std::{path::Path, sync::Arc};

use backend_cursor::CursorBackend;
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, SessionRef, TaskId, TurnOutcome},
    port::TurnRequest,
};
use orchestrator_testkit::{
    Play, Player, Step, agent_conformance, arguments,
    conformance::agent::{AgentFixture, Phrase},
    ran, scripted_worker,
};
use serde_json::{Value, json};

scripted_worker!();

#[derive(Debug)]
struct Cursor;

fn said(event: &Value) -> Step {
    Step::line(event.to_string())
}

fn begins(session: &str) -> Vec<Step> {
    let user = json!({ "role": "user", "content": [{ "type": "text", "text": "Please." }] });
    vec![
        Step::HearAll,
        said(
            &json!({ "type": "system", "subtype": "init", "session_id": session, "model": "Auto", "permissionMode": "default" }),
        ),
        said(&json!({ "type": "user", "message": user, "session_id": session })),
    ]
}

fn message(text: &str) -> Step {
    let message = json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] });
    said(&json!({ "type": "assistant", "message": message, "session_id": "s" }))
}

fn result() -> Step {
    said(
        &json!({ "type": "result", "subtype": "success", "is_error": false, "result": "all of it", "session_id": "s" }),
    )
}

impl AgentFixture for Cursor {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        Arc::new(CursorBackend::new().program(program))
    }

    fn variables(&self) -> Vec<String> {
        vec!["NO_OPEN_BROWSER".to_owned()]
    }

    fn answers(&self) -> Vec<(String, String)> {
        vec![
            ("--version".to_owned(), "2026.09.18-9a7762b".to_owned()),
            ("status".to_owned(), "Logged in".to_owned()),
        ]
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        Some(match phrase {
            Phrase::Begin { session } => begins(session),
            Phrase::Say(text) => vec![message(text)],
            Phrase::Unknown => vec![
                said(&json!({ "type": "connection", "subtype": "reconnecting" })),
                said(
                    &json!({ "type": "tool_call", "subtype": "pondered", "call_id": "x", "tool_call": { "dreamToolCall": 4 } }),
                ),
                said(
                    &json!({ "type": "interaction_query", "subtype": "request", "query_type": "none", "query": { "id": 0 } }),
                ),
            ],
            // An unknown session is another one, without a word.
            Phrase::SessionLost => begins("a-new-one")
                .into_iter()
                .chain([Step::Hang])
                .collect(),
            Phrase::End { handoff } => vec![message(handoff), result(), Step::Exit(0)],
            _ => return None,
        })
    }
}

agent_conformance!(Cursor);

/// A turn with this program in its place: how it ended, with the arguments that it was given.
async fn turn(
    steps: impl IntoIterator<Item = Step>,
    request: impl FnOnce(TurnRequest) -> TurnRequest,
) -> (TurnOutcome, Vec<String>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = Play::new(steps).install(player(), directory.path(), "cursor-agent");
    let attempt = AttemptId {
        task: TaskId::new("T1").expect("an id"),
        number: 1,
    };
    let (workspace, handoff) = (
        directory.path().join("workspace"),
        directory.path().join("handoff.json"),
    );
    std::fs::create_dir(&workspace).expect("makes it");
    let mut plain = TurnRequest::new(
        attempt,
        "Please.",
        workspace,
        handoff,
        format!("cursor-{}", directory.path().display()),
    );
    plain
        .environment
        .insert("PATH".to_owned(), std::env::var("PATH").expect("a path"));
    let backend = CursorBackend::new().program(&program).model("composer-2");
    let ran = ran(backend.start(request(plain)).await.expect("starts")).await;
    (ran.outcome, arguments(&program))
}

#[tokio::test]
async fn one_that_lingers_after_its_result_is_ended() {
    let lingering =
        begins("s")
            .into_iter()
            .chain([message("Done."), result(), Step::Fork, Step::Hang]);
    assert_eq!(
        turn(lingering, |request| request).await.0,
        TurnOutcome::Completed
    );
}

#[tokio::test]
async fn its_arguments_are_those_of_the_turn() {
    let play = || begins("s").into_iter().chain([result()]);
    let (_, told) = turn(play(), |request| {
        request.with_turn(2, Some(SessionRef("s".to_owned())))
    })
    .await;
    let told = told.join(" ");
    assert!(
        told.starts_with("-p --output-format stream-json --trust --force --workspace /"),
        "{told}"
    );
    assert!(
        told.ends_with("/workspace --sandbox disabled --model composer-2 --resume s"),
        "{told}"
    );
    let (_, told) = turn(play(), TurnRequest::reading_only).await;
    let told = told.join(" ");
    assert!(
        told.contains("--mode ask") && !told.contains("--force"),
        "{told}"
    );
}

#[tokio::test]
async fn a_login_that_is_missing_is_a_warning_unless_there_is_a_key() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let play = Play::default()
        .answering("--version", "2026.09.18-9a7762b")
        .answering("status", "Not logged in");
    let program = play.install(player(), directory.path(), "cursor-agent");
    let backend = CursorBackend::new().program(&program);
    let warned = async |backend: CursorBackend| {
        backend
            .probe()
            .await
            .expect("it is there")
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let plain = warned(backend.clone()).await;
    assert!(
        plain.contains("was never run with this backend")
            && plain.contains("cursor-agent is not logged in"),
        "{plain}"
    );
    assert!(
        !warned(backend.clone().env("CURSOR_API_KEY", "key"))
            .await
            .contains("logged in")
    );
    assert!(
        warned(backend.env("CURSOR_API_KEY", ""))
            .await
            .contains("logged in"),
        "an empty key is none"
    );
}
