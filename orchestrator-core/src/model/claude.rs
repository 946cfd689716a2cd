//! Claude Code, as a policy names it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BackendName;

/// What a policy may say of Claude Code; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClaudeSpec {
    /// The program, where it is not the `claude` on the `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The model, where it is not Claude Code's own choice, which differs from version to version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model that is used while `model` is overloaded; several, in their order, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_model: Option<String>,
    /// How much its model thinks, where that is not Claude Code's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<ClaudeEffort>,
    /// The tools that it has, by its own names; where none are given, `Bash`, `Edit`, `Glob`, `Grep`, `Read` and `Write`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The MCP servers that it has, by name, each as Claude Code's `mcpServers` has it, such as `{ command = "x", args = [] }` or
    /// `{ type = "http", url = "https://x" }`. No others are started, and reviewers have none. `${NAME}` in a value is the
    /// variable of that name among those that Claude Code sees.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_servers: BTreeMap<String, Value>,
    /// What is refused at the moment at which it is tried.
    pub permissions: ClaudePermissions,
    /// Whether its commands run in its own sandbox.
    pub sandbox: ClaudeSandbox,
    /// The most steps of its model in one turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// The most US dollars that one turn may cost, by its own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_usd: Option<f64>,
    /// Settings of Claude Code's own, as its settings file has them, such as `{ cleanupPeriodDays = 7 }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
    /// Where its sessions and its login are, where that is not `~/.claude`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_dir: Option<String>,
    /// Variables of our own environment that Claude Code sees, such as `ANTHROPIC_API_KEY`. The commands that it runs see them too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Agents of the policy that take over while this one cannot be used: the first that can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<BackendName>,
}

/// `max_usd` is a finite number that a person wrote, so equality is what it seems.
impl Eq for ClaudeSpec {}

impl ClaudeSpec {
    /// What cannot be meant: the key, and why.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, why: &str| Err((key.to_owned(), why.to_owned()));
        if self.max_turns == Some(0) {
            return wrong("max_turns", "must be greater than zero");
        }
        if self
            .max_usd
            .is_some_and(|usd| !usd.is_finite() || usd <= 0.0)
        {
            return wrong("max_usd", "must be a number greater than zero");
        }
        if let Some(fallback) = &self.fallback_model {
            let mut models = fallback.split(',').map(str::trim);
            if models.clone().any(str::is_empty) {
                return wrong(
                    "fallback_model",
                    "must name a model, or several separated by commas",
                );
            }
            if models.any(|model| self.model.as_deref() == Some(model)) {
                return wrong("fallback_model", "must be another model than `model`");
            }
        }
        for (name, server) in &self.mcp_servers {
            server_check(name, server)
                .map_err(|why| (format!("mcp_servers.{name}"), why.to_owned()))?;
        }
        Ok(())
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeEffort {
    /// The least.
    Low,
    /// Less than usual.
    Medium,
    /// As usual.
    High,
    /// More than usual.
    Xhigh,
    /// The most.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

    fn wrong(change: impl FnOnce(&mut ClaudeSpec)) -> Option<String> {
        let mut spec = ClaudeSpec {
            model: Some("a".to_owned()),
            ..ClaudeSpec::default()
        };
        change(&mut spec);
        spec.check().err().map(|(key, _)| key)
    }

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        let fallback = |models: &str| wrong(|spec| spec.fallback_model = Some(models.to_owned()));
        assert_eq!(fallback("b, c"), None);
        for models in ["", "b,", "a", "b,a"] {
            assert_eq!(
                fallback(models).as_deref(),
                Some("fallback_model"),
                "{models}"
            );
        }
        let server = |name: &str, server: Value| {
            wrong(|spec| drop(spec.mcp_servers.insert(name.to_owned(), server)))
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
        assert!(wrong(|spec| spec.max_usd = Some(f64::NAN)).is_some());
        assert!(wrong(|spec| spec.max_turns = Some(0)).is_some());
    }
}
