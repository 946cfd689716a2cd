//! One turn: what `cursor-agent -p` says in `stream-json`.

use std::{collections::BTreeSet, path::PathBuf};

use orchestrator_core::{
    agent::{Bounds, Ended, Protocol, Reply, handoff_in},
    model::{SessionRef, TurnOutcome, Usage},
    port::TurnRequest,
    process::Line,
};
use serde_json::{Map, Value};

use crate::outcome::of_words;

/// So much is kept of lines that are no events, in bytes: errors may be said so.
const PLAIN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    resume: Option<SessionRef>,
    bounds: Bounds,
    session: String,
    in_flight: BTreeSet<String>,
    /// Calls that have ended: after a silent retry they may be told again.
    ended: BTreeSet<String>,
    /// What it has said last, if that was after its last tool: the handoff.
    said: String,
    /// By which call of the model.
    call: String,
    /// Pieces of a message that has not come as a whole yet.
    pieces: String,
    /// The end of what was no event.
    plain: String,
}

impl Conversation {
    pub(crate) fn new(request: &TurnRequest) -> Self {
        Self {
            prompt: request.prompt.clone(),
            resume: request.resume.clone(),
            bounds: Bounds::of(request),
            session: String::new(),
            in_flight: BTreeSet::new(),
            ended: BTreeSet::new(),
            said: String::new(),
            call: String::new(),
            pieces: String::new(),
            plain: String::new(),
        }
    }

    /// The session counts from the first event that is not the system's: before, it may not be there yet.
    fn began(&mut self, event: &Value, reply: &mut Reply) {
        let session = event["session_id"].as_str().unwrap_or_default();
        if session.is_empty() || !self.session.is_empty() {
            return;
        }
        session.clone_into(&mut self.session);
        // An unknown one begins anew, without a word.
        if self
            .resume
            .as_ref()
            .is_some_and(|resume| resume.0 != session)
        {
            reply.interrupt();
            return reply.finish(TurnOutcome::SessionLost);
        }
        reply.started(session);
    }

    /// A message, whole or in pieces. After a silent retry the same comes again, under the same call of the model, or its beginning does.
    fn says(&mut self, event: &Value, reply: &mut Reply) {
        let content = event["message"]["content"].as_array().into_iter().flatten();
        let text: String = content.filter_map(|part| part["text"].as_str()).collect();
        let call = event["model_call_id"].as_str().unwrap_or_default();
        // A piece has a time and no call of the model; pieces come where partial output was asked for, which we do not.
        if !event["timestamp_ms"].is_null() && call.is_empty() {
            self.pieces += &text;
            return reply.alive();
        }
        self.pieces.clear();
        let told = if !call.is_empty() && call == self.call {
            self.said.as_str()
        } else {
            ""
        };
        if told.starts_with(&text) {
            return reply.alive();
        }
        let new = text.strip_prefix(told).unwrap_or(&text).trim();
        if new.is_empty() {
            reply.alive();
        } else {
            reply.activity(new);
        }
        call.clone_into(&mut self.call);
        self.said = text;
    }

    fn tool(&mut self, event: &Value, reply: &mut Reply) {
        // Of two ids with a line break between them; the first is enough.
        let id = event["call_id"]
            .as_str()
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        let call = Call::of(&event["tool_call"]);
        match event["subtype"].as_str() {
            Some("started") if !self.ended.contains(&id) && self.in_flight.insert(id.clone()) => {
                self.said.clear();
                self.pieces.clear();
                reply.tool_began(id, &call.title());
            }
            Some("completed") if self.ended.insert(id.clone()) => {
                self.said.clear();
                if let Some(why) = call.refused() {
                    let finding = self.bounds.refusal(&call.title(), &why, &call.writes());
                    reply.finding(finding);
                }
                if self.in_flight.remove(&id) {
                    reply.tool_ended(id);
                } else {
                    reply.alive();
                }
            }
            _ => reply.alive(),
        }
    }

    fn result(&mut self, event: &Value, reply: &mut Reply) {
        for id in std::mem::take(&mut self.in_flight) {
            reply.tool_ended(id);
        }
        if let Some(usage) = usage(&event["usage"]) {
            reply.usage(usage);
        }
        let failed = event["is_error"].as_bool().unwrap_or(false)
            || event["subtype"].as_str() != Some("success");
        if failed {
            let words = [
                &event["result"],
                &event["error"],
                &event["error"]["message"],
                &event["message"],
            ];
            let words: Vec<_> = words
                .into_iter()
                .filter_map(Value::as_str)
                .chain([self.plain.as_str()])
                .collect();
            return reply.finish(of_words(&words.join(" ")));
        }
        // Its result is all of its messages without a break: nothing can be read from that.
        let last = if self.said.is_empty() {
            &self.pieces
        } else {
            &self.said
        };
        if let Some(handoff) = handoff_in(last) {
            reply.handoff(handoff);
        }
        reply.finish(TurnOutcome::Completed);
    }
}

impl Protocol for Conversation {
    fn begin(&mut self, reply: &mut Reply) {
        reply.write(&self.prompt);
        // An open input is waited for, for ever.
        reply.close();
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        let text = String::from_utf8_lossy(&line.bytes);
        // Some builds say which of their streams a line is of.
        let text = ["stdout:", "stderr:"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(&text)
            .trim();
        let Ok(event @ Value::Object(_)) = serde_json::from_str::<Value>(text) else {
            self.plain += &format!("{}\n", &text[..text.floor_char_boundary(PLAIN)]);
            self.plain.drain(
                ..self
                    .plain
                    .floor_char_boundary(self.plain.len().saturating_sub(PLAIN)),
            );
            return reply.activity(text);
        };
        let kind = event["type"].as_str().unwrap_or_default();
        if kind != "system" {
            self.began(&event, reply);
        }
        if reply.finished() == Some(&TurnOutcome::SessionLost) {
            return;
        }
        match kind {
            "assistant" => self.says(&event, reply),
            "tool_call" => self.tool(&event, reply),
            "result" => self.result(&event, reply),
            _ => reply.alive(),
        }
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        reply.interrupt();
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        let words = format!("{} {}", ended.complaint, self.plain.trim());
        match of_words(&words) {
            TurnOutcome::Crashed { .. } => TurnOutcome::Crashed {
                detail: format!(
                    "it ended without a result: {} {}",
                    ended.detail(),
                    self.plain.trim()
                )
                .trim()
                .to_owned(),
            },
            known => known,
        }
    }
}

/// A tool call: `{"shellToolCall": {"args": …, "result": {"success": …}}}`, whatever the tool.
struct Call<'a> {
    name: &'a str,
    arguments: &'a Value,
    result: Option<&'a Map<String, Value>>,
}

impl<'a> Call<'a> {
    fn of(call: &'a Value) -> Self {
        let found = call
            .as_object()
            .and_then(|members| members.iter().find(|(key, _)| key.ends_with("ToolCall")));
        let (name, payload) = found.map_or(("tool", call), |(key, payload)| {
            (key.trim_end_matches("ToolCall"), payload)
        });
        Self {
            name,
            arguments: &payload["args"],
            result: payload["result"].as_object(),
        }
    }

    fn title(&self) -> String {
        let text = |key: &str| self.arguments[key].as_str().filter(|text| !text.is_empty());
        match (text("command"), text("path").or_else(|| text("filePath"))) {
            (Some(command), _) => command.to_owned(),
            (None, Some(path)) => format!("{} {path}", self.name),
            (None, None) => self.name.to_owned(),
        }
    }

    fn writes(&self) -> Vec<PathBuf> {
        let path = self.arguments["path"]
            .as_str()
            .filter(|_| matches!(self.name, "edit" | "write" | "delete"));
        path.map(PathBuf::from).into_iter().collect()
    }

    /// Why it was not run, if somebody refused it.
    fn refused(&self) -> Option<String> {
        let (_, refusal) = self
            .result?
            .iter()
            .find(|(key, _)| matches!(key.as_str(), "rejected" | "permissionDenied"))?;
        let why = ["reason", "message", "error"]
            .iter()
            .find_map(|key| refusal[*key].as_str())
            .filter(|why| !why.is_empty());
        Some(why.unwrap_or("Cursor's own rules").to_owned())
    }
}

/// In the two spellings that there are; cached tokens count as read.
fn usage(usage: &Value) -> Option<Usage> {
    let number = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64());
    let input = number(["inputTokens", "input_tokens"])?;
    let cached = [
        ["cacheReadTokens", "cache_read_tokens"],
        ["cacheWriteTokens", "cache_write_tokens"],
    ];
    let input_tokens = cached
        .into_iter()
        .filter_map(number)
        .fold(input, u64::saturating_add);
    let output_tokens = number(["outputTokens", "output_tokens"]).unwrap_or(0);
    Some(Usage::tokens_alone(input_tokens, output_tokens))
}
