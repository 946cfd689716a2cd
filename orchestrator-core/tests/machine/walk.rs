//! Random worlds: whatever happens in whatever order, the laws hold after each event, and a run that is let alone ends.

use orchestrator_core::model::{
    Answer, Collected, Effect, EffectId, EventKind, Finding, HandoffReport, HoldId, HoldOption,
    LandingOutcome, LandingPlace, MergeFailure, Refusal, RefusalCause, RunMode, Severity,
    Submission, TurnOutcome, TurnUsage, WorkspaceFate,
};
use proptest::prelude::*;

use crate::world::{
    Laws, World, blocked, collected, commit, nothing, policy, report, review, submission, task,
};

/// One way in which an effect can end, by a number.
fn ending(world: &mut World, effect: EffectId, what: &Effect, choice: u8) -> EventKind {
    let findings = || vec![Finding::new(Severity::Error, "x", "y")];
    match (what, choice % 8) {
        (Effect::Prepare { .. }, 0) => EventKind::Prepared {
            effect,
            failure: Some("no".into()),
        },
        (Effect::RunTurn { .. }, 0) => EventKind::TurnEnded {
            effect,
            outcome: TurnOutcome::Crashed { detail: "x".into() },
            usage: TurnUsage::default(),
        },
        (Effect::RunTurn { .. }, 1) => EventKind::TurnEnded {
            effect,
            outcome: TurnOutcome::UsageLimited { until: None },
            usage: TurnUsage::default(),
        },
        (Effect::RunTurn { .. }, 2) => EventKind::TurnEnded {
            effect,
            outcome: TurnOutcome::Authentication { reason: "x".into() },
            usage: TurnUsage::default(),
        },
        (Effect::RunTurn { .. }, 3) => EventKind::Interrupted { effect },
        (Effect::Collect { .. }, 0) => collected(effect, nothing(HandoffReport::Missing, true)),
        (Effect::Collect { .. }, 1) => {
            collected(effect, Collected::Unusable { reason: "x".into() })
        }
        (Effect::Collect { .. }, 2) => EventKind::Interrupted { effect },
        (Effect::Review { work, .. }, 0) => EventKind::Reviewed {
            effect,
            reviews: vec![review(work.head, findings())],
            carried: None,
        },
        (Effect::Merge { .. }, 0) => EventKind::Merged {
            effect,
            result: Err(MergeFailure::Conflict {
                tip: commit(5),
                paths: Vec::new(),
            }),
        },
        (Effect::Merge { .. }, 1) => EventKind::Merged {
            effect,
            result: Err(MergeFailure::Offends {
                findings: findings(),
            }),
        },
        (Effect::Merge { .. }, 2) => EventKind::Merged {
            effect,
            result: Err(MergeFailure::Impossible { reason: "x".into() }),
        },
        (Effect::Merge { .. }, 3) => EventKind::Merged {
            effect,
            result: Err(MergeFailure::Unreachable { reason: "x".into() }),
        },
        (Effect::Collect { .. }, 3) => {
            let handoff = HandoffReport::Broken { reason: "x".into() };
            collected(
                effect,
                Collected::Work(Submission {
                    handoff,
                    ..submission(commit(77))
                }),
            )
        }
        (Effect::Collect { .. }, 4) => collected(effect, nothing(blocked("x"), false)),
        (Effect::RunGate { .. }, 3) => EventKind::Interrupted { effect },
        (Effect::RunGate { .. }, 4) => EventKind::GateCancelled { effect },
        (Effect::Land { .. }, 3) => EventKind::LandingTried {
            effect,
            outcome: LandingOutcome::Unreachable { reason: "x".into() },
        },
        (Effect::RunGate { tree, gate, .. }, 0..=2) => EventKind::GateRan {
            effect,
            report: report(gate.clone(), *tree, 1),
        },
        (Effect::Land { .. }, 0) => EventKind::LandingTried {
            effect,
            outcome: LandingOutcome::TipMoved,
        },
        (Effect::Land { .. }, 1) => EventKind::LandingTried {
            effect,
            outcome: LandingOutcome::Refused(
                Refusal::new(
                    RefusalCause::Declined,
                    LandingPlace::Remote("origin".into()),
                )
                .with_words("x"),
            ),
        },
        (Effect::Land { .. }, 2) => EventKind::Interrupted { effect },
        (Effect::CleanUp { .. }, 0) => EventKind::CleanedUp {
            effect,
            fate: WorkspaceFate::Kept { reason: "x".into() },
        },
        (what, _) => world.good(effect, what),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_after_every_event(choices in proptest::collection::vec(any::<(u8, u8)>(), 0..200)) {
        let tasks = vec![
            task("A", "allow = [\"src/**\"]"),
            task("B", "allow = [\"src/b\"]\nresources = [\"x\"]"),
            task("C", "allow = [\"docs/**\"]\nresources = [\"x\"]\napprove = [\"landing\"]"),
            task("E", "allow = [\"e/**\"]\ngates = [\"unit\", \"unit\"]"),
            task("F", "allow = [\"f/**\"]"),
            task("G", "allow = [\"g/**\"]"),
            task("D", "allow = [\"etc/**\"]\nafter = [\"C\"]").in_package("late".parse().expect("a name")),
        ];
        let all = tasks.clone();
        let rules = policy("max_sessions = 2\n[limits]\nbackoff = \"2ms\"");
        let mut world = if tasks.len().is_multiple_of(2) {
            World::with_tasks(rules, tasks)
        } else {
            World::with_baseline(rules, tasks)
        };
        for (pick, choice) in choices {
            let open = world.open_effects();
            if world.state.ended().is_some() {
                break;
            }
            if pick % 16 == 15 {
                let mode = [RunMode::Active, RunMode::Drain, RunMode::Paused][usize::from(choice) % 3];
                world.tell(EventKind::ModeAsked(mode));
            } else if pick % 16 == 14 {
                // Somebody else moves the target; a task may be removed, ticked, or come back.
                match (all.get(usize::from(choice) % 16), choice / 16) {
                    (Some(task), 0..=5) => world.tasks.retain(|other| other.id != task.id && !other.keys.after.iter().flatten().any(|id| *id == task.id)),
                    (Some(task), 6..=10) => world.tasks.iter_mut().filter(|other| other.id == task.id).for_each(|task| task.done = true),
                    (Some(_), _) => world.tasks.clone_from(&all),
                    (None, _) => world.tasks.reverse(),
                }
                world.tell(EventKind::TipSeen(commit(1000 + u64::from(choice))));
            } else if pick % 16 == 13 {
                let option = [HoldOption::Approve, HoldOption::Retry, HoldOption::Park][usize::from(choice) % 3];
                let hold = world.state.holds().next().map_or(HoldId(99), |hold| hold.id);
                world.tell(EventKind::Answered(Answer::new(hold, option).with_note("x")));
            } else if pick % 16 == 12 {
                world.jump((i64::from(choice) - 128) * 60_000);
            } else if let Some((effect, what)) = open.get(usize::from(pick) % open.len().max(1)) {
                let event = ending(&mut world, *effect, what, choice);
                world.tell(event);
            }
            world.tick();
            Laws::hold_and_replay(&world);
        }
        // Let alone, it ends for a reason.
        for _ in 0..2000 {
            if world.state.ended().is_some() {
                break;
            }
            if !world.step() {
                world.now += 1000;
                world.tick();
            }
        }
        prop_assert!(world.state.ended().is_some(), "it goes on for ever: {:?}", world.state.tasks());
        Laws::hold_and_replay(&world);
    }
}
