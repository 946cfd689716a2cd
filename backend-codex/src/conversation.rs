//! One turn: what `codex exec --json` says.

use std::collections::BTreeSet;

use orchestrator_core::{
    agent::{
        Ended, Protocol, Reply, SandboxWatch, Spent, handoff_in,
        lenient::{List, Number, Text, read},
    },
    lenient,
    model::{SessionRef, TurnOutcome, Usage},
    process::{Exit, Line},
};
use tempfile::TempDir;

use crate::{outcome::of_message, preflight::unusable_words};

lenient! {
    struct Event<'a> {
        kind: Text<'a> = "type",
        thread_id: Text<'a> = "thread_id",
        item: Item<'a> = "item",
        usage: Tokens = "usage",
        error: Failure<'a> = "error",
        message: Text<'a> = "message",
    }
}

lenient! {
    struct Item<'a> {
        id: Text<'a> = "id",
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        message: Text<'a> = "message",
        command: Text<'a> = "command",
        tool: Text<'a> = "tool",
        query: Text<'a> = "query",
        changes: List<Changed<'a>> = "changes",
        output: Text<'a> = "aggregated_output",
        exit_code: Number = "exit_code",
    }
}

lenient! {
    struct Changed<'a> {
        path: Text<'a> = "path",
    }
}

lenient! {
    struct Failure<'a> {
        message: Text<'a> = "message",
    }
}

lenient! {
    struct Tokens {
        input: Number = "input_tokens",
        output: Number = "output_tokens",
    }
}

#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    resume: Option<SessionRef>,
    spent: Spent,
    /// Holds the schema's file for as long as the turn runs.
    _files: Option<TempDir>,
    thread: String,
    tools: BTreeSet<String>,
    /// The last message: the handoff.
    last: String,
    completed: bool,
    /// Whether the model has said or done anything.
    began_work: bool,
    failed: Option<String>,
    sandbox: SandboxWatch,
}

impl Conversation {
    pub(crate) fn new(
        prompt: String,
        resume: Option<SessionRef>,
        spent: Spent,
        files: Option<TempDir>,
    ) -> Self {
        let (thread, last, tools) = (String::new(), String::new(), BTreeSet::new());
        Self {
            prompt,
            resume,
            spent,
            _files: files,
            thread,
            tools,
            last,
            completed: false,
            began_work: false,
            failed: None,
            sandbox: SandboxWatch::default(),
        }
    }

    fn item(&mut self, item: &Item<'_>, over: bool, reply: &mut Reply) {
        // Its own warnings are items as well.
        self.began_work |= *item.kind != *"error";
        match &*item.kind {
            "agent_message" => {
                // A stream that broke off is told again: only the last word counts.
                (*item.text).clone_into(&mut self.last);
                reply.activity(&item.text);
            }
            "error" => reply.activity(&format!("warning: {}", &*item.message)),
            "file_change" if over => {
                let paths: Vec<_> = item
                    .changes
                    .0
                    .iter()
                    .filter_map(|change| change.path.some())
                    .collect();
                reply.activity(&format!("changed {}", paths.join(", ")));
            }
            "command_execution" | "mcp_tool_call" | "web_search" | "collab_tool_call" => {
                if over && item.exit_code.0.is_some() {
                    self.sandbox.ran(item.exit_code.0 == Some(0), &item.output);
                }
                let name = [&item.command, &item.tool, &item.query, &item.kind]
                    .into_iter()
                    .find_map(Text::some);
                match if over {
                    self.tools.take(&*item.id)
                } else {
                    None
                } {
                    Some(id) => reply.tool_ended(id),
                    None if !over && self.tools.insert(item.id.to_string()) => {
                        reply.tool_began(&*item.id, name.unwrap_or_default());
                    }
                    None => reply.alive(),
                }
            }
            _ => reply.alive(),
        }
    }

    /// What a failure's words stand for. Where a fresh session has said and done nothing before its context is full, the prompt alone
    /// has filled it.
    fn of_message(&self, message: &str) -> TurnOutcome {
        let is_fresh = self.resume.is_none() && !self.began_work;
        // An answer may be too long for the model as well.
        let is_input = !message.contains("max_output_tokens");
        match of_message(message) {
            TurnOutcome::ContextFull if is_fresh && is_input => TurnOutcome::PromptTooLong {
                detail: message.trim().to_owned(),
            },
            other => other,
        }
    }

    fn usage(&self, usage: &Tokens, reply: &mut Reply) {
        let [input_tokens, output_tokens] =
            [usage.input, usage.output].map(|tokens| tokens.0.unwrap_or(0));
        let all = Usage {
            input_tokens,
            output_tokens,
            usd: 0.0,
        };
        // It counts over the whole thread.
        reply.usage(all.minus(self.spent.keep(&self.thread, all)));
    }
}

impl Protocol for Conversation {
    fn begin(&mut self, reply: &mut Reply) {
        reply.write(&self.prompt);
        // An open input is waited for, for ever.
        reply.close();
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        let Some(event) = read::<Event<'_>>(&line.bytes) else {
            return reply.alive();
        };
        match &*event.kind {
            "thread.started" => {
                (*event.thread_id).clone_into(&mut self.thread);
                // An unknown name begins a new thread, without a word.
                if self
                    .resume
                    .as_ref()
                    .is_some_and(|resume| resume.0 != self.thread)
                {
                    reply.interrupt();
                    return reply.finish(TurnOutcome::SessionLost);
                }
                reply.started(&self.thread);
            }
            "item.started" | "item.updated" => self.item(&event.item, false, reply),
            "item.completed" => self.item(&event.item, true, reply),
            "turn.completed" => {
                self.completed = true;
                self.usage(&event.usage, reply);
                // A worker without commands has nothing to hand over.
                if self.sandbox.broken().is_none()
                    && let Some(handoff) = handoff_in(&self.last)
                {
                    reply.handoff(handoff);
                }
            }
            "turn.failed" => self.failed = Some(event.error.message.to_string()),
            // It tries again, and says so; the end is told otherwise.
            "error" => reply.activity(&event.message),
            _ => reply.alive(),
        }
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        reply.interrupt();
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        // What it says of every prompt that comes by a pipe, and of a home beneath `/tmp`.
        let usual = ["Reading additional input", "Reading prompt", "WARNING: "];
        let said = ended
            .complaint
            .lines()
            .filter(|line| !usual.iter().any(|usual| line.starts_with(usual)));
        let complaint = said.collect::<Vec<_>>().join("\n");
        let detail = Ended::new(ended.exit, complaint.clone())
            .with_output(ended.output.clone())
            .detail();
        match (&self.failed, self.completed, ended.exit) {
            (Some(message), ..) => self.of_message(message),
            (None, true, Exit::Code(0)) => match self.sandbox.broken() {
                Some(words) => TurnOutcome::Misconfigured {
                    reason: unusable_words(words),
                },
                None => TurnOutcome::Completed,
            },
            // It does not know a flag that we gave it.
            (None, false, Exit::Code(2)) => TurnOutcome::Drifted { detail: complaint },
            // What kept it from beginning is on standard error; a signal explains itself.
            (None, false, Exit::Code(1)) => match self.of_message(&complaint) {
                TurnOutcome::Crashed { .. } => TurnOutcome::Crashed { detail },
                known => known,
            },
            (None, ..) => TurnOutcome::Crashed { detail },
        }
    }
}
