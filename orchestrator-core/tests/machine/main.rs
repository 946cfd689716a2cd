//! The machine alone: every state against every event, the run's rules, and random worlds.

mod baseline;
mod briefs;
mod clock;
mod contract;
mod costs;
mod failover;
mod person;
mod rewritten;
mod rules;
mod run;
mod table;
mod turn_over;
mod walk;

use orchestrator_core::model::{Effect, EffectId, EndReason, EventKind};
use orchestrator_testkit::simulator as world;

use world::{Laws, World};

/// The first open effect of this kind.
fn open(world: &World, kind: impl Fn(&Effect) -> bool) -> Effect {
    let mut effects = world.state.open_effects().values();
    effects.find(|what| kind(what)).expect("is open").clone()
}

/// Whether a gate runs on a candidate.
fn runs_on_candidate(what: &Effect) -> bool {
    matches!(what, Effect::RunGate { .. }) && !what.is_gate_on_tip()
}

/// The end of a gate, with this exit status.
fn gate_ran(effect: EffectId, what: &Effect, code: i32) -> EventKind {
    let Effect::RunGate { tree, gate, .. } = what else {
        panic!("no gate runs in {what:?}");
    };
    let report = world::report(gate.clone(), *tree, code);
    EventKind::GateRan { effect, report }
}

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
