//! The files in which Codex keeps its sessions: `$CODEX_HOME/sessions/YYYY/MM/DD/rollout-*-ID.jsonl`.
//!
//! They are not documented. Since 0.169 they hold one `token_usage_record` for each answer of the
//! model, and a `token_count` with the count of the whole thread, which lacks the last answer of a
//! turn that was killed.

use std::{collections::BTreeMap, path::PathBuf};

use orchestrator_core::{
    agent::{
        SessionFiles,
        lenient::{Number, Text, read},
        read_session_file,
    },
    lenient,
    model::{ModelUsage, Usage},
    port::TurnRequest,
};

lenient! {
    struct Entry<'a> {
        kind: Text<'a> = "type",
        payload: Payload<'a> = "payload",
    }
}

lenient! {
    struct Payload<'a> {
        kind: Text<'a> = "type",
        model: Text<'a> = "model",
        response: Text<'a> = "response_id",
        usage: Tokens = "usage",
        info: Info = "info",
    }
}

lenient! {
    struct Info {
        total: Tokens = "total_token_usage",
    }
}

lenient! {
    pub(crate) struct Tokens {
        input: Number = "input_tokens",
        output: Number = "output_tokens",
    }
}

impl Tokens {
    /// Codex does not say what they cost.
    pub(crate) fn usage(&self) -> Usage {
        Usage::tokens_alone(self.input.0.unwrap_or(0), self.output.0.unwrap_or(0))
    }
}

/// Where Codex keeps its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    directory: Option<PathBuf>,
}

/// What the file of one session says.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The model that is asked from here on.
    model: String,
    /// The usage of each answer, by its id.
    answers: BTreeMap<String, (String, Usage)>,
    /// What Codex itself counts of the whole thread: `turn.completed` counts from there.
    pub(crate) counted: Usage,
}

impl Sessions {
    /// As these variables of Codex's environment say.
    pub(crate) fn of(environment: &BTreeMap<String, String>) -> Self {
        let home = environment.get("CODEX_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(".codex")));
        Self {
            directory: home.map(|home| home.join("sessions")),
        }
    }

    /// What is known of the session that a turn goes on with.
    pub(crate) async fn resumed(&self, request: &TurnRequest) -> Option<Kept> {
        let sessions = self.clone();
        let session = request.resume.clone()?;
        let read = tokio::task::spawn_blocking(move || sessions.kept(&session.0)).await;
        read.ok().flatten()
    }

    fn kept(&self, session: &str) -> Option<Kept> {
        let mut kept = Kept::default();
        read_session_file(&self.file(session)?, |line| kept.line(line))?;
        Some(kept)
    }

    /// The session's file: its directory is named by the day on which the session began, wherever
    /// Codex takes that day from, so all are looked through, the latest first.
    fn file(&self, session: &str) -> Option<PathBuf> {
        let end = format!("-{session}.jsonl");
        let mut open = vec![self.directory.clone()?];
        while let Some(directory) = open.pop() {
            let entries = std::fs::read_dir(&directory).ok();
            let mut names: Vec<_> = entries.into_iter().flatten().flatten().collect();
            names.sort_by_key(std::fs::DirEntry::file_name);
            for entry in names {
                let kind = entry.file_type().ok()?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if kind.is_file() && name.starts_with("rollout-") && name.ends_with(&end) {
                    return Some(entry.path());
                }
                let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
                if kind.is_dir() && is_number {
                    open.push(entry.path());
                }
            }
        }
        None
    }
}

impl SessionFiles for Sessions {
    fn used(&self, session: &str) -> Option<ModelUsage> {
        Some(self.kept(session)?.used())
    }
}

impl Kept {
    /// What the session has used.
    pub(crate) fn used(self) -> ModelUsage {
        if self.answers.is_empty() {
            // An older version counts the thread alone.
            return [(self.model, self.counted)].into_iter().collect();
        }
        self.answers.into_values().collect()
    }

    fn line(&mut self, line: &[u8]) {
        let Some(entry) = read::<Entry<'_>>(line) else {
            return;
        };
        let payload = entry.payload;
        match (&*entry.kind, &*payload.kind) {
            ("turn_context", _) => (*payload.model).clone_into(&mut self.model),
            ("token_usage_record", _) => {
                let answer = (self.model.clone(), payload.usage.usage());
                self.answers.insert(payload.response.to_string(), answer);
            }
            ("event_msg", "token_count") => {
                let counted = payload.info.total.usage();
                if counted.tokens() > 0 {
                    self.counted = counted;
                }
            }
            _ => {}
        }
    }
}
