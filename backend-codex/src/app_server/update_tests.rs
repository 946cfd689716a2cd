//! What is told of a turn, and how it ends.

use orchestrator_core::{
    model::{TurnOutcome, TurnUsage, Usage},
    port::Update,
};
use serde_json::{Value, json};

use super::talk::Talk;

#[test]
fn errors_by_type_have_their_outcome() {
    let http = |name: &str, status: Value| json!({ name: { "httpStatusCode": status } });
    for (info, expected) in [
        (json!("contextWindowExceeded"), "PromptTooLong"),
        (json!("usageLimitExceeded"), "UsageLimited"),
        (json!("sessionBudgetExceeded"), "CapReached"),
        (json!("unauthorized"), "Authentication"),
        (json!("modelNotFound"), "Misconfigured"),
        (json!("sandboxError"), "Misconfigured"),
        (json!("cyberPolicy"), "Refused"),
        (json!("bioPolicy"), "Refused"),
        (json!("serverOverloaded"), "Overloaded"),
        (json!("internalServerError"), "Overloaded"),
        (http("httpConnectionFailed", json!(401)), "Authentication"),
        (http("httpConnectionFailed", json!(503)), "Overloaded"),
        (http("httpConnectionFailed", json!(null)), "Overloaded"),
        (http("httpConnectionFailed", json!(418)), "Crashed"),
        (
            http("responseTooManyFailedAttempts", json!(429)),
            "Overloaded",
        ),
        (
            http("responseStreamDisconnected", json!(null)),
            "Overloaded",
        ),
        (json!("badRequest"), "Crashed"),
        (json!("other"), "Crashed"),
        (json!("daydreaming"), "Crashed"),
        (json!({}), "Crashed"),
        (json!(7), "Crashed"),
        (json!(null), "Crashed"),
    ] {
        let error = json!({ "message": "it is so", "codexErrorInfo": info });
        let outcome = format!("{:?}", Talk::running().ends_with(&error));
        assert!(outcome.starts_with(expected), "{info}: {outcome}");
    }
    // Without a type its words count.
    let words =
        json!({ "message": "stream disconnected before completion", "codexErrorInfo": "other" });
    let outcome = Talk::running().ends_with(&words);
    assert!(
        matches!(outcome, TurnOutcome::Overloaded { .. }),
        "{outcome:?}"
    );
}

#[test]
fn reset_is_that_of_all_limits_that_are_used_up() {
    let limit = json!({ "message": "Try again at Dec 1st, 2026 1:02 PM.", "codexErrorInfo": "usageLimitExceeded" });
    for (limits, expected) in [
        (
            json!({ "primary": { "usedPercent": 100, "resetsAt": 50 } }),
            Some(50_000),
        ),
        (
            json!({
                "primary": { "usedPercent": 100, "resetsAt": 50 },
                "secondary": { "usedPercent": 101, "resetsAt": 90 },
            }),
            Some(90_000),
        ),
        (
            json!({
                "primary": { "usedPercent": 100, "resetsAt": 50 },
                "secondary": { "usedPercent": 99, "resetsAt": 90 },
            }),
            Some(50_000),
        ),
        (
            json!({ "primary": { "usedPercent": 100, "resetsAt": -1 } }),
            None,
        ),
    ] {
        let mut talk = Talk::running();
        talk.notified(
            "account/rateLimits/updated",
            &json!({ "rateLimits": limits }),
        );
        // What is not said again stays as it was.
        let nothing = json!({ "primary": null, "secondary": null });
        talk.notified(
            "account/rateLimits/updated",
            &json!({ "rateLimits": nothing }),
        );
        let TurnOutcome::UsageLimited { until } = talk.ends_with(&limit) else {
            panic!("{limits}");
        };
        // Without a number its words count.
        let expected = expected.unwrap_or(1_796_130_179_000);
        assert_eq!(until.map(|until| until.0), Some(expected), "{limits}");
    }
}

#[test]
fn usage_is_that_of_the_turn() {
    let tokens = |total: u64, last: u64| {
        let of = |tokens: u64| json!({ "inputTokens": tokens, "outputTokens": tokens / 10 });
        json!({ "total": of(total), "last": of(last) })
    };
    let update =
        |turn: &str, usage: &Value| json!({ "threadId": "a", "turnId": turn, "tokenUsage": usage });
    let usage = |input_tokens, output_tokens| {
        let tokens = Usage::tokens_alone(input_tokens, output_tokens);
        Update::Usage(TurnUsage::told(tokens))
    };
    for before in [Some("old"), None] {
        let mut talk = Talk::running();
        if let Some(before) = before {
            talk.notified(
                "thread/tokenUsage/updated",
                &update(before, &tokens(500, 70)),
            );
        }
        talk.notified("thread/tokenUsage/updated", &update("t", &tokens(600, 100)));
        talk.notified("thread/tokenUsage/updated", &update("t", &tokens(800, 200)));
        assert_eq!(talk.told(), [usage(100, 10), usage(300, 30)], "{before:?}");
    }
}

#[test]
fn declined_command_is_a_finding() {
    let mut talk = Talk::running();
    let mut item = json!({ "id": "c", "type": "commandExecution", "command": "git push" });
    item["status"] = json!("declined");
    talk.notified("item/completed", &json!({ "threadId": "a", "item": item }));
    let told = talk.told();
    let [Update::Finding(finding)] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(
        finding.message.contains("`git push` was refused"),
        "{finding}"
    );
}

#[test]
fn output_is_told_within_bounds() {
    let mut talk = Talk::running();
    let item = json!({ "id": "c", "type": "commandExecution", "command": "seq" });
    talk.notified("item/started", &json!({ "threadId": "a", "item": item }));
    talk.told();
    let long = "y".repeat(100_000);
    let delta = |text: &str| json!({ "threadId": "a", "itemId": "c", "delta": text });
    talk.notified(
        "item/commandExecution/outputDelta",
        &delta(&format!("\n{long}\n")),
    );
    for _ in 0..50 {
        talk.notified("item/commandExecution/outputDelta", &delta("x\nx\n"));
    }
    let told = talk.told();
    assert_eq!(told.len(), 20);
    assert_eq!(
        told[0],
        Update::Activity {
            text: "y".repeat(200)
        }
    );
    // It lives, also where nothing is to be read.
    talk.notified("item/commandExecution/outputDelta", &delta("x\n"));
    assert!(talk.reply.take_updates().eq([Update::Alive]));
}
