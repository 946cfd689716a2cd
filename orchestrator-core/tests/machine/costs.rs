//! What turns use: unknown until it is known, and counted once.

use orchestrator_core::{
    model::{
        Effect, EffectId, EndReason, EventKind, HandoffReport, SessionRef, SessionUsage, Spend,
        TurnOutcome, TurnUsage, Usage,
    },
    status::{Snapshot, table},
};

use crate::{
    to_the_end,
    world::{World, collected, nothing, policy, task},
};

/// The turn that runs, and what it is told of its session's use.
fn turn(world: &mut World) -> (EffectId, SessionUsage) {
    loop {
        let open = world.open_effects();
        let turn = open.into_iter().find_map(|(effect, what)| match what {
            Effect::RunTurn { used, .. } => Some((effect, used)),
            _ => None,
        });
        match turn {
            Some(turn) => return turn,
            None if world.step() => {}
            None => {
                assert_eq!(world.state.ended(), None, "it comes to a turn");
                world.now += 1000;
                world.tick();
            }
        }
    }
}

fn name_session(world: &mut World, effect: EffectId) {
    let session = SessionRef("s".to_owned());
    world.tell(EventKind::SessionSeen { effect, session });
}

fn end_turn(world: &mut World, outcome: TurnOutcome, usage: TurnUsage) {
    let (effect, _) = turn(world);
    name_session(world, effect);
    world.tell(EventKind::TurnEnded {
        effect,
        outcome,
        usage,
    });
    world.tick();
}

/// The turn that has ended left no commit.
fn leave_nothing(world: &mut World) {
    let open = world.open_effects();
    let mut open = open.into_iter();
    let collect = open.find(|(_, what)| matches!(what, Effect::Collect { .. }));
    let (effect, _) = collect.expect("it is collected");
    world.tell(collected(effect, nothing(HandoffReport::Missing, true)));
    world.tick();
}

fn limited() -> TurnOutcome {
    TurnOutcome::UsageLimited { until: None }
}

fn spent(world: &World) -> &Spend {
    world.state.tasks()[0].spent()
}

#[test]
fn unknown_use_is_settled_by_a_later_turn_of_its_session() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    end_turn(&mut world, limited(), TurnUsage::default());
    leave_nothing(&mut world);
    assert_eq!(spent(&world).to_string(), "tokens and money unknown");
    let later = TurnUsage {
        earlier: Some(Usage::tokens_alone(1000, 0).into()),
        ..TurnUsage::told(Usage::tokens_alone(200, 34))
    };
    let (_, used) = turn(&mut world);
    assert_eq!(used.unknown, 1);
    end_turn(&mut world, TurnOutcome::Completed, later);
    assert_eq!(spent(&world).to_string(), "1,234 tokens, money unknown");
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn unknown_use_stays_unknown_where_another_session_begins() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    end_turn(&mut world, TurnOutcome::SessionLost, TurnUsage::default());
    leave_nothing(&mut world);
    let told = TurnUsage::told(Usage::tokens_alone(5, 5));
    let (_, used) = turn(&mut world);
    assert_eq!(used, SessionUsage::default());
    end_turn(&mut world, TurnOutcome::Completed, told);
    let text = table(&Snapshot::of(&world.state));
    assert!(text.contains("at least 10 tokens"), "{text}");
    let of_agent = |line: &str| line.starts_with("used by ") && line.contains("at least 10 tokens");
    assert!(text.lines().any(of_agent), "{text}");
}

#[test]
fn use_of_a_turn_cut_off_by_a_restart_is_unknown_and_known_use_is_passed_on() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    let told = TurnUsage::told(Usage::tokens_alone(70, 7));
    end_turn(&mut world, limited(), told.clone());
    leave_nothing(&mut world);
    let (effect, _) = turn(&mut world);
    name_session(&mut world, effect);
    world.tell(EventKind::Interrupted { effect });
    world.tick();
    leave_nothing(&mut world);
    let (_, used) = turn(&mut world);
    let known = SessionUsage {
        told: told.turn.expect("it is known"),
        lost: 1,
        ..SessionUsage::default()
    };
    assert_eq!(used, known);
    assert_eq!(
        spent(&world).to_string(),
        "at least 77 tokens, money unknown"
    );
}
