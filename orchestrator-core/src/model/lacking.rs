//! What a gate's directory has not, and a person's checkout has.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{RepoPath, listed};

/// What a gate did without. A gate that fails for one of these fails on the target as well, and in no workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Lacking {
    /// It had no `.git`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repository: bool,
    /// Submodules of its tree that were empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<RepoPath>,
    /// What `[setup] bring` names, and it had not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brought: Vec<RepoPath>,
    /// Whether there are commands in `[setup] run`, and none was run for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub commands: bool,
}

impl Lacking {
    /// Whether there is nothing to name.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What it did without, one by one.
    #[must_use]
    pub fn named(&self) -> Vec<String> {
        let mut named = Vec::new();
        if self.repository {
            named.push("without `.git`".to_owned());
        }
        if !self.submodules.is_empty() {
            named.push(format!("without submodules {}", listed(&self.submodules)));
        }
        if !self.brought.is_empty() {
            let brought = listed(&self.brought);
            named.push(format!("without what `[setup]` brings ({brought})"));
        }
        if self.commands {
            named.push("without the commands of `[setup]`".to_owned());
        }
        named
    }

    /// The same without what cannot have to do with a failure that printed this.
    #[must_use]
    pub fn suspected(&self, printed: &str) -> Self {
        let speaks_of_git = printed.to_ascii_lowercase().contains("git");
        Self {
            repository: self.repository && speaks_of_git,
            ..self.clone()
        }
    }

    /// The settings that give it what it did without.
    #[must_use]
    pub fn settings(&self) -> Vec<&'static str> {
        let mut settings = Vec::new();
        if !self.brought.is_empty() || self.commands {
            settings.push("`setup = true` in its table");
        }
        if self.repository {
            settings.push("`repository = true` in its table");
        }
        if !self.submodules.is_empty() {
            settings.push("`submodules = true` in `[setup]`");
        }
        settings
    }
}

/// One sentence for people, without a full stop; empty where there is nothing to name.
impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nothing() {
            return Ok(());
        }
        write!(
            f,
            "it ran {}; if it needs that, the policy gives it: {}",
            self.named().join(", "),
            self.settings().join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lacking_is_named() {
        let path = |text: &str| text.parse().expect("a path");
        assert_eq!(Lacking::default().to_string(), "");
        let plain = Lacking {
            repository: true,
            ..Lacking::default()
        };
        assert_eq!(
            plain.to_string(),
            "it ran without `.git`; if it needs that, the policy gives it: `repository = true` in its table"
        );
        let all = Lacking {
            submodules: vec![path("vendor/lib")],
            brought: vec![path("node_modules"), path(".env")],
            commands: true,
            ..plain
        };
        assert_eq!(
            all.to_string(),
            "it ran without `.git`, without submodules `vendor/lib`, without what `[setup]` brings (`node_modules`, `.env`), \
             without the commands of `[setup]`; if it needs that, the policy gives it: `setup = true` in its table, \
             `repository = true` in its table, `submodules = true` in `[setup]`"
        );
    }
}
