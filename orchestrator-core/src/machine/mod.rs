//! The pure core: what happened goes in, what is decided comes out.
//!
//! ```text
//! decide(&State, Event, &Policy) ──► Vec<Record>      pure; no clock, no randomness, no git, no process
//! apply(&mut State, &Record)                          the only way in which state changes
//! replay(records) ──► State                           the same, from the beginning
//! ```
//!
//! A task's way:
//!
//! ```text
//! Waiting ──► Prepare ──► Work ──► Collect ──► Review ──► Merge ──► Gate ──► Land ──► Landed
//!    ▲                     ▲          │           │         │        │        │
//!    │                     └─ revise ─┴───────────┴─────────┴────────┘        │
//!    ├──────────── another attempt ◄──┴───────────┴─────────┘                 │
//!    └─ Held (a person decides) ◄─────┴───────────┴─────────┴────────┴────────┘     Parked (for good in this run)
//! ```
//!
//! A gate that is red on a candidate runs on the tip alone as well: whose fault it is decides between the ways above.
//!
//! Two kinds of steps: a step whose effect is *due*, and one whose effect is *open*. Events close effects and make the next
//! one due; [`EventKind::Tick`](crate::model::EventKind::Tick), told after every other event, asks for whatever is due and
//! allowed, dispatches ready tasks, and ends the run when nothing is left. So there is one place that starts things.
//!
//! Invariants: an effect id is open at most once; every event that closes nothing open is `Stale` (known id) or an
//! [`IllegalEvent`] (unknown id, or another kind of effect); no arm swallows an event by default.

#![deny(clippy::wildcard_enum_match_arm)]

mod agent_state;
mod agents;
mod answers;
mod apply;
mod consequence;
mod context;
mod costs;
mod decide;
mod dispatch;
mod entry;
mod failover;
mod fence;
mod follow;
mod freeze;
mod gates;
mod history;
mod lane;
mod lookup;
mod plan;
mod pulse;
mod ready;
mod replay;
mod reread;
mod state;
mod step;
mod tasks;
mod too_long;
mod turn_over;
mod verdict;

pub use agent_state::{AgentState, Troubled};
pub use apply::apply;
pub use consequence::{Consequence, choices, consequence};
pub use context::IllegalEvent;
pub use costs::TaskCosts;
pub use decide::decide;
pub use entry::{Active, Attempt, Held, LandedTask, Phase, TaskEntry, Then, Waiting};
pub use freeze::{Inconsistency, RoadmapFault, check_roadmap, freeze};
#[cfg(feature = "driver")]
pub(crate) use freeze::{budget, check_task};
pub use gates::GateBook;
pub use lookup::Misfit;
pub use plan::wake_at;
pub use ready::{NotReady, readiness};
pub use replay::{ReplayError, replay};
pub use state::{Away, History, Reviewing, RoadmapState, RunInfo, State};
pub use step::{Asked, Checked, Reviewed, Step, Working};
pub use verdict::{CandidateCase, HeadCase, candidate_verdict, head_verdict};
