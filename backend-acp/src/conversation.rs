//! One turn's conversation, as a state machine over lines.

use std::{collections::BTreeSet, path::PathBuf};

use orchestrator_core::{
    agent::{Bounds, Ended, Permission, Permissions, Protocol, Reply, handoff_in},
    model::{SessionRef, TurnOutcome, TurnUsage, Usage},
    port::TurnRequest,
    process::Line,
};
use serde_json::{Value, json};

/// What was asked of the agent, each under its own number. The numbers are those of the recordings: 1, 2, 3, where no mode is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Initialize,
    Session,
    Mode,
    Prompt,
}

/// A turn, from `initialize` to the answer to its prompt.
#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    workspace: PathBuf,
    resume: Option<SessionRef>,
    mode: Option<String>,
    permissions: Permissions,
    bounds: Bounds,
    read_only: bool,
    /// What is being waited for.
    asked: Asked,
    number: u64,
    session: String,
    /// What it is saying, as far as it is not yet told.
    words: String,
    /// All that it has said since the last tool: its last word.
    last: String,
    /// What single answers of the model cost, where the agent tells that and no sum.
    pieces: Usage,
    cost: Option<f64>,
    /// What of it is known from earlier turns, in dollars.
    paid: f64,
    /// How many tokens its context holds, as it said last.
    context: u64,
    /// Whether it has called a tool, and so asked its model more than once.
    called: bool,
    tools: BTreeSet<String>,
    stopping: bool,
}

impl Conversation {
    pub(crate) fn new(
        request: &TurnRequest,
        mode: Option<String>,
        permissions: Permissions,
    ) -> Self {
        Self {
            prompt: request.prompt.clone(),
            workspace: request.workspace.clone(),
            resume: request.resume.clone(),
            mode,
            permissions,
            bounds: Bounds::of(request),
            read_only: request.read_only,
            asked: Asked::Initialize,
            number: 0,
            session: String::new(),
            words: String::new(),
            last: String::new(),
            pieces: Usage::default(),
            cost: None,
            paid: request.used.known().total().usd.unwrap_or(0.0),
            context: 0,
            called: false,
            tools: BTreeSet::new(),
            stopping: false,
        }
    }

    fn ask(&mut self, asked: Asked, method: &str, parameters: &Value, reply: &mut Reply) {
        (self.asked, self.number) = (asked, self.number + 1);
        reply.write_json(
            &json!({ "jsonrpc": "2.0", "id": self.number, "method": method, "params": parameters }),
        );
    }

    fn answered(&mut self, result: &Value, reply: &mut Reply) {
        match self.asked {
            Asked::Initialize => {
                if result["protocolVersion"] != 1 {
                    let detail = format!(
                        "it speaks version {} of the protocol, not 1",
                        result["protocolVersion"]
                    );
                    return reply.finish(TurnOutcome::Drifted { detail });
                }
                let place = self.workspace.to_string_lossy().into_owned();
                match self.resume.clone() {
                    Some(session) => {
                        let parameters =
                            json!({ "sessionId": session.0, "cwd": place, "mcpServers": [] });
                        self.ask(Asked::Session, "session/load", &parameters, reply);
                    }
                    None => self.ask(
                        Asked::Session,
                        "session/new",
                        &json!({ "cwd": place, "mcpServers": [] }),
                        reply,
                    ),
                }
            }
            Asked::Session => {
                let session = result["sessionId"]
                    .as_str()
                    .map(str::to_owned)
                    .or_else(|| self.resume.clone().map(|session| session.0));
                let Some(session) = session else {
                    return reply.finish(TurnOutcome::Drifted {
                        detail: format!("a session without an id: {result}"),
                    });
                };
                self.session.clone_from(&session);
                reply.started(session);
                match self.mode.clone() {
                    Some(mode) => {
                        let parameters = json!({ "sessionId": self.session, "modeId": mode });
                        self.ask(Asked::Mode, "session/set_mode", &parameters, reply);
                    }
                    None => self.send_prompt(reply),
                }
            }
            Asked::Mode => self.send_prompt(reply),
            Asked::Prompt => self.ended(result, reply),
        }
    }

    fn send_prompt(&mut self, reply: &mut Reply) {
        let parameters = json!({ "sessionId": self.session, "prompt": [{ "type": "text", "text": self.prompt }] });
        self.ask(Asked::Prompt, "session/prompt", &parameters, reply);
    }

    /// The answer to the prompt: the end of the turn.
    fn ended(&mut self, result: &Value, reply: &mut Reply) {
        self.tell(reply);
        for id in std::mem::take(&mut self.tools) {
            reply.tool_ended(id);
        }
        let usage = usage_of(&result["usage"])
            .or_else(|| usage_of(&result["_meta"]["quota"]["token_count"]))
            .unwrap_or(self.pieces);
        self.used(usage, reply);
        let outcome = match result["stopReason"].as_str() {
            Some("end_turn") => TurnOutcome::Completed,
            Some("max_tokens") => TurnOutcome::ContextFull,
            Some("max_turn_requests") => TurnOutcome::Crashed {
                detail: "it used up the requests that one turn may make".to_owned(),
            },
            Some("refusal") => TurnOutcome::Refused {
                reason: self.last.trim().to_owned(),
            },
            Some("cancelled") if self.stopping => TurnOutcome::Stopped,
            Some("cancelled") => TurnOutcome::Crashed {
                detail: "it says that it was cancelled, and nobody did".to_owned(),
            },
            _ => TurnOutcome::Drifted {
                detail: format!("it ended its turn with {}", result["stopReason"]),
            },
        };
        if let Some(handoff) = handoff_in(&self.last) {
            reply.handoff(handoff);
        }
        reply.finish(outcome);
    }

    /// An error, where an answer was waited for.
    fn failed(&self, error: &Value, reply: &mut Reply) {
        let said = error["data"]["details"]
            .as_str()
            .or_else(|| error["data"]["message"].as_str())
            .unwrap_or_default();
        let message = format!("{} {said}", error["message"].as_str().unwrap_or_default())
            .trim()
            .to_owned();
        let lower = message.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        reply.finish(match (self.asked, error["code"].as_i64()) {
            // The protocol's own code (agentclientprotocol.com, schema of version 1).
            (_, Some(-32000)) => TurnOutcome::Authentication { reason: message },
            (Asked::Session, _) if self.resume.is_some() => TurnOutcome::SessionLost,
            _ if has(&["usage limit", "quota", "insufficient_quota", "credit"]) => {
                TurnOutcome::UsageLimited { until: None }
            }
            _ if has(&[
                "rate limit",
                "overloaded",
                "too many requests",
                "429",
                "503",
                "529",
            ]) =>
            {
                TurnOutcome::Overloaded { reason: message }
            }
            _ if has(&[
                "unauthorized",
                "401",
                "api key",
                "not logged in",
                "authenticat",
            ]) =>
            {
                TurnOutcome::Authentication { reason: message }
            }
            _ if has(&["context length", "context window", "too long"]) => TurnOutcome::ContextFull,
            _ => TurnOutcome::Crashed {
                detail: format!("{:?} failed: {message}", self.asked),
            },
        });
    }

    /// The agent asks something of us, and waits.
    fn requested(&mut self, id: &Value, method: &str, parameters: &Value, reply: &mut Reply) {
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
        if method != "session/request_permission" {
            let error = json!({ "code": -32601, "message": format!("Method not found: {method}") });
            return reply.write_json(&json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
        self.tell(reply);
        if self.stopping {
            return reply.write_json(&answer(json!({ "outcome": { "outcome": "cancelled" } })));
        }
        let call = &parameters["toolCall"];
        let (kind, title) = (
            call["kind"].as_str().unwrap_or_default(),
            call["title"].as_str().unwrap_or_default(),
        );
        let changes = matches!(kind, "edit" | "delete" | "move");
        let locations = call["locations"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let paths = locations
            .iter()
            .filter(|_| changes)
            .filter_map(|location| location["path"].as_str());
        let writes: Vec<_> = paths.map(PathBuf::from).collect();
        let asked = Permission::new(kind, title, &self.bounds, call)
            .running(call["rawInput"]["command"].as_str())
            .writing(&writes);
        let refused = if self.read_only && changes {
            let why = "nothing is to be changed in this turn";
            Some(self.bounds.refusal(title, why, &writes))
        } else {
            self.permissions
                .judge(&asked)
                .err()
                .map(|(_, finding)| *finding)
        };
        let wanted: &[&str] = if refused.is_none() {
            &["allow_once", "allow_always"]
        } else {
            &["reject_once", "reject_always"]
        };
        let options = parameters["options"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let option = wanted
            .iter()
            .find_map(|kind| options.iter().find(|option| option["kind"] == **kind));
        let outcome = match option {
            Some(option) => json!({ "outcome": "selected", "optionId": option["optionId"] }),
            None => json!({ "outcome": "cancelled" }),
        };
        match refused {
            None => reply.activity(&format!("allowed: {title}")),
            Some(finding) => reply.finding(finding),
        }
        reply.write_json(&answer(json!({ "outcome": outcome })));
    }

    /// What the turn has used; an agent that speaks of nothing has told nothing.
    fn used(&self, tokens: Usage, reply: &mut Reply) {
        // The protocol counts money over the session; an agent that forgets begins anew.
        let cost = |cost: f64| (cost - self.paid).max(0.0);
        let usd = match self.cost {
            Some(all) if all < self.paid => Some(all),
            all => all.map(cost),
        };
        let usage = Usage { usd, ..tokens };
        // Some tell what the last answer of the model has used alone: then it is no more than the context.
        let last = self.context.saturating_add(tokens.output_tokens);
        let incomplete = self.called && tokens.tokens() <= last;
        if !usage.is_nothing() {
            reply.usage(TurnUsage {
                incomplete,
                ..TurnUsage::told(usage)
            });
        }
    }

    /// A part of the turn.
    fn updated(&mut self, update: &Value, reply: &mut Reply) {
        let kind = update["sessionUpdate"].as_str().unwrap_or_default();
        if kind != "agent_message_chunk" {
            self.tell(reply);
        }
        match kind {
            "agent_message_chunk" => {
                if let Some(usage) = usage_of(&update["_meta"]["usage"]) {
                    self.pieces = self.pieces.plus(usage);
                    self.used(self.pieces, reply);
                }
                self.says(
                    update["content"]["text"].as_str().unwrap_or_default(),
                    reply,
                );
            }
            "tool_call" | "tool_call_update" => {
                self.last.clear();
                self.called = true;
                let Some(id) = update["toolCallId"].as_str() else {
                    return reply.alive();
                };
                let over = matches!(update["status"].as_str(), Some("completed" | "failed"));
                if over && self.tools.remove(id) {
                    reply.tool_ended(id);
                } else if !over && self.tools.insert(id.to_owned()) {
                    reply.tool_began(id, update["title"].as_str().unwrap_or("a tool"));
                } else {
                    reply.alive();
                }
            }
            "usage_update" => {
                self.context = update["used"].as_u64().unwrap_or(self.context);
                self.cost = update["cost"]["amount"].as_f64().or(self.cost);
                reply.alive();
            }
            _ => reply.alive(),
        }
    }

    fn says(&mut self, text: &str, reply: &mut Reply) {
        self.last.push_str(text);
        self.words.push_str(text);
        while let Some(end) = self.words.find('\n') {
            let rest = self.words.split_off(end + 1);
            let line = std::mem::replace(&mut self.words, rest);
            if !line.trim().is_empty() {
                reply.activity(line.trim_end());
            }
        }
        reply.alive();
    }

    /// What was said and not told yet, since something else comes.
    fn tell(&mut self, reply: &mut Reply) {
        let line = std::mem::take(&mut self.words);
        if !line.trim().is_empty() {
            reply.activity(line.trim_end());
        }
    }
}

impl Protocol for Conversation {
    fn begin(&mut self, reply: &mut Reply) {
        let parameters = json!({
            "protocolVersion": 1,
            "clientCapabilities": { "fs": { "readTextFile": false, "writeTextFile": false }, "terminal": false },
            "clientInfo": { "name": "orchestrator", "title": "Orchestrator", "version": env!("CARGO_PKG_VERSION") },
        });
        self.ask(Asked::Initialize, "initialize", &parameters, reply);
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        let Ok(message) = serde_json::from_slice::<Value>(&line.bytes) else {
            return reply.alive();
        };
        let Some(method) = message["method"].as_str() else {
            // An answer; to anything but what was asked last, it is none to us.
            if message["id"].as_u64() != Some(self.number) || reply.finished().is_some() {
                return reply.alive();
            }
            return match message.get("error") {
                Some(error) => self.failed(error, reply),
                None => self.answered(&message["result"], reply),
            };
        };
        match message.get("id") {
            Some(id) => self.requested(id, method, &message["params"], reply),
            // While a session is loaded, what was said in it before is said once more.
            None if method == "session/update" && self.asked == Asked::Prompt => {
                self.updated(&message["params"]["update"], reply);
            }
            None => reply.alive(),
        }
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        self.stopping = true;
        if !self.session.is_empty() {
            let parameters = json!({ "sessionId": self.session });
            reply.write_json(
                &json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": parameters }),
            );
        }
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        TurnOutcome::Crashed {
            detail: format!("it ended before its turn did: {}", ended.detail()),
        }
    }
}

/// What was spent, in the three spellings that agents have for it; cached tokens count as read.
fn usage_of(tokens: &Value) -> Option<Usage> {
    let number = |names: &[&str]| names.iter().find_map(|name| tokens[*name].as_u64());
    let input = number(&["inputTokens", "input_tokens"])?;
    let cached = number(&["cachedReadTokens", "cachedInputTokens"]).unwrap_or(0)
        + number(&["cachedWriteTokens"]).unwrap_or(0);
    let output = number(&["outputTokens", "output_tokens"]).unwrap_or(0);
    // Some count what was cached among what was read, others beside it; the total tells.
    let total = number(&["totalTokens"]).unwrap_or(0);
    let input = if total >= input + cached + output {
        input + cached
    } else {
        input
    };
    Some(Usage::tokens_alone(input, output))
}
