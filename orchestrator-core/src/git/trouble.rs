//! What keeps a remote from answering, and how to fix it.
//!
//! Git ends with 128 for all of them, so that only its words tell them apart: they are the last resort here, and decide no
//! more than what a person reads and whether a push that was denied is tried again.

/// Why a remote does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemoteTrouble {
    /// No repository is at its address: moved, deleted, or not to be seen by this user.
    NotThere,
    /// It does not know who asks.
    Authentication,
    /// It knows who asks, and does not permit it.
    Denied,
    /// Its host's name is not known.
    HostUnknown,
    /// Its host's key is not known, or is another.
    HostKey,
    /// Its certificate cannot be checked.
    Certificate,
}

/// Words of git, ssh and curl in the C locale, most telling first.
const WORDS: [(&str, RemoteTrouble); 18] = [
    ("Host key verification failed", RemoteTrouble::HostKey),
    ("Could not resolve host", RemoteTrouble::HostUnknown),
    ("unable to look up ", RemoteTrouble::HostUnknown),
    ("Permission denied (", RemoteTrouble::Authentication),
    ("Authentication failed", RemoteTrouble::Authentication),
    ("could not read Username", RemoteTrouble::Authentication),
    ("could not read Password", RemoteTrouble::Authentication),
    ("terminal prompts disabled", RemoteTrouble::Authentication),
    ("returned error: 401", RemoteTrouble::Authentication),
    ("returned error: 403", RemoteTrouble::Denied),
    ("access denied", RemoteTrouble::Denied),
    ("Permission denied", RemoteTrouble::Denied),
    (
        "does not appear to be a git repository",
        RemoteTrouble::NotThere,
    ),
    ("Repository not found", RemoteTrouble::NotThere),
    ("' not found", RemoteTrouble::NotThere),
    ("returned error: 404", RemoteTrouble::NotThere),
    ("SSL certificate", RemoteTrouble::Certificate),
    (
        "certificate verification failed",
        RemoteTrouble::Certificate,
    ),
];

impl RemoteTrouble {
    /// What git's words tell.
    pub(super) fn of(words: &str) -> Option<Self> {
        let known = WORDS.iter().find(|(said, _)| words.contains(said));
        known.map(|(_, trouble)| *trouble)
    }

    /// Whether nothing but a person changes it.
    pub(super) fn needs_person(self) -> bool {
        match self {
            Self::Authentication | Self::Denied => true,
            Self::NotThere | Self::HostUnknown | Self::HostKey | Self::Certificate => false,
        }
    }

    /// What it is, and how to fix it.
    fn explained(self, remote: &str) -> String {
        match self {
            Self::NotThere => format!(
                "no repository is at its address, or it is not shown to this user; see `git remote get-url {remote}`"
            ),
            Self::Authentication => format!(
                "it does not accept who asks; see that `git ls-remote {remote}` works here without a question \
                 (a key in the agent, a credential helper)"
            ),
            Self::Denied => {
                format!(
                    "this user may not do it there; ask its owner, or see `git remote get-url {remote}`"
                )
            }
            Self::HostUnknown => format!(
                "its host's name is not known; see `git remote get-url {remote}` and this machine's network"
            ),
            Self::HostKey => {
                "its host's key is not known, or has changed; connect to it once by hand".to_owned()
            }
            Self::Certificate => {
                "its certificate cannot be checked; see this machine's clock and `http.sslCAInfo`"
                    .to_owned()
            }
        }
    }
}

/// Why a remote does not answer: what is known of the cause, the fix, and git's words.
pub(super) fn why_unreachable(remote: &str, words: &str) -> String {
    match RemoteTrouble::of(words) {
        Some(trouble) => format!("{}: {words}", trouble.explained(remote)),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_known_by_what_git_says() {
        let cases = [
            (
                "fatal: '/nowhere' does not appear to be a git repository",
                RemoteTrouble::NotThere,
            ),
            (
                "fatal: repository 'https://example.org/x/' not found",
                RemoteTrouble::NotThere,
            ),
            ("ERROR: Repository not found.", RemoteTrouble::NotThere),
            (
                "git@example.org: Permission denied (publickey).",
                RemoteTrouble::Authentication,
            ),
            (
                "fatal: could not read Username for 'https://example.org': terminal prompts disabled",
                RemoteTrouble::Authentication,
            ),
            (
                "The requested URL returned error: 403",
                RemoteTrouble::Denied,
            ),
            (
                "ssh: Could not resolve hostname nowhere.invalid",
                RemoteTrouble::HostUnknown,
            ),
            (
                "Could not resolve host: nowhere.invalid",
                RemoteTrouble::HostUnknown,
            ),
            ("Host key verification failed.", RemoteTrouble::HostKey),
            (
                "SSL certificate problem: certificate has expired",
                RemoteTrouble::Certificate,
            ),
        ];
        for (words, trouble) in cases {
            assert_eq!(RemoteTrouble::of(words), Some(trouble), "{words}");
            let why = why_unreachable("origin", words);
            assert!(
                why.ends_with(words) && why.len() > words.len() + 40,
                "{why}"
            );
        }
        assert_eq!(RemoteTrouble::of("Connection timed out"), None);
        assert_eq!(why_unreachable("origin", "timed out"), "timed out");
    }
}
