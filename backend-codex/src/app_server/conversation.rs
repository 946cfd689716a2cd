//! One turn's conversation, as a state machine over lines.

use std::path::PathBuf;

use orchestrator_core::{
    agent::{Ended, Protocol, Reply, handoff_in, lenient::read},
    model::{ModelUsage, SessionRef, TurnOutcome},
    port::{AgentError, TurnInput},
    process::Line,
};
use serde_json::{Value, json};

use super::{
    begin::{Begin, text},
    failure,
    items::Items,
    limits::Reached,
    requests,
    usage::Before,
    wire::{Answer, Failure, Message, Params, TurnInfo},
};
use crate::{
    outcome::{of_end, of_message},
    preflight::unusable_words,
};

/// The numbers of the requests that are waited for. What is said in the turn has greater ones.
const INITIALIZE: u64 = 1;
const THREAD: u64 = 2;
const TURN: u64 = 3;

/// A turn, from `initialize` to `turn/completed`.
#[derive(Debug)]
pub(crate) struct AppServer {
    begin: Begin,
    /// The number of the last request.
    asked: u64,
    thread: String,
    /// The model that it says it will ask.
    model: String,
    turn: String,
    /// What was said to the agent before its turn had begun.
    waiting: Vec<String>,
    items: Items,
    limits: Reached,
    before: Before,
    stopping: bool,
}

impl AppServer {
    pub(crate) fn new(begin: Begin) -> Self {
        Self {
            begin,
            asked: 0,
            thread: String::new(),
            model: String::new(),
            turn: String::new(),
            waiting: Vec::new(),
            items: Items::default(),
            limits: Reached::default(),
            before: Before::default(),
            stopping: false,
        }
    }

    fn ask(&mut self, method: &str, parameters: &Value, reply: &mut Reply) {
        self.asked += 1;
        reply.write_json(&json!({ "id": self.asked, "method": method, "params": parameters }));
    }

    fn answered(&mut self, id: u64, answer: &Answer<'_>, reply: &mut Reply) {
        match id {
            INITIALIZE => {
                reply.write_json(&json!({ "method": "initialized" }));
                let method = match self.begin.resume {
                    Some(_) => "thread/resume",
                    None => "thread/start",
                };
                let parameters = self.begin.thread();
                self.ask(method, &parameters, reply);
            }
            THREAD => self.thread_is_there(answer, reply),
            TURN => self.turn_began(&answer.turn, reply),
            _ => reply.alive(),
        }
    }

    /// Before any money is spent: the thread is the one that was asked for, where it is to be, and held back as it is to be.
    fn thread_is_there(&mut self, answer: &Answer<'_>, reply: &mut Reply) {
        let Some(thread) = answer.thread.id.some() else {
            let detail = "it began a thread without an id".to_owned();
            return reply.finish(TurnOutcome::Drifted { detail });
        };
        let other = |session: &SessionRef| session.0 != thread;
        if self.begin.resume.as_ref().is_some_and(other) {
            return reply.finish(TurnOutcome::SessionLost);
        }
        let place = PathBuf::from(&*answer.cwd);
        if !self.begin.workspace.contains(&place) {
            return reply.finish(match self.begin.resume {
                // A thread stays where it began.
                Some(_) => TurnOutcome::SessionLost,
                None => TurnOutcome::Drifted {
                    detail: format!("it works in {}, not in the workspace", place.display()),
                },
            });
        }
        if let Err(detail) = self.begin.held.check(answer) {
            return reply.finish(TurnOutcome::Drifted { detail });
        }
        thread.clone_into(&mut self.thread);
        (*answer.model).clone_into(&mut self.model);
        reply.started(thread);
        let mut parameters = json!({
            "threadId": self.thread,
            "input": text(&self.begin.prompt),
        });
        if let Some(schema) = &self.begin.schema {
            parameters["outputSchema"] = schema.clone();
        }
        self.ask("turn/start", &parameters, reply);
    }

    fn turn_began(&mut self, turn: &TurnInfo<'_>, reply: &mut Reply) {
        reply.alive();
        if !self.turn.is_empty() || turn.id.is_empty() {
            return;
        }
        (*turn.id).clone_into(&mut self.turn);
        for said in std::mem::take(&mut self.waiting) {
            self.steer(&said, reply);
        }
    }

    /// Said to the model with its next request: when the tool that runs has ended.
    fn steer(&mut self, said: &str, reply: &mut Reply) {
        let parameters = json!({
            "threadId": self.thread,
            "expectedTurnId": self.turn,
            "input": text(said),
        });
        self.ask("turn/steer", &parameters, reply);
    }

    /// An error in the place of an answer.
    fn failed(&self, id: u64, error: &Failure<'_>, reply: &mut Reply) {
        let message = &*error.message;
        if id > TURN {
            // Too late, or in a moment at which it does not listen: what was said is lost, and the turn goes on.
            return reply.activity(&format!("warning: {message}"));
        }
        let outcome = match (id, of_message(message)) {
            (THREAD, _) if message.contains("invalid session id") => TurnOutcome::SessionLost,
            (INITIALIZE, TurnOutcome::Crashed { detail }) => TurnOutcome::Drifted { detail },
            (_, outcome) => outcome,
        };
        reply.finish(outcome);
    }

    fn notified(&mut self, method: &str, params: Params<'_>, reply: &mut Reply) {
        // The account's limits are nobody's own; all else belongs to a thread.
        let foreign = !params.thread_id.is_empty() && *params.thread_id != *self.thread;
        match method {
            "account/rateLimits/updated" => {
                let before = self.limits.line();
                self.limits.take(params.limits);
                match self
                    .limits
                    .line()
                    .filter(|now| before.as_ref() != Some(now))
                {
                    Some(line) => reply.activity(&line),
                    None => reply.alive(),
                }
            }
            "configWarning" | "warning" | "deprecationNotice" => {
                let words = [&params.message, &params.summary];
                let said = words.into_iter().find_map(|text| text.some());
                reply.activity(&format!("warning: {}", said.unwrap_or_default()));
            }
            _ if foreign => reply.alive(),
            "turn/started" => self.turn_began(&params.turn, reply),
            "turn/completed" if *params.turn.id == *self.turn => self.ended(&params.turn, reply),
            "item/started" => {
                reply.uses_more();
                self.items.began(&params.item, reply);
            }
            "item/completed" => self.items.ended(&params.item, reply),
            "item/commandExecution/outputDelta" => {
                self.items.printed(&params.item_id, &params.delta, reply);
            }
            "thread/tokenUsage/updated" if *params.turn_id == *self.turn => {
                let usage = self.before.since(&params.usage);
                if usage.tokens() > 0 {
                    reply.usage(ModelUsage::from_iter([(self.model.as_str(), usage)]));
                }
            }
            "thread/tokenUsage/updated" => self.before.keep(&params.usage),
            // It tries again, and says so; the end is told otherwise.
            "error" if params.will_retry.0 == Some(true) => reply.activity(&params.error.message),
            _ => reply.alive(),
        }
    }

    /// Where a fresh session has done nothing before its context is full, the prompt alone has filled it.
    fn too_long(&self, outcome: TurnOutcome, error: &Failure<'_>) -> TurnOutcome {
        let is_fresh = self.begin.resume.is_none() && !self.items.began_work;
        match outcome {
            TurnOutcome::ContextFull if is_fresh => TurnOutcome::PromptTooLong {
                detail: error.message.trim().to_owned(),
            },
            other => other,
        }
    }

    fn ended(&mut self, turn: &TurnInfo<'_>, reply: &mut Reply) {
        self.items.end(reply);
        let outcome = match &*turn.status {
            "completed" => match self.items.sandbox.broken() {
                Some(words) => TurnOutcome::Misconfigured {
                    reason: unusable_words(words),
                },
                None => TurnOutcome::Completed,
            },
            "failed" => self.too_long(failure::outcome(&turn.error, &self.limits), &turn.error),
            "interrupted" if self.stopping => TurnOutcome::Stopped,
            "interrupted" => TurnOutcome::Crashed {
                detail: "it says that it was interrupted, and nobody did".to_owned(),
            },
            other => TurnOutcome::Drifted {
                detail: format!("its turn ended as `{other}`"),
            },
        };
        if let Some(handoff) = handoff_in(self.items.last()) {
            reply.handoff(handoff);
        }
        reply.finish(outcome);
    }
}

impl Protocol for AppServer {
    fn begin(&mut self, reply: &mut Reply) {
        let client = json!({
            "name": "orchestrator",
            "title": "Orchestrator",
            "version": env!("CARGO_PKG_VERSION"),
        });
        self.ask("initialize", &json!({ "clientInfo": client }), reply);
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        let Some(message) = read::<Message<'_>>(&line.bytes) else {
            return reply.alive();
        };
        if reply.finished().is_some() {
            return reply.alive();
        }
        match (message.method.some(), &message.id) {
            (Some(method), Value::Null) => self.notified(method, message.params, reply),
            (Some(method), id) => {
                requests::answer(id, method, &message.params, &self.begin.bounds, reply);
            }
            (None, id) => match id.as_u64().filter(|id| *id <= self.asked) {
                Some(id) if message.error.message.some().is_some() => {
                    self.failed(id, &message.error, reply);
                }
                Some(id) => self.answered(id, &message.result, reply),
                None => reply.alive(),
            },
        }
    }

    fn input(&mut self, input: &TurnInput, reply: &mut Reply) -> Result<(), AgentError> {
        let TurnInput::Nudge(said) = input else {
            return Err(AgentError::Unsupported("be told that"));
        };
        if self.stopping || reply.finished().is_some() {
            return Ok(());
        }
        if self.turn.is_empty() {
            self.waiting.push(said.clone());
        } else {
            self.steer(said, reply);
        }
        Ok(())
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        let again = std::mem::replace(&mut self.stopping, true);
        // The server ends when nobody speaks to it any more.
        if again || self.turn.is_empty() {
            return reply.close();
        }
        let parameters = json!({ "threadId": self.thread, "turnId": self.turn });
        self.ask("turn/interrupt", &parameters, reply);
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        of_end(ended)
    }
}
