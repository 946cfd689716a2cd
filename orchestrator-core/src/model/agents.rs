//! The agents of a policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An agent as the policy names it. What each kind needs is checked by whoever builds the backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentSpec {
    /// Any program that keeps the command protocol.
    Command {
        /// Program and arguments; never a shell line.
        run: Vec<String>,
    },
    /// Any program that speaks the Agent Client Protocol.
    Acp {
        /// Program and arguments, such as `["opencode", "acp"]`; never a shell line.
        run: Vec<String>,
        /// The agent's own id of the mode in which it is to work.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
    },
    /// OpenAI Codex.
    Codex(CodexSpec),
    /// Claude Code.
    Claude {},
    /// Cursor's agent.
    Cursor {},
}

/// What a policy may say of OpenAI Codex; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CodexSpec {
    /// The program, where it is not the `codex` on the `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The model, where it is not Codex's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How its commands are held back.
    pub sandbox: CodexSandbox,
    /// Settings of Codex's configuration, `key=value` with the value as TOML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Variables of our own environment that Codex sees and its commands do not, such as `CODEX_API_KEY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// How Codex's commands are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodexSandbox {
    /// To the workspace, what the worker leaves, and its one branch; no network.
    #[default]
    Profile,
    /// The same by Codex's older flags, which leave a little more open.
    Narrow,
    /// Not at all: where the whole orchestrator runs in a container.
    Off,
}
