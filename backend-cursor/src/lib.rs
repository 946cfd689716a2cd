//! Cursor's agent as an agent of the orchestrator: `cursor-agent -p` with `stream-json`.
//!
//! ```text
//! prompt on stdin ─► init ─► user ─► assistant, tool calls … ─► result      the turn is over; a process that lingers is ended
//!                             │                       └─ the last message: the handoff, where no file was left
//!                             └─ the session: another one than was asked for is a lost one
//! ```
//!
//! # What this rests on
//!
//! **None of it was run against the real program**, which cannot be had from a package registry. What is known of it is of three kinds:
//!
//! | statement | rests on |
//! | --- | --- |
//! | the shapes of the stream: messages, tool calls, results, usage | recordings of 2026.01.28 and 2026.07.20 that others have published; they were read through this parser, and the fixtures beside the tests are written by hand to the same shapes |
//! | the arguments; the prompt on standard input; the words of its failures; that it lingers after its result; that an unknown session begins anew without a word | what several others say of it in their own adapters |
//! | tools in sessions of their own, which outlive the program; text and calls that are said again after a silent retry; hooks that refuse a command | a run of `@cursor/sdk` 1.0.32, which has the same runtime |
//! | the hook and the permissions in [`CursorBackend::config_dir`]; that nobody but its own mode keeps a reader from writing; what it does at INT | nothing: unverified |
//!
//! All that is this project's own (the process, its end, what is left, how each line is read) is tested with a program in its place:
//! `cargo test -p backend-cursor`.
//!
//! # With the real program
//!
//! Log in (`cursor-agent login`) or set `CURSOR_API_KEY`, and run the checklist; it costs a few short turns of a model:
//!
//! ```text
//! ORCHESTRATOR_TEST_CURSOR=$(command -v cursor-agent) cargo test -p backend-cursor --test real_cli
//! ```
//!
//! Each line of its output is one of these statements: found there, an agent's version can be trusted as far as they go.
//!
//! # What it does not do
//!
//! - There is no schema for its answer: the handoff is the file that the prompt names, or else its last message.
//! - It tells tokens, and no money; older versions do not tell those either.
//! - It has no limit for steps or money: the policy's budgets count tokens and time.
//! - That a worker cannot push rests on its repository and its environment.

mod backend;
mod conversation;
mod guard;
mod outcome;
mod settings;

pub use backend::CursorBackend;
pub use settings::CursorSettings;
