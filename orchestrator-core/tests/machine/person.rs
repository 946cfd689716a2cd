//! What a person is asked, and what follows from the answer.

use orchestrator_core::{
    machine::{Phase, Then, wake_at},
    model::{
        Acceptance, AgentReview, Answer, Ask, Candidate, Collected, Effect, EventKind, Finding,
        HoldId, HoldOption, HoldReason, Item, LandingOutcome, MergeFailure, Opinion, Policy,
        PrivilegedKind, PrivilegedPath, Reading, Record, Review, Severity, Task, Timestamp,
        TurnUsage, Usage, UsedUp,
    },
};

use crate::world::{
    Laws, World, change, collected, commit, policy, review, roadmap, submission, task, tree_of,
};
use crate::{gate_ran, runs_on_candidate};

fn objection() -> Finding {
    Finding::new(
        Severity::Error,
        "agent/second/rounding",
        "half a cent is lost",
    )
    .at("src/a.rs".parse().expect("a path"))
}

/// A run that goes on while only a person can bring it on.
fn patient(policy: Policy, tasks: Vec<Task>) -> World {
    let mut world = World::new(policy);
    world.open(true);
    world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
        EventKind::RoadmapRead {
            effect,
            reading: Reading::Read(roadmap(tasks)),
        }
    });
    world
}

/// Goes on until something of this kind is open, with everything before it ending well.
fn until(world: &mut World, test: impl Fn(&Effect) -> bool) {
    while !world.open_effects().iter().any(|(_, what)| test(what)) {
        assert!(world.step(), "it comes to that");
    }
}

fn reviewed(world: &mut World, findings: &[Finding]) {
    until(world, |what| matches!(what, Effect::Review { .. }));
    let head = world.state.tasks()[0]
        .active()
        .and_then(|active| active.step().submission())
        .expect("there is work")
        .head;
    let reviews: Vec<Review> = vec![review(head, findings.to_vec())];
    let like = crate::open(world, |what| matches!(what, Effect::Review { .. }));
    world.answer(&like, |effect| EventKind::Reviewed {
        effect,
        reviews,
        carried: None,
    });
}

fn about(world: &World) -> Option<&HoldReason> {
    world.state.holds().next().map(|hold| &hold.about)
}

fn say(world: &mut World, answer: Answer) -> Vec<String> {
    let mut names = world.tell(EventKind::Answered(answer));
    names.extend(world.tick());
    names
}

fn accepted(world: &World) -> &Acceptance {
    let found = world.ledger.iter().rev().find_map(|record| match record {
        Record::Accepted { landing } => Some(&landing.acceptance),
        _ => None,
    });
    found.expect("something was accepted")
}

fn to_the_end(world: &mut World) {
    while world.step() {
        Laws::hold_and_replay(world);
    }
}

/// A task that was sent back twice over the same, so that a person was asked.
fn twice_rejected() -> World {
    let mut world = patient(policy("[limits]\nbackoff = \"0ms\""), vec![task("A", "")]);
    reviewed(&mut world, &[objection()]);
    assert_eq!(about(&world), None, "once is no quarrel");
    let other_words = Finding {
        message: "still wrong".to_owned(),
        line: Some(7),
        ..objection()
    };
    reviewed(
        &mut world,
        &[
            Finding::new(Severity::Error, "docs/in-step", "no docs"),
            other_words,
        ],
    );
    assert_eq!(
        about(&world),
        Some(&HoldReason::Repeated {
            findings: vec![objection().id()]
        })
    );
    world
}

#[test]
fn what_is_waived_lands_and_the_record_says_what_who_and_why() {
    let mut world = twice_rejected();
    let partly =
        Answer::new(HoldId(1), HoldOption::Approve).with_items([objection().id().to_string()]);
    assert_eq!(
        say(&mut world, partly),
        ["answer_refused"],
        "the rest would be sent back a third time"
    );
    say(
        &mut world,
        Answer::new(HoldId(1), HoldOption::Approve)
            .with_name("ada")
            .with_note("the cent is the bank's"),
    );
    to_the_end(&mut world);
    let waivers = &accepted(&world).waivers;
    let said: Vec<_> = waivers
        .iter()
        .map(|waiver| {
            (
                waiver.item.what(),
                waiver.decision.by.as_deref(),
                waiver.decision.note.as_deref(),
            )
        })
        .collect();
    let docs = Finding::new(Severity::Error, "docs/in-step", "").id();
    let (ada, why) = (Some("ada"), Some("the cent is the bank's"));
    assert_eq!(
        said,
        [
            (Item::Finding(docs), ada, why),
            (Item::Finding(objection().id()), ada, why)
        ]
    );
    assert!(
        waivers
            .iter()
            .all(|waiver| waiver.decision.at.0 > 0 && waiver.decision.hold == HoldId(1))
    );
}

#[test]
fn after_a_quarrel_another_attempt_begins_with_what_the_person_said() {
    let mut world = twice_rejected();
    say(
        &mut world,
        Answer::new(HoldId(1), HoldOption::Retry).with_note("round half to even"),
    );
    until(&mut world, |what| matches!(what, Effect::RunTurn { .. }));
    let attempt = world.state.tasks()[0].active().expect("it works").attempt();
    assert_eq!(
        (attempt.id().number, attempt.advice()),
        (2, Some("round half to even"))
    );
    reviewed(&mut world, &[objection()]);
    assert_eq!(
        about(&world),
        None,
        "it is counted from the person's word on"
    );
    assert!(matches!(
        world.open_effects()[0].1,
        Effect::RunTurn {
            ask: Ask::Revise { .. },
            ..
        }
    ));
}

#[test]
fn a_gate_that_stays_red_is_for_the_limits_and_not_for_a_person() {
    let mut world = patient(policy("[limits]\nbackoff = \"0ms\""), vec![task("A", "")]);
    let mut turns = 0;
    while about(&world).is_none() {
        let (effect, what) = world
            .open_effects()
            .into_iter()
            .next()
            .expect("something is open");
        turns += usize::from(matches!(what, Effect::RunTurn { .. }));
        let event = match &what {
            what if runs_on_candidate(what) => gate_ran(effect, what, 1),
            what => world.good(effect, what),
        };
        world.tell(event);
        world.now += 10_000;
        world.tick();
        Laws::hold_and_replay(&world);
    }
    assert_eq!(
        turns, 9,
        "three turns in each of three attempts, each attempt in a workspace of its own"
    );
    assert!(
        matches!(about(&world), Some(about @ HoldReason::Exhausted { limit: UsedUp::Attempts(3), .. })
            if about.question(&[]).starts_with("3 attempts are used up; the last: gate/unit"))
    );
    say(
        &mut world,
        Answer::new(HoldId(1), HoldOption::Retry).with_note("the gate needs a network"),
    );
    let waits = |world: &World| matches!(world.state.tasks()[0].phase(), Phase::Waiting(_));
    assert!(
        waits(&world) || world.state.tasks()[0].active().is_some(),
        "it gets as much once more"
    );
    to_the_end(&mut world);
    assert!(world.state.tasks()[0].has_landed());
    assert_eq!(world.state.tasks()[0].last_attempt(), 4);
}

const CLAIMS: &str = "claims = [{ id = \"paper\", text = \"it cuts\", surface = \"device:printer\" }, \
                      { id = \"ink\", text = \"it is black\", surface = \"device:printer\" }]";

#[test]
fn what_a_person_has_seen_is_evidence_for_that_claim_and_commit() {
    let mut world = patient(policy(""), vec![task("A", CLAIMS)]);
    to_the_end(&mut world);
    let hold = |world: &World| {
        world
            .state
            .holds()
            .next()
            .map(|hold| (hold.id, hold.items.len()))
    };
    assert_eq!(hold(&world), Some((HoldId(1), 2)));
    let strange = Answer::new(HoldId(1), HoldOption::Observed).with_items(["toner".to_owned()]);
    assert_eq!(
        world
            .state
            .accepts(&strange)
            .expect_err("no such item")
            .to_string(),
        "`toner` is not among its items: they are: paper, ink"
    );
    let saw = Answer::new(HoldId(1), HoldOption::Observed)
        .with_name("ada")
        .with_items(["paper".to_owned()]);
    say(&mut world, saw.with_note("cut at 80 mm"));
    to_the_end(&mut world);
    assert_eq!(hold(&world), Some((HoldId(2), 1)), "the ink was not seen");
    say(
        &mut world,
        Answer::new(HoldId(2), HoldOption::Approve)
            .with_name("bob")
            .with_note("no ink here"),
    );
    to_the_end(&mut world);
    let acceptance = accepted(&world);
    let seen: Vec<_> = acceptance
        .observations
        .iter()
        .map(|seen| {
            (
                seen.claim.as_str(),
                seen.commit,
                seen.decision.by.as_deref(),
            )
        })
        .collect();
    assert_eq!(seen, [("paper", acceptance.head, Some("ada"))]);
    let waived: Vec<_> = acceptance
        .waivers
        .iter()
        .map(|waiver| waiver.item.what().to_string())
        .collect();
    assert_eq!(waived, ["ink"]);
}

#[test]
fn what_was_said_of_one_commit_does_not_hold_for_the_next() {
    let mut world = patient(
        policy(""),
        vec![task("A", &format!("approve = [\"landing\"]\n{CLAIMS}"))],
    );
    to_the_end(&mut world);
    say(&mut world, Answer::new(HoldId(1), HoldOption::Observed));
    to_the_end(&mut world);
    say(&mut world, Answer::new(HoldId(2), HoldOption::Approve));
    until(&mut world, |what| matches!(what, Effect::Land { .. }));
    // The race is lost, and the merge with the new tip offends the contract: its worker mends that with another commit.
    world.answer(&find_land(&world), |effect| EventKind::LandingTried {
        effect,
        outcome: LandingOutcome::TipMoved,
    });
    let like = crate::open(&world, |what| matches!(what, Effect::Merge { .. }));
    let offends = MergeFailure::Offends {
        findings: vec![objection()],
    };
    world.answer(&like, |effect| EventKind::Merged {
        effect,
        result: Err(offends),
    });
    until(&mut world, |what| matches!(what, Effect::Collect { .. }));
    let like = crate::open(&world, |what| matches!(what, Effect::Collect { .. }));
    world.answer(&like, |effect| {
        collected(effect, Collected::Work(submission(commit(77))))
    });
    to_the_end(&mut world);
    assert!(
        matches!(about(&world), Some(HoldReason::Unproven)),
        "nobody has seen commit 77"
    );
}

/// Answers the merge that is asked for with a candidate that changes these paths.
fn merge_changes(world: &mut World, paths: &[&str]) {
    until(world, |what| matches!(what, Effect::Merge { .. }));
    let merge = world
        .open_effects()
        .into_iter()
        .map(|(_, what)| what)
        .find(|what| matches!(what, Effect::Merge { .. }));
    let like = merge.expect("it is merged");
    let Effect::Merge { head, .. } = like else {
        return;
    };
    let tip = world.state.tip().expect("there is a target");
    let tree = format!("{:040x}", 77).parse().expect("an id");
    let candidate = Candidate {
        head,
        tip,
        tip_tree: tree_of(tip),
        tree,
        changes: paths.iter().map(|path| change(path)).collect(),
    };
    world.answer(&like, |effect| EventKind::Merged {
        effect,
        result: Ok(candidate),
    });
}

#[test]
fn a_person_is_asked_once_for_each_file_that_tells_other_tools_what_to_do() {
    let mut world = patient(policy(""), vec![task("A", "")]);
    let asked = |files: &[(&str, PrivilegedKind)]| HoldReason::Authority {
        paths: files
            .iter()
            .map(|(path, kind)| PrivilegedPath {
                path: path.parse().expect("a path"),
                kind: *kind,
            })
            .collect(),
    };
    merge_changes(&mut world, &["a", "AGENTS.md", ".github/workflows/ci.yml"]);
    to_the_end(&mut world);
    assert_eq!(
        about(&world),
        Some(&asked(&[
            (".github/workflows/ci.yml", PrivilegedKind::Ci),
            ("AGENTS.md", PrivilegedKind::Agents)
        ])),
        "once for all of them"
    );
    say(
        &mut world,
        Answer::new(HoldId(1), HoldOption::Approve).with_name("ada"),
    );
    merge_changes(&mut world, &["a", "AGENTS.md", ".github/workflows/ci.yml"]);
    until(&mut world, |what| matches!(what, Effect::Land { .. }));
    // Another commit of the same task, which touches one more of them.
    world.answer(&find_land(&world), |effect| EventKind::LandingTried {
        effect,
        outcome: LandingOutcome::TipMoved,
    });
    let like = crate::open(&world, |what| matches!(what, Effect::Merge { .. }));
    let offends = MergeFailure::Offends {
        findings: vec![objection()],
    };
    world.answer(&like, |effect| EventKind::Merged {
        effect,
        result: Err(offends),
    });
    until(&mut world, |what| matches!(what, Effect::Collect { .. }));
    let like = crate::open(&world, |what| matches!(what, Effect::Collect { .. }));
    world.answer(&like, |effect| {
        collected(effect, Collected::Work(submission(commit(77))))
    });
    merge_changes(&mut world, &["a", "AGENTS.md", ".envrc"]);
    to_the_end(&mut world);
    assert_eq!(
        about(&world),
        Some(&asked(&[(".envrc", PrivilegedKind::Editors)])),
        "only for what is new"
    );
    say(&mut world, Answer::new(HoldId(2), HoldOption::Approve));
    merge_changes(&mut world, &["a", "AGENTS.md", ".envrc"]);
    until(&mut world, |what| matches!(what, Effect::Land { .. }));
    let Effect::Land { landing } = find_land(&world) else {
        panic!("it lands")
    };
    let said = [
        "a change of `AGENTS.md` approved by ada (H1)",
        "a change of `.envrc` approved by a person (H2)",
    ];
    let approvals = landing.acceptance.approvals.iter();
    assert_eq!(approvals.map(ToString::to_string).collect::<Vec<_>>(), said);
}

fn find_land(world: &World) -> Effect {
    world
        .open_effects()
        .into_iter()
        .map(|(_, what)| what)
        .find(|what| matches!(what, Effect::Land { .. }))
        .expect("it lands")
}

#[test]
fn nobody_answering_is_no_answer_and_the_person_is_asked_again() {
    let mut world = patient(
        policy("[notify]\nremind = \"1h\""),
        vec![task("A", "approve = [\"dispatch\"]")],
    );
    let since = world.state.holds().next().expect("it asks").since;
    let mut reminders = Vec::new();
    for _ in 0..3 {
        world.now = wake_at(&world.state, &world.policy, Timestamp(world.now))
            .expect("it will ask again")
            .0;
        reminders.extend(world.tick());
        Laws::hold_and_replay(&world);
    }
    assert_eq!(reminders, ["reminded"; 3]);
    assert!(world.now >= since.0 + 3 * 3_600_000, "an hour between them");
    assert!(
        matches!(&world.state.tasks()[0].phase(), Phase::Held(held) if matches!(held.then(), Then::Wait(_))),
        "and still it asks"
    );
    assert_eq!(world.state.ended(), None);
}

/// A head on which one reviewer could not look, and others found this; the person was asked.
fn half_reviewed(findings: &[Finding]) -> World {
    let mut world = patient(
        policy("[reviewers]\nagents = [\"a\"]\ncount = 1"),
        vec![task("A", "")],
    );
    until(&mut world, |what| matches!(what, Effect::Review { .. }));
    let head = world.state.tasks()[0]
        .active()
        .and_then(|active| active.step().submission())
        .expect("there is work")
        .head;
    let by_agent = Some(AgentReview {
        complete: None,
        choice: None,
        agent: "a".parse().expect("a name"),
        usage: TurnUsage::told(Usage {
            usd: Some(2.0),
            ..Usage::default()
        }),
    });
    let away = Opinion::Unavailable {
        reason: "no route".to_owned(),
    };
    let reviews = vec![
        review(head, findings.to_vec()),
        Review {
            by_agent,
            ..Review::new("agent/a", head, away.clone())
        },
    ];
    let reviews = if findings.is_empty() {
        reviews
    } else {
        [reviews, vec![Review::new("far", head, away)]].concat()
    };
    let like = crate::open(&world, |what| matches!(what, Effect::Review { .. }));
    world.answer(&like, |effect| EventKind::Reviewed {
        effect,
        reviews,
        carried: None,
    });
    assert_eq!(about(&world), Some(&HoldReason::Review));
    assert!(
        world.state.tasks()[0].spent().total().usd >= Some(2.0),
        "what the agent did was paid for"
    );
    world
}

#[test]
fn without_a_reviewer_it_goes_on_as_the_others_say_and_nobody_is_asked_twice() {
    let mut world = half_reviewed(&[]);
    say(
        &mut world,
        Answer::new(HoldId(1), HoldOption::Approve).with_name("ada"),
    );
    assert!(
        world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::Merge { .. })),
        "{:?}",
        world.open_effects()
    );
    to_the_end(&mut world);
    assert_eq!(
        accepted(&world).waivers[0].item.what(),
        Item::Reviewer("agent/a".to_owned())
    );

    let mut world = half_reviewed(&[objection()]);
    say(&mut world, Answer::new(HoldId(1), HoldOption::Approve));
    let next = world.open_effects();
    assert!(
        matches!(&next[0].1, Effect::RunTurn { ask: Ask::Revise { findings }, .. } if *findings == [objection()]),
        "{next:?}"
    );

    let mut world = half_reviewed(&[]);
    say(&mut world, Answer::new(HoldId(1), HoldOption::Retry));
    assert!(
        world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::Review { .. })),
        "{:?}",
        world.open_effects()
    );
    Laws::hold_and_replay(&world);
}

#[test]
fn findings_are_counted_over_runs() {
    let mut world = patient(policy("[limits]\nbackoff = \"0ms\""), vec![task("A", "")]);
    reviewed(&mut world, &[objection()]);
    until(&mut world, |what| matches!(what, Effect::RunTurn { .. }));
    world.tell(EventKind::StopAsked);
    world.open_again();
    assert_eq!(
        world.state.tasks()[0].rejections().get(&objection().id()),
        Some(&1)
    );
}

/// The target moves to this tip, where the roadmap is this.
fn move_to(world: &mut World, tip: u64, tasks: Vec<Task>) {
    world.tasks = tasks;
    world.tell(EventKind::TipSeen(commit(tip)));
    world.tick();
}

#[test]
fn approval_of_a_start_is_void_when_the_task_was_removed_and_comes_back() {
    let first = || task("A", "approve = [\"dispatch\"]");
    let rules = policy("max_sessions = 1");
    let mut world = patient(rules, vec![first(), task("B", "after = [\"A\"]")]);
    say(&mut world, Answer::new(HoldId(1), HoldOption::Approve));
    until(&mut world, |what| matches!(what, Effect::RunTurn { .. }));
    move_to(&mut world, 911, vec![task("B", "")]);
    until(
        &mut world,
        |what| matches!(what, Effect::RunTurn { attempt, .. } if attempt.task.as_str() == "B"),
    );
    move_to(&mut world, 912, vec![first(), task("B", "")]);
    let entry = &world.state.tasks()[0];
    assert!(
        matches!(entry.phase(), Phase::Waiting(_)),
        "{:?}",
        entry.phase()
    );
    assert!(entry.grants().is_empty(), "{:?}", entry.grants());
}
