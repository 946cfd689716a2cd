//! What a policy may say of Claude Code.

use std::collections::BTreeMap;

use orchestrator_core::agent::SettingError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What a policy may say of Claude Code; all of it may be left out. The variables of `env`, such as
/// `ANTHROPIC_API_KEY`, are seen by Claude Code and by its commands.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct ClaudeSettings {
    /// The program, where it is not the `claude` on the `PATH`.
    pub program: Option<String>,
    /// The model, where it is not Claude Code's own choice, which differs from version to version.
    pub model: Option<String>,
    /// The model that is used while `model` is overloaded; several, in their order, separated by commas.
    pub fallback_model: Option<String>,
    /// How much its model thinks, where that is not Claude Code's own choice.
    pub effort: Option<ClaudeEffort>,
    /// The tools that it has, by its own names; where none are given, `Bash`, `Edit`, `Glob`, `Grep`, `Read` and `Write`.
    pub tools: Vec<String>,
    /// The MCP servers that it has, by name, each as Claude Code's `mcpServers` has it, such as `{ command = "x", args = [] }` or
    /// `{ type = "http", url = "https://x" }`. No others are started, and reviewers have none. `${NAME}` in a value is the
    /// variable of that name among those that Claude Code sees.
    pub mcp_servers: BTreeMap<String, Value>,
    /// What is refused at the moment at which it is tried.
    pub permissions: ClaudePermissions,
    /// Whether its commands run in its own sandbox.
    pub sandbox: ClaudeSandbox,
    /// The most steps of its model in one turn.
    pub max_turns: Option<u32>,
    /// The most US dollars that one turn may cost, by its own count.
    pub max_usd: Option<f64>,
    /// Settings of Claude Code's own, as its settings file has them, such as `{ cleanupPeriodDays = 7 }`.
    pub settings: BTreeMap<String, Value>,
    /// Where its sessions and its login are, where that is not `~/.claude`.
    pub config_dir: Option<String>,
}

impl ClaudeSettings {
    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        if self.max_turns == Some(0) {
            return wrong("max_turns", "must be greater than zero");
        }
        let is_sum = |usd: &f64| usd.is_finite() && *usd > 0.0;
        if !self.max_usd.iter().all(is_sum) {
            return wrong("max_usd", "must be a number greater than zero");
        }
        if let Some(fallback) = &self.fallback_model {
            let models: Vec<_> = fallback.split(',').map(str::trim).collect();
            if models.contains(&"") {
                let why = "must name a model, or several separated by commas";
                return wrong("fallback_model", why);
            }
            let own = self.model.as_deref();
            if own.is_some_and(|own| models.contains(&own)) {
                return wrong("fallback_model", "must be another model than `model`");
            }
        }
        for (name, server) in &self.mcp_servers {
            if let Err(why) = server_check(name, server) {
                return wrong(&format!("mcp_servers.{name}"), why);
            }
        }
        Ok(())
    }
}

fn wrong(key: &str, why: &str) -> Result<(), SettingError> {
    Err(SettingError::new(key, why))
}

/// Why this is no MCP server, if it is none.
fn server_check(name: &str, server: &Value) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("the name of a server has letters, digits, `-` and `_` alone");
    }
    let given = |key: &str| server[key].as_str().is_some_and(|value| !value.is_empty());
    if !server.is_object() || given("command") == given("url") {
        return Err("a server has either a `command` or a `url`");
    }
    Ok(())
}

/// How much Claude Code's model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeEffort {
    /// `low`, the least.
    Low,
    /// Less than usual.
    Medium,
    /// `high`, which is usual.
    High,
    /// More than usual.
    Xhigh,
    /// `max`, the most.
    Max,
}

impl ClaudeEffort {
    /// As Claude Code writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// Whether the commands of Claude Code run in its own sandbox, which needs `bwrap` and `socat`: they change the workspace and the
/// attempt's branch, and reach no network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeSandbox {
    /// They do not.
    #[default]
    Off,
    /// They do where it works; a warning says where it does not.
    Best,
    /// They do; where it does not work, no turn starts.
    Required,
}

/// What Claude Code is refused at the moment at which it tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaudePermissions {
    /// What its own rules refuse: its file tools change nothing outside of the workspace.
    #[default]
    Own,
    /// Also what the contract forbids: its file tools change no other paths, and it does not push.
    Contract,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(change: impl FnOnce(&mut ClaudeSettings)) -> Option<String> {
        let mut settings = ClaudeSettings {
            model: Some("a".to_owned()),
            ..ClaudeSettings::default()
        };
        change(&mut settings);
        settings.check().err().map(|wrong| wrong.key)
    }

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        let fallback =
            |models: &str| wrong(|settings| settings.fallback_model = Some(models.to_owned()));
        assert_eq!(fallback("b, c"), None);
        for models in ["", "b,", "a", "b,a"] {
            assert_eq!(
                fallback(models).as_deref(),
                Some("fallback_model"),
                "{models}"
            );
        }
        let server = |name: &str, server: Value| {
            wrong(|settings| drop(settings.mcp_servers.insert(name.to_owned(), server)))
        };
        assert_eq!(server("docs", json!({ "command": "x" })), None);
        assert_eq!(
            server("docs", json!({ "type": "http", "url": "http://x" })),
            None
        );
        for (name, given) in [
            ("a b", json!({ "command": "x" })),
            ("docs", json!("x")),
            ("docs", json!({})),
            ("docs", json!({ "command": "x", "url": "http://x" })),
        ] {
            assert!(server(name, given.clone()).is_some(), "{name} {given}");
        }
        assert!(wrong(|settings| settings.max_usd = Some(f64::NAN)).is_some());
        assert!(wrong(|settings| settings.max_turns = Some(0)).is_some());
    }
}
