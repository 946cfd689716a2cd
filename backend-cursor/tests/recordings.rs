//! Streams in the shapes that Cursor's agent has, written by hand after recordings of others, played through a real process: each file of
//! `tests/fixtures` is a standard output, and `index.json` has what was complained of and how it ended.

use std::path::{Path, PathBuf};

use backend_cursor::CursorBackend;
use orchestrator_testkit::{Recording, Told, scripted_worker};

scripted_worker!();

fn recordings() -> Vec<Recording> {
    Recording::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
}

async fn told(recording: &Recording) -> Told {
    recording.play(player(), false, |program: PathBuf| CursorBackend::new().program(program)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shape_is_read() {
    let mut page = String::new();
    for recording in recordings() {
        page += &format!("== {}\n{}\n", recording.name, told(&recording).await);
    }
    insta::assert_snapshot!(page);
}

/// Each damaged in some way: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    for (number, recording) in recordings().iter().enumerate() {
        told(&recording.damaged(number)).await;
    }
}
