//! Limits count time awake: a jump of the clock, forwards or backwards, moves them, and a time of day that somebody named stays.

use orchestrator_core::{
    machine::wake_at,
    model::{
        Effect, EffectId, EndReason, EventKind, HandoffReport, HoldId, MergeFailure, Policy, Pulse,
        Reading, Record, Span, StopReason, Timestamp, TurnOutcome, TurnSight, TurnUsage, Usage,
    },
};

use crate::world::{Laws, World, collected, nothing, policy, roadmap, task};

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
/// A night, and a clock that was nine hours ahead and is set right.
const JUMPS: [i64; 2] = [9 * HOUR as i64, -9 * HOUR as i64];

/// A world in which time can be set back, and one agent works.
fn working(policy: Policy, keys: &str) -> World {
    let mut world = World::new(policy);
    world.now = 100 * HOUR;
    world.open(true);
    let tasks = vec![task("A", keys)];
    world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
        EventKind::RoadmapRead {
            effect,
            reading: Reading::Read(roadmap(tasks)),
        }
    });
    if turn(&world).is_none() {
        world.step();
    }
    world
}

fn turn(world: &World) -> Option<EffectId> {
    let open = world.open_effects();
    open.into_iter()
        .find(|(_, what)| matches!(what, Effect::RunTurn { .. }))
        .map(|(effect, _)| effect)
}

/// Why the turn was told to stop, if it was.
fn stopped(world: &World) -> Option<StopReason> {
    world.ledger.iter().find_map(|record| match record {
        Record::Requested {
            what: Effect::StopTurn { why, .. },
            ..
        } => Some(*why),
        _ => None,
    })
}

/// So much time passes awake.
fn pass(world: &mut World, span: u64) {
    world.now += span;
    world.tick();
    Laws::hold_and_replay(world);
}

/// The turn ends so, with no commit, and its workspace goes.
fn end_in_vain(world: &mut World, outcome: TurnOutcome) {
    let effect = turn(world).expect("it works");
    world.tell(EventKind::TurnEnded {
        effect,
        outcome,
        usage: TurnUsage::default(),
    });
    world.tick();
    let nothing = nothing(HandoffReport::Missing, false);
    world.answer(
        &crate::open(world, |what| matches!(what, Effect::Collect { .. })),
        |effect| collected(effect, nothing),
    );
    while world.step() {}
}

#[test]
fn a_turn_has_its_time_awake_whatever_the_clock_does() {
    for (limit, keys) in [
        ("[limits]\nturn = \"1h\"", ""),
        ("", "budget = { wall = \"1h\" }"),
    ] {
        for by in JUMPS {
            let mut world = working(policy(limit), keys);
            pass(&mut world, 3 * SECOND);
            world.jump(by);
            pass(&mut world, 0);
            assert_eq!(
                stopped(&world),
                None,
                "a jump of {by} ms is no time in which it worked"
            );
            let due =
                wake_at(&world.state, &world.policy, Timestamp(world.now)).expect("it has a limit");
            assert!(
                due.0 <= world.now + HOUR,
                "and none in which it may work: {} ms",
                due.0 - world.now
            );
            pass(&mut world, HOUR - 10 * SECOND);
            assert_eq!(stopped(&world), None, "an hour is not over");
            pass(&mut world, 10 * SECOND);
            assert_eq!(
                stopped(&world),
                Some(StopReason::Deadline),
                "and then it is"
            );
        }
    }
}

#[test]
fn a_turn_that_ends_after_a_jump_took_what_it_took_awake() {
    for by in JUMPS {
        let mut world = working(
            policy("[limits]\nattempts = 1"),
            "budget = { wall = \"1h\" }",
        );
        pass(&mut world, 60 * SECOND);
        world.jump(by);
        let effect = turn(&world).expect("it works");
        world.tell(EventKind::TurnEnded {
            effect,
            outcome: TurnOutcome::Completed,
            usage: TurnUsage::default(),
        });
        let took = world.ledger.iter().find_map(|record| match record {
            Record::TurnEnded { took, .. } => Some(*took),
            _ => None,
        });
        let took = took.expect("it has ended");
        assert!(
            (60 * SECOND..61 * SECOND).contains(&took.0),
            "{took} after a jump of {by} ms"
        );
        world.tick();
        while world.step() {}
        assert_eq!(
            world.state.ended(),
            Some(EndReason::Complete),
            "nothing of its attempts and its wall time was spent"
        );
    }
}

#[test]
fn a_jump_is_no_silence_and_the_answer_to_a_reminder_has_its_time() {
    for by in JUMPS {
        let mut world = working(policy("[limits]\nstall = \"10m\""), "");
        let effect = turn(&world).expect("it works");
        let seen = |world: &mut World, silent: u64| {
            let seen = TurnSight {
                active: Timestamp(world.now - silent),
                tool_in_flight: false,
                silence: Some(Span(SECOND)),
                alive: Some(true),
                head: None,
                usage: Usage::default(),
            };
            world.tell(EventKind::TurnSeen { effect, seen });
            world.ledger.iter().rev().find_map(|record| match record {
                Record::PulseSeen { pulse, .. } => Some(*pulse),
                _ => None,
            })
        };
        pass(&mut world, 600 * SECOND);
        assert_eq!(
            seen(&mut world, 600 * SECOND),
            Some(Pulse::Stalled),
            "it is reminded"
        );
        world.jump(by);
        assert_eq!(
            seen(&mut world, 601 * SECOND),
            Some(Pulse::Quiet),
            "a jump of {by} ms later it has as long again"
        );
        assert_eq!(stopped(&world), None);
        pass(&mut world, 600 * SECOND);
        assert_eq!(seen(&mut world, 1201 * SECOND), Some(Pulse::Stalled));
        assert_eq!(
            stopped(&world),
            Some(StopReason::Stalled),
            "and not nine hours more"
        );
    }
}

#[test]
fn a_pause_is_as_long_as_it_was_and_a_named_time_of_day_stays() {
    for by in JUMPS {
        let mut world = working(
            policy("[limits]\nbackoff = \"5m\"\nbackoff_max = \"5m\""),
            "",
        );
        end_in_vain(&mut world, TurnOutcome::Crashed { detail: "x".into() });
        let left = |world: &World| {
            wake_at(&world.state, &world.policy, Timestamp(world.now))
                .expect("it waits")
                .0
                - world.now
        };
        let before = left(&world);
        world.jump(by);
        pass(&mut world, 0);
        assert!(
            left(&world).abs_diff(before) < SECOND,
            "a jump of {by} ms: {before} ms became {}",
            left(&world)
        );
    }

    let mut world = working(policy(""), "");
    let reset = Timestamp(world.now + 5 * HOUR);
    end_in_vain(&mut world, TurnOutcome::UsageLimited { until: Some(reset) });
    world.jump(-(HOUR as i64));
    pass(&mut world, 0);
    assert_eq!(
        wake_at(&world.state, &world.policy, Timestamp(world.now)),
        Some(reset),
        "the service has its own clock"
    );
    world.jump(9 * HOUR as i64);
    pass(&mut world, 0);
    assert!(
        turn(&world).is_some() || world.step(),
        "while we slept, the limit was reset"
    );
}

#[test]
fn a_remote_and_a_person_are_asked_again_after_as_long_as_before() {
    for by in JUMPS {
        let mut world = working(
            policy("[limits]\nbackoff = \"5m\"\nbackoff_max = \"5m\""),
            "",
        );
        while !world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::Merge { .. }))
        {
            assert!(world.step());
        }
        let (effect, _) = world.open_effects().into_iter().next().expect("it merges");
        let away = MergeFailure::Unreachable {
            reason: "no route".to_owned(),
        };
        world.tell(EventKind::Merged {
            effect,
            result: Err(away),
        });
        world.tick();
        let before = world.state.away().expect("is away").until().0 - world.now;
        world.jump(by);
        let away = world.state.away().expect("is away");
        assert!(
            (away.until().0 - world.now).abs_diff(before) < SECOND,
            "a jump of {by} ms"
        );

        let remind = policy("[notify]\nremind = \"1h\"");
        let mut world = working(remind, "approve = [\"dispatch\"]");
        let since = world.state.holds().next().expect("it asks").since;
        world.jump(by);
        pass(&mut world, HOUR - 10 * SECOND);
        assert!(
            !world
                .ledger
                .iter()
                .any(|record| matches!(record, Record::Reminded { .. })),
            "a jump of {by} ms"
        );
        pass(&mut world, 10 * SECOND);
        let reminded = world.ledger.iter().filter(|record| {
            matches!(
                record,
                Record::Reminded {
                    hold: HoldId(1),
                    ..
                }
            )
        });
        assert_eq!(reminded.count(), 1);
        assert_eq!(
            world.state.holds().next().expect("it asks").since,
            since,
            "a person is told when it was asked"
        );
    }
}

#[test]
fn a_runs_wall_time_is_counted_awake() {
    for (by, ends) in [(JUMPS[0], false), (JUMPS[1], false), (0, true)] {
        let limits = "max_sessions = 1\n[limits]\nrun_wall = \"1h\"";
        let mut world = World::new(policy(limits));
        world.now = 100 * HOUR;
        world.open(false);
        let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
        world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Read(roadmap(tasks)),
            }
        });
        if ends {
            pass(&mut world, HOUR);
        } else {
            world.jump(by);
            pass(&mut world, HOUR - 60 * SECOND);
        }
        while world.step() {}
        let expected = if ends {
            EndReason::Budget
        } else {
            EndReason::Complete
        };
        assert_eq!(world.state.ended(), Some(expected), "{by}");
    }
}
