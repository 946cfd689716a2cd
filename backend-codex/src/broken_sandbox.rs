//! Whether a turn's commands fail because of their sandbox, and not by themselves.

use orchestrator_core::agent::BubblewrapFault;

use crate::preflight::cause_of;

/// What the commands of a turn came to. A worker may run bubblewrap of its own, which may fail: so the sandbox is broken only where no
/// command has worked, and the last failed in bubblewrap's words.
#[derive(Debug, Default)]
pub(crate) struct BrokenSandbox {
    worked: bool,
    words: Option<String>,
}

/// So much of a command's output is looked at, in bytes: bubblewrap fails before there is any other.
const LOOKED_AT: usize = 2000;

impl BrokenSandbox {
    /// A command has ended.
    pub(crate) fn ran(&mut self, worked: bool, output: &str) {
        self.worked |= worked;
        let begins = &output[..output.floor_char_boundary(LOOKED_AT)];
        let is_its = begins.starts_with("bwrap: ") && BubblewrapFault::of(begins).is_some();
        self.words = (!worked && is_its).then(|| begins.trim().to_owned());
    }

    /// That the sandbox cannot work, with the fix, if that is so.
    pub(crate) fn fault(&self) -> Option<String> {
        let words = self.words.as_deref().filter(|_| !self.worked)?;
        let (cause, fix) = cause_of(words);
        Some(format!(
            "its sandbox cannot work here: {cause}: {words}; fix: {fix}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_is_broken_where_no_command_worked() {
        let no_namespace = "bwrap: No permissions to create new namespace\n";
        let mut sandbox = BrokenSandbox::default();
        assert_eq!(sandbox.fault(), None);
        sandbox.ran(false, no_namespace);
        assert!(sandbox.fault().is_some_and(|why| why.contains("fix: ")));
        sandbox.ran(false, "make: *** no rule");
        assert_eq!(sandbox.fault(), None);
        sandbox.ran(true, "");
        sandbox.ran(false, no_namespace);
        assert_eq!(sandbox.fault(), None, "a worker's own");
    }
}
