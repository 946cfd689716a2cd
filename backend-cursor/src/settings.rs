//! What a policy may say of Cursor's agent.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a policy may say of Cursor's agent; all of it may be left out. The variables of `env`, such
/// as `CURSOR_API_KEY`, are seen by the agent and by its commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct CursorSettings {
    /// The program, where it is not the `cursor-agent` on the `PATH`.
    pub program: Option<String>,
    /// The model, where it is not the one that was used last.
    pub model: Option<String>,
    /// Whether its own sandbox is on. It keeps a worker from committing.
    pub sandbox: bool,
    /// A configuration of the workers' own, where what refuses a push is left; the user's otherwise.
    pub config_dir: Option<String>,
}
