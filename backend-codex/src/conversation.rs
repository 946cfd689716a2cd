//! One turn: what `codex exec --json` says.

use std::{collections::BTreeSet, path::PathBuf};

use orchestrator_core::{
    agent::{
        Bounds, Ended, Protocol, Reply, SandboxWatch, handoff_in,
        lenient::{List, Number, Text, read},
    },
    lenient,
    model::{Finding, ModelUsage, SessionRef, TurnOutcome, Usage},
    port::TurnRequest,
    process::{Exit, Line},
};
use tempfile::TempDir;

use crate::{
    outcome::{crashed, of_end, of_message},
    preflight::unusable_words,
    session::Tokens,
};

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
        status: Text<'a> = "status",
        changes: List<Changed<'a>> = "changes",
        output: Text<'a> = "aggregated_output",
        exit_code: Number = "exit_code",
    }
}

impl Item<'_> {
    /// What was to be run, or the kind of the item where that is not said.
    fn title(&self) -> Option<&str> {
        [&self.command, &self.tool, &self.query, &self.kind]
            .into_iter()
            .find_map(Text::some)
    }

    /// That Codex did not run it: by its own rules, or since nobody is there to be asked.
    fn refusal(&self) -> Finding {
        let paths = self.changes.0.iter();
        let paths = paths.filter_map(|change| change.path.some());
        let paths: Vec<_> = paths.map(PathBuf::from).collect();
        let title = self.title().unwrap_or_default();
        Bounds::default().refusal(title, "Codex declined it", &paths)
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

#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    resume: Option<SessionRef>,
    /// The model, where we have named it.
    model: String,
    /// What Codex had counted of the thread when the turn began.
    counted: Usage,
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
    /// `counted` is what Codex has counted of the thread that is gone on with, where its files say so.
    pub(crate) fn new(
        request: &TurnRequest,
        model: Option<&str>,
        counted: Option<Usage>,
        files: Option<TempDir>,
    ) -> Self {
        let known = || match request.resume {
            Some(_) => request.used.told.total(),
            None => Usage::default(),
        };
        Self {
            prompt: request.prompt.clone(),
            resume: request.resume.clone(),
            model: model.unwrap_or_default().to_owned(),
            counted: counted.unwrap_or_else(known),
            _files: files,
            thread: String::new(),
            tools: BTreeSet::new(),
            last: String::new(),
            completed: false,
            began_work: false,
            failed: None,
            sandbox: SandboxWatch::default(),
        }
    }

    fn item(&mut self, item: &Item<'_>, over: bool, reply: &mut Reply) {
        // Its own warnings are items as well.
        self.began_work |= *item.kind != *"error";
        if over && *item.status == *"declined" {
            reply.finding(item.refusal());
        }
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
                let name = item.title();
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
        // It counts over the whole thread.
        let turn = usage.usage().minus(self.counted);
        reply.usage(ModelUsage::from_iter([(self.model.as_str(), turn)]));
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
        match (&self.failed, self.completed, ended.exit) {
            (Some(message), ..) => self.of_message(message),
            (None, true, Exit::Code(0)) => match self.sandbox.broken() {
                Some(words) => TurnOutcome::Misconfigured {
                    reason: unusable_words(words),
                },
                None => TurnOutcome::Completed,
            },
            (None, true, _) => crashed(ended),
            (None, false, _) => match of_end(ended) {
                TurnOutcome::ContextFull => self.of_message(&ended.complaint),
                other => other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::port::Update;

    use orchestrator_core::model::AttemptId;

    use super::*;

    fn findings(line: &str) -> Vec<String> {
        let attempt = AttemptId {
            task: "T1".parse().expect("an id"),
            number: 1,
        };
        let request = TurnRequest::new(attempt, "", "/w".into(), "/h".into(), "mark");
        let mut conversation = Conversation::new(&request, None, None, None);
        let mut reply = Reply::new();
        let line = Line {
            bytes: line.as_bytes().to_vec(),
            cut: false,
        };
        conversation.line(&line, &mut reply);
        let found = reply.take_updates().filter_map(|update| match update {
            Update::Finding(finding) => Some(finding.to_string()),
            _ => None,
        });
        found.collect()
    }

    #[test]
    fn declined_command_is_a_finding() {
        let declined = r#"{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"git push","aggregated_output":"","exit_code":null,"status":"declined"}}"#;
        let found = ["tool/refused: `git push` was refused: Codex declined it"];
        assert_eq!(findings(declined), found);
        let failed = declined.replace("declined", "failed");
        assert_eq!(findings(&failed), [""; 0]);
        let change = r#"{"type":"item.completed","item":{"id":"item_2","type":"file_change","changes":[{"path":"/etc/hosts"}],"status":"declined"}}"#;
        let found = ["tool/refused: `file_change` was refused: Codex declined it"];
        assert_eq!(findings(change), found);
    }
}
