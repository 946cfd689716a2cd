//! What `claude -p` 2.1.197 and 2.1.330 said, played again through a real process: each outcome as one line, and what a turn tells as a
//! whole for some. `tests/fixtures/index.json` has the exit status and the standard error of each, and whether it was asked for an answer
//! by a schema or for a session.

use std::path::{Path, PathBuf};

use backend_claude::{ClaudeBackend, Permissions};
use orchestrator_testkit::{Recording, Told, scripted_worker};

scripted_worker!();

fn recordings() -> Vec<Recording> {
    Recording::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
}

async fn told(recording: &Recording) -> Told {
    recording
        .play(player(), true, |program: PathBuf| ClaudeBackend::new().program(program).permissions(Permissions::deny(["Bash"])))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recording_ends_as_what_it_was() {
    let mut page = String::new();
    for recording in recordings() {
        let told = told(&recording).await;
        page += &format!("{} ({}): {}\n    {:?}\n", recording.name, recording.exit, told.summary(), told.outcome);
    }
    insta::assert_snapshot!(page);
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
    let mut page = String::new();
    for recording in recordings().iter().filter(|recording| some.contains(&recording.name.as_str())) {
        page += &format!("== {}\n{}\n", recording.name, told(recording).await);
    }
    insta::assert_snapshot!(page);
}

/// Each damaged in some way: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    for (number, recording) in recordings().iter().enumerate().step_by(6) {
        told(&recording.damaged(number)).await;
    }
}
