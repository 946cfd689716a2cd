//! What the server asks of us: nothing is granted. It is told to ask nobody, so that none of this should come.

use orchestrator_core::agent::{Bounds, Reply};
use serde_json::{Value, json};

use super::wire::Params;

/// Answers a request. What is refused becomes a finding.
pub(super) fn answer(
    id: &Value,
    method: &str,
    params: &Params<'_>,
    bounds: &Bounds,
    reply: &mut Reply,
) {
    let refused = match method {
        "item/commandExecution/requestApproval" => Some((
            params.command.some().unwrap_or("a command"),
            json!({ "decision": "decline" }),
        )),
        "item/fileChange/requestApproval" => {
            Some(("a change of files", json!({ "decision": "decline" })))
        }
        "item/permissions/requestApproval" => {
            Some(("more permissions", json!({ "permissions": {} })))
        }
        "mcpServer/elicitation/request" => {
            Some(("a question of a server", json!({ "action": "decline" })))
        }
        _ => None,
    };
    if let Some((title, result)) = refused {
        let why = params
            .reason
            .some()
            .map_or_else(String::new, |reason| format!(" (it says: {reason})"));
        let why = format!("in this turn nobody grants more than it has{why}");
        reply.activity(&format!("not allowed: {title}"));
        reply.finding(bounds.refusal(title, &why, &[]));
        return reply.write_json(&json!({ "id": id, "result": result }));
    }
    if method == "item/tool/requestUserInput" {
        let questions: Vec<_> = params
            .questions
            .0
            .iter()
            .filter_map(|question| question.question.some())
            .collect();
        reply.needs_input(&questions.join("\n"));
    } else {
        reply.activity(&format!("it asks for `{method}`, which is not there"));
    }
    let error = json!({ "code": -32601, "message": format!("Method not found: {method}") });
    reply.write_json(&json!({ "id": id, "error": error }));
}
