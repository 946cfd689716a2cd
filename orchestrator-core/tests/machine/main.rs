//! The machine alone: every state against every event, the run's rules, and random worlds.

mod baseline;
mod clock;
mod person;
mod rewritten;
mod rules;
mod run;
mod table;
mod turn_over;
mod walk;

use orchestrator_testkit::simulator as world;
