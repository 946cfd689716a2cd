//! Streams in the shapes that Cursor's agent has, written by hand after recordings of others, played through a real process: each file of
//! `tests/fixtures` is a standard output, and `index.json` has what was complained of and how it ended.

use std::path::Path;

use backend_cursor::CursorBackend;
use orchestrator_testkit::{Recordings, scripted_worker};

scripted_worker!();

fn recordings() -> Recordings<CursorBackend> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Recordings::new(&fixtures, player(), false, |program| {
        CursorBackend::new().program(program)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shape_is_read() {
    insta::assert_snapshot!(recordings().pages(&[]).await);
}

/// Each damaged in some way: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    recordings().damaged(1).await;
}
