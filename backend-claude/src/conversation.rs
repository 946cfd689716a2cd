//! One turn: what `claude -p` says in its duplex mode, and what it is told.

use std::{collections::BTreeSet, path::PathBuf};

use orchestrator_core::{
    agent::{
        Bounds, Ended, Permission, Permissions, Protocol, Reply, SandboxWatch, handoff_in,
        lenient::{Flag, List, Named, Number, Real, Text, of, read},
    },
    lenient,
    model::{Finding, ModelUsage, SessionRef, Severity, Timestamp, TurnOutcome, Usage},
    port::{AgentError, TurnInput, TurnRequest},
    process::Line,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    outcome::{Failure, cap_of},
    sandbox::{NOT_INITIALIZED, broken_words},
};

/// The tool by which it answers by the schema.
const ANSWER: &str = "StructuredOutput";
/// So many questions whether it lives are left without an answer by one that does not.
const UNANSWERED: u32 = 10;
/// What it is told when it has ended its turn without an answer by the schema.
const REPAIR: &str = "You have ended without calling the StructuredOutput tool, so what you have done is not handed over. Do nothing else \
                      now: call StructuredOutput, with what is true of your work.";

lenient! {
    /// Any event, as far as it is read.
    struct Event<'a> {
        kind: Text<'a> = "type",
        subtype: Text<'a> = "subtype",
        session: Text<'a> = "session_id",
        tools: List<Text<'a>> = "tools",
        servers: List<Server<'a>> = "mcp_servers",
        error: Text<'a> = "error",
        error_status: Number = "error_status",
        message: Message<'a> = "message",
        limit: Limit<'a> = "rate_limit_info",
        request_id: Value = "request_id",
        request: Value = "request",
        is_error: Flag = "is_error",
        api_error_status: Number = "api_error_status",
        stop_reason: Text<'a> = "stop_reason",
        terminal_reason: Text<'a> = "terminal_reason",
        result: Text<'a> = "result",
        errors: List<Text<'a>> = "errors",
        structured_output: Value = "structured_output",
        denials: List<Denial<'a>> = "permission_denials",
        usage: Tokens = "usage",
        models: Named<'a, ModelTokens> = "modelUsage",
        usd: Real = "total_cost_usd",
    }
}

lenient! {
    /// An MCP server, and whether it is there.
    struct Server<'a> {
        name: Text<'a> = "name",
        status: Text<'a> = "status",
    }
}

lenient! {
    /// Of what tools have said, what tells whether commands work: read only where there is a sandbox that may break.
    struct Results<'a> {
        message: ResultsOf<'a> = "message",
    }
}

lenient! {
    struct ResultsOf<'a> {
        content: List<Told<'a>> = "content",
    }
}

lenient! {
    struct Told<'a> {
        tool_use_id: Text<'a> = "tool_use_id",
        content: Text<'a> = "content",
        is_error: Flag = "is_error",
    }
}

lenient! {
    struct Limit<'a> {
        status: Text<'a> = "status",
        resets_at: Number = "resetsAt",
    }
}

lenient! {
    /// A call of a tool that was not allowed.
    struct Denial<'a> {
        tool: Text<'a> = "tool_name",
        id: Text<'a> = "tool_use_id",
        input: Input<'a> = "tool_input",
    }
}

lenient! {
    /// What one message has used.
    pub(crate) struct Tokens {
        input: Number = "input_tokens",
        cache_read: Number = "cache_read_input_tokens",
        cache_written: Number = "cache_creation_input_tokens",
        output: Number = "output_tokens",
    }
}

lenient! {
    /// What one model was used for in all.
    struct ModelTokens {
        input: Number = "inputTokens",
        cache_read: Number = "cacheReadInputTokens",
        cache_written: Number = "cacheCreationInputTokens",
        output: Number = "outputTokens",
        usd: Real = "costUSD",
    }
}

lenient! {
    struct Message<'a> {
        content: List<Block<'a>> = "content",
    }
}

lenient! {
    /// What the model says, calls, or is told by a tool.
    struct Block<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        input: Input<'a> = "input",
        tool_use_id: Text<'a> = "tool_use_id",
    }
}

lenient! {
    /// Of what a tool is called with, what tells a person what it does.
    struct Input<'a> {
        command: Text<'a> = "command",
        file_path: Text<'a> = "file_path",
        notebook_path: Text<'a> = "notebook_path",
    }
}

impl Server<'_> {
    /// Whether it is there in name only. One that is still starting may come.
    fn is_gone(&self) -> bool {
        !matches!(&*self.status, "connected" | "pending")
    }
}

impl Input<'_> {
    fn file(&self) -> Option<&str> {
        self.file_path.some().or(self.notebook_path.some())
    }

    /// What a person is shown of a call.
    fn title(&self, tool: &str) -> String {
        match (self.command.some(), self.file()) {
            (Some(command), _) => command.to_owned(),
            (None, Some(path)) => format!("{tool} {path}"),
            (None, None) => tool.to_owned(),
        }
    }

    /// What a tool for files would write. What a command writes, its words do not tell.
    fn writes(&self, tool: &str) -> Vec<PathBuf> {
        self.file()
            .filter(|_| !matches!(tool, "Read" | "Glob" | "Grep"))
            .map(PathBuf::from)
            .into_iter()
            .collect()
    }
}

/// What the agent was given for the turn.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) tools: BTreeSet<String>,
    /// MCP servers, by name.
    pub(crate) servers: BTreeSet<String>,
    pub(crate) permissions: Option<Permissions>,
    /// Whether its commands run in its own sandbox.
    pub(crate) sandboxed: bool,
    /// Holds the files that the command line names for as long as the turn runs.
    pub(crate) _files: Option<TempDir>,
}

impl Given {
    /// Whether the model was to have this tool.
    fn has(&self, tool: &str) -> bool {
        let of_server = |tool: &str| {
            let (server, _) = tool.strip_prefix("mcp__")?.split_once("__")?;
            Some(self.servers.contains(server))
        };
        tool == ANSWER || self.tools.contains(tool) || of_server(tool).unwrap_or(false)
    }
}

#[derive(Debug)]
pub(crate) struct Conversation {
    prompt: String,
    resume: Option<SessionRef>,
    /// Whether an answer by a schema is asked for.
    schema: bool,
    given: Given,
    bounds: Bounds,
    session: String,
    in_flight: BTreeSet<String>,
    /// Calls whose refusal was told.
    refused: BTreeSet<String>,
    /// What we asked, to tell the questions apart.
    asked: u32,
    unanswered: u32,
    repaired: bool,
    /// It was interrupted to be reminded, and will say that it was.
    nudged: bool,
    stopping: bool,
    /// In its own words, what is wrong with the service.
    error: String,
    /// When a limit is reset, once the service has said that it is reached.
    limited_until: Option<Timestamp>,
    /// How the turn has gone, if nothing more comes.
    so_far: Option<TurnOutcome>,
    /// What it has said before of the session's earlier turns.
    told: ModelUsage,
    /// Whether it counts them in.
    carried: Option<bool>,
    /// Whether the model has said or done anything.
    began_work: bool,
    /// Calls that run a command in the sandbox.
    commands: BTreeSet<String>,
    sandbox: SandboxWatch,
}

impl Conversation {
    pub(crate) fn new(request: &TurnRequest, given: Given) -> Self {
        Self {
            prompt: request.prompt.clone(),
            resume: request.resume.clone(),
            schema: request.schema.is_some(),
            given,
            bounds: Bounds::of(request),
            session: String::new(),
            in_flight: BTreeSet::new(),
            refused: BTreeSet::new(),
            asked: 0,
            unanswered: 0,
            repaired: false,
            nudged: false,
            stopping: false,
            error: String::new(),
            limited_until: None,
            so_far: None,
            told: request
                .resume
                .as_ref()
                .map(|_| request.used.told.clone())
                .unwrap_or_default(),
            carried: None,
            began_work: false,
            commands: BTreeSet::new(),
            sandbox: SandboxWatch::knowing(NOT_INITIALIZED),
        }
    }

    fn say(text: &str, reply: &mut Reply) {
        let message = json!({ "role": "user", "content": [{ "type": "text", "text": text }] });
        reply.write_json(&json!({ "type": "user", "session_id": "", "message": message, "parent_tool_use_id": null }));
    }

    fn ask(&mut self, what: &str, reply: &mut Reply) {
        self.asked += 1;
        let id = format!("orchestrator-{}", self.asked);
        reply.write_json(
            &json!({ "type": "control_request", "request_id": id, "request": { "subtype": what } }),
        );
    }

    /// A turn within the program begins: said once more for each message that it is sent.
    fn began(&mut self, event: &Event<'_>, reply: &mut Reply) {
        let session = &*event.session;
        if self.session == session {
            return reply.alive();
        }
        session.clone_into(&mut self.session);
        let tools = &event.tools.0;
        // What is not what was asked for is not worked with: ended at once, before it costs anything.
        let wrong = if self
            .resume
            .as_ref()
            .is_some_and(|resume| resume.0 != session)
        {
            Some(TurnOutcome::SessionLost)
        } else if self.schema && !tools.iter().any(|tool| **tool == *ANSWER) {
            Some(TurnOutcome::Drifted {
                detail: "it took the schema of the handoff for none".to_owned(),
            })
        } else {
            None
        };
        if let Some(outcome) = wrong {
            reply.interrupt();
            return reply.finish(outcome);
        }
        reply.started(session);
        let more = tools.iter().map(|tool| &**tool);
        let more = more.filter(|tool| !self.given.has(tool));
        let mut more: Vec<_> = more.collect();
        more.sort_unstable();
        if !more.is_empty() {
            let message = format!(
                "Claude Code gave its model tools that it was not to have: {}",
                more.join(", ")
            );
            reply.finding(Finding::new(Severity::Warning, "tool/unlisted", message));
        }
        for server in event.servers.0.iter().filter(|server| server.is_gone()) {
            let message = format!("MCP server `{}`: {}", &*server.name, &*server.status);
            reply.finding(Finding::new(Severity::Warning, "tool/missing", message));
        }
    }

    /// A message of the model: one block of it in each event.
    fn said(&mut self, event: &Event<'_>, reply: &mut Reply) {
        // Of one that was got over, nothing is said any more.
        (*event.error).clone_into(&mut self.error);
        self.began_work |= event.error.is_empty();
        for block in &event.message.content.0 {
            match &*block.kind {
                "text" if !block.text.is_empty() => reply.activity(&block.text),
                "tool_use" if self.in_flight.insert(block.id.to_string()) => {
                    if self.given.sandboxed && block.input.command.some().is_some() {
                        self.commands.insert(block.id.to_string());
                    }
                    reply.tool_began(&*block.id, &block.input.title(&block.name));
                }
                _ => reply.alive(),
            }
        }
    }

    /// What tools have said to the model.
    fn tools_ended(&mut self, event: &Event<'_>, reply: &mut Reply) {
        reply.alive();
        for block in &event.message.content.0 {
            if self.in_flight.remove(&*block.tool_use_id) {
                reply.tool_ended(&*block.tool_use_id);
            }
        }
    }

    /// Commands have ended: whether the sandbox let them run.
    fn commands_ended(&mut self, line: &[u8]) {
        let results = read::<Results<'_>>(line).unwrap_or_default();
        for told in results.message.content.0 {
            if !self.commands.remove(&*told.tool_use_id) {
                continue;
            }
            let failed = told.is_error.0.unwrap_or(false);
            // Its own first line is the exit status.
            let output = told.content.strip_prefix("Exit code ");
            let output = output.and_then(|rest| rest.split_once('\n'));
            let output = output.map_or(&*told.content, |(_, output)| output);
            self.sandbox.ran(!failed, output);
        }
    }

    /// It asks something of us, and waits.
    fn requested(&mut self, event: &Event<'_>, reply: &mut Reply) {
        let (id, request) = (&event.request_id, &event.request);
        let answer = |answer: Value| json!({ "type": "control_response", "response": answer });
        if request["subtype"] != "can_use_tool" {
            let error = format!("unknown: {}", request["subtype"]);
            return reply.write_json(&answer(
                json!({ "subtype": "error", "request_id": id, "error": error }),
            ));
        }
        let (tool, given) = (
            request["tool_name"].as_str().unwrap_or_default(),
            &request["input"],
        );
        let input: Input<'_> = of(given);
        let (title, writes) = (input.title(tool), input.writes(tool));
        let asked = Permission::new(tool, &title, &self.bounds, request)
            .running(input.command.some())
            .writing(&writes);
        // Without permissions of ours, nobody is to be asked.
        let permissions = self
            .given
            .permissions
            .clone()
            .unwrap_or_else(|| Permissions::decide(|_| Err("it is not allowed".to_owned())));
        let decision = match permissions.judge(&asked) {
            Ok(()) => json!({ "behavior": "allow", "updatedInput": given }),
            Err((why, finding)) => {
                self.refused
                    .extend(request["tool_use_id"].as_str().map(str::to_owned));
                reply.finding(*finding);
                json!({ "behavior": "deny", "message": why })
            }
        };
        reply.write_json(&answer(
            json!({ "subtype": "success", "request_id": id, "response": decision }),
        ));
    }

    /// What it was sent is done, one way or another; there may be more than one of these.
    fn result(&mut self, event: Event<'_>, reply: &mut Reply) {
        self.usage(&event, reply);
        for id in std::mem::take(&mut self.in_flight) {
            reply.tool_ended(id);
        }
        for Denial { tool, id, input } in &event.denials.0 {
            if self.refused.insert(id.to_string()) {
                reply.finding(self.bounds.refusal(
                    &input.title(tool),
                    "Claude Code's own rules",
                    &input.writes(tool),
                ));
            }
        }
        if event.aborted() && std::mem::take(&mut self.nudged) && !self.stopping {
            return;
        }
        let outcome = if self.stopping {
            // What it was told before waits to be done next.
            reply.interrupt();
            TurnOutcome::Stopped
        } else if *event.subtype == *"error_max_structured_output_retries" {
            // Its work is what it is, and only the handoff is missing.
            reply.activity("it failed to answer by the schema, again and again");
            TurnOutcome::Completed
        } else if let Some(cap) = cap_of(&event.subtype) {
            TurnOutcome::CapReached {
                cap: cap.to_owned(),
            }
        } else if *event.subtype != *"success" || event.is_error.0.unwrap_or(true) {
            self.failed(&event)
        } else if let Some(words) = self.sandbox.broken() {
            // A worker without commands has nothing to hand over.
            TurnOutcome::Misconfigured {
                reason: broken_words(words),
            }
        } else {
            match (event.structured_output, self.schema) {
                (answer @ Value::Object(_), true) => reply.handoff(answer.to_string()),
                (_, true) if !self.repaired => {
                    (self.repaired, self.so_far) = (true, Some(TurnOutcome::Completed));
                    return Self::say(REPAIR, reply);
                }
                _ => {
                    if let Some(handoff) = handoff_in(&event.result) {
                        reply.handoff(handoff);
                    }
                }
            }
            TurnOutcome::Completed
        };
        reply.finish(outcome);
    }

    /// What the turn has used. Of a session that is gone on with, 2.1.197 counts what this process has
    /// used. 2.1.330 counts what it has said of earlier turns as well: then there is at least so much
    /// beside what the last message has used.
    fn usage(&mut self, event: &Event<'_>, reply: &mut Reply) {
        let all = event.counted();
        let beside = all.total().minus(event.usage.sum()).tokens();
        let told = self.told.total().tokens();
        let carried = *self.carried.get_or_insert(told > 0 && beside >= told);
        let turn = if carried { all.minus(&self.told) } else { all };
        if !turn.is_empty() {
            reply.usage(turn);
        }
    }

    fn failed(&self, event: &Event<'_>) -> TurnOutcome {
        let aborted = if event.aborted() {
            "it was interrupted, and not by us"
        } else {
            ""
        };
        let words = [aborted, &*event.result]
            .into_iter()
            .chain(event.errors.0.iter().map(|error| &**error));
        let words = words
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let failure = Failure {
            status: event.api_error_status.0,
            kind: &self.error,
            refusal: *event.stop_reason == *"refusal",
            limited_until: self.limited_until,
            words: &words,
        };
        match failure.outcome() {
            // In a fresh session that has said and done nothing, only the prompt can have filled the context.
            TurnOutcome::ContextFull if self.resume.is_none() && !self.began_work => {
                TurnOutcome::PromptTooLong { detail: words }
            }
            other => other,
        }
    }
}

impl Event<'_> {
    /// Whether it was interrupted. Its own words for that are a diagnosis for its makers.
    fn aborted(&self) -> bool {
        self.terminal_reason.starts_with("aborted")
    }

    /// What the program has counted; nothing where it was not used.
    fn counted(&self) -> ModelUsage {
        let models = self.models.0.iter();
        let counted: ModelUsage = models
            .map(|(name, tokens)| (&**name, tokens.usage()))
            .collect();
        match counted.total().usd {
            // Whatever it was, it has a price.
            None if !counted.is_empty() => counted.plus(&ModelUsage::from(Usage {
                usd: self.usd.0,
                ..Usage::default()
            })),
            _ => counted.minus(&ModelUsage::default()),
        }
    }
}

impl ModelTokens {
    fn usage(&self) -> Usage {
        let read = [self.input, self.cache_read, self.cache_written];
        Usage {
            usd: self.usd.0,
            ..sum(read, self.output)
        }
    }
}

impl Tokens {
    /// Nothing where a budget was used up.
    pub(crate) fn sum(&self) -> Usage {
        sum(
            [self.input, self.cache_read, self.cache_written],
            self.output,
        )
    }
}

/// Cached tokens count as read.
fn sum(read: [Number; 3], written: Number) -> Usage {
    let input_tokens = read
        .into_iter()
        .map(|tokens| tokens.0.unwrap_or(0))
        .fold(0, u64::saturating_add);
    Usage::tokens_alone(input_tokens, written.0.unwrap_or(0))
}

impl Protocol for Conversation {
    fn begin(&mut self, reply: &mut Reply) {
        Self::say(&self.prompt, reply);
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        self.unanswered = 0;
        let Some(event) = read::<Event<'_>>(&line.bytes) else {
            return reply.alive();
        };
        match (&*event.kind, &*event.subtype) {
            ("assistant", _) => {
                reply.uses_more();
                self.said(&event, reply);
            }
            ("user", _) => {
                if !self.commands.is_empty() {
                    self.commands_ended(&line.bytes);
                }
                self.tools_ended(&event, reply);
            }
            ("system", "init") => self.began(&event, reply),
            ("system", "api_retry") => {
                let status = event
                    .error_status
                    .0
                    .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                reply.activity(&format!(
                    "the service fails and is asked again: {} ({status})",
                    &*event.error
                ));
            }
            ("result", _) => self.result(event, reply),
            ("control_request", _) => self.requested(&event, reply),
            // That it lives says nothing of a model that is silent.
            ("control_response", _) if self.in_flight.is_empty() => {}
            ("rate_limit_event", _) => {
                let reset = event
                    .limit
                    .resets_at
                    .0
                    .map(|seconds| Timestamp(seconds.saturating_mul(1000)));
                self.limited_until = reset.filter(|_| *event.limit.status == *"rejected");
                reply.alive();
            }
            _ => reply.alive(),
        }
    }

    fn input(&mut self, input: &TurnInput, reply: &mut Reply) -> Result<(), AgentError> {
        let TurnInput::Nudge(text) = input else {
            return Err(AgentError::Unsupported("take this kind of input"));
        };
        // A model that hangs hears nothing: it is asked anew, with the reminder. A tool is waited for.
        if self.in_flight.is_empty() {
            self.nudged = true;
            self.ask("interrupt", reply);
        }
        Self::say(text, reply);
        Ok(())
    }

    fn silent(&mut self, reply: &mut Reply) {
        self.unanswered += 1;
        if self.unanswered > UNANSWERED {
            let detail =
                format!("it has not said whether it lives, though it was asked {UNANSWERED} times");
            return reply.finish(TurnOutcome::Crashed { detail });
        }
        self.ask("get_binary_version", reply);
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        if self.stopping {
            reply.close();
            return reply.interrupt();
        }
        self.stopping = true;
        self.ask("interrupt", reply);
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        if let Some(outcome) = self.so_far.take() {
            return outcome;
        }
        let detail = format!("it ended without a result: {}", ended.detail());
        let failure = Failure {
            status: None,
            kind: "",
            refusal: false,
            limited_until: self.limited_until,
            words: &ended.complaint,
        };
        match failure.outcome() {
            TurnOutcome::Crashed { .. } => TurnOutcome::Crashed { detail },
            known => known,
        }
    }
}
