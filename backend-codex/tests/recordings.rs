//! What `codex exec --json` 0.169.0 said, played again through a real process: each outcome as one line, and what a turn tells as a
//! whole for some. `tests/fixtures/index.json` has the exit status and the standard error of each.

use std::path::Path;

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox};
use orchestrator_testkit::{Recordings, scripted_worker};

scripted_worker!();

fn recordings() -> Recordings<CodexBackend> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Recordings::new(&fixtures, player(), false, |program| {
        CodexBackend::new()
            .program(program)
            .with_protocol(CodexProtocol::Exec)
            .sandbox(CodexSandbox::Off)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recording_ends_as_what_it_was() {
    insta::assert_snapshot!(recordings().summaries().await);
}

#[tokio::test]
async fn what_is_told_of_a_turn() {
    let some = [
        "s02b-code-exec-6.1",
        "recommended-profile",
        "item-mcp-code-approve",
        "item-todo-61",
        "e500-then-ok",
        "stream-drop",
        "push-full",
    ];
    insta::assert_snapshot!(recordings().pages(&some).await);
}

/// Each damaged in some way: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    recordings().damaged(6).await;
}
