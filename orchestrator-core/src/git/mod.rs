//! Git: the only place that knows it.
//!
//! ```text
//! user's repository   read; touched only to advance the target                          user.rs
//!        │ fetch                       ▲ push, or fast-forward
//!        ▼                             │
//! trusted.git         ours, bare: base pinning, review, merge results, push             trusted.rs, landing.rs
//!        │ objects borrowed            ▲ fetch of one full ref, with fsck and limits
//!        ▼                             │
//! attempts/R1-1/repo.git + tree        one per attempt, thrown away with it             workspace.rs
//! ```
//!
//! The git binary is used for what must be exactly git (fetch, merge, push, checkout), gix for looking at objects in
//! process. Git never runs under configuration that a worker can write (law 8): all commands run with `trusted.git`, whose
//! configuration we wrote, or in the user's repository. An attempt's repository is read in process, as files of which each may be anything
//! by now; where a fetch is needed, it is from a repository of ours that borrows the worker's objects. Every call has a deadline (one
//! that speaks to a remote: of silence), an environment with what it needs, and object ids or full refs instead of names.

mod advance;
mod ancestry;
mod batch;
mod changes;
mod checkout;
mod cli;
mod config;
mod diff;
mod discard;
mod dry_run;
mod environment;
mod error;
mod files;
mod filter_failure;
mod filters_used;
mod followed;
mod full_look;
mod gate_repository;
mod history;
mod identity;
mod incoming;
mod ingress;
mod landing;
mod lent;
mod lfs;
mod locks;
mod lookout;
mod loose;
mod missing_target;
mod module_declared;
mod module_looks;
mod module_moves;
mod module_places;
mod module_repositories;
mod module_url;
mod modules;
mod objects;
mod one_commit;
mod output;
mod overview;
mod parse;
mod past;
mod plain;
mod push_refusal;
mod refs;
mod refusal;
mod removal;
mod rescue;
mod rewritten;
mod settings;
mod signing;
mod sparse;
mod standing;
mod target;
mod trees;
mod trouble;
mod trusted;
mod unfinished;
mod upkeep;
mod user;
mod version;
mod workspace;

pub use changes::Merge;
pub use cli::Git;
pub(crate) use cli::absolute;
pub use config::{Identity, Person};
pub(crate) use discard::Discard;
pub(crate) use dry_run::{DryRun, LocalRemote};
pub use error::GitError;
pub use filter_failure::FilterFailure;
pub(crate) use history::{BranchCommit, first_parents};
pub use ingress::IngressLimits;
pub use lfs::LfsError;
pub use lookout::{Look, Lookout};
pub(crate) use module_moves::Moved;
pub(crate) use module_places::Placed;
pub(crate) use modules::Module;
pub use objects::Objects;
pub(crate) use overview::Overview;
pub use rescue::Rescued;
pub use rewritten::{Ancestry, Start};
pub use signing::Signing;
pub(crate) use standing::Distance;
pub use target::TARGET;
pub use trusted::Trusted;
pub use user::{Destination, UserRepository};
pub use version::GitVersion;
pub use workspace::{Workspace, Workspaces};
