//! What `codex exec --json` 0.169.0 said, played again through a real process: each outcome as one line, and what a turn tells as a
//! whole for some. `tests/fixtures/index.json` has the exit status and the standard error of each.

use std::{collections::BTreeMap, fs, path::Path};

use backend_codex::{CodexBackend, CodexSandbox};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, TaskId, TurnOutcome, Usage},
    port::{TurnRequest, Update},
};
use orchestrator_testkit::{Replay, scripted_worker};
use serde::Deserialize;

scripted_worker!();

#[derive(Deserialize)]
struct Ending {
    exit: i32,
    stderr: String,
}

/// What one turn told.
struct Told {
    lines: Vec<String>,
    said: usize,
    tools: usize,
    usage: Usage,
    outcome: TurnOutcome,
    handoff: bool,
}

async fn told(name: &str, output: Vec<u8>, ending: &Ending) -> Told {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let replay = Replay::of_output(output).complaining(ending.stderr.clone()).ending(ending.exit);
    let program = replay.play().install(player(), directory.path(), "codex");
    let backend = CodexBackend::new().program(program).sandbox(CodexSandbox::Off);
    let attempt = AttemptId { task: TaskId::new("R1").expect("an id"), number: 1 };
    let (workspace, handoff) = (directory.path().join("workspace"), directory.path().join("handoff.json"));
    fs::create_dir(&workspace).expect("makes it");
    let mark = format!("codex-recording-{name}-{}", std::process::id());
    let mut request = TurnRequest::new(attempt, "Please.", workspace, handoff.clone(), mark);
    request.environment.insert("PATH".to_owned(), std::env::var("PATH").expect("a path"));
    let mut turn = backend.start(request).await.expect("starts");
    let (mut lines, mut said, mut tools, mut usage) = (Vec::new(), 0, 0, Usage::default());
    loop {
        match turn.next().await.expect("an end comes first") {
            Update::Alive => {}
            Update::Ended { outcome } => return Told { lines, said, tools, usage, outcome, handoff: handoff.exists() },
            update => {
                match &update {
                    Update::Activity { .. } => said += 1,
                    Update::ToolBegan { .. } => tools += 1,
                    Update::Usage(now) => usage = *now,
                    _ => {}
                }
                lines.push(format!("{update:?}"));
            }
        }
    }
}

fn recordings() -> (std::path::PathBuf, BTreeMap<String, Ending>) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let index = fs::read_to_string(fixtures.join("index.json")).expect("the index");
    (fixtures, serde_json::from_str(&index).expect("is JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recording_ends_as_what_it_was() {
    let (fixtures, index) = recordings();
    let mut page = String::new();
    for (name, ending) in &index {
        let output = fs::read(fixtures.join(format!("{name}.jsonl"))).expect("a recording");
        let Told { said, tools, usage, outcome, handoff, .. } = told(name, output, ending).await;
        let handoff = if handoff { ", a handoff" } else { "" };
        let Usage { input_tokens, output_tokens, .. } = usage;
        page += &format!(
            "{name} ({}): said {said}, {tools} tools, {input_tokens}+{output_tokens} tokens{handoff}\n    {outcome:?}\n",
            ending.exit
        );
    }
    insta::assert_snapshot!(page);
}

#[tokio::test]
async fn what_is_told_of_a_turn() {
    let (fixtures, index) = recordings();
    let mut page = String::new();
    for name in [
        "s02b-code-exec-6.1",
        "recommended-profile",
        "item-mcp-code-approve",
        "item-todo-61",
        "e500-then-ok",
        "stream-drop",
        "push-full",
    ] {
        let output = fs::read(fixtures.join(format!("{name}.jsonl"))).expect("a recording");
        let Told { lines, outcome, .. } = told(name, output, &index[name]).await;
        page += &format!("== {name}\n{}\n{outcome:?}\n\n", lines.join("\n"));
    }
    insta::assert_snapshot!(page);
}

/// Each recording cut off anywhere, with lines left out, doubled and damaged: nothing panics, and there is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_recorded_ends_as_well() {
    let (fixtures, index) = recordings();
    for (number, (name, ending)) in index.iter().enumerate().step_by(6) {
        let output = fs::read(fixtures.join(format!("{name}.jsonl"))).expect("a recording");
        let mut lines: Vec<Vec<u8>> = output.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        match number % 3 {
            0 => lines.iter_mut().step_by(2).for_each(|line| line.truncate(line.len() / 2)),
            1 => lines.reverse(),
            _ => lines.extend(lines.clone()),
        }
        told(name, lines.concat(), ending).await;
    }
}
