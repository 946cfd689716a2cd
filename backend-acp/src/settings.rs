//! What a policy says of an agent that speaks the protocol.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a policy says of an agent that speaks the Agent Client Protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AcpSettings {
    /// Program and arguments, such as `["opencode", "acp"]`; never a shell line.
    pub run: Vec<String>,
    /// The agent's own id of the mode in which it is to work.
    #[serde(default)]
    pub mode: Option<String>,
}
