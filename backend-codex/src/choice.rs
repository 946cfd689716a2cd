//! Which protocol a turn is run by.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use orchestrator_core::port::AgentError;

use crate::settings::CodexProtocol;

/// The versions that both protocols were measured with.
pub(crate) const KNOWN: [&str; 2] = ["0.169.", "0.171."];

/// Whether this version was measured.
pub(crate) fn is_known(version: &str) -> bool {
    KNOWN.iter().any(|known| version.starts_with(known))
}

/// The protocol where none is set: `app-server` for a version that was measured, if nothing of the user's own set-up would reach the worker
/// by it; otherwise `exec`, which can be kept from reading that.
pub(crate) fn chosen(version: &str, home: &Home) -> CodexProtocol {
    match home {
        Home::Plain if is_known(version) => CodexProtocol::AppServer,
        _ => CodexProtocol::Exec,
    }
}

/// What `CODEX_HOME` means for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// It has no configuration.
    Plain,
    /// It has this one, with whatever it starts, trusts and allows; `app-server` has no flag to leave it unread.
    Configured(PathBuf),
    /// Nobody knows where it is.
    Unknown,
}

impl Home {
    /// The one that Codex finds in these environments; the later ones count more.
    pub(crate) fn of(environments: &[&BTreeMap<String, String>]) -> Self {
        let named = |name: &str| {
            environments
                .iter()
                .rev()
                .find_map(|environment| environment.get(name))
                .filter(|value| !value.is_empty())
        };
        let home = match (named("CODEX_HOME"), named("HOME")) {
            (Some(home), _) => Some(PathBuf::from(home)),
            (None, Some(user)) => Some(Path::new(user).join(".codex")),
            // Without a `HOME` it asks the system, as this does where our own is not set either.
            (None, None) => env::home_dir().map(|user| user.join(".codex")),
        };
        let Some(home) = home else {
            return Self::Unknown;
        };
        let configuration = home.join("config.toml");
        match fs::symlink_metadata(&configuration) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Plain,
            _ => Self::Configured(configuration),
        }
    }

    /// Why `app-server` cannot be used with it; `None` where it can.
    pub(crate) fn hinders(&self) -> Option<AgentError> {
        let (what, fix) = match self {
            Self::Plain => return None,
            Self::Configured(file) => (
                format!(
                    "protocol `app-server` would give workers all of {}, and cannot be kept from it",
                    file.display()
                ),
                "give them a CODEX_HOME without a config.toml, by `env`, or set `protocol = \"exec\"`",
            ),
            Self::Unknown => (
                "protocol `app-server` needs a CODEX_HOME without a config.toml, and it is not known where \
                 CODEX_HOME is"
                    .to_owned(),
                "set it, by `env`, or set `protocol = \"exec\"`",
            ),
        };
        let fix = fix.to_owned();
        Some(AgentError::Misconfigured { what, fix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str, value: &Path) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_string_lossy().into_owned())])
    }

    #[test]
    fn app_server_is_chosen_for_known_versions_and_plain_homes() {
        let known = chosen("0.171.0", &Home::Plain);
        let unknown = chosen("0.172.0", &Home::Plain);
        let configured = chosen("0.171.0", &Home::Configured("x".into()));
        let nowhere = chosen("0.171.0", &Home::Unknown);
        assert_eq!(known, CodexProtocol::AppServer);
        assert_eq!([unknown, configured, nowhere], [CodexProtocol::Exec; 3]);
    }

    #[test]
    fn home_is_where_codex_finds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let user = directory.path();
        let own = user.join("own");
        fs::create_dir_all(user.join(".codex")).expect("makes it");
        let by_user = environment("HOME", user);
        assert_eq!(Home::of(&[&by_user]), Home::Plain);
        let file = user.join(".codex/config.toml");
        fs::write(&file, "").expect("writes");
        assert_eq!(Home::of(&[&by_user]), Home::Configured(file.clone()));
        let by_name = environment("CODEX_HOME", &own);
        assert_eq!(Home::of(&[&by_user, &by_name]), Home::Plain);
        fs::remove_file(&file).expect("removes");
        std::os::unix::fs::symlink("/nowhere", &file).expect("links");
        assert_eq!(Home::of(&[&by_user]), Home::Configured(file));
    }
}
