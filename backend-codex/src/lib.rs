//! The place of the backend that will drive the command line of OpenAI Codex.
//!
//! This version has none yet: a policy that names an agent of kind `codex` is refused before anything starts. Until then, any
//! program can be an agent, of kind `command`: see `orchestrator_core::agent::CommandAgent`.
