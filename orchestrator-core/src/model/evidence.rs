//! What was observed, and the label that follows from it.
//!
//! ```text
//! Claim { surface } ──┐
//! GateReport ─────────┼── label ──► direct    a green gate that looked at the claim's own surface, or a person who did
//! Observation ────────┘              proxy     a green gate that looked elsewhere
//!                                    blocked   nothing of the kind, with the reason
//! ```
//!
//! A [`Label`] cannot be made, read back from a file, or changed: it is computed whenever it is shown (law 7). So nothing
//! turns `proxy` into `direct`, and a test keeps it so by compiling programs that try.

use serde::{Deserialize, Serialize};

use super::{
    Claim, ClaimId, ClaimedEvidence, ClaimedLabel, CommitId, ContentHash, GateSpec, HoldId,
    KeptArtifact, Lacking, Span, Surface, Timestamp, TreeId,
};

/// What a gate did on one tree. An observation of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate as it was defined.
    pub gate: GateSpec,
    /// The tree that it saw.
    pub tree: TreeId,
    /// The environment that it saw: the SHA-256 of its variables.
    pub environment: ContentHash,
    /// How it ended.
    pub outcome: GateOutcome,
    /// What it printed, in the evidence store: standard output and error, capped.
    pub output: ContentHash,
    /// The end of what it printed, for people and for findings; at most 2,000 characters.
    pub tail: String,
    /// How long it ran.
    pub took: Span,
    /// How it ended before on the same tree, where it was run again: a gate with something here that passed is flaky.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<GateOutcome>,
    /// What its directory had not, and a person's checkout has.
    #[serde(default, skip_serializing_if = "Lacking::is_nothing")]
    pub lacked: Lacking,
}

impl GateReport {
    /// Whether the gate was red and then green on the same tree.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.passed() && !self.before.is_empty()
    }

    /// Whether the gate was green.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome == GateOutcome::Exited { code: 0 }
    }
}

/// How a gate ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// With this exit status; 0 is green.
    Exited {
        /// The status.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran longer than its timeout, and was stopped.
    TimedOut,
    /// The program could not be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The program was not started, since its directory could not be set up as the policy says.
    NotSetUp {
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for GateOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exit status {code}"),
            Self::Signalled { signal } => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("stopped after its timeout"),
            Self::NotStarted { reason } | Self::NotSetUp { reason } => {
                write!(f, "could not be started: {reason}")
            }
        }
    }
}

/// What a person has seen, on the claim's own surface, and stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Which claim holds.
    pub claim: ClaimId,
    /// Where it was seen.
    pub surface: Surface,
    /// With which commit.
    pub commit: CommitId,
    /// The question that it answered.
    pub hold: HoldId,
    /// Who saw it, in the words of whoever answered.
    pub by: Option<String>,
    /// What was seen, in the same words.
    pub note: Option<String>,
    /// What was brought as a proof.
    pub artifact: Option<KeptArtifact>,
    /// When it was said.
    pub at: Timestamp,
}

/// How strongly something was observed. There is no way to make one but to observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(Strength);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Strength {
    Direct,
    Proxy,
    Blocked,
}

impl Label {
    /// `direct`, `proxy` or `blocked`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self.0 {
            Strength::Direct => "direct",
            Strength::Proxy => "proxy",
            Strength::Blocked => "blocked",
        }
    }

    /// Observed on the claim's own surface.
    #[must_use]
    pub fn is_direct(self) -> bool {
        self.0 == Strength::Direct
    }

    /// Not proven.
    #[must_use]
    pub fn is_blocked(self) -> bool {
        self.0 == Strength::Blocked
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Label {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// One claim with what was observed about it. Computed from claim, reports and observations; never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    claim: ClaimId,
    surface: Surface,
    label: Label,
    reason: String,
}

impl Evidence {
    /// What these reports, all of one tree, and what persons have seen of the commit say about a
    /// claim that the worker made, or did not make.
    #[must_use]
    pub fn of(
        claim: &Claim,
        claimed: &[ClaimedEvidence],
        reports: &[GateReport],
        seen: &[Observation],
    ) -> Self {
        let claimed = claimed.iter().find(|by| by.claim == claim.id.as_str());
        let green = || reports.iter().filter(|report| report.passed());
        let own = green().find(|report| report.gate.surface == claim.surface);
        let seen = seen
            .iter()
            .find(|seen| seen.claim == claim.id && seen.surface == claim.surface);
        let withheld = match claimed {
            _ if seen.is_some() => None,
            None => Some("not claimed: its worker says nothing of it".to_owned()),
            Some(by) if by.label == ClaimedLabel::Blocked => {
                let note = by.note.as_deref().unwrap_or("it does not say why");
                Some(format!("its worker says that it is not proven: {note}"))
            }
            Some(_) => None,
        };
        let observed = match (own, seen, green().next()) {
            (Some(report), _, _) => (
                Strength::Direct,
                format!(
                    "gate `{}` was green on `{}`",
                    report.gate.name, claim.surface
                ),
            ),
            (None, Some(seen), _) => {
                let who = seen.by.as_deref().unwrap_or("a person");
                let what = seen
                    .note
                    .as_deref()
                    .map(|note| format!(": {note}"))
                    .unwrap_or_default();
                let proof = seen
                    .artifact
                    .as_ref()
                    .map(|artifact| format!(" (with `{}`)", artifact.name))
                    .unwrap_or_default();
                (
                    Strength::Direct,
                    format!("{who} observed it on `{}`{what}{proof}", claim.surface),
                )
            }
            (None, None, Some(report)) => (
                Strength::Proxy,
                format!(
                    "gate `{}` looks at `{}`, not at `{}`",
                    report.gate.name, report.gate.surface, claim.surface
                ),
            ),
            (None, None, None) => (
                Strength::Blocked,
                format!(
                    "no gate was green, and nothing looked at `{}`",
                    claim.surface
                ),
            ),
        };
        let (strength, reason) = match withheld {
            Some(reason) => (Strength::Blocked, reason),
            None => observed,
        };
        Self {
            claim: claim.id.clone(),
            surface: claim.surface.clone(),
            label: Label(strength),
            reason,
        }
    }

    /// The claim's id.
    #[must_use]
    pub fn claim(&self) -> &ClaimId {
        &self.claim
    }

    /// Where the claim is to be seen.
    #[must_use]
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// What follows from the observations.
    #[must_use]
    pub fn label(&self) -> Label {
        self.label
    }

    /// The observation in words, or why there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
