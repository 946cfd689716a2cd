//! What a turn is asked for with.

use std::{fs, path::PathBuf};

use orchestrator_core::{
    agent::{Bounds, strict_schema},
    model::SessionRef,
    port::TurnRequest,
};
use serde_json::{Map, Value, json};

use super::held::Held;

/// What a turn begins with.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(super) prompt: String,
    pub(super) resume: Option<SessionRef>,
    pub(super) schema: Option<Value>,
    pub(super) model: Option<String>,
    pub(super) held: Held,
    /// The workspace, by the names that it may be called.
    pub(super) workspace: [PathBuf; 2],
    pub(super) bounds: Bounds,
}

impl Begin {
    /// Looks at the workspace and the contract.
    pub(crate) fn new(request: &TurnRequest, model: Option<String>, held: Held) -> Self {
        let named = request.workspace.clone();
        let real = fs::canonicalize(&named).unwrap_or_else(|_| named.clone());
        Self {
            prompt: request.prompt.clone(),
            resume: request.resume.clone(),
            schema: request.schema.as_ref().map(strict_schema),
            model,
            held,
            workspace: [named, real],
            bounds: Bounds::of(request),
        }
    }

    /// Parameters of `thread/start` and `thread/resume`. There is no `cwd` among them: with one, the server writes into its configuration
    /// that the workspace is trusted, and then runs what the workspace's own `.codex` names, outside of any sandbox (0.169.0 and 0.171.0,
    /// measured). Without, it works where its process does.
    pub(super) fn thread(&self) -> Value {
        let mut parameters = Map::new();
        parameters.insert("approvalPolicy".to_owned(), json!("never"));
        let (name, sandbox) = self.held.parameter();
        parameters.insert(name.to_owned(), sandbox);
        if let Some(model) = &self.model {
            parameters.insert("model".to_owned(), json!(model));
        }
        if let Some(session) = &self.resume {
            parameters.insert("threadId".to_owned(), json!(session.0));
            parameters.insert("excludeTurns".to_owned(), json!(true));
        }
        Value::Object(parameters)
    }
}

/// The input of a turn: one text.
pub(super) fn text(text: &str) -> Value {
    json!([{ "type": "text", "text": text }])
}
