//! The default gates on the target itself, beside the first workers.

use orchestrator_core::model::{Effect, EffectId, HoldReason, Record};

use crate::{
    gate_ran, runs_on_candidate,
    world::{World, policy, task},
};

/// A run whose first worker is being prepared for, beside a gate on the tip.
fn begun() -> World {
    World::with_baseline(policy(""), vec![task("A", "")])
}

/// An open effect of this kind.
fn open(world: &World, kind: fn(&Effect) -> bool) -> Option<(EffectId, Effect)> {
    world
        .open_effects()
        .into_iter()
        .find(|(_, what)| kind(what))
}

fn is_merge(what: &Effect) -> bool {
    matches!(what, Effect::Merge { .. })
}

/// Ends the gate on the tip with this status.
fn check_baseline(world: &mut World, code: i32) {
    let (effect, what) = open(world, Effect::is_gate_on_tip).expect("a gate runs on the tip");
    world.tell(gate_ran(effect, &what, code));
    world.tick();
}

/// Brings the attempt to its gate, and ends that with this status.
fn check_candidate(world: &mut World, code: i32) {
    while open(world, runs_on_candidate).is_none() {
        assert!(world.step(), "it comes to the gate");
    }
    let (effect, what) = open(world, runs_on_candidate).expect("runs");
    world.tell(gate_ran(effect, &what, code));
    world.tick();
}

/// How often something was asked for.
fn asked(world: &World, kind: fn(&Effect) -> bool) -> usize {
    let requested =
        |record: &&Record| matches!(record, Record::Requested { what, .. } if kind(what));
    world.ledger.iter().filter(requested).count()
}

#[test]
fn baseline_runs_beside_the_first_worker() {
    let world = begun();
    let kinds: Vec<_> = world
        .open_effects()
        .into_iter()
        .map(|(_, what)| what)
        .collect();
    assert!(
        matches!(&kinds[..], [Effect::Prepare { .. }, gate] if gate.is_gate_on_tip()),
        "{kinds:?}"
    );
}

#[test]
fn baseline_that_fails_stops_no_worker_and_is_not_run_again_for_a_candidate() {
    let mut world = begun();
    check_baseline(&mut world, 1);
    check_candidate(&mut world, 1);
    assert_eq!(asked(&world, Effect::is_gate_on_tip), 1);
    let hold = world.state.holds().next().expect("a person is asked");
    assert!(matches!(hold.about, HoldReason::TipRed { .. }), "{hold:?}");
}

#[test]
fn baseline_that_passes_makes_a_failing_candidate_its_workers_at_once() {
    let mut world = begun();
    check_baseline(&mut world, 0);
    check_candidate(&mut world, 1);
    assert_eq!(asked(&world, Effect::is_gate_on_tip), 1);
    assert!(
        open(&world, |what| matches!(
            what,
            Effect::RunTurn { turn: 2, .. }
        ))
        .is_some()
    );
}

#[test]
fn baseline_and_candidates_share_the_lane() {
    let mut world = begun();
    let (baseline, _) = open(&world, Effect::is_gate_on_tip).expect("runs");
    loop {
        let others = world.open_effects();
        let Some((effect, what)) = others.into_iter().find(|(effect, _)| *effect != baseline)
        else {
            break;
        };
        let event = world.good(effect, &what);
        world.tell(event);
        world.tick();
    }
    assert!(open(&world, is_merge).is_none(), "the lane is taken");
    assert_eq!(world.state.ended(), None);
    check_baseline(&mut world, 0);
    assert!(open(&world, is_merge).is_some());
}

#[test]
fn baseline_that_was_interrupted_is_due_again_and_one_that_is_known_is_not() {
    let mut world = begun();
    world.open_again();
    assert_eq!(asked(&world, Effect::is_gate_on_tip), 2);
    check_baseline(&mut world, 0);
    world.open_again();
    assert_eq!(asked(&world, Effect::is_gate_on_tip), 2);
}

#[test]
fn baseline_is_left_out_where_nothing_is_to_be_done() {
    let mut done = task("A", "");
    done.done = true;
    let world = World::with_baseline(policy(""), vec![done]);
    assert_eq!(asked(&world, Effect::is_gate_on_tip), 0);
    assert!(world.state.ended().is_some());
}
