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
//! configuration we wrote, or in the user's repository, or in an attempt's repository before its worker exists. The one
//! exception is the `upload-pack` that a fetch from an attempt starts. Every call has a deadline, a scrubbed environment, and
//! object ids or full refs instead of names.

mod batch;
mod checkout;
mod cli;
mod config;
mod files;
mod followed;
mod history;
mod incoming;
mod ingress;
mod landing;
mod lookout;
mod objects;
mod past;
mod plain;
mod refs;
mod rescue;
mod trees;
mod trusted;
mod user;
mod workspace;

#[cfg(feature = "driver")]
pub(crate) use checkout::remove;
pub use cli::{Git, GitError, GitVersion, MINIMUM_VERSION};
pub use config::Identity;
pub use history::{BranchCommit, first_parents};
pub use ingress::IngressLimits;
pub use lookout::{Dirtiness, Look, Lookout};
pub use objects::Objects;
pub use rescue::{Rescued, open_beneath};
pub use trusted::{Merge, TARGET, Trusted};
pub use user::{Destination, UserRepository};
pub use workspace::{Workspace, Workspaces};
