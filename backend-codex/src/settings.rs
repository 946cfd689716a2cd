//! What a policy may say of Codex.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a policy may say of OpenAI Codex; all of it may be left out. The variables of `env`, such as
/// `CODEX_API_KEY`, are seen by Codex and not by its commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct CodexSettings {
    /// The program, where it is not the `codex` on the `PATH`.
    pub program: Option<String>,
    /// The model, where it is not Codex's own choice.
    pub model: Option<String>,
    /// How its commands are held back.
    pub sandbox: CodexSandbox,
    /// How it is spoken to. Where nothing is set, the backend chooses by version and configuration.
    pub protocol: Option<CodexProtocol>,
    /// Settings of Codex's configuration, `key=value` with the value as TOML.
    pub config: Vec<String>,
}

/// How Codex is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodexProtocol {
    /// `codex exec --json`: it listens to nothing while it works.
    Exec,
    /// `codex app-server`: it listens while it works, and says more. It needs a home without a
    /// `config.toml`.
    AppServer,
}

/// How Codex's commands are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
