//! What a failure of Cursor's agent means, by its words: they come on standard error, on a line of their own, or in a result.

use jiff::{civil::Date, tz::TimeZone};
use orchestrator_core::model::{Timestamp, TurnOutcome};

/// The outcome that these words stand for.
pub(crate) fn of_words(words: &str) -> TurnOutcome {
    let lower = words.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let reason = || words.trim().to_owned();
    if has(&["usage limit", "spend limit", "out of usage"]) {
        TurnOutcome::UsageLimited {
            until: reset(&lower),
        }
    } else if has(PERSON) {
        TurnOutcome::Authentication { reason: reason() }
    } else if has(&[
        "context length",
        "context window",
        "too many tokens",
        "prompt is too long",
    ]) {
        TurnOutcome::ContextFull
    } else if has(OVERLOADED) {
        TurnOutcome::Overloaded { reason: reason() }
    } else if has(&["content policy", "refused to", "declined"]) {
        TurnOutcome::Refused { reason: reason() }
    } else {
        TurnOutcome::Crashed { detail: reason() }
    }
}

/// Nobody but a person can mend it: a login, a key, a model that there is not, a directory that is not trusted though we say that it is.
const PERSON: &[&str] = &[
    "authentication required",
    "not logged in",
    "agent login",
    "api key is invalid",
    "unauthenticated",
    "cannot use this model",
    "model name is not valid",
    "workspace trust",
    "actionrequirederror",
];

/// The service is away, slow or busy.
const OVERLOADED: &[&str] = &[
    "resource_exhausted",
    "429",
    "rate limit",
    "too many requests",
    "retriableerror",
    "[unavailable]",
    "overloaded",
    "econnrefused",
    "econnreset",
    "enotfound",
    "etimedout",
    "fetch failed",
    "timed out",
];

/// When a limit is said to be reset, such as `on 9/19/2026`: month, day, year, and no hour; that day's beginning in UTC.
fn reset(words: &str) -> Option<Timestamp> {
    let mut dates = words
        .split(|char: char| !(char.is_ascii_digit() || char == '/'))
        .filter_map(|word| {
            let mut parts = word.trim_matches('/').split('/');
            let (month, day, year) = (
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
            );
            parts
                .next()
                .is_none()
                .then(|| Date::new(year, month, day).ok())
                .flatten()
        });
    let at = dates
        .next_back()?
        .to_zoned(TimeZone::UTC)
        .ok()?
        .timestamp()
        .as_millisecond();
    u64::try_from(at).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_of_a_limit_is_read() {
        let said = "you've hit your usage limit for opus. your usage limits will reset when your monthly cycle ends on 9/19/2026.";
        assert_eq!(reset(said), Some(Timestamp(1_789_776_000_000)));
        for nothing in [
            "",
            "tomorrow",
            "on 19/9/2026",
            "at 1/2",
            "on 1/2/3/4",
            "///",
        ] {
            assert_eq!(reset(nothing), None, "{nothing}");
        }
    }
}
