//! One turn's conversation, line by line, for tests.

use orchestrator_core::{
    agent::{Protocol as _, Reply},
    model::{AttemptId, SessionRef, TaskId, TurnOutcome},
    port::{TurnRequest, Update},
    process::Line,
};
use serde_json::{Value, json};

use super::{AppServer, Begin, Held};

/// A conversation with what it said.
pub(super) struct Talk {
    pub(super) server: AppServer,
    pub(super) reply: Reply,
}

impl Talk {
    pub(super) fn new(held: Held, resume: Option<&str>) -> Self {
        let attempt = AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        };
        let request = TurnRequest::new(attempt, "Please.", "/work".into(), "/out/h".into(), "m")
            .with_turn(1, resume.map(|id| SessionRef(id.to_owned())))
            .with_schema(json!({ "type": "object" }));
        let mut talk = Self {
            server: AppServer::new(Begin::new(&request, None, held)),
            reply: Reply::new(),
        };
        talk.server.begin(&mut talk.reply);
        talk
    }

    /// Up to the turn, whose name is `t`.
    pub(super) fn running() -> Self {
        let mut talk = Self::new(Held::Off, None);
        talk.hears(&json!({ "id": 1, "result": {} }));
        talk.hears(&thread("a", &json!({ "type": "dangerFullAccess" })));
        talk.hears(&json!({ "id": 3, "result": { "turn": { "id": "t" } } }));
        talk.said();
        talk.told();
        talk
    }

    pub(super) fn hears(&mut self, message: &Value) {
        let line = Line {
            bytes: message.to_string().into_bytes(),
            cut: false,
        };
        self.server.line(&line, &mut self.reply);
    }

    pub(super) fn notified(&mut self, method: &str, params: &Value) {
        self.hears(&json!({ "method": method, "params": params }));
    }

    /// What was written to the server, line by line.
    pub(super) fn said(&mut self) -> Vec<Value> {
        let written = self.reply.take_written();
        let lines = written.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("is JSON"))
            .collect()
    }

    /// What was told, but that it lives.
    pub(super) fn told(&mut self) -> Vec<Update> {
        let updates = self.reply.take_updates();
        updates.filter(|update| *update != Update::Alive).collect()
    }

    pub(super) fn ends_with(&mut self, error: &Value) -> TurnOutcome {
        let turn = json!({ "id": "t", "status": "failed", "error": error });
        self.notified("turn/completed", &json!({ "threadId": "a", "turn": turn }));
        self.reply.finished().expect("it is over").clone()
    }
}

/// The answer to `thread/start` or `thread/resume`.
pub(super) fn thread(id: &str, sandbox: &Value) -> Value {
    json!({ "id": 2, "result": { "thread": { "id": id }, "cwd": "/work", "sandbox": sandbox } })
}
