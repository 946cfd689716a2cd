//! How commands are held back, as `app-server` is asked for it, and whether it says that it does.

use serde_json::{Value, json};

use super::wire::Answer;
use crate::{
    sandbox::{PROFILE, Places, narrow_settings, profile, quoted},
    settings::CodexSandbox,
};

/// The sandbox of one turn, by Codex's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// By our profile.
    Profile,
    ReadOnly,
    WorkspaceWrite,
    /// Not at all.
    Off,
}

impl Held {
    pub(crate) fn of(sandbox: CodexSandbox, read_only: bool) -> Self {
        match sandbox {
            CodexSandbox::Off => Self::Off,
            _ if read_only => Self::ReadOnly,
            CodexSandbox::Profile => Self::Profile,
            CodexSandbox::Narrow => Self::WorkspaceWrite,
        }
    }

    /// As a parameter of `thread/start` and `thread/resume`. A thread that is resumed keeps the sandbox that it had, whatever the
    /// configuration says: measured, one without a sandbox stays without.
    pub(super) fn parameter(self) -> (&'static str, Value) {
        match self.mode() {
            Some(mode) => ("sandbox", json!(mode)),
            None => ("config", json!({ "default_permissions": PROFILE })),
        }
    }

    /// Whether the answer to `thread/start` or `thread/resume` says that it is so.
    ///
    /// # Errors
    /// What it says in its place.
    pub(super) fn check(self, answer: &Answer<'_>) -> Result<(), String> {
        let kind = &*answer.sandbox.kind;
        let network = answer.sandbox.network.0.unwrap_or(false);
        let fits = match self {
            Self::Profile => kind == "workspaceWrite" && &*answer.profile.id == PROFILE && !network,
            Self::ReadOnly => kind == "readOnly" && !network,
            Self::WorkspaceWrite => kind == "workspaceWrite" && !network,
            Self::Off => kind == "dangerFullAccess",
        };
        if fits {
            return Ok(());
        }
        Err(format!(
            "its sandbox is `{kind}` with the profile `{}` and network {network}, not {self:?}",
            &*answer.profile.id
        ))
    }

    fn mode(self) -> Option<&'static str> {
        match self {
            Self::Profile => None,
            Self::ReadOnly => Some("read-only"),
            Self::WorkspaceWrite => Some("workspace-write"),
            Self::Off => Some("danger-full-access"),
        }
    }
}

/// The same as settings of the configuration, `key=value`: `app-server` has no flags for it.
pub(crate) fn settings(held: Held, places: &Places<'_>) -> Vec<String> {
    match held {
        Held::Profile => vec![
            format!("default_permissions={}", quoted(PROFILE)),
            profile(places),
        ],
        Held::WorkspaceWrite => narrow_settings(places).into(),
        Held::ReadOnly => vec!["sandbox_mode=\"read-only\"".to_owned()],
        Held::Off => vec!["sandbox_mode=\"danger-full-access\"".to_owned()],
    }
}
