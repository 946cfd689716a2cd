//! What an agent answers that reviews another's work. Untrusted data, like a handoff.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{BackendName, Finding, RepoPath, Severity, clean, start_of};

/// The version that this crate writes and reads.
pub const OPINION_VERSION: u32 = 1;
/// The largest answer, in bytes.
pub const MAX_OPINION: u64 = 1 << 20;
/// Of an agent's findings, so many are heard.
const MAX_FINDINGS: usize = 50;
/// The longest message, in characters.
const MAX_MESSAGE: usize = 2000;

/// An agent's answer. JSON, version 1, at most 1 MiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentOpinion {
    /// Always 1.
    pub version: u32,
    /// The commit that was looked at: 40 hexadecimal digits.
    pub commit: String,
    /// Whether it could look.
    pub outcome: AgentSays,
    /// What it thinks of the whole, in a few words; or why it could not look.
    #[serde(default)]
    pub summary: String,
    /// Whether the change is all that the task wants. It counts where the policy says so
    /// (`reviewers.confirm`), for work of which its worker did not say that it is complete.
    #[serde(default)]
    pub complete: Option<bool>,
    /// What it found.
    #[serde(default)]
    pub findings: Vec<AgentFinding>,
}

/// Whether an agent could look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentSays {
    /// It did.
    Looked,
    /// It could not.
    Unable,
}

/// One thing that an agent found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentFinding {
    /// `error` for what must not land as it is, `warning`, or `note`.
    pub severity: Severity,
    /// What it is about, in a word or two such as `rounding`: the same word for the same thing in the next round.
    pub area: String,
    /// The file, relative to the repository.
    #[serde(default)]
    pub path: Option<String>,
    /// The line in it, counted from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// What is wrong, what follows from it, and what would mend it.
    pub message: String,
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpinionError {
    /// Larger than [`MAX_OPINION`].
    #[error("it has {0} bytes, and may have {MAX_OPINION}")]
    TooLarge(u64),
    /// Not JSON, an unknown or repeated key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// Another version.
    #[error("its version is {0}, and only {OPINION_VERSION} is known")]
    Version(u32),
}

impl AgentOpinion {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`OpinionError`] with what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, OpinionError> {
        if json.len() as u64 > MAX_OPINION {
            return Err(OpinionError::TooLarge(json.len() as u64));
        }
        let mut opinion: Self = serde_json::from_slice(json)
            .map_err(|error| OpinionError::Syntax(clean(&error.to_string())))?;
        if opinion.version != OPINION_VERSION {
            return Err(OpinionError::Version(opinion.version));
        }
        opinion.summary = start_of(&clean(&opinion.summary), MAX_MESSAGE);
        Ok(opinion)
    }

    /// Its findings, under the agent's name. One without a word of its own is none.
    #[must_use]
    pub fn findings(&self, agent: &BackendName) -> Vec<Finding> {
        let heard = self
            .findings
            .iter()
            .filter(|finding| !finding.message.trim().is_empty())
            .take(MAX_FINDINGS);
        heard.map(|finding| finding.of(agent)).collect()
    }
}

impl AgentFinding {
    fn of(&self, agent: &BackendName) -> Finding {
        let area = self.area.trim().to_lowercase();
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        let area: String = area.chars().take(40).map(plain).collect();
        let area = if area.is_empty() {
            "general".to_owned()
        } else {
            area
        };
        let message = start_of(&clean(&self.message), MAX_MESSAGE);
        let path = self
            .path
            .as_deref()
            .and_then(|path| path.parse::<RepoPath>().ok());
        Finding {
            rule: format!("agent/{agent}/{area}"),
            line: self.line.filter(|_| path.is_some()),
            path,
            severity: self.severity,
            message,
            history: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(findings: &str) -> Result<AgentOpinion, OpinionError> {
        AgentOpinion::parse(
            format!(r#"{{"version":1,"commit":"c","outcome":"looked","findings":[{findings}]}}"#)
                .as_bytes(),
        )
    }

    #[test]
    fn an_answer_is_strict_data() {
        assert!(parsed("").is_ok());
        assert!(matches!(
            parsed(r#"{"severity":"fatal","area":"a","message":"m"}"#),
            Err(OpinionError::Syntax(_))
        ));
        let verdict = br#"{"version":1,"commit":"c","outcome":"looked","verdict":"accept"}"#;
        assert!(
            matches!(AgentOpinion::parse(verdict), Err(OpinionError::Syntax(why)) if why.contains("unknown field"))
        );
        let twice = br#"{"version":1,"commit":"c","outcome":"unable","outcome":"looked"}"#;
        assert!(
            matches!(AgentOpinion::parse(twice), Err(OpinionError::Syntax(why)) if why.contains("duplicate field"))
        );
        assert_eq!(
            AgentOpinion::parse(br#"{"version":2,"commit":"c","outcome":"looked"}"#),
            Err(OpinionError::Version(2))
        );
    }

    #[test]
    fn the_same_area_and_path_are_the_same_finding_in_other_words() {
        let agent = BackendName::new("second").expect("a name");
        let of = |json: &str| parsed(json).expect("an answer").findings(&agent).remove(0);
        let first = of(
            r#"{"severity":"error","area":"Rounding up","path":"src/a.rs","line":3,"message":"half a cent is lost"}"#,
        );
        let again = of(
            r#"{"severity":"error","area":"rounding up","path":"src/a.rs","line":9,"message":"still\u001b[31m lost"}"#,
        );
        assert_eq!(
            (first.rule.as_str(), again.message.as_str()),
            ("agent/second/rounding-up", "still lost")
        );
        assert_eq!(first.id(), again.id());
        let elsewhere = of(
            r#"{"severity":"error","area":"rounding up","path":"/etc/passwd","line":3,"message":"m"}"#,
        );
        assert_eq!((elsewhere.path, elsewhere.line), (None, None));
        assert!(
            parsed(r#"{"severity":"error","area":"a","message":" "}"#)
                .expect("an answer")
                .findings(&agent)
                .is_empty()
        );
    }
}
