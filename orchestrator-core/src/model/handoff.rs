//! What a worker leaves and claims. Untrusted data: it can carry no verdict, no command and no label (law 6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clean;

/// The largest handoff that is read, in bytes.
pub const MAX_HANDOFF: u64 = 1 << 20;

/// The version of the format.
pub const HANDOFF_VERSION: u32 = 1;

/// The worker's claims, as JSON of at most 1 MiB. Only `version`, `task`, `attempt` and `status` are required; unknown and
/// repeated keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Handoff {
    /// Always 1.
    pub version: u32,
    /// The task's id.
    pub task: String,
    /// The attempt's number.
    pub attempt: u32,
    /// How it went.
    pub status: HandoffStatus,
    /// Why it is blocked or has failed.
    #[serde(default)]
    pub reason: Option<String>,
    /// The branch with the work.
    #[serde(default)]
    pub branch: Option<String>,
    /// The full id of its last commit.
    #[serde(default)]
    pub commit: Option<String>,
    /// All paths that differ from the base.
    #[serde(default)]
    pub changed_files: Option<Vec<String>>,
    /// Gates that the worker says it ran.
    #[serde(default)]
    pub gates: Vec<ClaimedGate>,
    /// Files that it leaves.
    #[serde(default)]
    pub artifacts: Vec<ClaimedArtifact>,
    /// What it found when it looked at its own work.
    #[serde(default)]
    pub self_review: Option<String>,
    /// What may still go wrong.
    #[serde(default)]
    pub residual_risks: Vec<String>,
    /// What it says it has proven.
    #[serde(default)]
    pub evidence: Vec<ClaimedEvidence>,
}

/// What the worker says of its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandoffStatus {
    /// Finished.
    Done,
    /// It cannot go on, and says why.
    Blocked,
    /// It did not succeed.
    Failed,
}

/// A gate that the worker says it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimedGate {
    /// The gate's name.
    pub name: String,
    /// Whether it passed, it says.
    pub passed: bool,
}

/// A file that the worker says it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimedArtifact {
    /// A relative path.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub note: Option<String>,
}

/// What the worker says it has proven. Its label is of another type than ours, so that it can never become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimedEvidence {
    /// A claim's id.
    pub claim: String,
    /// The label that the worker would like.
    pub label: ClaimedLabel,
    /// In its words.
    #[serde(default)]
    pub note: Option<String>,
}

/// The label that a worker would like to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimedLabel {
    /// It says that it saw it on the claim's surface.
    Direct,
    /// It says that it saw it elsewhere.
    Proxy,
    /// It says that it could not be proven.
    Blocked,
}

/// Why a handoff cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// Over [`MAX_HANDOFF`].
    #[error("it has {size} bytes, and at most {MAX_HANDOFF} are read")]
    TooLarge {
        /// In bytes.
        size: u64,
    },
    /// Not JSON, an unknown or repeated key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// Another version.
    #[error("its version is {0}, and only {HANDOFF_VERSION} is known")]
    Version(u32),
}

impl Handoff {
    /// A handoff that claims nothing but its status.
    pub fn new(task: impl Into<String>, attempt: u32, status: HandoffStatus) -> Self {
        Self {
            version: HANDOFF_VERSION,
            task: task.into(),
            attempt,
            status,
            reason: None,
            branch: None,
            commit: None,
            changed_files: None,
            gates: Vec::new(),
            artifacts: Vec::new(),
            self_review: None,
            residual_risks: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Reads a handoff. Control characters in its texts are removed, since they end up before people and models.
    ///
    /// # Errors
    /// [`HandoffError`] with what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, HandoffError> {
        if json.len() as u64 > MAX_HANDOFF {
            return Err(HandoffError::TooLarge {
                size: json.len() as u64,
            });
        }
        let mut handoff: Self = serde_json::from_slice(json)
            .map_err(|error| HandoffError::Syntax(clean(&error.to_string())))?;
        if handoff.version != HANDOFF_VERSION {
            return Err(HandoffError::Version(handoff.version));
        }
        handoff.for_each_text(|text| *text = clean(text));
        Ok(handoff)
    }

    fn for_each_text(&mut self, mut f: impl FnMut(&mut String)) {
        let one = [
            Some(&mut self.task),
            self.reason.as_mut(),
            self.branch.as_mut(),
            self.commit.as_mut(),
            self.self_review.as_mut(),
        ];
        one.into_iter().flatten().for_each(&mut f);
        self.changed_files
            .iter_mut()
            .flatten()
            .chain(&mut self.residual_risks)
            .for_each(&mut f);
        self.gates.iter_mut().for_each(|gate| f(&mut gate.name));
        for ClaimedArtifact { name, note } in &mut self.artifacts {
            [Some(name), note.as_mut()]
                .into_iter()
                .flatten()
                .for_each(&mut f);
        }
        for ClaimedEvidence { claim, note, .. } in &mut self.evidence {
            [Some(claim), note.as_mut()]
                .into_iter()
                .flatten()
                .for_each(&mut f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_is_strict_data() {
        let good = br#"{"version":1,"task":"R1","attempt":1,"status":"done","self_review":"fine\u001b[31m"}"#;
        assert_eq!(
            Handoff::parse(good).map(|h| h.self_review),
            Ok(Some("fine".to_owned()))
        );
        let twice = br#"{"version":1,"task":"R1","attempt":1,"status":"failed","status":"done"}"#;
        assert!(
            matches!(Handoff::parse(twice), Err(HandoffError::Syntax(why)) if why.contains("duplicate field"))
        );
        let verdict =
            br#"{"version":1,"task":"R1","attempt":1,"status":"done","verdict":"accept"}"#;
        assert!(
            matches!(Handoff::parse(verdict), Err(HandoffError::Syntax(why)) if why.contains("unknown field"))
        );
        assert!(matches!(
            Handoff::parse("[".repeat(500_000).as_bytes()),
            Err(HandoffError::Syntax(_))
        ));
        assert_eq!(
            Handoff::parse(&vec![b' '; 2 << 20]),
            Err(HandoffError::TooLarge { size: 2 << 20 })
        );
    }
}
