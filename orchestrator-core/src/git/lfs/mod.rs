//! Git LFS: objects that a repository names by pointers and keeps elsewhere.
//!
//! ```text
//! person's stores ──┐                            ┌──► trees of workspaces and gates (smudge, no network)
//! their remote ─────┼──► trusted.git/lfs ────────┤
//! attempt's store ──┘    every object verified   └──► their remote or store, before the target moves
//! ```
//!
//! `git-lfs` smudges and cleans, as a filter, and speaks to the remote. It never downloads while a
//! tree is laid out: all objects of the tree are in our store before. It speaks to the remote with
//! the person's settings and with the `.lfsconfig` of the target's tip, in a repository of ours
//! that no worker can reach.

mod attributes;
mod error;
mod exchange;
mod findings;
mod incoming;
mod plain;
mod pointer;
mod program;
mod publish;
mod ready;
mod said;
mod scan;
mod settings;
mod store;
mod stores;

pub use error::LfsError;
pub(super) use program::is_installed;
pub(super) use ready::laying_out;
pub(super) use store::Lfs;
