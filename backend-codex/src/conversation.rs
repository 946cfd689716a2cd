//! One turn: what `codex exec --json` says.

use std::collections::BTreeSet;

use orchestrator_core::{
    agent::{Ended, Protocol, Reply, Spent, handoff_in},
    model::{SessionRef, TurnOutcome, Usage},
    process::{Exit, Line},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::outcome::of_message;

#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    resume: Option<SessionRef>,
    spent: Spent,
    /// Holds the schema's file for as long as the turn runs.
    _files: TempDir,
    thread: String,
    tools: BTreeSet<String>,
    /// The last message: the handoff.
    last: String,
    completed: bool,
    failed: Option<String>,
}

impl Conversation {
    pub(crate) fn new(prompt: String, resume: Option<SessionRef>, spent: Spent, files: TempDir) -> Self {
        let (thread, last, tools) = (String::new(), String::new(), BTreeSet::new());
        Self { prompt, resume, spent, _files: files, thread, tools, last, completed: false, failed: None }
    }

    fn item(&mut self, item: &Value, over: bool, reply: &mut Reply) {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        match text("type") {
            "agent_message" => {
                // A stream that broke off is told again: only the last word counts.
                text("text").clone_into(&mut self.last);
                reply.activity(text("text"));
            }
            "error" => reply.activity(&format!("warning: {}", text("message"))),
            "file_change" if over => {
                let changes = item["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
                let paths: Vec<_> = changes.iter().filter_map(|change| change["path"].as_str()).collect();
                reply.activity(&format!("changed {}", paths.join(", ")));
            }
            "command_execution" | "mcp_tool_call" | "web_search" | "collab_tool_call" => {
                let id = text("id").to_owned();
                let name = [text("command"), text("tool"), text("query"), text("type")].into_iter().find(|name| !name.is_empty());
                if over && self.tools.remove(&id) {
                    reply.tool_ended(id);
                } else if !over && self.tools.insert(id.clone()) {
                    reply.tool_began(id, name.unwrap_or_default().chars().take(200).collect::<String>());
                } else {
                    reply.alive();
                }
            }
            _ => reply.alive(),
        }
    }

    fn usage(&self, usage: &Value, reply: &mut Reply) {
        let number = |key: &str| usage[key].as_u64().unwrap_or(0);
        let all = Usage { input_tokens: number("input_tokens"), output_tokens: number("output_tokens"), usd: 0.0 };
        // It counts over the whole thread.
        let thread = SessionRef(self.thread.clone());
        reply.usage(all.minus(self.spent.by(&thread)));
        self.spent.keep(thread, all);
    }
}

impl Protocol for Conversation {
    fn begin(&mut self, reply: &mut Reply) {
        reply.write(&self.prompt);
        // An open input is waited for, for ever.
        reply.close();
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        // As a value, since one of the items names a key twice.
        let Ok(event) = serde_json::from_slice::<Value>(&line.bytes) else { return reply.alive() };
        match event["type"].as_str().unwrap_or_default() {
            "thread.started" => {
                event["thread_id"].as_str().unwrap_or_default().clone_into(&mut self.thread);
                // An unknown name begins a new thread, without a word.
                if self.resume.as_ref().is_some_and(|resume| resume.0 != self.thread) {
                    reply.interrupt();
                    return reply.finish(TurnOutcome::SessionLost);
                }
                reply.started(&self.thread);
            }
            "item.started" | "item.updated" => self.item(&event["item"], false, reply),
            "item.completed" => self.item(&event["item"], true, reply),
            "turn.completed" => {
                self.completed = true;
                self.usage(&event["usage"], reply);
                if let Some(handoff) = handoff_in(&self.last) {
                    reply.handoff(handoff);
                }
            }
            "turn.failed" => self.failed = Some(event["error"]["message"].as_str().unwrap_or_default().to_owned()),
            // It tries again, and says so; the end is told otherwise.
            "error" => reply.activity(event["message"].as_str().unwrap_or_default()),
            _ => reply.alive(),
        }
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        reply.interrupt();
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        // What it says of every prompt that comes by a pipe, and of a home beneath `/tmp`.
        let usual = ["Reading additional input", "Reading prompt", "WARNING: "];
        let said = ended.complaint.lines().filter(|line| !usual.iter().any(|usual| line.starts_with(usual)));
        let complaint = said.collect::<Vec<_>>().join("\n");
        match (&self.failed, self.completed, ended.exit) {
            (Some(message), ..) => of_message(message),
            (None, true, Exit::Code(0)) => TurnOutcome::Completed,
            // It does not know a flag that we gave it.
            (None, false, Exit::Code(2)) => TurnOutcome::Drifted { detail: complaint },
            // What kept it from beginning is on standard error; a signal explains itself.
            (None, false, Exit::Code(1)) => match of_message(&complaint) {
                TurnOutcome::Crashed { .. } => TurnOutcome::Crashed { detail: Ended::new(ended.exit, complaint).detail() },
                known => known,
            },
            (None, ..) => TurnOutcome::Crashed { detail: Ended::new(ended.exit, complaint).detail() },
        }
    }
}
