//! What becomes of a question when task or policy make another contract of the attempt that is asked about.

use orchestrator_core::model::{
    Answer, Contract, Effect, EventKind, HoldOption, HoldReason, Policy, Record, Task,
};

use crate::{
    gate_ran, to_the_end,
    world::{Laws, World, policy, task},
};

const BROKEN: &str = "[gates.unit]\nrun = [\"tpyo\"]\ndefault = true";

/// A world whose only default gate cannot pass, here or on the target, until a person is asked.
fn stuck(tasks: Vec<Task>) -> World {
    let mut world = waiting(Policy::parse(BROKEN).expect("a policy"), tasks);
    while world.state.holds().next().is_none() {
        assert!(step_broken(&mut world), "it comes to a question");
    }
    world
}

/// Closes the first open effect, where all goes well but gates. False when none is open.
fn step_broken(world: &mut World) -> bool {
    let Some((effect, what)) = world.open_effects().into_iter().next() else {
        return false;
    };
    let event = match &what {
        Effect::RunGate { .. } => gate_ran(effect, &what, 1),
        _ => world.good(effect, &what),
    };
    world.tell(event);
    world.tick();
    Laws::hold_and_replay(world);
    true
}

/// A run that waits for answers.
fn waiting(policy: Policy, tasks: Vec<Task>) -> World {
    let mut world = World::new(policy);
    world.tasks = tasks;
    start(&mut world);
    world
}

/// The orchestrator starts, and reads the roadmap.
fn start(world: &mut World) {
    world.open(true);
    let is_read = |what: &Effect| matches!(what, Effect::ReadRoadmap { .. });
    let mut open = world.open_effects().into_iter();
    let (effect, read) = open.find(|(_, what)| is_read(what)).expect("is asked for");
    let event = world.good(effect, &read);
    world.tell(event);
    world.tick();
}

/// The same run goes on under another policy.
fn restarted_with(world: &mut World, policy: Policy) {
    world.policy = policy;
    start(world);
}

fn answer(world: &mut World, option: HoldOption) {
    let hold = world.state.holds().next().expect("somebody is asked").id;
    world.tell(EventKind::Answered(Answer::new(hold, option)));
    world.tick();
}

fn question(world: &World) -> String {
    let hold = world.state.holds().next().expect("somebody is asked");
    hold.question()
}

fn turns(world: &World) -> usize {
    let is_turn = |record: &&Record| matches!(record, Record::Requested { what, .. } if matches!(what, Effect::RunTurn { .. }));
    world.ledger.iter().filter(is_turn).count()
}

fn adopted(world: &World) -> Vec<&Contract> {
    let contracts = world.ledger.iter().filter_map(|record| match record {
        Record::ContractAdopted { contract, .. } => Some(&**contract),
        _ => None,
    });
    contracts.collect()
}

#[test]
fn gate_that_was_fixed_in_the_policy_is_adopted_without_another_turn() {
    let mut world = stuck(vec![task("A", "")]);
    assert!(!question(&world).contains("adopt"), "{}", question(&world));
    restarted_with(&mut world, policy(""));
    assert!(
        question(&world).contains("`gates` has changed: `adopt` judges the same work by that"),
        "{}",
        question(&world)
    );
    answer(&mut world, HoldOption::Adopt);
    to_the_end(&mut world);
    assert!(world.state.tasks()[0].has_landed());
    assert_eq!(turns(&world), 1, "no agent is paid again");
    let gates = adopted(&world)
        .into_iter()
        .flat_map(|contract| &contract.gates);
    let runs: Vec<_> = gates.map(|gate| gate.run.join(" ")).collect();
    assert_eq!(
        runs,
        [policy("").gates.values().next().expect("one").run.join(" ")]
    );
}

#[test]
fn adopt_is_no_answer_where_nothing_has_changed() {
    let mut world = stuck(vec![task("A", "")]);
    answer(&mut world, HoldOption::Adopt);
    assert!(world.state.holds().next().is_some());
    assert!(matches!(
        world.ledger.last(),
        Some(Record::AnswerRefused { .. })
    ));
}

#[test]
fn red_target_is_asked_about_once_and_the_new_gate_holds_for_all_that_wait() {
    let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = stuck(tasks);
    while step_broken(&mut world) {}
    restarted_with(&mut world, policy(""));
    answer(&mut world, HoldOption::Adopt);
    to_the_end(&mut world);
    assert_eq!((adopted(&world).len(), turns(&world)), (2, 2));
    assert!(
        world
            .state
            .tasks()
            .iter()
            .all(orchestrator_core::machine::TaskEntry::has_landed)
    );
}

#[test]
fn claim_that_was_fixed_in_the_roadmap_is_adopted() {
    let claim = |surface: &str| {
        let claims = format!("claims = [{{ id = \"c\", text = \"t\", surface = \"{surface}\" }}]");
        task("A", &claims)
    };
    let mut world = waiting(policy(""), vec![claim("device")]);
    while world.state.holds().next().is_none() {
        assert!(world.step());
    }
    let about = &world.state.holds().next().expect("asked").about;
    assert_eq!(*about, HoldReason::Unproven);
    world.tasks = vec![claim("repo")];
    start(&mut world);
    assert!(
        question(&world).contains("`claims` has changed"),
        "{}",
        question(&world)
    );
    // Who writes it back takes the offer back.
    world.tasks = vec![claim("device")];
    start(&mut world);
    assert!(!question(&world).contains("adopt"), "{}", question(&world));
    world.tasks = vec![claim("repo")];
    start(&mut world);
    answer(&mut world, HoldOption::Adopt);
    let reviews = world.open_effects();
    let contract = reviews.iter().find_map(|(_, what)| match what {
        Effect::Review { contract, .. } => Some(contract),
        _ => None,
    });
    let claims = &contract.expect("it is reviewed again").claims;
    assert_eq!(claims[0].surface.as_str(), "repo");
    assert_eq!(turns(&world), 1);
}

#[test]
fn other_words_for_a_task_are_no_other_contract() {
    let mut world = stuck(vec![task("A", "")]);
    world.tasks[0].text = "something else".to_owned();
    start(&mut world);
    assert!(!question(&world).contains("adopt"), "{}", question(&world));
}

#[test]
fn paths_of_another_attempt_are_not_adopted() {
    let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = waiting(policy(""), tasks);
    // A is asked about a red target while B works.
    loop {
        if world.state.holds().next().is_some() {
            break;
        }
        let open = world.open_effects().into_iter();
        let mut of_a = open.filter(|(_, what)| {
            what.attempt()
                .is_none_or(|attempt| attempt.task.as_str() == "A")
        });
        let (effect, what) = of_a.next().expect("A goes on");
        let event = match &what {
            Effect::RunGate { .. } => gate_ran(effect, &what, 1),
            _ => world.good(effect, &what),
        };
        world.tell(event);
        world.tick();
    }
    let wider = task("A", "allow = [\"a\", \"b\"]");
    world.tasks[0] = wider;
    start(&mut world);
    answer(&mut world, HoldOption::Adopt);
    let refused = world.ledger.iter().rev().find_map(|record| match record {
        Record::AnswerRefused { why, .. } => Some(why.to_string()),
        _ => None,
    });
    let refused = refused.expect("it is refused");
    assert!(refused.contains("those of B"), "{refused}");
}
