//! The machine alone: every state against every event, the run's rules, and random worlds.

mod baseline;
mod briefs;
mod clock;
mod costs;
mod failover;
mod person;
mod rewritten;
mod rules;
mod run;
mod table;
mod turn_over;
mod walk;

use orchestrator_core::model::EndReason;
use orchestrator_testkit::simulator as world;

use world::{Laws, World};

/// Lets a world alone until its run ends; the laws hold all the way.
fn to_the_end(world: &mut World) -> EndReason {
    while world.state.ended().is_none() {
        Laws::hold_and_replay(world);
        if !world.step() {
            // Nothing is open: time must pass.
            world.now += 1000;
            world.tick();
        }
    }
    Laws::hold_and_replay(world);
    world.state.ended().expect("it ended")
}
