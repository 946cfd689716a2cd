//! Another agent takes over while a task's own cannot be used.

use orchestrator_core::model::{
    Answer, Collected, CommitId, Effect, EffectId, EndReason, EventKind, Failover, HandoffReport,
    HoldOption, HoldReason, Obstacle, Record, RunMode, SessionRef, Submission, Timestamp, Trouble,
    TurnOutcome, TurnUsage,
};

use crate::to_the_end;
use crate::world::{World, collected, commit, nothing, policy, submission, task, task_id};

const AGENTS: &str = "default_agent = \"one\"\nmax_sessions = 2\n\
    [agents.one]\nkind = \"robot\"\nfailover = [\"two\", \"three\"]\n\
    [agents.two]\nkind = \"robot\"\n[agents.three]\nkind = \"robot\"\n";

fn world(tasks: &[(&str, &str)]) -> World {
    let tasks = tasks.iter().map(|(id, keys)| task(id, keys)).collect();
    World::with_tasks(policy(AGENTS), tasks)
}

fn open(world: &World, of: fn(&Effect) -> bool) -> Option<EffectId> {
    let mut open = world.open_effects().into_iter();
    open.find(|(_, what)| of(what)).map(|(effect, _)| effect)
}

fn is_turn(what: &Effect) -> bool {
    matches!(what, Effect::RunTurn { .. })
}

/// Goes on until an agent works.
fn until_turn(world: &mut World) {
    while open(world, is_turn).is_none() {
        assert!(world.step(), "it comes to a turn");
    }
}

/// The next turn ends so, with this head and no handoff.
fn cut_off(world: &mut World, outcome: TurnOutcome, head: Option<CommitId>) {
    until_turn(world);
    let effect = open(world, is_turn).expect("is open");
    let session = SessionRef("s".to_owned());
    world.tell(EventKind::SessionSeen { effect, session });
    let usage = TurnUsage::default();
    world.tell(EventKind::TurnEnded {
        effect,
        outcome,
        usage,
    });
    world.tick();
    let left = match head {
        Some(head) => Collected::Work(Submission {
            handoff: HandoffReport::Missing,
            ..submission(head)
        }),
        None => nothing(HandoffReport::Missing, true),
    };
    let effect = open(world, |what| matches!(what, Effect::Collect { .. })).expect("is open");
    world.tell(collected(effect, left));
    world.tick();
}

fn limited(world: &World) -> TurnOutcome {
    TurnOutcome::UsageLimited {
        until: Some(Timestamp(world.now + 60_000)),
    }
}

fn login() -> TurnOutcome {
    TurnOutcome::Authentication {
        reason: "words".to_owned(),
    }
}

/// Each dispatch: the attempt, its agent, and in place of which.
fn dispatched(world: &World) -> Vec<(String, String, Option<String>)> {
    let dispatched = world.ledger.iter().filter_map(|record| match record {
        Record::Dispatched {
            attempt,
            contract,
            failover,
            ..
        } => Some((
            attempt.to_string(),
            contract.agent.to_string(),
            failover.as_ref().map(|failover| failover.from.to_string()),
        )),
        _ => None,
    });
    dispatched.collect()
}

fn row(attempt: &str, agent: &str, from: Option<&str>) -> (String, String, Option<String>) {
    (
        attempt.to_owned(),
        agent.to_owned(),
        from.map(str::to_owned),
    )
}

#[test]
fn failover_goes_to_the_first_that_can_be_used_and_is_in_the_acceptance() {
    for outcome in [
        TurnOutcome::UsageLimited { until: None },
        TurnOutcome::Overloaded {
            reason: "words".to_owned(),
        },
        login(),
        TurnOutcome::Misconfigured {
            reason: "words".to_owned(),
        },
        TurnOutcome::Drifted {
            detail: "words".to_owned(),
        },
    ] {
        let mut world = world(&[("A", "")]);
        cut_off(&mut world, outcome.clone(), None);
        assert_eq!(to_the_end(&mut world), EndReason::Complete, "{outcome}");
        let expected = [row("A#1", "one", None), row("A#2", "two", Some("one"))];
        assert_eq!(dispatched(&world), expected, "{outcome}");
        let accepted = world.ledger.iter().find_map(|record| match record {
            Record::Accepted { landing } => Some(landing.acceptance.failover.clone()),
            _ => None,
        });
        let accepted: Failover = accepted.flatten().expect("it says by whom");
        assert_eq!(accepted.from.as_str(), "one");
        let holds = world.state.holds().count();
        assert_eq!(holds, 0, "nobody waits for a person: {outcome}");
        let entry = world.state.task(&task_id("A")).expect("is there");
        assert_eq!((entry.counted(), entry.passed_on()), (1, 1), "{outcome}");
    }
}

#[test]
fn failover_passes_over_agents_that_cannot_be_used_either() {
    let mut world = world(&[("A", "")]);
    for _ in 0..2 {
        let outcome = limited(&world);
        cut_off(&mut world, outcome, None);
    }
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    let expected = [
        row("A#1", "one", None),
        row("A#2", "two", Some("one")),
        row("A#3", "three", Some("one")),
    ];
    assert_eq!(dispatched(&world), expected);
}

#[test]
fn failover_follows_the_lists_of_those_that_take_over() {
    let agents = AGENTS.replace("[\"two\", \"three\"]", "[\"two\"]");
    let agents = agents.replace("[agents.two]", "[agents.two]\nfailover = [\"three\"]");
    let mut world = World::with_tasks(policy(&agents), vec![task("A", "")]);
    for _ in 0..2 {
        let outcome = limited(&world);
        cut_off(&mut world, outcome, None);
    }
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world)[2], row("A#3", "three", Some("one")));
}

#[test]
fn failover_works_both_ways_between_two_agents() {
    let agents = "default_agent = \"one\"\nmax_sessions = 2\n\
        [agents.one]\nkind = \"robot\"\nfailover = [\"two\"]\n\
        [agents.two]\nkind = \"robot\"\nfailover = [\"one\"]\n";
    for (own, other) in [("one", "two"), ("two", "one")] {
        let tasks = vec![task("A", &format!("agent = \"{own}\""))];
        let mut world = World::with_tasks(policy(agents), tasks);
        cut_off(&mut world, login(), None);
        assert_eq!(to_the_end(&mut world), EndReason::Complete);
        let expected = [row("A#1", own, None), row("A#2", other, Some(own))];
        assert_eq!(dispatched(&world), expected);
    }
    // Where both need a person, the search ends.
    let mut world = World::with_tasks(policy(agents), vec![task("A", "")]);
    for _ in 0..2 {
        cut_off(&mut world, login(), None);
    }
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
}

#[test]
fn failover_ends_when_the_agent_is_well_again() {
    let mut world = world(&[
        ("A", "allow = [\"a\"]"),
        ("B", "allow = [\"b\"]\nafter = [\"A\"]"),
    ]);
    let outcome = limited(&world);
    cut_off(&mut world, outcome, None);
    until_turn(&mut world);
    world.now += 60_000;
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    let expected = [
        row("A#1", "one", None),
        row("A#2", "two", Some("one")),
        row("B#1", "one", None),
    ];
    assert_eq!(dispatched(&world), expected);
}

#[test]
fn failover_is_only_for_agents_that_have_a_list() {
    let mut world = world(&[("A", "agent = \"two\"")]);
    let outcome = limited(&world);
    cut_off(&mut world, outcome, None);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), [row("A#1", "two", None)]);
}

#[test]
fn session_with_a_commit_waits_for_an_agent_that_comes_back() {
    let mut world = world(&[("A", "")]);
    let outcome = limited(&world);
    cut_off(&mut world, outcome, Some(commit(50)));
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), [row("A#1", "one", None)]);
}

#[test]
fn session_with_a_commit_leaves_it_to_another_where_its_agent_needs_a_person() {
    let mut world = world(&[("A", "")]);
    cut_off(&mut world, login(), Some(commit(50)));
    until_turn(&mut world);
    let entry = world.state.task(&task_id("A")).expect("is there");
    let attempt = entry.active().expect("is under way").attempt();
    let left = attempt.predecessor().expect("the commit is left");
    assert_eq!(left.head, commit(50));
    assert_eq!(left.obstacle, Obstacle::Unfinished);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    let expected = [row("A#1", "one", None), row("A#2", "two", Some("one"))];
    assert_eq!(dispatched(&world), expected);
}

#[test]
fn failover_in_the_middle_of_attempts_has_a_bound_and_then_a_person_is_asked() {
    let mut world = world(&[("A", "")]);
    for number in 1..=4 {
        cut_off(&mut world, login(), None);
        // Each agent is mended as soon as another has begun: the task would go round for ever.
        if number < 4 {
            until_turn(&mut world);
            let agents: Vec<_> = ["one", "two", "three"]
                .iter()
                .map(|name| name.parse().expect("a name"))
                .filter(|name| {
                    let known = world.state.agent(name);
                    known.is_some_and(|known| known.trouble().is_some())
                })
                .collect();
            for agent in agents {
                let record = Record::AgentRecovered {
                    agent,
                    at: Timestamp(world.now),
                    from: None,
                };
                orchestrator_core::machine::apply(&mut world.state, &record).expect("fits");
            }
        }
    }
    let [hold] = &world.state.holds().cloned().collect::<Vec<_>>()[..] else {
        panic!("one question")
    };
    assert!(matches!(hold.about, HoldReason::Agent { .. }), "{hold:?}");
    assert_eq!(dispatched(&world).len(), 4);
}

#[test]
fn agent_is_asked_about_when_nobody_can_take_over() {
    let mut world = world(&[("A", "")]);
    for _ in 0..3 {
        cut_off(&mut world, login(), None);
    }
    let hold = world.state.holds().next().cloned().expect("a question");
    let HoldReason::Agent { agent, trouble } = &hold.about else {
        panic!("{hold:?}")
    };
    assert!(matches!(trouble, Trouble::Login { .. }), "of {agent}");
    world.tell(EventKind::Answered(Answer::new(hold.id, HoldOption::Retry)));
    world.open_again();
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn drain_begins_no_attempt_of_another_agent() {
    let mut world = world(&[("A", "")]);
    until_turn(&mut world);
    world.tell(EventKind::ModeAsked(RunMode::Drain));
    cut_off(&mut world, login(), None);
    assert_eq!(dispatched(&world), [row("A#1", "one", None)]);
    assert_eq!(world.state.holds().count(), 1, "a person is asked");
}
