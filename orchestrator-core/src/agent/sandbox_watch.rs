//! Whether a turn's commands fail because of their sandbox, and not by themselves.

use super::BubblewrapFault;

/// So much of a command's output is looked at, in bytes: bubblewrap fails before there is any other.
const LOOKED_AT: usize = 2000;

/// What the commands of a turn came to. A worker may run bubblewrap of its own, which may fail: so the sandbox is broken only where no
/// command has worked, and the last failed in bubblewrap's words.
#[derive(Debug, Default)]
pub struct SandboxWatch {
    own_words: Option<&'static str>,
    worked: bool,
    words: Option<String>,
}

impl SandboxWatch {
    /// One that also knows the words with which the agent itself begins where its sandbox fails.
    #[must_use]
    pub fn knowing(own_words: &'static str) -> Self {
        Self {
            own_words: Some(own_words),
            ..Self::default()
        }
    }

    /// A command has ended, with this output.
    pub fn ran(&mut self, worked: bool, output: &str) {
        self.worked |= worked;
        let begins = &output[..output.floor_char_boundary(LOOKED_AT)];
        let is_its = begins.starts_with("bwrap: ") && BubblewrapFault::of(begins).is_some();
        let is_own = self.own_words.is_some_and(|own| begins.starts_with(own));
        self.words = (!worked && (is_its || is_own)).then(|| begins.trim().to_owned());
    }

    /// The words in which the sandbox fails, if it is broken.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.words.as_deref().filter(|_| !self.worked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_is_broken_where_no_command_worked() {
        let no_namespace = "bwrap: No permissions to create new namespace\n";
        let mut sandbox = SandboxWatch::default();
        assert_eq!(sandbox.broken(), None);
        sandbox.ran(false, no_namespace);
        assert_eq!(sandbox.broken(), Some(no_namespace.trim()));
        sandbox.ran(false, "make: *** no rule");
        assert_eq!(sandbox.broken(), None);
        sandbox.ran(true, "");
        sandbox.ran(false, no_namespace);
        assert_eq!(sandbox.broken(), None, "a worker's own");
        let mut sandbox = SandboxWatch::knowing("No sandbox: ");
        sandbox.ran(false, "No sandbox: no room");
        assert_eq!(sandbox.broken(), Some("No sandbox: no room"));
    }
}
