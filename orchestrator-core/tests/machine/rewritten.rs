//! The target is rewritten under a run (law 15).

use orchestrator_core::{
    machine::{Phase, Step},
    model::{
        Answer, Carried, CommitId, Effect, EventKind, HoldId, HoldOption, HoldReason, MergeFailure,
        Reading, Record, Roadmap, Task,
    },
};

use crate::world::{Laws, World, change, commit, policy, roadmap, submission, task, task_id};

/// A run that goes on while people are asked, in which these tasks have landed.
fn landed(tasks: Vec<Task>) -> World {
    let mut world = World::with_tasks(policy(""), tasks);
    world.open(true);
    while world.step() {}
    world
        .state
        .tasks()
        .iter()
        .for_each(|entry| assert!(entry.has_landed(), "{}", entry.task().id));
    world
}

fn landing(world: &World, task: &str) -> CommitId {
    match &world.state.task(&task_id(task)).expect("a task").phase() {
        Phase::Landed(landed) => landed.commit().expect("a commit"),
        other => panic!("{task} has not landed: {other:?}"),
    }
}

/// A new run begins. Since the last, the target has lost its tip and these landings, and with them
/// their ticks.
fn rewrite(world: &mut World, landings: &[&str], tip: u64) {
    world.dropped.extend(world.state.tip());
    for task in landings {
        world.dropped.insert(landing(world, task));
    }
    open_at(world, tip, |task| !landings.contains(&task));
}

/// A new run begins, and reads the roadmap at this tip.
fn open_at(world: &mut World, tip: u64, done: impl Fn(&str) -> bool) {
    let mut tasks = world.tasks.clone();
    for task in &mut tasks {
        task.done = done(task.id.as_str());
    }
    world.open(true);
    world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
        let read = Roadmap {
            tip: commit(tip),
            ..roadmap(tasks)
        };
        EventKind::RoadmapRead {
            effect,
            reading: Reading::Read(read),
        }
    });
}

fn about(world: &World) -> Vec<(String, bool)> {
    let of_landing = |reason: &HoldReason| matches!(reason, HoldReason::LandingDropped { .. });
    world
        .state
        .holds()
        .map(|hold| (hold.task.to_string(), of_landing(&hold.about)))
        .collect()
}

fn say(world: &mut World, hold: u32, option: HoldOption) {
    world.tell(EventKind::Answered(
        Answer::new(HoldId(hold), option).with_note("a word"),
    ));
    world.tick();
}

#[test]
fn landing_dropped_from_the_target_asks_a_person_and_is_not_done_again_unasked() {
    let mut world = landed(vec![
        task("A", ""),
        task("B", "after = [\"A\"]"),
        task("C", ""),
    ]);
    let before = world.state.run().expect("a run").attempts();
    rewrite(&mut world, &["B", "C"], 50);
    assert_eq!(
        about(&world),
        [("B".to_owned(), true), ("C".to_owned(), true)],
        "A is still there"
    );
    while world.step() {}
    assert_eq!(
        world.state.run().expect("a run").attempts(),
        0,
        "{before} attempts before, none since"
    );
    assert_eq!(world.state.ended(), None, "a person can still answer");
    Laws::hold_and_replay(&world);
}

#[test]
fn landing_dropped_from_the_target_is_done_again_counts_or_is_parked_as_a_person_says() {
    let asked = || {
        let mut world = landed(vec![task("A", "")]);
        rewrite(&mut world, &["A"], 50);
        world
    };
    let mut world = asked();
    say(&mut world, 1, HoldOption::Retry);
    let entry = world.state.task(&task_id("A")).expect("a task");
    let attempt = entry.active().expect("another attempt").attempt();
    assert_eq!((attempt.id().number, attempt.advice()), (2, Some("a word")));
    assert_eq!(attempt.base(), commit(50));

    let mut world = asked();
    say(&mut world, 1, HoldOption::Approve);
    assert!(
        world
            .state
            .task(&task_id("A"))
            .expect("a task")
            .has_landed()
    );
    while world.step() {}
    world.dropped.insert(commit(50));
    open_at(&mut world, 51, |_| false);
    assert_eq!(about(&world), [], "a person has said that it counts");

    let mut world = asked();
    say(&mut world, 1, HoldOption::Park);
    let phase = &world.state.task(&task_id("A")).expect("a task").phase();
    assert!(matches!(phase, Phase::Parked { .. }), "{phase:?}");
}

#[test]
fn landing_that_the_target_has_again_is_no_question_any_more() {
    let mut world = landed(vec![task("A", "")]);
    rewrite(&mut world, &["A"], 50);
    assert_eq!(about(&world).len(), 1);
    world.dropped.clear();
    world.tell(EventKind::TipSeen(commit(51)));
    world.tick();
    assert_eq!(about(&world), []);
    assert!(
        world
            .state
            .task(&task_id("A"))
            .expect("a task")
            .has_landed()
    );
    Laws::hold_and_replay(&world);
}

#[test]
fn landing_found_again_as_another_commit_stays_landed() {
    let mut world = landed(vec![task("A", "")]);
    let (was, tip) = (landing(&world, "A"), world.state.tip().expect("a tip"));
    world.open(true);
    let (effect, what) = world.open_effects().remove(0);
    let read = world.good(effect, &what);
    world.tell(read);
    world.tell(EventKind::TipSeen(commit(50)));
    for again in [None, Some(commit(40))] {
        world.tell(EventKind::Tick);
        let checks = |what: &Effect| matches!(what, Effect::CheckHistory { .. });
        let mut open = world.open_effects().into_iter();
        let (effect, what) = open
            .find(|(_, what)| checks(what))
            .expect("it is asked for");
        let Effect::CheckHistory { commits, .. } = what else {
            panic!("no look at history")
        };
        assert!(commits.contains(&was));
        let gone = orchestrator_core::model::MissingCommit { commit: was, again };
        assert_eq!(was, tip);
        world.tell(EventKind::HistoryChecked {
            effect,
            missing: vec![gone],
        });
    }
    assert_eq!(
        (landing(&world, "A"), about(&world)),
        (commit(40), Vec::new())
    );
}

#[test]
fn work_on_a_dropped_base_is_carried_over_and_judged_again_without_another_turn() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "approve = [\"landing\"]")]);
    let merges = |what: &Effect| matches!(what, Effect::Merge { .. });
    while !world.open_effects().iter().any(|(_, what)| merges(what)) {
        assert!(world.step());
    }
    let (effect, what) = world.open_effects().remove(0);
    let Effect::Merge { base, head, .. } = what else {
        panic!("it is merged")
    };
    assert_eq!(base, commit(1));
    let changes = vec![change("a")];
    let carried = Carried {
        onto: commit(50),
        head: commit(51),
        tree: submission(head).tree,
        changes,
        left_out: Vec::new(),
    };
    let dropped = MergeFailure::CarriedOver(carried);
    world.tell(EventKind::Merged {
        effect,
        result: Err(dropped),
    });
    world.tick();
    let entry = world.state.task(&task_id("A")).expect("a task");
    let active = entry.active().expect("it goes on");
    let Step::Review { work, .. } = &active.step() else {
        panic!("it is reviewed: {:?}", active.step())
    };
    assert_eq!(
        (work.base, work.head, work.worker_head()),
        (commit(50), commit(51), head)
    );
    assert!(active.attempt().grants().is_empty() && active.attempt().waivers().is_empty());
    world.step();
    let (_, what) = world.open_effects().remove(0);
    assert!(
        matches!(what, Effect::Merge { base, head, .. } if (base, head) == (commit(50), commit(51))),
        "{what:?}"
    );
    let turns = world
        .ledger
        .iter()
        .filter(|record| matches!(record, Record::TurnEnded { .. }));
    assert_eq!(turns.count(), 1);
    Laws::hold_and_replay(&world);
}
