//! Recordings of what an agent wrote, played to its backend through a real process.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, SessionRef, TaskId, TurnOutcome, Usage},
    port::{TurnRequest, Update},
};
use serde::Deserialize;
use serde_json::json;

use crate::{Player, Replay, play::fresh_mark};

/// One recording.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// What was written to standard output, byte by byte.
    #[serde(skip)]
    pub output: Vec<u8>,
    /// How it ended: an exit status, or the negative number of a signal.
    pub exit: i32,
    /// What was written to standard error.
    pub stderr: String,
    /// Whether it was asked for an answer by a schema.
    pub schema: bool,
    /// The session that it was to go on with.
    pub resume: Option<String>,
}

impl Recording {
    /// Those of a directory, by name: each `NAME.jsonl`, and what `index.json` says of it, if it does: an object of objects with the keys
    /// `exit`, `stderr`, `schema` and `resume`.
    ///
    /// # Panics
    /// When one cannot be read, or the index names one that is not there.
    #[must_use]
    pub fn all(directory: &Path) -> Vec<Self> {
        let index = fs::read_to_string(directory.join("index.json")).expect("the index");
        let mut index: BTreeMap<String, Self> = serde_json::from_str(&index).expect("is an index");
        let mut files: Vec<_> = fs::read_dir(directory)
            .expect("can be read")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        });
        files.sort_by_key(|path| path.file_stem().map(std::ffi::OsStr::to_owned));
        let recording = |path: PathBuf| {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let output = fs::read(&path).expect("can be read");
            Self {
                name: name.clone(),
                output,
                ..index.remove(&name).unwrap_or_default()
            }
        };
        let all: Vec<_> = files.into_iter().map(recording).collect();
        assert!(
            index.is_empty(),
            "in the index, and not there: {:?}",
            index.keys()
        );
        all
    }

    /// The same as nobody recorded it, in one of three ways: every second line cut off in its middle, all turned round, or all said twice.
    #[must_use]
    pub fn damaged(&self, way: usize) -> Self {
        let mut lines: Vec<Vec<u8>> = self
            .output
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        match way % 3 {
            0 => lines
                .iter_mut()
                .step_by(2)
                .for_each(|line| line.truncate(line.len() / 2)),
            1 => lines.reverse(),
            _ => lines.extend(lines.clone()),
        }
        Self {
            output: lines.concat(),
            ..self.clone()
        }
    }

    /// Plays it to a backend, which is given the program, and reads the turn to its end. What the program hears first is a line, where the
    /// agent goes on listening, or all that there is.
    ///
    /// # Panics
    /// When the turn does not start, or has no end.
    pub async fn play<B: AgentBackend>(
        &self,
        player: Player,
        listens: bool,
        backend: impl FnOnce(PathBuf) -> B,
    ) -> Told {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let output = self.output.clone();
        let replay = if listens {
            Replay::of_answer(output)
        } else {
            Replay::of_output(output)
        };
        let play = replay
            .complaining(self.stderr.clone())
            .ending(self.exit)
            .play();
        let backend = backend(play.install(player, directory.path(), "agent"));
        let attempt = AttemptId {
            task: TaskId::new("R1").expect("an id"),
            number: 1,
        };
        let (workspace, handoff) = (
            directory.path().join("workspace"),
            directory.path().join("handoff.json"),
        );
        fs::create_dir(&workspace).expect("makes it");
        let mut request = TurnRequest::new(
            attempt,
            "Please.",
            workspace,
            handoff.clone(),
            fresh_mark(directory.path()),
        );
        request
            .environment
            .insert("PATH".to_owned(), std::env::var("PATH").expect("a path"));
        request.resume = self.resume.clone().map(SessionRef);
        request.schema = self.schema.then(|| json!({ "type": "object" }));
        let mut turn = backend.start(request).await.expect("starts");
        let (mut updates, mut usage) = (Vec::new(), Usage::default());
        loop {
            match turn.next().await.expect("an end comes first") {
                Update::Alive => {}
                Update::Ended { outcome } => {
                    let handoff = fs::read_to_string(&handoff).ok();
                    return Told {
                        updates,
                        usage,
                        outcome,
                        handoff,
                    };
                }
                update => {
                    if let Update::Usage(now) = &update {
                        usage = now.known();
                    }
                    updates.push(update);
                }
            }
        }
    }
}

/// Recordings of one agent, and the backend that they are played to.
#[derive(Debug)]
pub struct Recordings<B> {
    all: Vec<Recording>,
    player: Player,
    listens: bool,
    backend: fn(PathBuf) -> B,
}

impl<B: AgentBackend> Recordings<B> {
    /// Those of a directory, as [`Recording::all`] finds them, for [`Recording::play`].
    #[must_use]
    pub fn new(directory: &Path, player: Player, listens: bool, backend: fn(PathBuf) -> B) -> Self {
        Self {
            all: Recording::all(directory),
            player,
            listens,
            backend,
        }
    }

    async fn told(&self, recording: &Recording) -> Told {
        recording
            .play(self.player, self.listens, self.backend)
            .await
    }

    /// Of each, two lines: how much it said, and its outcome.
    pub async fn summaries(&self) -> String {
        let mut page = String::new();
        for recording in &self.all {
            let told = self.told(recording).await;
            page += &format!(
                "{} ({}): {}\n    {:?}\n",
                recording.name,
                recording.exit,
                told.summary(),
                told.outcome
            );
        }
        page
    }

    /// Of each that is named, or of all where none is, all that it told.
    pub async fn pages(&self, names: &[&str]) -> String {
        let mut page = String::new();
        for recording in self
            .all
            .iter()
            .filter(|recording| names.is_empty() || names.contains(&recording.name.as_str()))
        {
            page += &format!("== {}\n{}\n", recording.name, self.told(recording).await);
        }
        page
    }

    /// Plays every so manieth damaged in some way: none panics, and each turn has its one end.
    pub async fn damaged(&self, step: usize) {
        for (number, recording) in self.all.iter().enumerate().step_by(step) {
            self.told(&recording.damaged(number)).await;
        }
    }
}

/// What a recording has told. Displayed, it is a page: an update on each line, then the handoff, then the outcome.
#[derive(Debug)]
pub struct Told {
    /// All that was said, but that it lives.
    pub updates: Vec<Update>,
    /// What it has cost, as it was said last.
    pub usage: Usage,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// What it left.
    pub handoff: Option<String>,
}

impl Told {
    /// How much of what was said, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |wanted: fn(&Update) -> bool| {
            self.updates.iter().filter(|update| wanted(update)).count()
        };
        let said = count(|update| matches!(update, Update::Activity { .. }));
        let tools = count(|update| matches!(update, Update::ToolBegan { .. }));
        let findings = count(|update| matches!(update, Update::Finding(_)));
        let Usage {
            input_tokens,
            output_tokens,
            ..
        } = self.usage;
        let usd = self.usage.usd.unwrap_or(0.0);
        let handoff = if self.handoff.is_some() {
            ", a handoff"
        } else {
            ""
        };
        format!(
            "said {said}, {tools} tools, {findings} findings, {input_tokens}+{output_tokens} tokens, ${usd:.5}{handoff}"
        )
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.updates
            .iter()
            .try_for_each(|update| writeln!(f, "{update:?}"))?;
        self.handoff
            .iter()
            .try_for_each(|handoff| writeln!(f, "handoff: {handoff}"))?;
        writeln!(f, "{:?}", self.outcome)
    }
}
