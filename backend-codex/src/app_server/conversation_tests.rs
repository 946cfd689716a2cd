//! What is asked for, answered and refused.

use orchestrator_core::{
    agent::Protocol as _,
    model::TurnOutcome,
    port::{TurnInput, Update},
};
use serde_json::{Value, json};

use super::{
    Held,
    talk::{Talk, thread},
};
use crate::settings::CodexSandbox;

#[test]
fn thread_is_asked_for_with_its_sandbox_and_without_a_directory() {
    for (held, resume, method, key, value) in [
        (
            Held::of(CodexSandbox::Profile, false),
            None,
            "thread/start",
            "config",
            json!({ "default_permissions": "worker" }),
        ),
        (
            Held::of(CodexSandbox::Narrow, false),
            Some("a"),
            "thread/resume",
            "sandbox",
            json!("workspace-write"),
        ),
        (
            Held::of(CodexSandbox::Profile, true),
            Some("a"),
            "thread/resume",
            "sandbox",
            json!("read-only"),
        ),
    ] {
        let mut talk = Talk::new(held, resume);
        talk.hears(&json!({ "id": 1, "result": {} }));
        let asked = talk.said().pop().expect("it asks");
        assert_eq!(asked["method"], method);
        assert_eq!(asked["params"][key], value, "{asked}");
        assert_eq!(asked["params"]["approvalPolicy"], "never");
        assert_eq!(asked["params"].get("cwd"), None, "{asked}");
        assert_eq!(asked["params"].get("threadId").is_some(), resume.is_some());
    }
}

#[test]
fn turn_is_not_begun_where_something_else_was_given() {
    let workspace = json!({ "type": "workspaceWrite", "networkAccess": false });
    let network = json!({ "type": "workspaceWrite", "networkAccess": true });
    let nothing = json!({});
    for (held, sandbox) in [
        // Without the profile's name it is not our profile.
        (Held::Profile, &workspace),
        (Held::WorkspaceWrite, &network),
        (Held::WorkspaceWrite, &nothing),
        (Held::ReadOnly, &workspace),
        (Held::Off, &workspace),
    ] {
        let mut talk = Talk::new(held, None);
        talk.hears(&json!({ "id": 1, "result": {} }));
        talk.said();
        talk.hears(&thread("a", sandbox));
        assert_eq!(talk.said(), Vec::<Value>::new(), "{held:?} {sandbox}");
        let outcome = talk.reply.finished();
        assert!(
            matches!(outcome, Some(TurnOutcome::Drifted { .. })),
            "{outcome:?}"
        );
    }
    let mut other = Talk::new(Held::Off, Some("a"));
    other.hears(&json!({ "id": 1, "result": {} }));
    other.hears(&thread("b", &json!({ "type": "dangerFullAccess" })));
    assert_eq!(other.reply.finished(), Some(&TurnOutcome::SessionLost));
}

#[test]
fn input_waits_for_the_turn_and_is_steered() {
    let mut talk = Talk::new(Held::Off, None);
    let say = |talk: &mut Talk, input| talk.server.input(&input, &mut talk.reply);
    say(&mut talk, TurnInput::Nudge("early".to_owned())).expect("is heard");
    talk.hears(&json!({ "id": 1, "result": {} }));
    talk.hears(&thread("a", &json!({ "type": "dangerFullAccess" })));
    talk.said();
    talk.notified(
        "turn/started",
        &json!({ "threadId": "a", "turn": { "id": "t" } }),
    );
    say(&mut talk, TurnInput::Nudge("the handoff".to_owned())).expect("is heard");
    say(&mut talk, TurnInput::Nudge("yes".to_owned())).expect("is heard");
    let said = talk.said();
    let texts: Vec<_> = said
        .iter()
        .map(|said| {
            said["params"]["input"][0]["text"]
                .as_str()
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(texts, ["early", "the handoff", "yes"]);
    for steered in &said {
        assert_eq!(steered["method"], "turn/steer");
        assert_eq!(steered["params"]["expectedTurnId"], "t");
    }
    // One that came too late is no end.
    talk.hears(
        &json!({ "id": 4, "error": { "code": -32600, "message": "no active turn to steer" } }),
    );
    assert_eq!(talk.reply.finished(), None);
}

#[test]
fn approvals_are_refused_as_findings() {
    for (method, params, key, answer) in [
        (
            "item/commandExecution/requestApproval",
            json!({ "command": "git push", "reason": "network" }),
            "decision",
            json!("decline"),
        ),
        (
            "item/fileChange/requestApproval",
            json!({}),
            "decision",
            json!("decline"),
        ),
        (
            "item/permissions/requestApproval",
            json!({}),
            "permissions",
            json!({}),
        ),
        (
            "mcpServer/elicitation/request",
            json!({}),
            "action",
            json!("decline"),
        ),
    ] {
        let mut talk = Talk::running();
        talk.hears(&json!({ "id": "x1", "method": method, "params": params }));
        let said = talk.said();
        assert_eq!(said.len(), 1, "{method}");
        assert_eq!(said[0]["id"], "x1");
        assert_eq!(said[0]["result"][key], answer, "{method}");
        let findings = talk.told();
        let refused = findings.iter().any(
            |update| matches!(update, Update::Finding(finding) if finding.rule == "tool/refused"),
        );
        assert!(refused, "{findings:?}");
    }
}

#[test]
fn requests_that_are_not_known_are_answered_with_an_error() {
    for method in ["execCommandApproval", "item/tool/call", "vendor/ask"] {
        let mut talk = Talk::running();
        talk.hears(&json!({ "id": 0, "method": method, "params": null }));
        let said = talk.said();
        assert_eq!(said[0]["error"]["code"], -32601, "{method}");
        assert_eq!(said[0]["id"], 0);
        assert_eq!(talk.reply.finished(), None);
    }
    let mut talk = Talk::running();
    let questions = json!([{ "question": "Which one?" }]);
    let params = json!({ "questions": questions });
    talk.hears(&json!({ "id": 9, "method": "item/tool/requestUserInput", "params": params }));
    let question = "Which one?".to_owned();
    assert_eq!(talk.told(), [Update::NeedsInput { question }]);
}

#[test]
fn stop_interrupts_the_turn_and_then_leaves() {
    let mut talk = Talk::running();
    talk.server.interrupt(&mut talk.reply);
    let said = talk.said();
    assert_eq!(said[0]["method"], "turn/interrupt");
    assert_eq!(said[0]["params"], json!({ "threadId": "a", "turnId": "t" }));
    let turn = json!({ "id": "t", "status": "interrupted" });
    talk.notified("turn/completed", &json!({ "threadId": "a", "turn": turn }));
    assert_eq!(talk.reply.finished(), Some(&TurnOutcome::Stopped));
}

#[test]
fn turns_of_other_threads_are_not_ours() {
    let mut talk = Talk::running();
    for (thread, id) in [("b", "t"), ("a", "other")] {
        let turn = json!({ "id": id, "status": "completed" });
        talk.notified(
            "turn/completed",
            &json!({ "threadId": thread, "turn": turn }),
        );
        assert_eq!(talk.reply.finished(), None);
    }
}
