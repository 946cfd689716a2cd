//! What `codex app-server` 0.169.0 and 0.171.0 said, played again through a real process: what each turn tells.

use std::{fs, path::Path, sync::Arc, time::Duration};

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, TaskId},
    port::{TurnInput, TurnRequest, Update},
};
use orchestrator_testkit::{Replay, scripted_worker};

scripted_worker!();

/// Where the recordings were made.
const WORKSPACE: &str = "/run/wt";

fn recordings() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app_server")
}

/// What one of them tells, a line for each update, then its handoff.
async fn told(name: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let workspace = directory.path().join("workspace");
    let home = directory.path().join("home");
    for place in [&workspace, &home] {
        fs::create_dir(place).expect("makes it");
    }
    let here = workspace.to_string_lossy();
    let text = fs::read_to_string(recordings().join(format!("{name}.jsonl"))).expect("is there");
    let text = text.replace(WORKSPACE, &here);
    let replay = Replay::of_conversation(&text, Duration::from_secs(1)).expect("a recording");
    let program = replay.play().install(player(), directory.path(), "agent");
    let backend = CodexBackend::new()
        .program(program)
        .home(home)
        .with_protocol(CodexProtocol::AppServer)
        .sandbox(CodexSandbox::Off);
    let attempt = AttemptId {
        task: TaskId::new("R1").expect("an id"),
        number: 1,
    };
    let handoff = directory.path().join("handoff.json");
    let mark = format!("recording-{}", directory.path().display());
    let place = workspace.clone();
    let mut request = TurnRequest::new(attempt, "Please.", place, handoff.clone(), mark);
    let path = std::env::var("PATH").expect("a path");
    request.environment.insert("PATH".to_owned(), path);
    let mut turn = backend.start(request).await.expect("starts");
    let control = turn.control();
    let mut told = String::new();
    while let Some(update) = turn.next().await {
        if matches!(update, Update::ToolBegan { .. }) {
            interfere(name, Arc::clone(&control)).await;
        }
        if !matches!(update, Update::Alive) {
            told += &format!("{update:?}\n").replace(&*here, WORKSPACE);
        }
    }
    if let Ok(handoff) = fs::read_to_string(handoff) {
        told += &format!("handoff: {handoff}\n");
    }
    told
}

/// What was done in the recording while its tool ran.
async fn interfere(name: &str, control: Arc<dyn orchestrator_core::port::TurnControl>) {
    if name.starts_with("steer") {
        let said = TurnInput::Nudge("also".to_owned());
        control.send(said).await.expect("it listens");
    }
    if name.starts_with("interrupt") {
        tokio::spawn(async move { control.stop(Duration::from_secs(60)).await });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_are_told() {
    let mut names: Vec<_> = fs::read_dir(recordings())
        .expect("can be read")
        .flatten()
        .filter_map(|entry| entry.path().file_stem().map(std::ffi::OsStr::to_owned))
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut page = String::new();
    for name in &names {
        page += &format!("== {name}\n{}\n", told(name).await);
    }
    insta::assert_snapshot!(page);
}
