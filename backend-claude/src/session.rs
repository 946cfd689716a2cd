//! The files in which Claude Code keeps its sessions: `projects/*/ID.jsonl` of its directory, and
//! `projects/*/ID/subagents/*.jsonl` for those of its own agents.
//!
//! They are not documented. Each message of the model stands there with what it has used, in as many
//! lines as it has parts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use orchestrator_core::{
    agent::{
        SessionFiles,
        lenient::{Text, read},
        read_session_file,
    },
    lenient,
    model::{ModelUsage, Usage},
};

use crate::conversation::Tokens;

lenient! {
    struct Entry<'a> {
        kind: Text<'a> = "type",
        message: Message<'a> = "message",
    }
}

lenient! {
    struct Message<'a> {
        id: Text<'a> = "id",
        model: Text<'a> = "model",
        usage: Tokens = "usage",
    }
}

/// Where Claude Code keeps its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    projects: Option<PathBuf>,
}

/// What each message has used, by its id.
type Messages = BTreeMap<String, (String, Usage)>;

impl Sessions {
    /// As these variables of its environment say.
    pub(crate) fn of(environment: &BTreeMap<String, String>) -> Self {
        let home = environment.get("CLAUDE_CONFIG_DIR").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(".claude")));
        Self {
            projects: home.map(|home| home.join("projects")),
        }
    }

    /// The session's file, and the directory of what belongs to it.
    fn places(&self, session: &str) -> Option<(PathBuf, PathBuf)> {
        let projects = std::fs::read_dir(self.projects.as_ref()?).ok()?;
        let file = format!("{session}.jsonl");
        let mut places = projects.flatten().map(|project| project.path());
        let project = places.find(|project| project.join(&file).symlink_metadata().is_ok())?;
        Some((project.join(file), project.join(session)))
    }
}

impl SessionFiles for Sessions {
    fn used(&self, session: &str) -> Option<ModelUsage> {
        // A name that nobody gave could lead elsewhere.
        let is_name = session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let (file, own) = self.places(session).filter(|_| is_name)?;
        let mut messages = Messages::new();
        read_messages(&file, &mut messages)?;
        let agents = std::fs::read_dir(own.join("subagents")).into_iter();
        for agent in agents.flatten().flatten() {
            if agent.path().extension().is_some_and(|end| end == "jsonl") {
                read_messages(&agent.path(), &mut messages)?;
            }
        }
        Some(messages.into_values().collect())
    }
}

/// Adds the messages of one file.
fn read_messages(file: &Path, messages: &mut Messages) -> Option<()> {
    read_session_file(file, |line| {
        let Some(entry) = read::<Entry<'_>>(line).filter(|entry| *entry.kind == *"assistant")
        else {
            return;
        };
        let usage = entry.message.usage.sum();
        // What Claude Code itself says in the model's place has used nothing.
        if usage.tokens() > 0 {
            let message = (entry.message.model.to_string(), usage);
            messages.insert(entry.message.id.to_string(), message);
        }
    })
}
