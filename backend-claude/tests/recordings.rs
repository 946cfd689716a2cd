//! What `claude -p` 2.1.197 and 2.1.330 said, played again through a real process: each outcome as one line, and what a turn tells as a
//! whole for some. `tests/fixtures/index.json` has the exit status and the standard error of each, and whether it was asked for an answer
//! by a schema or for a session.

use std::path::Path;

use backend_claude::{ClaudeBackend, Permissions};
use orchestrator_testkit::{Recordings, scripted_worker};

scripted_worker!();

fn recordings() -> Recordings<ClaudeBackend> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Recordings::new(&fixtures, player(), true, |program| {
        ClaudeBackend::new()
            .program(program)
            .permissions(Permissions::deny(["Bash"]))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recording_ends_as_what_it_was() {
    insta::assert_snapshot!(recordings().summaries().await);
}

#[tokio::test]
async fn what_is_told_of_a_turn() {
    let some = [
        "r01_recommended_success",
        "250_recommended_duplex",
        "137_can_use_tool_deny",
        "81_perm_acceptEdits",
        "29_http500_once_then_ok",
        "95_bg_finishes_after_result",
        "240_ping_mid_tool",
    ];
    insta::assert_snapshot!(recordings().pages(&some).await);
}

/// Each damaged in some way: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    recordings().damaged(6).await;
}
