//! What five real agents said, played again through a real process: `opencode` 1.18.33, `gemini` 0.61.0, `qwen` 0.24.4,
//! `claude-agent-acp` 0.100.0 and `codex-acp` 2.6.0, each asked to run a command, and each stopped in the middle.

use std::{path::Path, time::Duration};

use backend_acp::{AcpBackend, Permissions};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, SessionRef, TaskId},
    port::{TurnRequest, Update},
};
use orchestrator_testkit::{Replay, scripted_worker};

scripted_worker!();

/// Where the recording goes on only after the turn was stopped.
const STOP: &str = "«now it is stopped»";

/// The recording, with a word of ours said before the turn was stopped.
fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(path).expect("a recording");
    let stop = serde_json::json!({ "dir": "agent->client", "frame": { "jsonrpc": "2.0", "method": "session/update", "params": {
        "update": { "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": format!("\n{STOP}\n") } } } } });
    let lines = text.lines().flat_map(|line| {
        let stopped = line.contains("client->agent") && line.contains("session/cancel");
        stopped
            .then(|| stop.to_string())
            .into_iter()
            .chain([line.to_owned()])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What the turn says, a line each.
async fn told(name: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let replay =
        Replay::of_conversation(&recording(name), Duration::from_millis(1)).expect("a recording");
    let program = replay.play().install(player(), directory.path(), "agent");
    let mut backend = AcpBackend::new("acp", program);
    if name.ends_with("reject") {
        backend = backend.permissions(Permissions::deny(["execute"]));
    }
    if name.ends_with("full") {
        backend = backend.mode("agent-full-access");
    }
    let attempt = AttemptId {
        task: TaskId::new("R1").expect("an id"),
        number: 1,
    };
    let (workspace, handoff) = (
        directory.path().join("workspace"),
        directory.path().join("handoff.json"),
    );
    std::fs::create_dir(&workspace).expect("makes it");
    let mut request = TurnRequest::new(
        attempt,
        "Please.",
        workspace,
        handoff.clone(),
        format!("recording-{name}-{}", std::process::id()),
    );
    request
        .environment
        .insert("PATH".to_owned(), std::env::var("PATH").expect("a path"));
    if name.ends_with("load") {
        request.resume = Some(SessionRef("ses_dfe159423ffe0JmLfON5mAUEki".to_owned()));
    }
    let mut turn = backend.start(request).await.expect("starts");
    let (control, mut stop) = (turn.control(), None);
    let mut told = String::new();
    while let Some(update) = turn.next().await {
        match update {
            Update::Alive => {}
            Update::Activity { text } if text == STOP => {
                let control = std::sync::Arc::clone(&control);
                stop = Some(tokio::spawn(async move {
                    control.stop(Duration::from_secs(20)).await;
                }));
            }
            Update::Activity { text } => told += &format!("  {text}\n"),
            other => told += &format!("{other:?}\n"),
        }
    }
    if let Some(stop) = stop {
        stop.await.expect("it was stopped");
    }
    let left = std::fs::read_to_string(handoff);
    told + &left.map_or_else(|_| String::new(), |left| format!("handoff: {left}\n"))
}

#[tokio::test]
async fn each_recording_is_told_as_what_it_was() {
    let fixtures = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
        .expect("the recordings");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .replace(".jsonl", "")
    };
    let mut names: Vec<_> = fixtures.map(name).collect();
    names.sort();
    assert_eq!(names.len(), 15);
    let mut all = String::new();
    for name in names {
        all += &format!("== {name}\n{}\n", told(&name).await);
    }
    insta::assert_snapshot!(all);
}
