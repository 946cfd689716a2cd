//! What agents write, made updates of.

use std::{fs, path::Path, time::Duration};

use backend_claude::ClaudeBackend;
use backend_codex::CodexBackend;
use benches::{line, side_by_side, sized, time};
use orchestrator_core::{
    agent::{Protocol, Reply},
    model::AttemptId,
    port::TurnRequest,
    process::LineReader,
};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::VALUES;

/// What the real Codex and the real Claude Code have written in all recordings, again and again, beside a value for each line, and
/// beside the least that a reader of its JSON does.
pub(crate) fn stream(runtime: &Runtime) {
    let megabytes = sized(100, 5);
    let mut both = (Duration::ZERO, Duration::ZERO);
    for (agent, directory) in [
        ("Codex", "backend-codex"),
        ("Claude Code", "backend-claude"),
    ] {
        let output = recorded(directory, megabytes << 20);
        let lines = || {
            output
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
        };
        let ours = || time(|| assert!(runtime.block_on(read(agent, &output)) > 0));
        let parsed = |line: &&[u8]| serde_json::from_slice::<Value>(line).is_ok();
        let passed = |line: &&[u8]| serde_json::from_slice::<IgnoredAny>(line).is_ok();
        let rival = || time(|| assert!(lines().filter(parsed).count() > 0));
        let floor = || time(|| assert!(lines().filter(passed).count() > 0));
        let (rounds, name) = (
            sized(7, 1),
            format!("{megabytes} MiB of {agent}, to updates"),
        );
        let (took, values) = side_by_side(rounds, ours, rival);
        line(&name, took, VALUES, values);
        both = (both.0 + took, both.1 + values);
        let (took, least) = side_by_side(rounds, ours, floor);
        line(&name, took, "its JSON passed over, nothing kept", least);
    }
    line(
        &format!("{megabytes} MiB of each, to updates"),
        both.0,
        VALUES,
        both.1,
    );
}

fn recorded(directory: &str, size: usize) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(directory)
        .join("tests/fixtures");
    let files = fs::read_dir(fixtures)
        .expect("the recordings")
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    let all: Vec<u8> = files
        .iter()
        .flat_map(|path| fs::read(path).expect("can be read"))
        .collect();
    all.iter()
        .copied()
        .cycle()
        .take(size.max(all.len()))
        .collect()
}

/// Line by line to the end; how many updates there were.
async fn read(agent: &str, output: &[u8]) -> usize {
    let attempt: AttemptId = "T1#1".parse().expect("an id");
    let request = TurnRequest::new(attempt, "", "/".into(), "/handoff.json".into(), "mark");
    match agent {
        "Codex" => updates(CodexBackend::new().protocol(&request), output).await,
        _ => updates(ClaudeBackend::new().protocol(&request), output).await,
    }
}

async fn updates(mut protocol: impl Protocol, output: &[u8]) -> usize {
    let (mut lines, mut reply, mut updates) = (LineReader::new(output, 16 << 20), Reply::new(), 0);
    while let Some(line) = lines.next().await.expect("memory can be read") {
        protocol.line(&line, &mut reply);
        lines.reuse(line);
        updates += reply.take_updates().count();
        reply.take_written();
    }
    updates
}
