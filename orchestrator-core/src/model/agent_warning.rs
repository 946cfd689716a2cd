//! What a person should know of an agent that can be used.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a look at an agent found that keeps no turn from starting. [`Display`](fmt::Display) says it
/// in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentWarning {
    /// This version was never tried with its backend.
    UntriedVersion {
        /// The program's name, such as `claude`.
        program: String,
        /// Its version, in its own words.
        version: String,
        /// The versions that were tried, in words.
        tried: String,
    },
    /// A file of its installation is not where it is looked for.
    MissingFile {
        /// Its path.
        file: String,
    },
    /// Its sandbox works only in a form that leaves more open than the one that was asked for.
    WeakerSandbox {
        /// The form that is used, such as `narrow`.
        used: String,
        /// Why the other does not work.
        why: String,
    },
    /// It works without its sandbox, since that cannot work here.
    NoSandbox {
        /// Why not.
        why: String,
        /// How to set it right.
        fix: String,
    },
    /// This version does not know a setting, which is left out.
    LeftOut {
        /// The setting, such as `effort`.
        setting: String,
        /// The version, in the agent's own words.
        version: String,
    },
    /// Something else.
    Other {
        /// What was found.
        what: String,
        /// How to set it right, where that is known.
        fix: Option<String>,
    },
}

impl AgentWarning {
    /// How to set it right, where that is known.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::UntriedVersion { program, tried, .. } => Some(format!(
                "watch its first turns, or install a version of {program} that was tried: {tried}"
            )),
            Self::MissingFile { .. } => Some("install it again, as a whole".to_owned()),
            Self::WeakerSandbox { used, .. } => Some(format!(
                "set `sandbox = \"{used}\"` in `[agents.NAME]` if this will do"
            )),
            Self::NoSandbox { fix, .. } => Some(fix.clone()),
            Self::LeftOut { setting, .. } => {
                Some(format!("update the agent, or leave `{setting}` out"))
            }
            Self::Other { fix, .. } => fix.clone(),
        }
    }
}

impl fmt::Display for AgentWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntriedVersion {
                program,
                version,
                tried,
            } => write!(
                f,
                "version {version} of {program} was never tried with this backend; tried: {tried}"
            ),
            Self::MissingFile { file } => write!(f, "{file} is not there: commands will fail"),
            Self::WeakerSandbox { used, why } => {
                write!(
                    f,
                    "its sandbox works only as `{used}`, which leaves more open: {why}"
                )
            }
            Self::NoSandbox { why, .. } => write!(f, "it works without a sandbox: {why}"),
            Self::LeftOut { setting, version } => {
                write!(
                    f,
                    "version {version} does not know `{setting}`, which is left out"
                )
            }
            Self::Other { what, .. } => f.write_str(what),
        }
    }
}
