//! What a failure of Codex means, by its words: `codex exec` has no codes.

use std::time::SystemTime;

use orchestrator_core::model::{Timestamp, TurnOutcome};

/// The outcome that a message of `turn.failed`, or the end of standard error, stands for.
pub(crate) fn of_message(message: &str) -> TurnOutcome {
    let lower = message.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let reason = || message.trim().to_owned();
    if has(&["no rollout found", "no conversation found"]) {
        TurnOutcome::SessionLost
    } else if has(&["context window", "context_length_exceeded", "maximum context length", "max_output_tokens", "input_too_large"])
    {
        TurnOutcome::ContextFull
    } else if has(&[
        "usage limit",
        "usage_limit_reached",
        "quota exceeded",
        "insufficient_quota",
        "billing details",
        "out of credits",
    ]) {
        TurnOutcome::UsageLimited { until: reset(&lower) }
    } else if has(PERSON) {
        TurnOutcome::Authentication { reason: reason() }
    } else if has(&["content_policy", "cyber_policy", "policy violation", "flagged", "refusal"]) {
        TurnOutcome::Refused { reason: reason() }
    } else if has(OVERLOADED) {
        TurnOutcome::Overloaded { reason: reason() }
    } else {
        TurnOutcome::Crashed { detail: reason() }
    }
}

/// Nobody but a person can mend it: a login, a key, a model that there is not, Codex's own configuration.
const PERSON: &[&str] = &[
    "401 unauthorized",
    "403 forbidden",
    "missing environment variable",
    "api key",
    "not logged in",
    "log in",
    "login",
    "model not found",
    "model_not_found",
    "error loading config",
    "error loading rules",
];

/// The service is away, slow or busy, as far as its words go: measured, but for the last row.
const OVERLOADED: &[&str] = &[
    "high demand",
    "429 too many requests",
    "rate limit",
    "500 internal",
    "502 bad gateway",
    "503 service",
    "504 gateway",
    "stream disconnected",
    "connection failed",
    "error sending request",
    "idle timeout",
    "already has an active writer",
    "overloaded",
    "server_is_overloaded",
    "timed out",
];

/// When a limit is said to be reset: `try again in 3 days 4 hours 5 minutes`, or `resets_at` in seconds since 1970.
fn reset(lower: &str) -> Option<Timestamp> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    if let Some(at) = lower.split("resets_at").nth(1) {
        let digits: String = at.chars().skip_while(|char| !char.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        return digits.parse::<u64>().ok().map(|seconds| Timestamp(seconds * 1000));
    }
    let rest = lower.split("try again in ").nth(1)?;
    let mut words = rest.split_whitespace();
    let mut seconds = 0_u64;
    while let (Some(number), Some(unit)) = (words.next(), words.next()) {
        let Ok(number) = number.parse::<u64>() else { break };
        seconds += number
            * match unit.trim_end_matches(['.', ',']) {
                unit if unit.starts_with("day") => 86_400,
                unit if unit.starts_with("hour") => 3600,
                unit if unit.starts_with("minute") => 60,
                unit if unit.starts_with("second") => 1,
                _ => break,
            };
    }
    (seconds > 0).then(|| Timestamp((now + seconds) * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_of_a_limit_is_read() {
        assert_eq!(reset(r#"{"type":"usage_limit_reached","resets_at":1790000000}"#), Some(Timestamp(1_790_000_000_000)));
        assert_eq!(reset("you've hit your usage limit."), None);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let in_time = reset("you've hit your usage limit. try again in 1 day 2 hours 3 minutes.").expect("is read").0 / 1000 - now;
        assert!((93_780..93_785).contains(&in_time), "{in_time}");
    }
}
