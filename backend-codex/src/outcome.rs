//! What a failure of Codex means, by its words: `codex exec` has no codes.

use std::time::SystemTime;

use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use orchestrator_core::{
    agent::{BubblewrapFault, Ended},
    model::{Timestamp, TurnOutcome},
    process::Exit,
};

use crate::preflight::unusable_words;

/// The outcome that a message of `turn.failed`, or the end of standard error, stands for.
pub(crate) fn of_message(message: &str) -> TurnOutcome {
    let lower = message.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let reason = || message.trim().to_owned();
    if let Some(outcome) = never_begun(message, &lower) {
        return outcome;
    }
    if has(&["no rollout found", "no conversation found"]) {
        TurnOutcome::SessionLost
    } else if has(&[
        "context window",
        "context_length_exceeded",
        "maximum context length",
        "max_output_tokens",
    ]) {
        TurnOutcome::ContextFull
    } else if has(&[
        "usage limit",
        "usage_limit_reached",
        "quota exceeded",
        "insufficient_quota",
        "billing details",
        "out of credits",
    ]) {
        TurnOutcome::UsageLimited {
            until: reset(&lower),
        }
    } else if has(SETTINGS) || (has(&["model provider"]) && has(&["not found"])) {
        TurnOutcome::Misconfigured { reason: reason() }
    } else if has(PERSON) {
        TurnOutcome::Authentication { reason: reason() }
    } else if has(&[
        "content_policy",
        "cyber_policy",
        "policy violation",
        "flagged",
        "refusal",
    ]) {
        TurnOutcome::Refused { reason: reason() }
    } else if has(OVERLOADED) {
        TurnOutcome::Overloaded { reason: reason() }
    } else {
        TurnOutcome::Crashed { detail: reason() }
    }
}

/// The outcome of a program that ended before it had said how its turn went.
pub(crate) fn of_end(ended: &Ended) -> TurnOutcome {
    let complaint = complaint(ended);
    match ended.exit {
        // It does not know a flag that we gave it.
        Exit::Code(2) => TurnOutcome::Drifted { detail: complaint },
        // What kept it from beginning is on standard error; a signal explains itself.
        Exit::Code(1) => match of_message(&complaint) {
            TurnOutcome::Crashed { .. } => crashed(ended),
            known => known,
        },
        _ => crashed(ended),
    }
}

/// What keeps every turn from beginning in the same way: a prompt that is more than Codex takes, or a sandbox that cannot work.
fn never_begun(message: &str, lower: &str) -> Option<TurnOutcome> {
    let words = message.trim().to_owned();
    if lower.contains("input_too_large") || lower.contains("input exceeds the maximum length") {
        return Some(TurnOutcome::PromptTooLong { detail: words });
    }
    let is_sandbox = BubblewrapFault::of(message).is_some() || lower.contains(HELPER);
    is_sandbox.then(|| TurnOutcome::Misconfigured {
        reason: unusable_words(&words),
    })
}

/// Codex's own helper, which a sandbox of its runs.
const HELPER: &str = "codex-linux-sandbox";

/// How a program ended, with what it said last.
pub(crate) fn crashed(ended: &Ended) -> TurnOutcome {
    let detail = Ended::new(ended.exit, complaint(ended))
        .with_output(ended.output.clone())
        .detail();
    TurnOutcome::Crashed { detail }
}

/// The end of its standard error, without what it says of every turn.
fn complaint(ended: &Ended) -> String {
    let said = ended
        .complaint
        .lines()
        .filter(|line| !USUAL.iter().any(|usual| line.starts_with(usual)));
    said.collect::<Vec<_>>().join("\n")
}

/// What it says of every prompt that comes by a pipe, and of a home under `/tmp`.
const USUAL: &[&str] = &["Reading additional input", "Reading prompt", "WARNING: "];

/// Codex's own configuration: every turn would end in the same way.
const SETTINGS: &[&str] = &[
    "error loading config",
    "error loading rules",
    "codex_home",
    "model not found",
    "model_not_found",
];

/// Nobody but a person can mend it: a login, a key.
const PERSON: &[&str] = &[
    "401 unauthorized",
    "403 forbidden",
    "missing environment variable",
    "api key",
    "not logged in",
    "log in",
    "login",
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

/// When a limit is said to be reset: `try again at 6:51 AM`, today or tomorrow, or `try again at Nov 26th, 2026 6:51 AM` (0.169.0, measured). It is
/// UTC, since Codex is told to be there. Codex leaves the seconds out, so it is the end of that minute.
pub(crate) fn reset(message: &str) -> Option<Timestamp> {
    let now = jiff::Timestamp::try_from(SystemTime::now())
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    let at = reset_after(message, now)?
        .to_zoned(TimeZone::UTC)
        .ok()?
        .timestamp()
        .checked_add(59.seconds())
        .ok()?
        .as_millisecond();
    u64::try_from(at).ok().map(Timestamp)
}

fn reset_after(message: &str, now: DateTime) -> Option<DateTime> {
    let rest = message.to_lowercase();
    let words: Vec<_> = rest
        .split("try again at ")
        .nth(1)?
        .split_whitespace()
        .map(|word| word.trim_matches([',', '.']))
        .collect();
    let time = |clock: &str, half: &str| {
        let (hour, minute) = clock.split_once(':')?;
        let hour = hour
            .parse::<i8>()
            .ok()
            .filter(|hour| (1..=12).contains(hour))?
            % 12
            + if half == "pm" { 12 } else { 0 };
        Time::new(hour, minute.parse().ok()?, 0, 0).ok()
    };
    match words[..] {
        [month, day, year, clock, half, ..] if !month.contains(':') => {
            let month = MONTHS.iter().position(|known| month.starts_with(known))? + 1;
            let day = day
                .trim_end_matches(|char: char| char.is_alphabetic())
                .parse()
                .ok()?;
            let date = Date::new(year.parse().ok()?, i8::try_from(month).ok()?, day).ok()?;
            Some(date.to_datetime(time(clock, half)?))
        }
        [clock, half, ..] => {
            let today = now.date().to_datetime(time(clock, half)?);
            // Minutes are all that it says.
            if today >= now.saturating_sub(2.minutes()) {
                Some(today)
            } else {
                today.checked_add(1.day()).ok()
            }
        }
        _ => None,
    }
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_without_seconds_is_the_end_of_its_minute() {
        let named = reset("try again at dec 1st, 2036 1:02 pm.").expect("is read");
        let end: jiff::Timestamp = "2036-12-01T13:02:59Z".parse().expect("a time");
        let end = u64::try_from(end.as_millisecond()).expect("is after 1970");
        assert_eq!(named, Timestamp(end));
    }

    #[test]
    fn the_reset_of_a_limit_is_read() {
        let now: DateTime = "2026-11-23T04:51:30".parse().expect("a time");
        let read = |said: &str| {
            reset_after(
                &format!("You’ve hit your usage limit. Visit X or {said}"),
                now,
            )
            .map(|at| at.to_string())
        };
        assert_eq!(
            read("try again at 6:51 AM.").as_deref(),
            Some("2026-11-23T06:51:00")
        );
        assert_eq!(
            read("try again at 4:51 AM.").as_deref(),
            Some("2026-11-23T04:51:00"),
            "a moment ago"
        );
        assert_eq!(
            read("try again at 12:05 AM.").as_deref(),
            Some("2026-11-24T00:05:00")
        );
        assert_eq!(
            read("try again at 12:05 PM.").as_deref(),
            Some("2026-11-23T12:05:00")
        );
        assert_eq!(
            read("try again at Dec 1st, 2026 1:02 PM.").as_deref(),
            Some("2026-12-01T13:02:00")
        );
        for nothing in [
            "try again later.",
            "",
            "try again at noon",
            "try again at Foo 3rd, 2026 1:02 PM",
            "try again at 25:00 AM",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
