//! What git sees of our environment.
//!
//! A child's environment can be read in `/proc` by every process of the same user, workers included. So each call sees only what it
//! needs, and none sees what is ours alone.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use crate::model::Policy;

/// What a call sees of our environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sees {
    /// What holds no secret: workers' files may be what it works on, and a worker of the same user can read it in `/proc`.
    Neutral,
    /// That, and what workers see: a filter of the person's may need it, and needed it when the worker committed.
    Filters,
    /// All but what is ours.
    Persons,
}

type Variables = BTreeMap<OsString, OsString>;

/// What every call sees, where it is set: no secret is kept in any of them.
const NEUTRAL: [&str; 14] = [
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// What we set for every call.
const OURS: [(&str, &str); 4] = [
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // What we read in process and make ourselves has its refs in files, whatever the person prefers elsewhere.
    ("GIT_DEFAULT_REF_FORMAT", "files"),
];

/// Variables of git's own that speaking to a remote may need; all others of its kind are dropped, since an inherited `GIT_DIR` would
/// make every call speak of another repository.
const TRANSPORT: [&str; 11] = [
    "GIT_ASKPASS",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_VERSION",
];

/// Who the person is, where the environment says so.
const IDENTITY: [&str; 4] = [
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
];

/// Variables that pay for a model, whether a policy names them or not: an agent may have been given by the program.
const MODELS: [&str; 3] = [
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CURSOR_AUTH_TOKEN",
];

/// What programs that reach a remote read beside git's own variables: a policy may give an agent the same.
const SHARED: [&str; 9] = [
    "ALL_PROXY",
    "CURL_",
    "GNUPG",
    "GPG_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSH_",
    "SSL_",
];

/// The environments of calls.
#[derive(Debug, Clone)]
pub(super) struct Environments {
    neutral: Variables,
    filters: Variables,
    persons: Variables,
}

impl Environments {
    /// Out of this process's variables.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut persons: Variables = variables
            .into_iter()
            .filter(|(name, _)| may_be_seen(name))
            .collect();
        let set = NEUTRAL
            .iter()
            .filter_map(|name| persons.get_key_value(OsStr::new(name)));
        let mut neutral: Variables = set
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in OURS {
            persons.insert(name.into(), value.into());
            neutral.insert(name.into(), value.into());
        }
        Self {
            filters: neutral.clone(),
            neutral,
            persons,
        }
    }

    /// Takes from every call what the policy gives to agents alone, and gives filters what workers see.
    pub(super) fn follow(&mut self, policy: &Policy) {
        for name in policy.agents.values().flat_map(|agent| &agent.env) {
            if !is_shared(name) {
                self.persons.remove(OsStr::new(name));
            }
        }
        for name in policy.environment.allow.iter().map(OsStr::new) {
            if let Some(value) = self.persons.get(name) {
                self.filters
                    .entry(name.to_owned())
                    .or_insert_with(|| value.clone());
            }
        }
    }

    pub(super) fn of_call(&self, sees: Sees) -> &Variables {
        match sees {
            Sees::Neutral => &self.neutral,
            Sees::Filters => &self.filters,
            Sees::Persons => &self.persons,
        }
    }

    /// Who the person is, where the environment says so.
    pub(super) fn identity(&self) -> Variables {
        let names = IDENTITY.iter().chain(["EMAIL"].iter()).map(OsStr::new);
        let set = names.filter_map(|name| self.persons.get_key_value(name));
        set.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Where programs are looked for.
    pub(super) fn path(&self) -> Option<&OsStr> {
        self.neutral
            .get(OsStr::new("PATH"))
            .map(OsString::as_os_str)
    }
}

/// Whether a variable may be seen by any call at all.
fn may_be_seen(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    let ours =
        name.starts_with("ORCHESTRATOR_") || name.ends_with("_API_KEY") || MODELS.contains(&name);
    let known = [&NEUTRAL[..], &TRANSPORT, &IDENTITY].concat();
    let misleading = name.starts_with("GIT_") && !known.contains(&name);
    !ours && !misleading
}

/// Whether git needs a variable as well, whoever else is given it.
fn is_shared(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    NEUTRAL.contains(&name)
        || TRANSPORT.contains(&name)
        || SHARED.iter().any(|shared| upper.starts_with(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &Variables) -> Vec<&str> {
        variables.keys().filter_map(|name| name.to_str()).collect()
    }

    #[test]
    fn environments_hold_what_a_call_needs_and_nothing_of_ours() {
        let set = [
            "PATH",
            "HOME",
            "GIT_DIR",
            "GIT_SSH_COMMAND",
            "SSH_AUTH_SOCK",
            "HTTPS_PROXY",
            "AWS_SECRET",
            "ORCHESTRATOR_TOKEN",
            "SOME_API_KEY",
            "GATEWAY_TOKEN",
            "SEEN_BY_WORKERS",
        ];
        let mut environments = Environments::of(set.map(|name| (name.into(), "value".into())));
        let policy = Policy::parse(
            "[environment]\nallow = [\"PATH\", \"SEEN_BY_WORKERS\"]\n\
             [agents.x]\nkind = \"robot\"\nenv = [\"GATEWAY_TOKEN\", \"HTTPS_PROXY\"]\n",
        );
        environments.follow(&policy.expect("a valid policy"));
        let own = ["GIT_DEFAULT_REF_FORMAT", "GIT_NO_REPLACE_OBJECTS"];
        let neutral = [&own[..], &["GIT_TERMINAL_PROMPT", "HOME", "LC_ALL", "PATH"]].concat();
        assert_eq!(names(environments.of_call(Sees::Neutral)), neutral);
        assert_eq!(
            names(environments.of_call(Sees::Filters)),
            [&neutral[..], &["SEEN_BY_WORKERS"]].concat()
        );
        let persons = [
            "AWS_SECRET",
            "GIT_DEFAULT_REF_FORMAT",
            "GIT_NO_REPLACE_OBJECTS",
            "GIT_SSH_COMMAND",
            "GIT_TERMINAL_PROMPT",
            "HOME",
            "HTTPS_PROXY",
            "LC_ALL",
            "PATH",
            "SEEN_BY_WORKERS",
            "SSH_AUTH_SOCK",
        ];
        assert_eq!(names(environments.of_call(Sees::Persons)), persons);
    }
}
