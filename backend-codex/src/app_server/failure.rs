//! What a failed turn stands for, by its `codexErrorInfo`.

use orchestrator_core::model::TurnOutcome;
use serde_json::Value;

use super::{limits::Reached, wire::Failure};
use crate::outcome::{of_message, reset};

/// The outcome of a turn that failed. Where the error has no type, its words count, as with `codex exec`.
pub(super) fn outcome(failure: &Failure<'_>, limits: &Reached) -> TurnOutcome {
    let message = failure.message.trim();
    let reason = || message.to_owned();
    let by_words = of_message(message);
    match name(&failure.info) {
        "contextWindowExceeded" => TurnOutcome::ContextFull,
        "usageLimitExceeded" => TurnOutcome::UsageLimited {
            until: limits.reset().or_else(|| reset(message)),
        },
        "sessionBudgetExceeded" => TurnOutcome::CapReached { cap: reason() },
        "unauthorized" => TurnOutcome::Authentication { reason: reason() },
        "modelNotFound" | "sandboxError" => TurnOutcome::Misconfigured { reason: reason() },
        "cyberPolicy"
        | "bioPolicy"
        | "misalignmentPolicyViolation"
        | "inferenceHookDenied"
        | "tooManyDenials" => TurnOutcome::Refused { reason: reason() },
        "rateLimitExceeded"
        | "serverOverloaded"
        | "flexUnavailable"
        | "policyCapacityUnavailable"
        | "internalServerError" => TurnOutcome::Overloaded { reason: reason() },
        "httpConnectionFailed"
        | "responseStreamConnectionFailed"
        | "responseStreamDisconnected"
        | "responseTooManyFailedAttempts" => of_status(&failure.info, message, by_words),
        _ => by_words,
    }
}

/// An answer by HTTP that was no success, or none at all.
fn of_status(info: &Value, message: &str, by_words: TurnOutcome) -> TurnOutcome {
    let details = info.as_object().and_then(|info| info.values().next());
    let status = details.and_then(|details| details["httpStatusCode"].as_u64());
    let reason = message.to_owned();
    match status {
        Some(401 | 403) => TurnOutcome::Authentication { reason },
        None | Some(408 | 429 | 500..) => TurnOutcome::Overloaded { reason },
        Some(_) => by_words,
    }
}

/// The type's name: a string, or the one key of an object.
fn name(info: &Value) -> &str {
    match info {
        Value::Object(info) => info.keys().next().map_or("", String::as_str),
        info => info.as_str().unwrap_or_default(),
    }
}
