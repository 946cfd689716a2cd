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
    Claim, ClaimId, ClaimedEvidence, ClaimedLabel, CommitId, ContentHash, Decision, GateName,
    GateSpec, KeptArtifact, Lacking, RepoPath, Span, Surface, TreeId,
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
#[non_exhaustive]
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
    /// What was brought as a proof.
    pub artifact: Option<KeptArtifact>,
    /// Who saw it, and what: the note says that.
    #[serde(flatten)]
    pub decision: Decision,
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

/// What is known of a claim. The label follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EvidenceBasis {
    /// Its worker says nothing of it.
    NotClaimed,
    /// Its worker says that it is not proven.
    WorkerBlocked {
        /// Why, in its words.
        note: Option<String>,
    },
    /// A gate that looks at its surface passed.
    Gate(GateName),
    /// A person has seen it.
    Person {
        /// Who, as the answer says.
        by: Option<String>,
        /// What was seen, in the person's words.
        note: Option<String>,
        /// The name of the proof that was brought.
        artifact: Option<RepoPath>,
    },
    /// A gate passed that looks at another surface.
    OtherSurface {
        /// The gate.
        gate: GateName,
        /// What it looks at.
        surface: Surface,
    },
    /// Nothing looked at its surface.
    Nothing,
}

impl EvidenceBasis {
    /// What these reports, all of one tree, and what persons have seen of the commit say about a
    /// claim that the worker made, or did not make.
    #[must_use]
    pub fn of(
        claim: &Claim,
        claimed: &[ClaimedEvidence],
        reports: &[GateReport],
        seen: &[Observation],
    ) -> Self {
        let seen = seen
            .iter()
            .find(|seen| seen.claim == claim.id && seen.surface == claim.surface);
        let claimed = claimed.iter().find(|by| by.claim == claim.id.as_str());
        match claimed {
            None if seen.is_none() => return Self::NotClaimed,
            Some(by) if seen.is_none() && by.label == ClaimedLabel::Blocked => {
                let note = by.note.clone();
                return Self::WorkerBlocked { note };
            }
            None | Some(_) => {}
        }

        let mut passed = reports.iter().filter(|report| report.passed());
        let is_of_surface = |report: &&GateReport| report.gate.surface == claim.surface;
        if let Some(report) = passed.clone().find(is_of_surface) {
            return Self::Gate(report.gate.name.clone());
        }
        if let Some(seen) = seen {
            return Self::Person {
                by: seen.decision.by.clone(),
                note: seen.decision.note.clone(),
                artifact: seen.artifact.as_ref().map(|artifact| artifact.name.clone()),
            };
        }
        match passed.next() {
            Some(report) => Self::OtherSurface {
                gate: report.gate.name.clone(),
                surface: report.gate.surface.clone(),
            },
            None => Self::Nothing,
        }
    }

    /// What follows from it. Not for others: whoever could make a basis could make a label.
    pub(super) fn label(&self) -> Label {
        Label(match self {
            Self::Gate(_) | Self::Person { .. } => Strength::Direct,
            Self::OtherSurface { .. } => Strength::Proxy,
            Self::NotClaimed | Self::WorkerBlocked { .. } | Self::Nothing => Strength::Blocked,
        })
    }

    /// What it says about this claim, in words.
    pub(super) fn about(&self, claim: &Claim) -> String {
        let surface = &claim.surface;
        match self {
            Self::NotClaimed => "not claimed: its worker says nothing of it".to_owned(),
            Self::WorkerBlocked { note } => {
                let note = note.as_deref().unwrap_or("it does not say why");
                format!("its worker says that it is not proven: {note}")
            }
            Self::Gate(gate) => format!("gate `{gate}` was green on `{surface}`"),
            Self::Person { by, note, artifact } => {
                let by = by.as_deref().unwrap_or("a person");
                let mut text = format!("{by} observed it on `{surface}`");
                if let Some(note) = note {
                    text = format!("{text}: {note}");
                }
                if let Some(artifact) = artifact {
                    text = format!("{text} (with `{artifact}`)");
                }
                text
            }
            Self::OtherSurface {
                gate,
                surface: other,
            } => {
                format!("gate `{gate}` looks at `{other}`, not at `{surface}`")
            }
            Self::Nothing => format!("no gate was green, and nothing looked at `{surface}`"),
        }
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
        let basis = EvidenceBasis::of(claim, claimed, reports, seen);
        Self {
            claim: claim.id.clone(),
            surface: claim.surface.clone(),
            label: basis.label(),
            reason: basis.about(claim),
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
