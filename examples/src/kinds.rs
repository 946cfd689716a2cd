//! The agents that `supervise` knows.

use backend_acp::AcpBackend;
use backend_claude::ClaudeBackend;
use backend_codex::CodexBackend;
use backend_cursor::CursorBackend;
use orchestrator_core::agent::{AgentKinds, RegisterError};

/// Every kind of agent that has a backend here.
///
/// # Errors
/// [`RegisterError`] where two kinds have the same name.
pub fn agent_kinds() -> Result<AgentKinds, RegisterError> {
    AgentKinds::new()
        .register("acp", AcpBackend::from_settings)?
        .register("claude", ClaudeBackend::from_settings)?
        .register("codex", CodexBackend::from_settings)?
        .register("cursor", CursorBackend::from_settings)
}
