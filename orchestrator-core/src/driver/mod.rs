//! The paved path: feeds the machine, and performs what it asks for. The only place that awaits ports.
//!
//! ```text
//!              ┌───────────────────────── run loop ──────────────────────────┐
//!              │                   ┌─ tick ─┐                                │
//!              │                   ▼        │                                │
//! ports ─────► │ event ─► decide and apply ─┴─► append (durable) ─► perform  │
//! heartbeat ─► │   ▲                                                   │     │
//! inbox ─────► │   └────────────────── closing event ◄─────────────────┘     │
//! handle ────► └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! One task owns the state; effects run beside it and come back as events. Every event is followed by a tick, until nothing
//! more is due. All of that goes to the ledger as one batch, with one wait for the disk, and before it is there nobody else hears of it,
//! nothing is shown and nothing begun: a run whose ledger cannot be written ends with what it has decided. What a crash leaves open
//! is closed as interrupted at the next start, after survivors were swept.

mod alive;
mod asking;
mod builder;
mod cleanup;
mod clock;
mod collect;
mod discovery;
mod drift;
mod effects;
mod error;
mod fold;
mod gate_job;
mod gate_place;
mod gating;
mod handle;
mod host;
mod inbox;
mod keeper;
mod lane;
mod leftovers;
mod looking;
mod marks;
mod merging;
mod not_started;
mod notify;
mod orchestrator;
mod panel;
mod patience;
mod ports;
mod preflight;
mod progress;
mod proof;
mod recorder;
mod roadmap;
mod run;
mod running;
mod setup;
mod step;
mod submodules;
mod turn;
mod turn_watch;
mod verify;
mod views;
mod workspace_fault;
mod world;

pub use alive::is_running;
pub use builder::OrchestratorBuilder;
pub use error::{BuildError, RoadmapError, RunError};
pub use fold::fold_ledger;
pub use handle::{Handle, Notice};
pub use inbox::{Command, Inbox};
pub use leftovers::Leftovers;
pub use orchestrator::{Orchestrator, PlannedTask, RunReport};
pub use patience::{StoreError, StoreLimits};
pub use preflight::{Check, CheckOutcome, Preflight};
pub use proof::{ProofError, bring_proof};
pub use step::{LongStep, Stage, roughly};
pub use verify::{CheckedCommit, CommitKind, Verification, VerifiedBranch, VerifyError, verify};
pub use views::ChangeBetween;
pub use workspace_fault::WorkspaceFault;
