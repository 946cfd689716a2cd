//! What a failure of Claude Code means: by the service's status, by Claude Code's own name for it, and by its words.

use orchestrator_core::model::{Timestamp, TurnOutcome};

/// All that is told of a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    /// The status of the service's answer; `None` where there was no answer.
    pub(crate) status: Option<u64>,
    /// Claude Code's own name for it, such as `billing_error`.
    pub(crate) kind: &'a str,
    /// Whether the model declined.
    pub(crate) refusal: bool,
    /// When a limit that was reached is reset.
    pub(crate) limited_until: Option<Timestamp>,
    pub(crate) words: &'a str,
}

impl Failure<'_> {
    pub(crate) fn outcome(&self) -> TurnOutcome {
        let lower = self.words.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        let reason = || self.words.trim().to_owned();
        let limited_until = self
            .limited_until
            .filter(|_| matches!(self.status, None | Some(429)));
        if has(&["no conversation found", "--resume requires a valid session"]) {
            TurnOutcome::SessionLost
        } else if self.refusal {
            TurnOutcome::Refused { reason: reason() }
        } else if self.status == Some(413)
            || has(&["prompt is too long", "context window", "request too large"])
        {
            TurnOutcome::ContextFull
        } else if limited_until.is_some() || self.kind == "billing_error" || has(LIMITED) {
            TurnOutcome::UsageLimited {
                until: limited_until,
            }
        } else if has(SETTINGS) {
            TurnOutcome::Misconfigured { reason: reason() }
        } else if matches!(self.status, Some(401 | 403 | 404))
            || PERSON.contains(&self.kind)
            || has(LOGIN)
        {
            TurnOutcome::Authentication { reason: reason() }
        } else if matches!(self.status, Some(408 | 429 | 500..))
            || OVERLOADED.contains(&self.kind)
            || has(AWAY)
        {
            TurnOutcome::Overloaded { reason: reason() }
        } else {
            TurnOutcome::Crashed { detail: reason() }
        }
    }
}

/// Its limits, in words of 2.1.330: read in the program, and met by nobody here but for the credit.
const LIMITED: &[&str] = &[
    "credit balance",
    "usage limit",
    "hit your",
    "out of extra usage",
    "usage credits",
];

/// Nobody but a person can mend it: a login, a key, a model that there is not.
const PERSON: &[&str] = &[
    "authentication_failed",
    "oauth_org_not_allowed",
    "account_on_hold",
    "verification_required",
    "model_not_found",
];
const LOGIN: &[&str] = &["not logged in", "run /login", "invalid api key"];

/// A flag or a setting that it does not take: every turn would end in the same way.
const SETTINGS: &[&str] = &[
    "cannot be used with root",
    "settings file not found",
    "error: option",
    "error: unknown option",
    "invalid mcp configuration",
    "sandbox required but unavailable",
];

/// The cap of its own that a result of this kind names, and what raises it.
pub(crate) fn cap_of(subtype: &str) -> Option<&'static str> {
    match subtype {
        "error_max_turns" => Some("`max_turns` steps were used up: raise it in `[agents.NAME]`"),
        "error_max_budget_usd" => Some("`max_usd` was used up: raise it in `[agents.NAME]`"),
        _ => None,
    }
}

/// The service is away, slow or busy.
const OVERLOADED: &[&str] = &["rate_limit", "overloaded", "server_error"];
const AWAY: &[&str] = &[
    "unable to connect",
    "connection to the api was lost",
    "timed out",
    "overloaded",
    "malformed response",
];
