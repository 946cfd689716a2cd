//! Supervises several coding agents on one repository, so that a large roadmap moves forward without turning the code base
//! into chaos. Agents can write code; this keeps the loop around them honest.
//!
//! ```text
//! roadmap ─► pick a bounded task ─► own worktree + branch ─► fresh agent session ─► heartbeat from repository truth
//!    ▲                                                                                     │
//!    └── next safe task ◄── clean up ◄── push ◄── merge ◄── review ◄── handoff (claims) ◄───┘
//!                                  a person decides wherever a person must
//! ```
//!
//! The product is not more code. It is *accepted change*: every branch reviewable, rejectable, mergeable and cleanable; every
//! claim checked against what was seen; nothing lost, whatever dies when.
//!
//! # The loop
//!
//! A [`Task`] from a roadmap is dispatched when its turn has come: its package is the current one, what it comes
//! after has landed, and no open task may change the same paths or holds the same resource. Its
//! [`Contract`] is frozen then. It gets a repository, worktree and branch of its own, from a pinned base, and a
//! fresh session of an agent. What the agent leaves is a [`Handoff`]: claims. Git says what is; reviewers compare.
//! What passes is merged into the target's tip, and the gates run on *that* tree; while the tip stays, that very tree lands, by a
//! push that can overwrite nothing. The workspace goes only with proof that nothing is lost. Whatever needs judgement, hardware
//! or authority becomes a [`Hold`](model::Hold).
//!
//! # A short program
//!
//! ```
//! use std::{error::Error, sync::Arc};
//! use orchestrator_core::{Orchestrator, Policy, Task, TaskId, TaskList};
//!
//! # fn git(dir: &std::path::Path, args: &[&str]) {
//! #     assert!(std::process::Command::new("git").args(args).current_dir(dir).status().unwrap().success());
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let repository = dir.path().join("repository");
//! # git(dir.path(), &["init", "-q", "--initial-branch=main", "repository"]);
//! # for (key, value) in [("user.name", "Doc"), ("user.email", "doc@example.org"), ("commit.gpgSign", "false")] {
//! #     git(&repository, &["config", key, value]);
//! # }
//! # git(&repository, &["commit", "-q", "--allow-empty", "-m", "begin"]);
//! # let state = dir.path().join("state");
//! let policy = Policy::parse(
//!     r#"
//!     push = false
//!     [agents.scripted]
//!     kind = "command"
//!     run = ["sh", "-c", "echo hello > hello.txt; git add .; git commit -qm hello"]
//!     done = "exit"
//!     [gates.greets]
//!     run = ["grep", "-q", "hello", "hello.txt"]
//!     default = true
//!     "#,
//! )?;
//! let task = Task::new(TaskId::new("T1")?, "Say hello");
//! let report = Orchestrator::builder()
//!     .repository(&repository)
//!     .state_dir(&state)
//!     .policy(policy)
//!     .source(Arc::new(TaskList::new([task])))
//!     .build()
//!     .await?
//!     .run()
//!     .await?;
//! assert!(report.snapshot.all_landed());
//! assert_eq!(std::fs::read_to_string(repository.join("hello.txt"))?, "hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Two ways to embed
//!
//! - [`Orchestrator`], the paved path: it feeds the machine, awaits the [ports](port) and performs what is due.
//! - The [`machine`] alone, inside a loop of your own: [`decide`](machine::decide) and [`apply`](machine::apply) are plain
//!   functions without IO.
//!
//! # What is where
//!
//! | module | holds |
//! | --- | --- |
//! | [`model`] | the words of the project as plain data |
//! | [`machine`] | the pure core that decides |
//! | [`port`] | the traits by which others take part |
//! | [`process`] | supervised child processes; backends are built on it |
//! | [`agent`] | what backends of programs share, and the kinds of agent that a policy can name |
//! | [`status`] | one snapshot, and every view of it |
//! | `git` | repositories, workspaces, merge, push |
//! | `prompt`, `review`, `gate`, `source`, `store` | what ships behind the ports |
//! | `driver` | the paved path |
//! | [`guide`] | longer explanations |
//!
//! Names without a link are there with the feature `driver`, which is on by default. A backend does without it.
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(
    not(feature = "driver"),
    allow(dead_code, unused_imports, reason = "the driver uses all of it")
)]

pub mod agent;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "driver")]
mod failpoint;
#[cfg(feature = "driver")]
pub mod gate;
#[cfg(feature = "driver")]
pub mod git;
pub mod guide;
pub mod machine;
pub mod model;
pub mod port;
pub mod process;
#[cfg(feature = "driver")]
pub mod prompt;
#[cfg(feature = "driver")]
pub mod review;
#[cfg(feature = "driver")]
pub mod source;
pub mod status;
#[cfg(feature = "driver")]
pub mod store;
mod untrusted;

pub use agent::CommandAgent;
#[cfg(feature = "driver")]
pub use driver::{
    BuildError, Handle, Notice, Orchestrator, OrchestratorBuilder, RunError, RunReport,
};
pub use machine::State;
pub use model::{BackendName, Contract, EndReason, Handoff, Policy, Task, TaskId};
pub use port::{AgentBackend, EvidenceStore, Ledger, Reviewer, TaskSource, Turn};
#[cfg(feature = "driver")]
pub use source::{MarkdownRoadmap, TaskList};
pub use status::Snapshot;
