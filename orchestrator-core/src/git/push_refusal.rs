//! How a push was refused, read from git's porcelain output.

use crate::model::RefusalCause;

/// What a push was answered with, where it was answered with no.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PushRefusal {
    /// Whether git itself refused, before the remote was asked to do anything.
    by_git: bool,
    /// The reason in parentheses, such as `stale info` or `pre-receive hook declined`.
    pub(super) reason: String,
}

impl PushRefusal {
    /// Reads the porcelain format of git-push(1). It has a line for each ref; one that was refused begins with `!`
    /// and says `[rejected]` or `[remote rejected]`, in these words in every language. Without such a line, or with
    /// `[remote failure]`, nobody knows what the remote has done.
    pub(super) fn of(porcelain: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(porcelain);
        text.lines().find_map(|line| {
            let summary = line.strip_prefix("!\t")?.split('\t').nth(1)?;
            let (by_git, reason) = match summary.strip_prefix("[rejected]") {
                Some(reason) => (true, reason),
                None => (false, summary.strip_prefix("[remote rejected]")?),
            };
            let reason = reason.trim();
            let inner = reason
                .strip_prefix('(')
                .and_then(|reason| reason.strip_suffix(')'));
            Some(Self {
                by_git,
                reason: inner.unwrap_or(reason).to_owned(),
            })
        })
    }

    /// The cause. The words that decide between the remote's own reasons are fixed ones of git's `receive-pack`.
    pub(super) fn cause(&self) -> RefusalCause {
        let fails = |words: &[&str]| words.iter().any(|words| self.reason.contains(words));
        if self.by_git || fails(&["non-fast-forward", "fetch first"]) {
            return RefusalCause::Stale;
        }
        if fails(&["branch is currently checked out"]) {
            return RefusalCause::CheckedOutThere;
        }
        let storage = [
            "unpacker error",
            "failed to update ref",
            "failed to lock",
            "bad pack",
        ];
        if fails(&storage) {
            return RefusalCause::RemoteStorage;
        }
        RefusalCause::Declined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_refusals_are_known_by_their_porcelain_line() {
        let line =
            |summary: &str| format!("To ../r.git\n!\tabc:refs/heads/main\t{summary}\nDone\n");
        for (summary, cause) in [
            ("[rejected] (stale info)", RefusalCause::Stale),
            ("[rejected] (non-fast-forward)", RefusalCause::Stale),
            ("[remote rejected] (non-fast-forward)", RefusalCause::Stale),
            (
                "[remote rejected] (pre-receive hook declined)",
                RefusalCause::Declined,
            ),
            (
                "[remote rejected] (protected branch hook declined)",
                RefusalCause::Declined,
            ),
            (
                "[remote rejected] (branch is currently checked out)",
                RefusalCause::CheckedOutThere,
            ),
            (
                "[remote rejected] (failed to update ref)",
                RefusalCause::RemoteStorage,
            ),
            (
                "[remote rejected] (unpacker error)",
                RefusalCause::RemoteStorage,
            ),
        ] {
            let refusal = PushRefusal::of(line(summary).as_bytes()).expect("is refused");
            assert_eq!(refusal.cause(), cause, "{summary}");
            assert!(summary.contains(&format!("({})", refusal.reason)));
        }
        assert_eq!(
            PushRefusal::of(line("[remote failure] (x)").as_bytes()),
            None
        );
        assert_eq!(PushRefusal::of(b""), None);
    }
}
