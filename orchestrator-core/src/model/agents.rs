//! The agents of a policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendName, claude::ClaudeSpec};

/// An agent as the policy names it. What each kind needs is checked by whoever builds the backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentSpec {
    /// Any program that keeps the command protocol.
    Command {
        /// Program and arguments; never a shell line.
        run: Vec<String>,
        /// What says that its work is complete.
        #[serde(default)]
        done: DoneBy,
        /// Agents of the policy that take over while this one cannot be used: the first that can be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failover: Vec<BackendName>,
    },
    /// Any program that speaks the Agent Client Protocol.
    Acp {
        /// Program and arguments, such as `["opencode", "acp"]`; never a shell line.
        run: Vec<String>,
        /// The agent's own id of the mode in which it is to work.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
        /// Agents of the policy that take over while this one cannot be used: the first that can be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failover: Vec<BackendName>,
    },
    /// OpenAI Codex.
    Codex(CodexSpec),
    /// Claude Code.
    Claude(ClaudeSpec),
    /// Cursor's agent.
    Cursor(CursorSpec),
}

/// What says that an agent's work is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneBy {
    /// A handoff with the status `done`.
    #[default]
    Handoff,
    /// Exit status 0 with all work committed, too: for simple commands that write no handoff.
    Exit,
}

impl AgentSpec {
    /// What cannot be meant: the key within `[agents.NAME]`, and why.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        match self {
            Self::Claude(spec) => spec.check(),
            Self::Command { .. } | Self::Acp { .. } | Self::Codex(_) | Self::Cursor(_) => Ok(()),
        }
    }

    /// What says that the agent's work is complete.
    #[must_use]
    pub fn done_by(&self) -> DoneBy {
        match self {
            Self::Command { done, .. } => *done,
            Self::Acp { .. } | Self::Codex(_) | Self::Claude(_) | Self::Cursor(_) => {
                DoneBy::Handoff
            }
        }
    }

    /// The agents that take over while this one cannot be used, in the order in which they are asked.
    #[must_use]
    pub fn failover(&self) -> &[BackendName] {
        match self {
            Self::Command { failover, .. } | Self::Acp { failover, .. } => failover,
            Self::Codex(spec) => &spec.failover,
            Self::Claude(spec) => &spec.failover,
            Self::Cursor(spec) => &spec.failover,
        }
    }
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
    /// How it is spoken to. Where nothing is set, the backend chooses by version and configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<CodexProtocol>,
    /// Settings of Codex's configuration, `key=value` with the value as TOML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Variables of our own environment that Codex sees and its commands do not, such as `CODEX_API_KEY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Agents of the policy that take over while this one cannot be used: the first that can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<BackendName>,
}

/// How Codex is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodexProtocol {
    /// `codex exec --json`: it listens to nothing while it works.
    Exec,
    /// `codex app-server`: it listens while it works, and says more. It needs a home without a `config.toml`.
    AppServer,
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

/// What a policy may say of Cursor's agent; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CursorSpec {
    /// The program, where it is not the `cursor-agent` on the `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The model, where it is not the one that was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether its own sandbox is on. It keeps a worker from committing.
    pub sandbox: bool,
    /// A configuration of the workers' own, where what refuses a push is left; the user's otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_dir: Option<String>,
    /// Variables of our own environment that it sees, such as `CURSOR_API_KEY`. The commands that it runs see them too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Agents of the policy that take over while this one cannot be used: the first that can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<BackendName>,
}
