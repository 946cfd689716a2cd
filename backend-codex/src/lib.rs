//! OpenAI Codex's command line as an agent of the orchestrator: one `codex exec --json` for each turn.
//!
//! ```text
//! prompt ─► stdin ─► codex exec [resume THREAD] ─► JSON lines ─► updates, outcome
//!                        │  --output-schema                └── the last message is the handoff
//!                        └── commands, in Codex's own sandbox: the workspace, the attempt's objects and its one branch
//!                            can be written; hooks, configuration and other refs cannot, and there is no network
//! ```
//!
//! Written to what was measured of `@openai/codex` 0.169.0 and 0.171.0, against a scripted model on loopback; `tests/real_cli.rs` measures it again.
//!
//! # What it needs
//!
//! A `codex` that is logged in, or a key in the environment given to [`CodexBackend::env`], and a `CODEX_HOME` in which it keeps its sessions: further
//! turns of an attempt go on with them. Sixteen workers at once on one `CODEX_HOME` were measured to be fine. Where Codex's sandbox cannot be had
//! (no user namespaces; a bubblewrap on the `PATH` and a `CODEX_HOME` in a temporary directory), the probe says so, and so does each turn, before any
//! money is spent.
//!
//! # What it cannot promise
//!
//! - Codex says nothing while a command runs or the model thinks. Silence of up to ten minutes with no tool in flight is taken for work.
//! - A command that is refused, or fails at once, may not be told at all: what was done is read from git, never from what Codex says.
//! - What earlier turns of a thread have cost is known as long as this process lives; after that, a further turn counts the whole thread.

mod backend;
mod conversation;
mod install;
mod outcome;
mod preflight;
mod sandbox;

pub use backend::CodexBackend;
pub use orchestrator_core::model::CodexSandbox;
