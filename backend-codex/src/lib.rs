//! OpenAI Codex's command line as an agent of the orchestrator: one process for each turn, by one of two protocols.
//!
//! ```text
//! prompt ─► stdin ─► codex exec [resume THREAD] ─► JSON lines ─► updates, outcome
//!                        │  --output-schema                └── the last message is the handoff
//!                        └── commands, in Codex's own sandbox: the workspace, the attempt's objects and its one branch
//!                            can be written; hooks, configuration and other refs cannot, and there is no network
//!
//! JSON-RPC ◄─► codex app-server: the same turn, in the same sandbox; it listens while it works
//! ```
//!
//! Written to what was measured of `@openai/codex` 0.169.0 and 0.171.0, against a scripted model on loopback; `tests/real_cli.rs` and
//! `tests/real_app_server.rs` measure it again, the first group of tests with both protocols.
//!
//! # Two protocols
//!
//! | | `exec` | `app-server` |
//! | --- | --- | --- |
//! | what it is | the command line for scripts | what editors use; Codex calls it experimental |
//! | a nudge | is not heard | `turn/steer`: the model has it with its next request |
//! | a stop | INT | `turn/interrupt`, 10 ms; the command goes on until the process ends, at once afterwards |
//! | tokens | at the end of a turn that was completed | with each request of the model; a turn that is stopped has those of all its requests |
//! | tokens of earlier turns | known as long as this process lives | said by the thread when it is resumed |
//! | while a command runs | silence | what it prints, from about 0.2 s after its start: 20 lines of each command are told, then that it lives |
//! | errors | by their words | by their type, and by their words where there is none |
//! | the reset of a usage limit | in words, to the minute | in numbers, to the second, of each limit |
//! | questions and approvals | are never asked | are refused, each a finding; a question ends the turn, for a person |
//! | the user's `config.toml` | `--ignore-user-config` | cannot be left unread |
//! | an unknown session | by name begins a new one; that is noticed | an error |
//! | 0.169.0: first word, whole turn, most memory | 0.17 s, 0.74 s, 142 MiB | 0.13 s, 0.74 s, 143 MiB |
//! | 0.171.0: the same | 0.21 s, 0.73 s, 145 MiB | 0.18 s, 0.85 s, 146 MiB |
//!
//! (Medians of five on two busy cores: one command of 0.3 s and one answer, a model that takes no time.)
//!
//! `app-server` is worse in one point: it reads the user's `config.toml`, and with it servers to start, programs to notify, and what is trusted. So it is
//! never used with a `CODEX_HOME` that has one. Where [`CodexBackend::with_protocol`] says nothing, a version that was measured is spoken to by `app-server`
//! if its home has no `config.toml`, and everything else by `exec`; a version that was never measured is a warning of the probe. Where `app-server` is asked for and
//! there is a `config.toml`, the probe and the turn fail with [`AgentError::Misconfigured`](orchestrator_core::port::AgentError::Misconfigured). Each protocol can go on with the other's threads.
//!
//! Two things that `app-server` does, measured with both versions, are kept from it:
//!
//! - Given a directory for a thread, it writes into `config.toml` that the directory is trusted, and runs the servers that its `.codex` names, outside of any
//!   sandbox. It is given none, and works where its process does.
//! - A thread that is resumed keeps the sandbox that it began with, whatever the configuration says. The sandbox is asked for with each turn, and what the answer says
//!   of it is looked at before the model is asked.
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
//! - By `exec`, Codex says nothing while a command runs. By both, it may say nothing while the model thinks. Silence of up to ten minutes with no tool in flight is taken
//!   for work.
//! - A command that is refused, or by `exec` fails at once, may not be told at all: what was done is read from git, never from what Codex says.
//! - By `exec`, what earlier turns of a thread have cost is known as long as this process lives; after that, a further turn counts the whole thread.

mod app_server;
mod arguments;
mod backend;
mod choice;
mod conversation;
mod install;
mod outcome;
mod preflight;
mod sandbox;
mod session;
mod settings;
mod turns;

pub use backend::CodexBackend;
pub use settings::{CodexProtocol, CodexSandbox, CodexSettings};
