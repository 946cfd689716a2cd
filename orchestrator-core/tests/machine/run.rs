//! The rules of the run: order, slots, dependencies, resources, overlap, package, budgets, mode.

use orchestrator_core::machine::{Phase, Step, wake_at};
use orchestrator_core::model::{
    Answer, Effect, EffectId, EndReason, EventKind, Finding, HandoffReport, HoldId, HoldOption,
    LandingOutcome, MergeFailure, Pulse, Reading, Record, RunMode, Severity, Span, StopReason,
    Task, Timestamp, TurnOutcome, TurnSight, TurnUsage, Usage, Verdict,
};

use crate::world::{Laws, World, collected, commit, nothing, policy, review, task};
use crate::{gate_ran, to_the_end};

/// The tasks that were dispatched, in order, each as `T1#1`.
fn dispatched(world: &World) -> Vec<String> {
    let attempts = world.ledger.iter().filter_map(|record| match record {
        Record::Dispatched { attempt, .. } => Some(attempt.to_string()),
        _ => None,
    });
    attempts.collect()
}

fn packaged(id: &str, package: &str, keys: &str) -> Task {
    task(id, keys).in_package(package.parse().expect("a name"))
}

/// What is used up is used up, and nobody is asked.
const PARK: &str = "[limits]\nexhausted = \"park\"";

#[test]
fn tasks_go_in_the_roadmaps_order_as_far_as_slots_allow() {
    let tasks = vec![
        task("A", "allow = [\"a\"]"),
        task("B", "allow = [\"b\"]"),
        task("C", "allow = [\"c\"]"),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 2"), tasks);
    assert_eq!(dispatched(&world), ["A#1", "B#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), ["A#1", "B#1", "C#1"]);
}

#[test]
fn what_may_change_the_same_paths_or_holds_the_same_resource_is_serialised() {
    let tasks = vec![
        task("A", "allow = [\"src/**\"]\nresources = [\"db\"]"),
        task("B", "allow = [\"src/b.rs\"]"),
        task("C", "allow = [\"docs/**\"]\nresources = [\"db\"]"),
        task("D", "allow = [\"etc/**\"]"),
        task("E", ""),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 9"), tasks);
    assert_eq!(dispatched(&world), ["A#1", "D#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn a_task_starts_from_a_base_that_contains_what_it_comes_after() {
    let tasks = vec![
        task("A", "allow = [\"a\"]"),
        task("B", "allow = [\"b\"]\nafter = [\"A\"]"),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 9"), tasks);
    assert_eq!(dispatched(&world), ["A#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    let landed = world.ledger.iter().find_map(|record| match record {
        Record::Landed { attempt, commit } if attempt.task.as_str() == "A" => Some(*commit),
        _ => None,
    });
    let base = world.ledger.iter().find_map(|record| match record {
        Record::Dispatched { attempt, base, .. } if attempt.task.as_str() == "B" => Some(*base),
        _ => None,
    });
    assert!(landed.is_some());
    assert_eq!(base, landed);
}

#[test]
fn a_free_slot_is_no_permission_to_leave_the_package() {
    let tasks = vec![
        packaged("A", "one", "allow = [\"a\"]"),
        packaged("B", "two", "allow = [\"b\"]"),
        packaged("C", "one", "allow = [\"c\"]\nafter = [\"A\"]"),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 9"), tasks);
    assert_eq!(dispatched(&world), ["A#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), ["A#1", "C#1", "B#1"]);
    let reasons = world.ledger.iter().filter_map(|record| match record {
        Record::PackageEntered { why, .. } => Some(why.to_string()),
        _ => None,
    });
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        ["it has the first ready task", "`one` has landed"]
    );
}

#[test]
fn a_package_that_waits_for_a_person_is_left_with_a_reason() {
    let tasks = vec![
        packaged("A", "one", "approve = [\"dispatch\"]\nallow = [\"a\"]"),
        packaged("B", "two", "allow = [\"b\"]"),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 9"), tasks);
    assert_eq!(dispatched(&world), ["B#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    world.open_again();
    assert_eq!(
        world.state.ended(),
        Some(EndReason::WaitingForAPerson),
        "a hold survives the run"
    );
}

#[test]
fn an_approval_lets_the_task_go() {
    let mut world = World::new(policy(""));
    world.open(true);
    let tasks = vec![task("A", "approve = [\"dispatch\", \"landing\"]")];
    world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
        EventKind::RoadmapRead {
            effect,
            reading: Reading::Read(crate::world::roadmap(tasks)),
        }
    });
    assert_eq!(world.state.ended(), None, "it was told to wait");
    let approve = |hold| {
        EventKind::Answered(Answer::new(HoldId(hold), HoldOption::Approve).with_note("fine"))
    };
    let by_ada = Answer::new(HoldId(1), HoldOption::Approve)
        .with_name("Ada")
        .with_note("go on");
    world.tell(EventKind::Answered(by_ada));
    world.tick();
    assert_eq!(dispatched(&world), ["A#1"]);
    while world.step() {}
    world.tell(approve(2));
    world.tick();
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    let approvals = world.ledger.iter().find_map(|record| match record {
        Record::Accepted { landing } => Some(landing.acceptance.approvals.clone()),
        _ => None,
    });
    let expected = [
        "dispatch approved by Ada: go on (H1)",
        "landing approved by a person: fine (H2)",
    ];
    let approvals = approvals.expect("was accepted");
    let approvals: Vec<_> = approvals.iter().map(ToString::to_string).collect();
    assert_eq!(approvals, expected);
    let gates = world
        .ledger
        .iter()
        .filter(|record| matches!(record, Record::GateReported { .. }))
        .count();
    assert_eq!(gates, 2, "a new candidate with another tree is gated again");
}

#[test]
fn drain_finishes_what_runs_and_pause_starts_no_turn() {
    let tasks = || vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = World::with_tasks(policy("max_sessions = 1"), tasks());
    world.tell(EventKind::ModeAsked(RunMode::Drain));
    assert_eq!(to_the_end(&mut world), EndReason::Drained);
    assert_eq!(dispatched(&world), ["A#1"]);
    assert!(world.state.tasks()[0].has_landed());
    let mut world = World::with_tasks(policy("max_sessions = 1"), tasks());
    world.tell(EventKind::ModeAsked(RunMode::Paused));
    assert_eq!(to_the_end(&mut world), EndReason::Paused);
    assert!(!world.ledger.iter().any(|record| matches!(
        record,
        Record::Requested {
            what: Effect::RunTurn { .. },
            ..
        }
    )));
}

#[test]
fn budgets_stop_before_the_next_spend() {
    let tasks = || vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    for limit in ["run_attempts = 1", "run_tokens = 15", "run_usd = 0.5"] {
        let mut world = World::with_tasks(
            policy(&format!("max_sessions = 1\n[limits]\n{limit}")),
            tasks(),
        );
        assert_eq!(to_the_end(&mut world), EndReason::Budget, "{limit}");
        assert_eq!(dispatched(&world), ["A#1"], "{limit}");
    }
    let mut world = World::with_tasks(policy("[limits]\nrun_wall = \"1ms\""), tasks());
    assert_eq!(to_the_end(&mut world), EndReason::Budget);
    assert_eq!(dispatched(&world), Vec::<String>::new());
}

#[test]
fn a_tasks_own_budget_parks_it() {
    let mut world = World::with_tasks(policy(PARK), vec![task("A", "budget = { tokens = 15 }")]);
    world.step();
    world.answer(&run_turn(&world), |effect| EventKind::TurnEnded {
        effect,
        outcome: TurnOutcome::Completed,
        usage: Usage::tokens_alone(20, 0).into(),
    });
    world.answer(&collect(&world), |effect| {
        collected(effect, nothing(HandoffReport::Missing, false))
    });
    assert_eq!(to_the_end(&mut world), EndReason::Blocked);
    let Phase::Parked { reason, .. } = &world.state.tasks()[0].phase() else {
        panic!("it is parked")
    };
    let text = reason.to_string();
    assert!(text.starts_with("its 15 tokens are used up"), "{text}");
}

fn run_turn(world: &World) -> Effect {
    crate::open(world, |what| matches!(what, Effect::RunTurn { .. }))
}

fn collect(world: &World) -> Effect {
    crate::open(world, |what| matches!(what, Effect::Collect { .. }))
}

#[test]
fn work_that_comes_back_waits_for_a_session_and_goes_before_new_work() {
    let tasks = vec![
        task("A", "allow = [\"a\"]"),
        task("B", "allow = [\"b\"]"),
        task("C", "allow = [\"c\"]"),
    ];
    let mut world = World::with_tasks(policy("max_sessions = 1"), tasks);
    // A's first turn is over, so B takes the session; then A's work comes back.
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| matches!(what, Effect::Review { .. }))
    {
        world.step();
    }
    assert_eq!(dispatched(&world), ["A#1", "B#1"]);
    let head = world
        .open_effects()
        .into_iter()
        .find_map(|(_, what)| match what {
            Effect::Review { work, .. } => Some(work.head),
            _ => None,
        });
    let head = head.expect("is open");
    world.answer(
        &crate::open(&world, |what| matches!(what, Effect::Review { .. })),
        |effect| EventKind::Reviewed {
            effect,
            reviews: vec![review(head, vec![crate::world::error()])],
            carried: None,
        },
    );
    Laws::hold_and_replay(&world);
    assert!(
        !world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::RunTurn { turn: 2, .. })),
        "B has the session"
    );
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| matches!(what, Effect::RunTurn { turn: 2, .. }))
    {
        world.step();
        Laws::hold_and_replay(&world);
    }
    assert_eq!(
        dispatched(&world),
        ["A#1", "B#1"],
        "C waits until A is through"
    );
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn review_debt_holds_new_work_back() {
    let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = World::with_tasks(policy("max_sessions = 1\n[limits]\nreview_debt = 1"), tasks);
    // A's turn ends: its slot is free, but its work was not reviewed.
    world.step();
    world.step();
    assert_eq!(dispatched(&world), ["A#1"]);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn a_usage_limit_waits_for_its_reset_and_spends_no_attempt() {
    let mut world = World::with_tasks(policy("[limits]\nattempts = 1"), vec![task("A", "")]);
    world.step();
    let until = Timestamp(world.now + 5000);
    world.answer(&run_turn(&world), |effect| EventKind::TurnEnded {
        effect,
        outcome: TurnOutcome::UsageLimited { until: Some(until) },
        usage: TurnUsage::default(),
    });
    world.answer(&collect(&world), |effect| {
        collected(effect, nothing(HandoffReport::Missing, false))
    });
    assert_eq!(
        wake_at(&world.state, &world.policy, Timestamp(world.now)),
        Some(until)
    );
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), ["A#1"]);
}

#[test]
fn attempts_end_at_their_limit_and_the_task_is_parked_not_dropped() {
    let mut world = World::with_tasks(
        policy("[limits]\nattempts = 2\nturns = 2\nsame_finding = 9\nexhausted = \"park\""),
        vec![task("A", "")],
    );
    let mut turns = 0;
    while world.state.ended().is_none() {
        Laws::hold_and_replay(&world);
        let Some((effect, what)) = world.open_effects().into_iter().next() else {
            world.now += 10_000;
            world.tick();
            continue;
        };
        turns += usize::from(matches!(what, Effect::RunTurn { .. }));
        let event = match &what {
            Effect::Review { work, .. } => EventKind::Reviewed {
                effect,
                reviews: vec![review(
                    work.head,
                    vec![Finding::new(Severity::Error, "x", "y")],
                )],
                carried: None,
            },
            what => world.good(effect, what),
        };
        world.tell(event);
        world.tick();
    }
    assert_eq!((turns, dispatched(&world).len()), (4, 2));
    assert_eq!(world.state.ended(), Some(EndReason::Blocked));
}

#[test]
fn a_conflict_starts_anew_on_the_new_tip_and_a_lost_race_builds_a_new_candidate() {
    let mut world = World::with_tasks(policy("[limits]\nbackoff = \"0ms\""), vec![task("A", "")]);
    for _ in 0..4 {
        world.step();
    }
    let merge = crate::open(&world, |what| matches!(what, Effect::Merge { .. }));
    world.answer(&merge, |effect| EventKind::Merged {
        effect,
        result: Err(MergeFailure::Conflict {
            tip: commit(40),
            paths: vec!["a".parse().expect("a path")],
        }),
    });
    world.tick();
    let bases: Vec<_> = world
        .ledger
        .iter()
        .filter_map(|record| match record {
            Record::Dispatched { base, .. } => Some(*base),
            _ => None,
        })
        .collect();
    assert_eq!(bases, [commit(1), commit(40)]);
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| matches!(what, Effect::Land { .. }))
    {
        world.step();
    }
    let land = crate::open(&world, |what| matches!(what, Effect::Land { .. }));
    world.answer(&land, |effect| EventKind::LandingTried {
        effect,
        outcome: LandingOutcome::TipMoved,
    });
    assert!(
        world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::Merge { .. })),
        "a new candidate is built"
    );
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn a_red_gate_goes_back_with_what_it_printed() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    for _ in 0..5 {
        world.step();
    }
    let gate = crate::open(&world, |what| matches!(what, Effect::RunGate { .. }));
    world.answer(&gate, |effect| gate_ran(effect, &gate, 1));
    // The tip is asked first: what is red there too is not the worker's fault.
    let tip = crate::open(&world, Effect::is_gate_on_tip);
    world.answer(&tip, |effect| gate_ran(effect, &tip, 0));
    let verdict = world.ledger.iter().rev().find_map(|record| match record {
        Record::Judged { verdict, .. } => Some(verdict.clone()),
        _ => None,
    });
    assert!(
        matches!(verdict, Some(Verdict::Revise { findings }) if findings[0].rule == "gate/unit")
    );
    let turn = run_turn(&world);
    assert!(matches!(turn, Effect::RunTurn { turn: 2, .. }), "{turn:?}");
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn what_a_crash_left_open_is_asked_for_again_but_no_agent_is() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    for _ in 0..12 {
        if world.state.ended().is_some() {
            break;
        }
        let mut again = world.clone();
        let turns = |world: &World| {
            world
                .ledger
                .iter()
                .filter(|record| {
                    matches!(
                        record,
                        Record::Requested {
                            what: Effect::RunTurn { .. },
                            ..
                        }
                    )
                })
                .count()
        };
        let before = turns(&again);
        again.open_again();
        let was_working = world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::RunTurn { .. }));
        if was_working {
            assert_eq!(turns(&again), before, "its workspace is looked at first");
            assert!(
                again
                    .open_effects()
                    .iter()
                    .any(|(_, what)| matches!(what, Effect::Collect { .. }))
            );
        }
        assert_eq!(to_the_end(&mut again), EndReason::Complete);
        assert_eq!(dispatched(&again), ["A#1"], "the attempt went on");
        world.step();
    }
    assert!(
        world.state.ended().is_some(),
        "every step was interrupted once"
    );
}

#[test]
fn a_new_run_takes_up_what_an_earlier_one_parked() {
    let mut world = World::with_tasks(
        policy(&format!("{PARK}\nattempts = 1")),
        vec![task("A", "")],
    );
    world.answer(
        &crate::open(&world, |what| matches!(what, Effect::Prepare { .. })),
        |effect| EventKind::Prepared {
            effect,
            failure: Some("disk full".to_owned()),
        },
    );
    assert_eq!(to_the_end(&mut world), EndReason::Blocked);
    world.open_again();
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), ["A#1", "A#2"]);
}

#[test]
fn a_task_that_a_person_ticks_while_it_is_at_work_is_stopped_and_counts_as_landed() {
    let mut world = World::with_tasks(
        policy("max_sessions = 9"),
        vec![
            task("A", "allow = [\"a\"]"),
            task("B", "allow = [\"b\"]\nafter = [\"A\"]"),
        ],
    );
    assert!(world.step(), "its workspace is ready");
    world.tasks[0].done = true;
    world.tell(EventKind::TipSeen(commit(7)));
    world.tick();
    let stop = crate::open(&world, |what| matches!(what, Effect::StopTurn { .. }));
    assert!(
        matches!(
            stop,
            Effect::StopTurn {
                why: StopReason::Withdrawn,
                ..
            }
        ),
        "{stop:?}"
    );
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), ["A#1", "B#1"]);
    let landed = world
        .ledger
        .iter()
        .filter(|record| matches!(record, Record::Landed { .. }))
        .count();
    assert_eq!(landed, 1, "A counts as landed, and was not landed by us");
    let taken_in =
        world.ledger.iter().any(|record| matches!(record, Record::Submitted { attempt, .. } if attempt.task.as_str() == "A"));
    assert!(taken_in, "what was done is kept");
}

#[test]
fn what_needs_a_remote_that_is_away_waits_and_the_rest_goes_on() {
    let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = World::with_tasks(
        policy("max_sessions = 1\n[limits]\nbackoff = \"1m\""),
        tasks,
    );
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| matches!(what, Effect::Merge { .. }))
    {
        assert!(world.step());
    }
    let merge = crate::open(&world, |what| matches!(what, Effect::Merge { .. }));
    let away = |effect| EventKind::Merged {
        effect,
        result: Err(MergeFailure::Unreachable {
            reason: "no route".to_owned(),
        }),
    };
    world.answer(&merge, away);
    let until = world.state.away().expect("is away").until();
    assert_eq!(
        wake_at(&world.state, &world.policy, Timestamp(world.now)),
        Some(until)
    );
    while world.step() {}
    assert_eq!(
        dispatched(&world),
        ["A#1", "B#1"],
        "B was worked on meanwhile"
    );
    assert!(
        world.now < until.0 && world.state.ended().is_none(),
        "both wait"
    );
    world.now = until.0;
    world.tick();
    world.answer(&merge, away);
    assert!(
        world
            .state
            .away()
            .is_some_and(|away| away.tries() == 2 && away.since() < until)
    );
    world.now += 3_600_000;
    world.tick();
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert!(world.state.away().is_none());
}

/// A world in which one agent works, and how many nudges and stops it is told.
struct Silent(World);

impl Silent {
    fn under(policy_text: &str) -> Self {
        let mut world = World::with_tasks(policy(policy_text), vec![task("A", "")]);
        assert!(world.step());
        Self(world)
    }

    fn turn(&self) -> EffectId {
        self.0
            .open_effects()
            .into_iter()
            .find(|(_, what)| matches!(what, Effect::RunTurn { .. }))
            .expect("runs")
            .0
    }

    /// A heartbeat so many seconds later; the last sign of life was so many seconds ago.
    fn seen(&mut self, later: u64, ago: u64, change: impl FnOnce(&mut TurnSight)) -> Pulse {
        self.0.now += later * 1000;
        let (active, usage) = (Timestamp(self.0.now - ago * 1000), Usage::default());
        let mut seen = TurnSight {
            active,
            tool_in_flight: false,
            silence: None,
            alive: None,
            head: None,
            usage,
        };
        change(&mut seen);
        let effect = self.turn();
        self.0.tell(EventKind::TurnSeen { effect, seen });
        let working =
            self.0
                .state
                .task(&"A".parse().expect("an id"))
                .and_then(|entry| match &entry.active()?.step() {
                    Step::Working(working) => Some(working.pulse()),
                    _ => None,
                });
        working.expect("it works")
    }

    /// What the agent was told: nudges, and why it was stopped.
    fn told(&self) -> (usize, Option<StopReason>) {
        let (mut nudges, mut stop) = (0, None);
        for record in &self.0.ledger {
            match record {
                Record::Requested {
                    what: Effect::Nudge { .. },
                    ..
                } => nudges += 1,
                Record::Requested {
                    what: Effect::StopTurn { why, .. },
                    ..
                } => {
                    assert_eq!(stop.replace(*why), None, "it is told once");
                }
                _ => {}
            }
        }
        (nudges, stop)
    }

    fn answer_nudge(&mut self, heard: bool) {
        let nudge = self
            .0
            .open_effects()
            .into_iter()
            .find(|(_, what)| matches!(what, Effect::Nudge { .. }));
        let (effect, _) = nudge.expect("it was nudged");
        self.0.tell(EventKind::Nudged { effect, heard });
    }
}

#[test]
fn a_silence_is_judged_by_what_is_known_of_it() {
    let mut silent = Silent::under("");
    assert_eq!(
        silent.seen(1, 0, |_| {}),
        Pulse::Active,
        "something was heard since the last heartbeat"
    );
    assert_eq!(
        silent.seen(3600, 3600, |_| {}),
        Pulse::Unknown,
        "its silence means nothing"
    );
    assert_eq!(
        silent.seen(1, 30, |seen| seen.silence = Some(Span::secs(60))),
        Pulse::Quiet
    );
    assert_eq!(
        silent.seen(1, 3600, |seen| (seen.silence, seen.tool_in_flight) =
            (Some(Span::secs(60)), true)),
        Pulse::Active
    );
    assert_eq!(
        silent.seen(1, 0, |seen| seen.alive = Some(false)),
        Pulse::Gone
    );
    assert_eq!(silent.told(), (0, None), "its end may be on the way");
    assert_eq!(
        silent.seen(1, 0, |seen| seen.alive = Some(true)),
        Pulse::Active
    );
    assert_eq!(
        silent.seen(1, 60, |seen| seen.silence = Some(Span::secs(60))),
        Pulse::Stalled
    );

    let mut silent = Silent::under("[limits]\nstall = \"10m\"");
    assert_eq!(
        silent.seen(599, 599, |seen| seen.silence = Some(Span::secs(60))),
        Pulse::Quiet,
        "a person's limit holds"
    );
    assert_eq!(
        silent.seen(1, 600, |_| {}),
        Pulse::Stalled,
        "for every agent"
    );
}

#[test]
fn who_is_silent_for_too_long_is_nudged_and_then_stopped() {
    let mut silent = Silent::under("[limits]\nstall = \"10m\"");
    silent.seen(600, 600, |_| {});
    assert_eq!(silent.told(), (1, None));
    silent.answer_nudge(true);
    assert_eq!(
        silent.seen(599, 1199, |_| {}),
        Pulse::Quiet,
        "it gets as long again"
    );
    assert_eq!(silent.told(), (1, None));
    assert_eq!(silent.seen(1, 1200, |_| {}), Pulse::Stalled);
    assert_eq!(silent.told(), (1, Some(StopReason::Stalled)));

    let mut silent = Silent::under("[limits]\nstall = \"10m\"");
    silent.seen(600, 600, |_| {});
    silent.answer_nudge(false);
    assert_eq!(
        silent.told(),
        (1, Some(StopReason::Stalled)),
        "it cannot be spoken to"
    );

    let mut silent = Silent::under("[limits]\nstall = \"10m\"\nnudges = 0");
    silent.seen(600, 600, |_| {});
    assert_eq!(silent.told(), (0, Some(StopReason::Stalled)));

    let mut silent = Silent::under("[limits]\nstall = \"10m\"\nnudges = 2");
    silent.seen(600, 600, |_| {});
    silent.answer_nudge(true);
    assert_eq!(silent.seen(300, 10, |_| {}), Pulse::Active, "it went on");
    silent.seen(600, 610, |_| {});
    assert_eq!(silent.told(), (2, None));
    silent.answer_nudge(true);
    silent.seen(600, 1210, |_| {});
    assert_eq!(silent.told(), (2, Some(StopReason::Stalled)));
}

#[test]
fn a_turn_whose_process_is_gone_and_that_does_not_end_is_stopped() {
    let mut silent = Silent::under("");
    assert_eq!(
        silent.seen(15, 0, |seen| seen.alive = Some(false)),
        Pulse::Gone
    );
    assert_eq!(
        silent.seen(15, 0, |seen| seen.alive = Some(false)),
        Pulse::Gone
    );
    assert_eq!(silent.told(), (0, Some(StopReason::Gone)));
    silent.seen(15, 0, |seen| seen.alive = Some(false));
    assert_eq!(silent.told(), (0, Some(StopReason::Gone)));
}
