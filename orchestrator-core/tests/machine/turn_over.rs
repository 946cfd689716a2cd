//! What follows from the end of a turn: work that nobody said to be complete, sessions that go on, and agents that cannot be used.

use orchestrator_core::model::{
    Answer, Collected, CommitId, Completion, Effect, EffectId, EndReason, EventKind, HandoffReport,
    Hold, HoldOption, HoldReason, Obstacle, Record, SessionRef, Submission, Timestamp, Trouble,
    TurnOutcome, TurnUsage,
};

use crate::to_the_end;
use crate::world::{World, collected, commit, nothing, policy, submission, task};

/// The first open effect of a kind.
fn open(world: &World, of: fn(&Effect) -> bool) -> EffectId {
    let found = world.open_effects().into_iter().find(|(_, what)| of(what));
    found.expect("it is open").0
}

fn is_turn(what: &Effect) -> bool {
    matches!(what, Effect::RunTurn { .. })
}

fn is_collect(what: &Effect) -> bool {
    matches!(what, Effect::Collect { .. })
}

/// Goes on until an agent works.
fn until_turn(world: &mut World) {
    while !world.open_effects().iter().any(|(_, what)| is_turn(what)) {
        assert!(world.step(), "it comes to a turn");
    }
}

/// The first turn that runs names its session and ends so.
fn end_turn(world: &mut World, outcome: TurnOutcome) {
    let effect = open(world, is_turn);
    let session = SessionRef("s".to_owned());
    world.tell(EventKind::SessionSeen { effect, session });
    let usage = TurnUsage::default();
    world.tell(EventKind::TurnEnded {
        effect,
        outcome,
        usage,
    });
    world.tick();
}

fn collect(world: &mut World, result: Collected) {
    let effect = open(world, is_collect);
    world.tell(collected(effect, result));
    world.tick();
}

/// A commit without a handoff.
fn half(head: CommitId) -> Collected {
    Collected::Work(Submission {
        handoff: HandoffReport::Missing,
        ..submission(head)
    })
}

/// A turn that ends so, and leaves a commit without a handoff.
fn cut_off(world: &mut World, outcome: TurnOutcome) {
    until_turn(world);
    end_turn(world, outcome);
    collect(world, half(commit(50)));
}

fn count(world: &World, of: fn(&Record) -> bool) -> usize {
    world.ledger.iter().filter(|record| of(record)).count()
}

fn dispatched(world: &World) -> usize {
    count(world, |record| matches!(record, Record::Dispatched { .. }))
}

fn turns(world: &World) -> usize {
    count(
        world,
        |record| matches!(record, Record::Requested { what, .. } if is_turn(what)),
    )
}

fn holds(world: &World) -> Vec<Hold> {
    world.state.holds().cloned().collect()
}

/// By whom the landed work was confirmed to be complete.
fn completion(world: &World) -> Option<Completion> {
    world.ledger.iter().find_map(|record| match record {
        Record::Accepted { landing } => landing.acceptance.completion.clone(),
        _ => None,
    })
}

fn words() -> String {
    "words".to_owned()
}

#[test]
fn session_goes_on_after_a_limit_an_outage_or_a_restart() {
    let now = Some(Timestamp(5000));
    for outcome in [
        TurnOutcome::UsageLimited { until: now },
        TurnOutcome::UsageLimited { until: None },
        TurnOutcome::Overloaded { reason: words() },
        TurnOutcome::Interrupted,
    ] {
        for result in [half(commit(50)), nothing(HandoffReport::Missing, true)] {
            let rules = policy("[limits]\nattempts = 1");
            let mut world = World::with_tasks(rules, vec![task("A", "")]);
            until_turn(&mut world);
            end_turn(&mut world, outcome.clone());
            collect(&mut world, result);
            assert_eq!(to_the_end(&mut world), EndReason::Complete, "{outcome}");
            assert_eq!((dispatched(&world), turns(&world)), (1, 2), "{outcome}");
            assert_eq!(completion(&world), Some(Completion::Handoff), "{outcome}");
            let resumed = world.ledger.iter().any(|record| {
                matches!(record, Record::Requested { what: Effect::RunTurn { resume, turn: 2, .. }, .. } if resume.is_some())
            });
            assert!(resumed, "{outcome}");
        }
    }
}

#[test]
fn session_goes_on_at_most_three_times_in_a_row_from_one_commit() {
    for outcome in [TurnOutcome::Interrupted, TurnOutcome::Stopped] {
        let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
        for _ in 0..4 {
            cut_off(&mut world, outcome.clone());
        }
        assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
        let [hold] = &holds(&world)[..] else {
            panic!("one question")
        };
        assert!(
            matches!(hold.about, HoldReason::Incomplete { .. }),
            "{hold:?}"
        );
        assert_eq!((dispatched(&world), turns(&world)), (1, 4));
    }
}

#[test]
fn session_that_commits_between_may_go_on_again() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    for head in 50..58 {
        until_turn(&mut world);
        end_turn(&mut world, TurnOutcome::Interrupted);
        collect(&mut world, half(commit(head)));
    }
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!((dispatched(&world), turns(&world)), (1, 9));
}

#[test]
fn work_cut_off_for_good_is_reviewed_and_lands_by_a_persons_word() {
    for outcome in [
        TurnOutcome::NeedsInput { question: words() },
        TurnOutcome::Refused { reason: words() },
        TurnOutcome::CapReached { cap: words() },
        TurnOutcome::Drifted { detail: words() },
    ] {
        let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
        cut_off(&mut world, outcome.clone());
        assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
        let [hold] = &holds(&world)[..] else {
            panic!("one question: {outcome}")
        };
        assert!(
            matches!(hold.about, HoldReason::Incomplete { .. }),
            "{hold:?}"
        );
        let ended = match outcome {
            TurnOutcome::NeedsInput { .. } => {
                "turn 1 was ended by the agent with a question: words"
            }
            TurnOutcome::Refused { .. } => "turn 1 was declined by the agent: words",
            _ => "turn 1 was cut off",
        };
        assert!(hold.question().contains(ended), "{}", hold.question());
        assert_eq!(turns(&world), 1, "{outcome}");

        world.open(true);
        let answer = Answer::new(hold.id, HoldOption::Approve).with_name("Ada");
        world.tell(EventKind::Answered(answer));
        assert_eq!(to_the_end(&mut world), EndReason::Complete);
        let by = completion(&world);
        assert!(
            matches!(&by, Some(Completion::Person(decision)) if decision.by.as_deref() == Some("Ada")),
            "{by:?}"
        );
    }
}

#[test]
fn work_cut_off_goes_on_in_its_session_by_a_persons_word() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    cut_off(&mut world, TurnOutcome::NeedsInput { question: words() });
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let hold = holds(&world)[0].id;
    world.open(true);
    let answer = Answer::new(hold, HoldOption::Retry).with_note("yes, all of them");
    world.tell(EventKind::Answered(answer));
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!((dispatched(&world), turns(&world)), (1, 2));
}

#[test]
fn turn_without_a_handoff_is_asked_for_it_once_then_a_person() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    cut_off(&mut world, TurnOutcome::Completed);
    cut_off(&mut world, TurnOutcome::Completed);
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let question = holds(&world)[0].question();
    assert!(question.contains("ended without a handoff"), "{question}");
    assert_eq!(turns(&world), 2);
}

#[test]
fn turn_without_a_handoff_is_complete_by_its_exit_status_where_the_policy_says_so() {
    let rules = "[agents.agent]\nkind = \"command\"\nrun = [\"x\"]\ndone = \"exit\"\n";
    let mut world = World::with_tasks(policy(rules), vec![task("A", "")]);
    cut_off(&mut world, TurnOutcome::Completed);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(completion(&world), Some(Completion::ExitStatus));

    let mut world = World::with_tasks(policy(rules), vec![task("A", "")]);
    cut_off(&mut world, TurnOutcome::Crashed { detail: words() });
    assert_eq!(
        count(&world, |record| matches!(record, Record::Submitted { .. })),
        0
    );
}

#[test]
fn crash_with_a_commit_goes_on_once_then_leaves_it_to_another_attempt() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    cut_off(&mut world, TurnOutcome::Crashed { detail: words() });
    assert_eq!(dispatched(&world), 1);
    cut_off(&mut world, TurnOutcome::Crashed { detail: words() });
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!((dispatched(&world), turns(&world)), (2, 3));
}

#[test]
fn agent_that_cannot_resume_leaves_its_commit_to_another_attempt() {
    let agents = [("agent", false)];
    for (outcome, counts) in [
        (TurnOutcome::ContextFull, true),
        (TurnOutcome::SessionLost, true),
        (TurnOutcome::UsageLimited { until: None }, false),
    ] {
        let mut world = World::with_agents(policy(""), vec![task("A", "")], &agents);
        cut_off(&mut world, outcome.clone());
        let left = world.ledger.iter().find_map(|record| match record {
            Record::AttemptEnded { left, counts, .. } => Some((left.clone()?, *counts)),
            _ => None,
        });
        let (left, counted) = left.expect("it leaves something");
        assert_eq!(
            (left.head, left.obstacle),
            (commit(50), Obstacle::Unfinished)
        );
        assert_eq!(counted, counts, "{outcome}");
        assert_eq!(to_the_end(&mut world), EndReason::Complete);
    }
}

#[test]
fn claims_that_the_handoff_leaves_out_are_asked_for_once_then_stay_blocked() {
    let keys = "claims = [{ id = \"c\", text = \"t\" }]";
    let silent = || Collected::Work(submission(commit(50)));
    let mut world = World::with_tasks(policy(""), vec![task("A", keys)]);
    until_turn(&mut world);
    end_turn(&mut world, TurnOutcome::Completed);
    collect(&mut world, silent());
    let asked = world.ledger.iter().find_map(|record| match record {
        Record::RepairAsked { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(asked.is_some_and(|why| why.to_string().contains("`c`")));

    let mut told = world.clone();
    assert_eq!(to_the_end(&mut told), EndReason::Complete);

    until_turn(&mut world);
    end_turn(&mut world, TurnOutcome::Completed);
    collect(&mut world, silent());
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let question = holds(&world)[0].question();
    assert!(question.contains("not claimed"), "{question}");
}

#[test]
fn agent_that_cannot_be_used_is_asked_about_once_and_others_go_on() {
    for outcome in [
        TurnOutcome::Authentication { reason: words() },
        TurnOutcome::Misconfigured { reason: words() },
        TurnOutcome::Missing { what: words() },
        TurnOutcome::Drifted { detail: words() },
    ] {
        one_agent_of_two_ends_so(&outcome);
    }
}

fn one_agent_of_two_ends_so(outcome: &TurnOutcome) {
    let tasks = ["A", "B", "C", "D"].map(|id| {
        let agent = if id == "D" { "other" } else { "agent" };
        task(id, &format!("allow = [\"{id}\"]\nagent = \"{agent}\""))
    });
    let agents = [("agent", true), ("other", true)];
    let rules = policy("max_sessions = 2");
    let mut world = World::with_agents(rules, tasks.to_vec(), &agents);
    until_turn(&mut world);
    until_turn(&mut world);
    for _ in 0..2 {
        if world.open_effects().iter().any(|(_, what)| {
            matches!(what, Effect::RunTurn { backend, .. } if backend.as_str() == "agent")
        }) {
            end_turn(&mut world, outcome.clone());
            collect(&mut world, nothing(HandoffReport::Missing, false));
        }
        world.step();
    }
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let [hold] = &holds(&world)[..] else {
        panic!("one question: {:?}", holds(&world))
    };
    assert!(matches!(&hold.about, HoldReason::Agent { .. }), "{hold:?}");
    let landed = world
        .state
        .tasks()
        .iter()
        .filter(|entry| entry.has_landed());
    let landed: Vec<_> = landed.map(|entry| entry.task().id.as_str()).collect();
    assert_eq!(landed, ["D"]);

    // The question is still open in the next run: the agent is not tried before its answer.
    let before = turns(&world);
    world.open(true);
    while world.step() {}
    assert_eq!(turns(&world), before);
    world.tell(EventKind::Answered(Answer::new(hold.id, HoldOption::Retry)));
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

#[test]
fn agent_that_fails_in_the_same_way_on_three_tasks_is_no_longer_used() {
    let tasks =
        (0..60).map(|number| task(&format!("T{number}"), &format!("allow = [\"{number}\"]")));
    let mut world = World::with_tasks(policy(""), tasks.collect());
    let mut number = 0;
    while world.state.ended().is_none() {
        if world.open_effects().iter().any(|(_, what)| is_turn(what)) {
            number += 1;
            let detail = format!("exit status 1: API key expired (process {number})");
            end_turn(&mut world, TurnOutcome::Crashed { detail });
            collect(&mut world, nothing(HandoffReport::Missing, false));
        } else if !world.step() {
            world.now += 1000;
            world.tick();
        }
    }
    assert!(number <= 6, "{number} starts");
    let [hold] = &holds(&world)[..] else {
        panic!("one question: {:?}", holds(&world))
    };
    assert!(
        matches!(
            &hold.about,
            HoldReason::Agent {
                trouble: Trouble::Failing { .. },
                ..
            }
        ),
        "{hold:?}"
    );
}

#[test]
fn agent_that_stays_away_becomes_a_persons_question() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    while world.state.ended().is_none() {
        if world.open_effects().iter().any(|(_, what)| is_turn(what)) {
            end_turn(&mut world, TurnOutcome::Overloaded { reason: words() });
            collect(&mut world, nothing(HandoffReport::Missing, false));
        } else if !world.step() {
            world.now += 60_000;
            world.tick();
        }
    }
    assert_eq!(world.state.ended(), Some(EndReason::WaitingForAPerson));
    assert_eq!((dispatched(&world), turns(&world)), (1, 21));
}

/// Ends the next turn so, with nothing committed.
fn ends_with_nothing(world: &mut World, outcome: TurnOutcome) {
    until_turn(world);
    end_turn(world, outcome);
    collect(world, nothing(HandoffReport::Missing, false));
}

#[test]
fn prompt_that_is_too_long_is_asked_about_at_once() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    let detail = "250000 tokens > 200000 maximum".to_owned();
    ends_with_nothing(&mut world, TurnOutcome::PromptTooLong { detail });
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let [hold] = &holds(&world)[..] else {
        panic!("one question: {:?}", holds(&world))
    };
    assert!(
        hold.question().contains("too long") && hold.question().contains("200000 maximum"),
        "{}",
        hold.question()
    );
    assert_eq!((dispatched(&world), turns(&world)), (1, 1));
}

#[test]
fn context_that_is_full_before_a_commit_is_asked_about_the_second_time_in_a_row() {
    let rules = || policy("[limits]\nattempts = 9\nbackoff = \"1ms\"\n");
    let mut world = World::with_tasks(rules(), vec![task("A", "")]);
    ends_with_nothing(&mut world, TurnOutcome::ContextFull);
    ends_with_nothing(&mut world, TurnOutcome::ContextFull);
    assert_eq!(to_the_end(&mut world), EndReason::WaitingForAPerson);
    let [hold] = &holds(&world)[..] else {
        panic!("one question: {:?}", holds(&world))
    };
    assert!(
        hold.question().contains("split the task"),
        "{}",
        hold.question()
    );
    assert_eq!(dispatched(&world), 2);

    // A person who says "again" gets two more.
    let id = hold.id;
    world.open(true);
    world.tell(EventKind::Answered(Answer::new(id, HoldOption::Retry)));
    ends_with_nothing(&mut world, TurnOutcome::ContextFull);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);

    // An attempt that ends otherwise is between them.
    let mut world = World::with_tasks(rules(), vec![task("A", "")]);
    ends_with_nothing(&mut world, TurnOutcome::ContextFull);
    ends_with_nothing(&mut world, TurnOutcome::Crashed { detail: words() });
    ends_with_nothing(&mut world, TurnOutcome::ContextFull);
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
}

/// Two tasks of one agent work at once.
fn two_at_work() -> World {
    let tasks = vec![task("A", "allow = [\"a\"]"), task("B", "allow = [\"b\"]")];
    let mut world = World::with_tasks(policy("max_sessions = 2"), tasks);
    while world
        .open_effects()
        .iter()
        .filter(|(_, what)| is_turn(what))
        .count()
        < 2
    {
        assert!(world.step(), "both come to a turn");
    }
    world
}

#[test]
fn agent_that_is_limited_is_not_well_because_an_older_turn_completes() {
    let mut world = two_at_work();
    let until = Timestamp(world.now + 60_000);
    end_turn(&mut world, TurnOutcome::UsageLimited { until: Some(until) });
    end_turn(&mut world, TurnOutcome::Completed);
    let agent = "agent".parse().expect("a name");
    let troubled = world.state.trouble_of(&agent, Timestamp(world.now));
    assert_eq!(
        troubled.and_then(orchestrator_core::machine::Troubled::until),
        Some(until)
    );
    assert_eq!(to_the_end(&mut world), EndReason::Complete);
    assert_eq!(dispatched(&world), 2);
}

#[test]
fn agent_limit_is_not_made_shorter_by_a_turn_that_ends_later() {
    for (earlier, reason) in [(Some(10_000), None), (None, None), (None, Some(words()))] {
        let mut world = two_at_work();
        let latest = Some(Timestamp(world.now + 60_000));
        end_turn(&mut world, TurnOutcome::UsageLimited { until: latest });
        let until = earlier.map(|millis| Timestamp(world.now + millis));
        end_turn(
            &mut world,
            match reason {
                Some(reason) => TurnOutcome::Overloaded { reason },
                None => TurnOutcome::UsageLimited { until },
            },
        );
        let agent = "agent".parse().expect("a name");
        let troubled = world.state.trouble_of(&agent, Timestamp(world.now));
        let troubled = troubled.expect("the limit lasts");
        let known = (troubled.trouble(), troubled.until(), troubled.named());
        assert_eq!(known, (&Trouble::UsageLimit, latest, true));
    }
}

#[test]
fn agent_that_needs_a_person_is_not_well_after_the_limit_of_an_older_turn() {
    let mut world = two_at_work();
    end_turn(&mut world, TurnOutcome::Authentication { reason: words() });
    let until = Some(Timestamp(world.now + 1000));
    end_turn(&mut world, TurnOutcome::UsageLimited { until });
    let agent = "agent".parse().expect("a name");
    let later = Timestamp(world.now + 60_000);
    let troubled = world.state.trouble_of(&agent, later);
    let trouble = troubled.map(orchestrator_core::machine::Troubled::trouble);
    assert!(
        matches!(trouble, Some(Trouble::Login { .. })),
        "{trouble:?}"
    );
}

#[test]
fn agent_that_a_person_has_repaired_is_not_asked_about_for_an_older_turn() {
    for outcome in [
        TurnOutcome::Authentication { reason: words() },
        TurnOutcome::Misconfigured { reason: words() },
        TurnOutcome::Missing { what: words() },
        TurnOutcome::Drifted { detail: words() },
    ] {
        let mut world = two_at_work();
        end_turn(&mut world, outcome.clone());
        collect(&mut world, nothing(HandoffReport::Missing, false));
        let [hold] = &holds(&world)[..] else {
            panic!("one question: {:?}", holds(&world))
        };
        world.tell(EventKind::Answered(Answer::new(hold.id, HoldOption::Retry)));
        end_turn(&mut world, outcome);
        collect(&mut world, nothing(HandoffReport::Missing, false));
        assert_eq!(to_the_end(&mut world), EndReason::Complete);
        let asked = count(&world, |record| matches!(record, Record::HoldOpened { .. }));
        assert_eq!((asked, dispatched(&world)), (1, 2));
    }
}

#[test]
fn agent_whose_reset_has_passed_when_it_is_told_pauses_all_the_same() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    until_turn(&mut world);
    let until = Some(Timestamp(world.now - 500));
    end_turn(&mut world, TurnOutcome::UsageLimited { until });
    let agent = "agent".parse().expect("a name");
    let troubled = world.state.trouble_of(&agent, Timestamp(world.now));
    let troubled = troubled.expect("it is not asked again at once");
    assert!(!troubled.named() && troubled.until() > Some(Timestamp(world.now + 1000)));
}
