//! Which of its options this version of Claude Code knows, by its own help: a version that does not know an option refuses to start.

use std::{collections::BTreeMap, path::Path, time::Duration};

use orchestrator_core::{
    port::AgentError,
    process::{OutputLimits, Spawn, run_to_end},
};

/// How long the help may take; measured is half a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a version knows beyond what every version that was tried does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) effort: bool,
    pub(crate) fallback_model: bool,
    /// A mode in which file tools keep to named directories, and nothing that runs code is there.
    pub(crate) restricted: bool,
    pub(crate) permission_prompts: bool,
    /// `--append-system-prompt-file`, which the help names among others only.
    pub(crate) rules_file: bool,
}

impl Features {
    /// What the help of this program names.
    ///
    /// # Errors
    /// [`AgentError::Spawn`] when it cannot be run.
    pub(crate) async fn of(
        program: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, AgentError> {
        let spawn = Spawn::new(program, "/").args(["--help"]).envs(environment);
        let limits = OutputLimits {
            head: 128 << 10,
            tail: 0,
        };
        let ran = run_to_end(spawn, &[], PATIENCE, limits)
            .await
            .map_err(AgentError::Spawn)?;
        let help = ran.stdout.into_bytes();
        Ok(Self::in_help(&String::from_utf8_lossy(&help)))
    }

    fn in_help(help: &str) -> Self {
        let is_option = |wanted: &str| {
            let mut first = help.lines().filter_map(|line| {
                let option = line.trim_start().strip_prefix(wanted)?;
                Some(option.is_empty() || option.starts_with([' ', ',', '=']))
            });
            first.any(|is_it| is_it)
        };
        Self {
            effort: is_option("--effort"),
            fallback_model: is_option("--fallback-model"),
            restricted: is_option("--restricted"),
            permission_prompts: is_option("--permission-prompts"),
            rules_file: help.contains("--append-system-prompt[-file]")
                || is_option("--append-system-prompt-file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_where_the_help_lists_them() {
        let help = "Options:\n  --bare    Skip --restricted things: --append-system-prompt[-file], x\n  --effort <level>  How much\n\
                    \x20 --permission-prompts <target>\n      Who answers";
        let expected = Features {
            effort: true,
            fallback_model: false,
            restricted: false,
            permission_prompts: true,
            rules_file: true,
        };
        assert_eq!(Features::in_help(help), expected);
        assert_eq!(Features::in_help(""), Features::default());
    }
}
