//! Rules that one call decides: what a verdict follows from, which roadmaps are refused, and what a budget or a pause is.

use std::collections::BTreeMap;

use orchestrator_core::{
    machine::{CandidateCase, HeadCase, Phase, candidate_verdict, check_roadmap, head_verdict},
    model::{
        AgentReview, Answer, Candidate, Checkout, ClaimedEvidence, ClaimedLabel, Collected,
        Completion, Decision, Effect, EndReason, EventKind, EvidenceBasis, Finding, GateHead,
        Grant, Granted, Handoff, HandoffReport, HandoffStatus, Hold, HoldId, HoldItem, HoldOption,
        HoldReason, LandingOutcome, Observation, Opinion, Reading, Record, Review, Setup, Severity,
        StopReason, Submission, Task, Timestamp, TurnOutcome, TurnSight, TurnUsage, Usage, Verdict,
        Waiver,
    },
    status::Snapshot,
};

use crate::world::{
    World, change, collected, commit, error, nothing, policy, report, review, roadmap, submission,
    task, task_id, tree_of,
};
use crate::{gate_ran, runs_on_candidate};

fn unavailable() -> Review {
    Review::new(
        "far",
        commit(1),
        Opinion::Unavailable {
            reason: "no route".to_owned(),
        },
    )
}

fn judged(work: &Submission, reviews: &[Review], waivers: &[Waiver], rules: &str) -> Verdict {
    head_verdict(
        &HeadCase {
            work,
            reviews,
            waivers,
            rejections: &BTreeMap::new(),
            ended: None,
            completion: Some(&Completion::Handoff),
        },
        &policy(rules),
    )
}

fn may_change(path: &str) -> Grant {
    Grant {
        what: Granted::Change(path.parse().expect("a path")),
        decision: decision(),
    }
}

fn decision() -> Decision {
    Decision {
        hold: HoldId(1),
        by: None,
        note: None,
        at: Timestamp(0),
    }
}

fn waiver(item: HoldItem) -> Waiver {
    Waiver {
        item,
        decision: decision(),
    }
}

#[test]
fn a_head_is_judged_by_its_findings_its_handoff_and_who_could_look() {
    let work = submission(commit(1));
    let of = |reviews: &[Review], waivers: &[Waiver]| judged(&work, reviews, waivers, "");
    assert_eq!(of(&[], &[]), Verdict::Accept);
    assert!(
        matches!(of(&[unavailable()], &[]), Verdict::Escalate(question)
        if question.to_string() == "reviewer `far` could not look: no route" && question.about == HoldReason::Review)
    );
    let far = waiver(HoldItem::Reviewer {
        name: "far".to_owned(),
        reason: "no route".to_owned(),
    });
    assert_eq!(
        of(&[unavailable()], &[far]),
        Verdict::Accept,
        "a person said that it may go on without"
    );
    let (note, warning) = (
        Finding::new(Severity::Note, "n", "n"),
        Finding::new(Severity::Warning, "w", "w"),
    );
    assert_eq!(
        of(
            &[review(commit(1), vec![note.clone(), warning.clone()])],
            &[]
        ),
        Verdict::Accept
    );
    let all = vec![note, warning.clone(), error()];
    let worth_a_word = vec![error(), warning];
    assert_eq!(
        of(&[review(commit(1), all.clone())], &[]),
        Verdict::Revise {
            findings: worth_a_word
        }
    );
    assert_eq!(
        of(
            &[review(commit(1), all)],
            &[waiver(HoldItem::Finding(error()))]
        ),
        Verdict::Accept,
        "waived by its id"
    );
    let at_once = judged(
        &work,
        &[review(commit(1), vec![error()])],
        &[],
        "[limits]\nsame_finding = 1",
    );
    assert!(
        matches!(at_once, Verdict::Escalate(question) if matches!(question.about, HoldReason::Repeated { .. }))
    );
    let said = |status| {
        let mut handoff = Handoff::new("T1", 1, status);
        handoff.reason = Some("no device".to_owned());
        Submission {
            handoff: HandoffReport::Read(handoff),
            ..submission(commit(1))
        }
    };
    let no_device = Some("no device".to_owned());
    assert_eq!(
        judged(&said(HandoffStatus::Blocked), &[], &[], ""),
        Verdict::Blocked {
            said: no_device.clone()
        }
    );
    assert_eq!(
        judged(&said(HandoffStatus::Failed), &[], &[], ""),
        Verdict::GaveUp { said: no_device }
    );
}

#[test]
fn what_agents_say_counts_as_far_as_the_policy_lets_it() {
    let work = submission(commit(1));
    let by = |name: &str, opinion| {
        let agent = name.parse().expect("a name");
        Review {
            by_agent: Some(AgentReview {
                complete: None,
                choice: None,
                agent,
                usage: TurnUsage::default(),
            }),
            ..Review::new(name, commit(1), opinion)
        }
    };
    let fine = |name: &str| {
        by(
            name,
            Opinion::Looked {
                findings: Vec::new(),
            },
        )
    };
    let against = |name: &str| {
        by(
            name,
            Opinion::Looked {
                findings: vec![error()],
            },
        )
    };
    let away = |name: &str| {
        by(
            name,
            Opinion::Unavailable {
                reason: "it took longer than 1 s".to_owned(),
            },
        )
    };
    let of = |count: u32, more: &str, reviews: &[Review]| {
        judged(
            &work,
            reviews,
            &[],
            &format!("[reviewers]\nagents = [\"a\", \"b\"]\ncount = {count}\n{more}"),
        )
    };
    assert_eq!(
        of(0, "", &[against("a"), away("b")]),
        Verdict::Accept,
        "advice, and no more"
    );
    assert!(matches!(of(1, "", &[against("a")]), Verdict::Revise { .. }));
    assert_eq!(
        of(1, "", &[away("a"), fine("b")]),
        Verdict::Accept,
        "the next one looked instead"
    );
    assert!(
        matches!(of(1, "", &[away("a"), away("b")]), Verdict::Escalate(question)
        if question.items.len() == 2 && question.about == HoldReason::Review)
    );
    assert!(
        matches!(of(2, "", &[fine("a"), away("b")]), Verdict::Escalate(_)),
        "two were to look"
    );
    assert_eq!(
        of(2, "unavailable = \"go-on\"", &[fine("a"), away("b")]),
        Verdict::Accept,
        "the policy has said so"
    );
    let red = review(commit(1), vec![error()]);
    assert!(
        matches!(
            of(2, "", &[red, fine("a"), fine("b")]),
            Verdict::Revise { .. }
        ),
        "nobody outvotes a finding"
    );
}

#[test]
fn a_candidate_is_judged_by_gates_claims_and_what_it_touches() {
    let claims = "claims = [{ id = \"c\", text = \"t\", surface = \"device\" }]";
    let frozen = |keys: &str| {
        let world = World::with_tasks(policy(""), vec![task("A", keys)]);
        let contracts = world.ledger.iter().find_map(|record| match record {
            Record::Dispatched { contract, .. } => Some(contract.clone()),
            _ => None,
        });
        contracts.expect("it was dispatched")
    };
    let of = |keys: &str, code, paths: &[&str], allowed: &[&str], (waive, see): (bool, bool)| {
        let (contract, gate) = (
            frozen(keys),
            policy("")
                .gates
                .iter()
                .next()
                .map(|(name, rule)| rule.named(name, &Setup::default()))
                .expect("one"),
        );
        let reports = [report(
            gate,
            format!("{:040x}", 5).parse().expect("an id"),
            code,
        )];
        let changes: Vec<_> = paths.iter().map(|path| change(path)).collect();
        let claimed: Vec<_> = contract
            .claims
            .iter()
            .map(|claim| ClaimedEvidence {
                claim: claim.id.to_string(),
                label: ClaimedLabel::Proxy,
                note: None,
            })
            .collect();
        let (waivers, observations): (Vec<_>, Vec<_>) = contract
            .claims
            .iter()
            .map(|claim| {
                let (claim, surface) = (claim.clone(), claim.surface.clone());
                let seen = Observation {
                    claim: claim.id.clone(),
                    surface,
                    commit: commit(1),
                    artifact: None,
                    decision: decision(),
                };
                let basis = EvidenceBasis::Nothing;
                (waiver(HoldItem::Claim { claim, basis }), seen)
            })
            .unzip();
        candidate_verdict(&CandidateCase {
            contract: &contract,
            claimed: &claimed,
            reports: &reports,
            changes: &changes,
            authority: &policy("").authority,
            of_task: &allowed
                .iter()
                .map(|path| may_change(path))
                .collect::<Vec<_>>(),
            of_head: &[],
            waivers: if waive { &waivers } else { &[] },
            observations: if see { &observations } else { &[] },
        })
    };
    let nothing = (false, false);
    assert_eq!(of("", 0, &["a"], &[], nothing), Verdict::Accept);
    assert!(matches!(
        of("", 1, &["a"], &[], nothing),
        Verdict::Revise { .. }
    ));
    assert!(
        matches!(of(claims, 0, &["a"], &[], nothing), Verdict::Escalate(question)
        if matches!(question.about, HoldReason::Unproven))
    );
    assert_eq!(
        of(claims, 0, &["a"], &[], (true, false)),
        Verdict::Accept,
        "waived"
    );
    assert_eq!(
        of(claims, 0, &["a"], &[], (false, true)),
        Verdict::Accept,
        "seen"
    );
    assert!(
        matches!(
            of(claims, 1, &["a"], &[], (true, true)),
            Verdict::Revise { .. }
        ),
        "red is red"
    );
    for path in [
        ".gitattributes",
        "deep/.gitmodules",
        "AGENTS.md",
        ".github/workflows/a.yml",
    ] {
        assert!(
            matches!(of("", 0, &["a", path], &[], nothing), Verdict::Escalate(question)
            if matches!(question.about, HoldReason::Authority { .. }))
        );
        assert_eq!(
            of("", 0, &[path], &[path], nothing),
            Verdict::Accept,
            "a person said so"
        );
        assert_eq!(
            of(&format!("allow = [\"{path}\"]"), 0, &[path], &[], nothing),
            Verdict::Accept,
            "the contract names it"
        );
        assert!(
            matches!(
                of("allow = [\"**\"]", 0, &[path], &[], nothing),
                Verdict::Escalate(_)
            ),
            "not by the way"
        );
    }
}

fn faults(tasks: &[Task]) -> Vec<String> {
    let agent = "agent".parse().expect("a name");
    let faults = check_roadmap(tasks, &policy(""), [&agent])
        .err()
        .unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_roadmap_is_refused_for_what_cannot_be_meant() {
    let done = |mut task: Task| {
        task.done = true;
        task
    };
    assert_eq!(
        faults(&[
            task("A", ""),
            task("B", "after = [\"A\"]"),
            task("C", "after = [\"A\", \"B\"]")
        ]),
        Vec::<String>::new()
    );
    let cycle = [
        task("O", ""),
        task("A", "after = [\"O\", \"C\"]"),
        task("B", "after = [\"A\"]"),
        task("C", "after = [\"B\"]"),
    ];
    let waits = "these tasks wait for one another, so that none can begin: `A` after `C` after `B`; take one out of an `after`";
    assert_eq!(faults(&cycle), [waits]);
    assert_eq!(
        faults(&[task("A", "after = [\"A\"]")]),
        ["task `A` waits for itself: take it out of its `after`"]
    );
    let unknown = "agent = \"other\"\ngates = [\"none\"]";
    let gate = "task `A`: the policy has no gate `none`; known are `unit`: define it there, as `[gates.none]`, or name another";
    assert_eq!(faults(&[task("A", unknown)]), [gate]);
    assert_eq!(
        faults(&[done(task("A", unknown))]),
        Vec::<String>::new(),
        "what is done needs no contract any more"
    );
    for budget in [
        "attempts = 0",
        "wall = \"0s\"",
        "tokens = 0",
        "usd = 0.0",
        "usd = -1.0",
        "usd = nan",
        "files = 0",
    ] {
        let key = budget.split(' ').next().expect("a key");
        let said = faults(&[task("A", &format!("budget = {{ {budget} }}"))]).join("\n");
        assert!(said.contains(&format!("budget.{key}")), "{budget}: {said}");
    }
    let fine = "budget = { attempts = 1, wall = \"1s\", tokens = 1, usd = 0.1, files = 1 }";
    assert_eq!(faults(&[task("A", fine)]), Vec::<String>::new());
}

#[test]
fn a_run_starts_no_more_attempts_at_once_than_its_budget_has() {
    let tasks = ["a", "b", "c", "d"].map(|id| task(id, &format!("allow = [\"{id}\"]")));
    let world = World::with_tasks(
        policy("max_sessions = 9\n[limits]\nrun_attempts = 3"),
        tasks.into(),
    );
    assert_eq!(
        world
            .ledger
            .iter()
            .filter(|record| matches!(record, Record::Dispatched { .. }))
            .count(),
        3
    );
}

/// Of what the first task had all that it may have; empty if it had not.
fn exhausted(world: &World) -> String {
    let about = world.state.holds().next().map(|hold| &hold.about);
    if let Some(about @ HoldReason::Exhausted { .. }) = about {
        about.question(&[])
    } else {
        String::new()
    }
}

#[test]
fn money_and_tokens_are_counted_while_they_are_spent_and_when_they_were() {
    let spends = |budget: &str, usage: Usage, used_up: &str| {
        let mut world = World::with_tasks(
            policy(""),
            vec![task("A", &format!("budget = {{ {budget} }}"))],
        );
        assert!(world.step());
        let turn = world.open_effects()[0].0;
        let seen = TurnSight {
            active: Timestamp(world.now),
            tool_in_flight: false,
            silence: None,
            alive: None,
            head: None,
            usage,
        };
        world.tell(EventKind::TurnSeen { effect: turn, seen });
        let stopped = world.open_effects().iter().any(|(_, what)| {
            matches!(
                what,
                Effect::StopTurn {
                    why: StopReason::Budget,
                    ..
                }
            )
        });
        world.tell(EventKind::TurnEnded {
            effect: turn,
            outcome: TurnOutcome::Completed,
            usage: usage.into(),
        });
        world.tick();
        let nothing = nothing(HandoffReport::Missing, false);
        world.answer(
            &crate::open(&world, |what| matches!(what, Effect::Collect { .. })),
            |effect| collected(effect, nothing),
        );
        (stopped, exhausted(&world).contains(used_up))
    };
    let usd = |usd| Usage {
        usd: Some(usd),
        ..Usage::default()
    };
    assert_eq!(
        spends("usd = 1.5", usd(1.5), "its 1.5 US dollars are used up"),
        (true, true)
    );
    assert_eq!(spends("usd = 1.5", usd(1.4), "used up"), (false, false));
    let tokens = |input_tokens| Usage {
        input_tokens,
        output_tokens: 10,
        usd: None,
    };
    assert_eq!(
        spends("tokens = 30", tokens(20), "its 30 tokens are used up"),
        (true, true)
    );
    assert_eq!(spends("tokens = 30", tokens(19), "used up"), (false, false));
}

#[test]
fn what_is_noticed_while_a_turn_runs_is_among_the_findings_of_what_it_submits_once_and_bounded() {
    let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
    assert!(world.step());
    let turn = world.open_effects()[0].0;
    let noticed =
        |number: u32| Finding::new(Severity::Warning, "tool/refused", format!("call {number}"));
    for number in (0..150).flat_map(|number| [number, number]) {
        world.tell(EventKind::Noticed {
            effect: turn,
            finding: noticed(number),
        });
    }
    world.tell(EventKind::TurnEnded {
        effect: turn,
        outcome: TurnOutcome::Completed,
        usage: TurnUsage::default(),
    });
    world.tick();
    let work = Collected::Work(submission(commit(50)));
    world.answer(
        &crate::open(&world, |what| matches!(what, Effect::Collect { .. })),
        |effect| collected(effect, work),
    );
    let submitted = world.ledger.iter().find_map(|record| match record {
        Record::Submitted { submission, .. } => Some(submission.findings.clone()),
        _ => None,
    });
    assert_eq!(submitted, Some((0..100).map(noticed).collect::<Vec<_>>()));
    // One that comes too late is told to nobody.
    world.tell(EventKind::Noticed {
        effect: turn,
        finding: noticed(7),
    });
    assert!(matches!(world.ledger.last(), Some(Record::Stale { .. })));
}

#[test]
fn pauses_are_spread_over_all_of_their_time() {
    let names: Vec<_> = (0..8).map(|number| format!("T{number}")).collect();
    let tasks = names
        .iter()
        .map(|id| task(id, &format!("allow = [\"{id}\"]")))
        .collect();
    let limits = "max_sessions = 9\n[limits]\nbackoff = \"1h\"\nbackoff_max = \"2h\"\nattempts = 9";
    let mut world = World::with_tasks(policy(limits), tasks);
    let mut fail = || {
        for (effect, what) in world.open_effects() {
            if matches!(what, Effect::Prepare { .. }) {
                world.tell(EventKind::Prepared {
                    effect,
                    failure: Some("no".to_owned()),
                });
            }
        }
        let until = |phase: &Phase| match phase {
            Phase::Waiting(waiting) => waiting.until(),
            other => panic!("{other:?}"),
        };
        let until: Vec<_> = world
            .state
            .tasks()
            .iter()
            .map(|entry| until(entry.phase()))
            .collect();
        let pauses: Vec<_> = until
            .iter()
            .map(|until| until.since(Timestamp(world.now)).0 / 1000)
            .collect();
        world.now = until.iter().map(|until| until.0).max().unwrap_or(0);
        world.tick();
        pauses
    };
    let (first, second, third) = (fail(), fail(), fail());
    assert!(
        first.iter().all(|pause| *pause <= 3600) && first.iter().any(|pause| *pause > 1800),
        "{first:?}"
    );
    assert!(first.iter().any(|pause| *pause < 1800), "{first:?}");
    assert!(
        second.iter().all(|pause| *pause <= 7200) && second.iter().any(|pause| *pause > 3600),
        "doubled: {second:?}"
    );
    assert!(
        third.iter().all(|pause| *pause <= 7200) && third.iter().any(|pause| *pause > 3600),
        "no further: {third:?}"
    );
}

/// A run that waits for people, and does not end when only they can bring it on.
fn patient(tasks: Vec<Task>) -> World {
    let mut world = World::new(policy(""));
    world.open(true);
    let read = |effect| EventKind::RoadmapRead {
        effect,
        reading: Reading::Read(roadmap(tasks)),
    };
    world.answer(&Effect::ReadRoadmap { tip: None }, read);
    world
}

#[test]
fn what_a_person_ticks_counts_and_what_is_unticked_is_done_again() {
    let mut world = patient(vec![
        task("A", "approve = [\"dispatch\"]"),
        task("B", "after = [\"A\"]"),
    ]);
    let reread = |world: &mut World, tip: u64| {
        world.tell(EventKind::TipSeen(commit(tip)));
        world.tick();
    };
    let kind = |world: &World, at: usize| match &world.state.tasks()[at].phase() {
        Phase::Landed(landed) => format!("landed {:?}", landed.commit()),
        Phase::Waiting(_) => "waiting".to_owned(),
        Phase::Active(_) => "active".to_owned(),
        Phase::Held(_) => "held".to_owned(),
        Phase::Parked { .. } => "parked".to_owned(),
    };
    assert_eq!(
        (kind(&world, 0), kind(&world, 1)),
        ("held".to_owned(), "waiting".to_owned())
    );
    world.tasks[1].done = true;
    reread(&mut world, 7);
    assert_eq!(
        kind(&world, 1),
        "landed None",
        "it was waiting, and was ticked"
    );
    world.tasks[0].done = true;
    reread(&mut world, 8);
    assert_eq!(
        kind(&world, 0),
        "landed None",
        "its question is no longer asked"
    );
    assert_eq!(world.state.holds().count(), 0);
    assert_eq!(world.state.ended(), Some(EndReason::Complete));
    assert!(
        !world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::Report { .. })),
        "nobody worked on them"
    );

    let mut world = patient(vec![
        task("A", ""),
        task("B", "approve = [\"dispatch\"]\nafter = [\"A\"]"),
    ]);
    world.tasks[0].done = true;
    reread(&mut world, 7);
    while world.step() {}
    assert_eq!(kind(&world, 0), "landed None");
    // `World` ticks what has landed: here a person takes the tick away.
    world.tell(EventKind::TipSeen(commit(9)));
    let effect = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| matches!(what, Effect::ReadRoadmap { .. }));
    let effect = effect.map_or_else(
        || {
            world.tell(EventKind::Tick);
            world
                .open_effects()
                .into_iter()
                .find(|(_, what)| matches!(what, Effect::ReadRoadmap { .. }))
                .expect("is asked for")
                .0
        },
        |(effect, _)| effect,
    );
    let mut tasks = world.tasks.clone();
    tasks[0].done = false;
    let read = orchestrator_core::model::Roadmap {
        tip: commit(9),
        ..roadmap(tasks)
    };
    world.tell(EventKind::RoadmapRead {
        effect,
        reading: Reading::Read(read),
    });
    assert_eq!(
        kind(&world, 0),
        "landed None",
        "whether its landing was dropped is not known yet"
    );
    world.tick();
    assert_eq!(kind(&world, 0), "active");
}

#[test]
fn a_roadmap_that_was_refused_is_read_again_when_the_target_moves_and_not_before() {
    let mut world = patient(vec![task("A", "approve = [\"dispatch\"]")]);
    let reads = |world: &World| {
        let asked = |record: &&Record| {
            matches!(
                record,
                Record::Requested {
                    what: Effect::ReadRoadmap { .. },
                    ..
                }
            )
        };
        world.ledger.iter().filter(asked).count()
    };
    world.tell(EventKind::TipSeen(commit(7)));
    world.tell(EventKind::Tick);
    assert_eq!(reads(&world), 2);
    let effect = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| matches!(what, Effect::ReadRoadmap { .. }))
        .expect("reads")
        .0;
    world.tell(EventKind::RoadmapRead {
        effect,
        reading: Reading::Refused {
            tip: commit(7),
            why: "line 1".to_owned(),
        },
    });
    world.tell(EventKind::Tick);
    world.tell(EventKind::Tick);
    assert_eq!(reads(&world), 2, "it would be refused again");
    world.tell(EventKind::TipSeen(commit(8)));
    world.tell(EventKind::Tick);
    assert_eq!(reads(&world), 3);
}

#[test]
fn target_that_is_gone_starts_nothing_new_until_it_moves() {
    let held = "allow = [\"a\"]\napprove = [\"dispatch\"]";
    let mut world = patient(vec![task("A", held)]);
    let gone = || EventKind::TargetGone {
        why: "it has no branch `main` any more".to_owned(),
    };
    let dispatched = |world: &World| {
        let is_one = |record: &&Record| matches!(record, Record::Dispatched { .. });
        world.ledger.iter().filter(is_one).count()
    };
    world.tell(gone());
    let recorded = world.ledger.len();
    world.tell(gone());
    assert_eq!(world.ledger.len(), recorded, "it is said once");
    let approve = Answer::new(HoldId(1), HoldOption::Approve);
    world.tell(EventKind::Answered(approve));
    world.tick();
    assert_eq!(dispatched(&world), 0);
}

#[test]
fn a_task_that_is_parked_before_any_attempt_is_reported_to_nobody() {
    let mut world = patient(vec![task("A", "approve = [\"dispatch\"]")]);
    world.tell(EventKind::Answered(Answer::new(
        HoldId(1),
        HoldOption::Park,
    )));
    world.tick();
    assert!(matches!(
        world.state.tasks()[0].phase(),
        Phase::Parked { .. }
    ));
    assert!(
        world.state.open_effects().is_empty(),
        "{:?}",
        world.state.open_effects()
    );
    assert_eq!(world.state.package(), None, "no package was entered");
    assert!(
        world
            .state
            .task(&task_id("A"))
            .is_some_and(|entry| entry.report().is_none())
    );
}

#[test]
fn wall_time_is_used_up_when_it_is_and_not_before() {
    let spends = |millis: u64| {
        let mut world =
            World::with_tasks(policy(""), vec![task("A", "budget = { wall = \"10s\" }")]);
        assert!(world.step());
        let turn = world.open_effects()[0].0;
        world.now += millis;
        world.tell(EventKind::TurnEnded {
            effect: turn,
            outcome: TurnOutcome::Completed,
            usage: TurnUsage::default(),
        });
        world.tick();
        let nothing = nothing(HandoffReport::Missing, false);
        world.answer(
            &crate::open(&world, |what| matches!(what, Effect::Collect { .. })),
            |effect| collected(effect, nothing),
        );
        exhausted(&world).contains("its wall time of 10s is used up")
    };
    assert!(spends(10_000));
    assert!(!spends(5000));
}

/// Brings the first task's attempt to where its one gate runs, and ends that gate with this status.
fn gated(world: &mut World, code: i32) {
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| runs_on_candidate(what))
    {
        assert!(world.step(), "it comes to the gate");
    }
    let (effect, what) = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| runs_on_candidate(what))
        .expect("runs");
    world.tell(gate_ran(effect, &what, code));
    world.tick();
}

fn asked(world: &World, wanted: fn(&Effect) -> bool) -> usize {
    world
        .ledger
        .iter()
        .filter(|record| matches!(record, Record::Requested { what, .. } if wanted(what)))
        .count()
}

#[test]
fn what_is_known_of_a_red_tip_stays_known_when_a_person_parks_what_showed_it() {
    let mut world = patient(vec![
        task("A", "allow = [\"a\"]"),
        task("B", "allow = [\"b\"]"),
    ]);
    gated(&mut world, 1);
    let (effect, what) = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| what.is_gate_on_tip())
        .expect("is asked");
    world.tell(gate_ran(effect, &what, 1));
    world.tick();
    let hold = world.state.holds().next().expect("a person is asked").id;
    world.tell(EventKind::Answered(Answer::new(hold, HoldOption::Park)));
    world.tick();
    gated(&mut world, 1);
    assert_eq!(
        asked(&world, Effect::is_gate_on_tip),
        1,
        "the tip has not moved"
    );
    assert_eq!(world.state.holds().count(), 1, "and is red for B as well");
}

#[test]
fn a_tree_that_was_gated_green_is_not_gated_again_after_a_lost_race() {
    let mut world = patient(vec![task("A", "")]);
    gated(&mut world, 0);
    let landing = |world: &World| {
        let land = world
            .open_effects()
            .into_iter()
            .find_map(|(effect, what)| match what {
                Effect::Land { landing } => Some((effect, landing)),
                _ => None,
            });
        land.expect("it is to land")
    };
    let (effect, first) = landing(&world);
    world.tell(EventKind::LandingTried {
        effect,
        outcome: LandingOutcome::TipMoved,
    });
    world.tick();
    let merge = crate::open(&world, |what| matches!(what, Effect::Merge { .. }));
    let candidate = Candidate {
        head: first.acceptance.head,
        tip: commit(60),
        tip_tree: tree_of(commit(60)),
        tree: first.acceptance.tree,
        changes: vec![change("a")],
    };
    world.answer(&merge, |effect| EventKind::Merged {
        effect,
        result: Ok(candidate),
    });
    let (_, second) = landing(&world);
    assert_eq!(
        (second.acceptance.tree, second.acceptance.tip),
        (first.acceptance.tree, commit(60))
    );
    assert_eq!(
        asked(&world, |what| matches!(what, Effect::RunGate { .. })),
        1
    );
}

#[test]
fn a_dirty_checkout_is_named_by_its_files() {
    let mut world = patient(vec![task("A", "approve = [\"dispatch\"]")]);
    world.tell(EventKind::CheckoutSeen(Checkout::Dirty {
        paths: vec!["a/x".parse().expect("a path")],
    }));
    world.tell(EventKind::Answered(Answer::new(
        HoldId(1),
        HoldOption::Approve,
    )));
    world.tick();
    let questions: Vec<_> = world.state.holds().map(Hold::question).collect();
    assert!(
        questions
            .iter()
            .any(|question| question.contains("uncommitted changes (a/x)")),
        "{questions:?}"
    );
}

#[test]
fn a_landing_waits_for_a_remote_that_is_away() {
    let mut world = World::with_tasks(policy("[limits]\nbackoff = \"1h\""), vec![task("A", "")]);
    gated(&mut world, 0);
    let land = |world: &World| asked(world, |what| matches!(what, Effect::Land { .. }));
    let (effect, _) = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| matches!(what, Effect::Land { .. }))
        .expect("lands");
    world.tell(EventKind::LandingTried {
        effect,
        outcome: LandingOutcome::Unreachable {
            reason: "no route".to_owned(),
        },
    });
    world.tick();
    assert_eq!(land(&world), 1);
    let until = world.state.away().expect("is away").until().0;
    world.now = until;
    world.tick();
    assert_eq!(land(&world), 2, "the same landing is tried again");
}

#[test]
fn the_tip_is_asked_about_the_red_gate_only() {
    let two = "[gates.other]\nrun = [\"true\"]\ndefault = true";
    let mut world = World::with_tasks(policy(two), vec![task("A", "")]);
    gated(&mut world, 0);
    gated(&mut world, 1);
    let tips = |world: &World| asked(world, Effect::is_gate_on_tip);
    assert_eq!(tips(&world), 1);
    let (effect, what) = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| what.is_gate_on_tip())
        .expect("asks");
    let is_unit = matches!(&what, Effect::RunGate { gate, .. } if gate.name.as_str() == "unit");
    assert!(is_unit, "the second, which was red");
    world.tell(gate_ran(effect, &what, 0));
    world.tick();
    assert_eq!(tips(&world), 1, "the other gate was green");
    assert!(
        world
            .open_effects()
            .iter()
            .any(|(_, what)| matches!(what, Effect::RunTurn { turn: 2, .. })),
        "it goes back"
    );
}

#[test]
fn a_gate_that_fails_on_the_target_runs_once_on_each_tip_and_holds_nobody_else_up() {
    let held_back = ["A", "B", "C"].map(|id| task(id, &format!("allow = [\"{id}\"]")));
    let others = ["D", "E", "F", "G"]
        .map(|id| task(id, &format!("allow = [\"{id}\"]\ngates = [\"other\"]")));
    let rules = policy("max_sessions = 10\n[gates.other]\nrun = [\"true\"]");
    let tasks = held_back.into_iter().chain(others).collect();
    let mut world = World::new(rules);
    world.open(true);
    world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
        EventKind::RoadmapRead {
            effect,
            reading: Reading::Read(roadmap(tasks)),
        }
    });
    // Until nothing moves: `unit` fails on everything, all else goes well.
    let go_on = |world: &mut World, code: i32| {
        while let Some((effect, what)) = world.open_effects().into_iter().next() {
            let event = match &what {
                Effect::RunGate { gate, .. } if gate.name.as_str() == "unit" => {
                    gate_ran(effect, &what, code)
                }
                _ => world.good(effect, &what),
            };
            world.tell(event);
            world.tick();
        }
    };
    go_on(&mut world, 1);
    let landed = |world: &World| {
        world
            .state
            .tasks()
            .iter()
            .filter(|entry| entry.has_landed())
            .count()
    };
    assert_eq!(landed(&world), 4, "the others have landed");
    let on_candidates = |world: &World| {
        asked(world, |what| {
            runs_on_candidate(what)
                && matches!(what, Effect::RunGate { gate, .. } if gate.name.as_str() == "unit")
        })
    };
    assert_eq!(
        on_candidates(&world),
        3,
        "each candidate was gated once, on the first tip"
    );
    let mut tips: Vec<_> = world
        .ledger
        .iter()
        .filter_map(|record| match record {
            Record::Requested {
                what:
                    Effect::RunGate {
                        at: GateHead::Tip(tip),
                        ..
                    },
                ..
            } => Some(*tip),
            _ => None,
        })
        .collect();
    let checked = tips.len();
    tips.sort();
    tips.dedup();
    assert_eq!(tips.len(), checked, "no tip is asked about the gate twice");
    assert!(checked <= 5, "there were five tips: {checked}");
    assert_eq!(world.state.holds().count(), 1, "a person is asked once");
    // It is mended there: the tip is asked first, then those who waited go on.
    world.tell(EventKind::TipSeen(commit(900)));
    world.tick();
    go_on(&mut world, 0);
    assert_eq!(landed(&world), 7);
    assert_eq!(on_candidates(&world), 6);
}

#[test]
fn a_task_that_is_put_back_while_its_agent_is_stopped_is_wanted_again() {
    let mut world = patient(vec![task("A", "")]);
    assert!(world.step(), "its agent runs");
    let moved = |world: &mut World, tip: u64| {
        world.tell(EventKind::TipSeen(commit(tip)));
        world.tick();
    };
    let all = std::mem::take(&mut world.tasks);
    moved(&mut world, 7);
    assert!(world.state.tasks()[0].withdrawn().is_some());
    world.tasks = all;
    moved(&mut world, 8);
    assert!(world.state.tasks()[0].withdrawn().is_none());
    while world.step() {}
    assert!(
        world.state.tasks()[0].has_landed(),
        "{:?}",
        world.state.tasks()[0].phase()
    );
}

#[test]
fn a_person_who_is_asked_about_a_review_is_told_what_was_done() {
    let mut world = patient(vec![task("A", "")]);
    while !world
        .open_effects()
        .iter()
        .any(|(_, what)| matches!(what, Effect::Review { .. }))
    {
        assert!(world.step());
    }
    let (effect, _) = world
        .open_effects()
        .into_iter()
        .find(|(_, what)| matches!(what, Effect::Review { .. }))
        .expect("is asked");
    world.tell(EventKind::Reviewed {
        effect,
        reviews: vec![unavailable()],
        carried: None,
    });
    world.tick();
    let snapshot = Snapshot::of(&world.state);
    let hold = snapshot.tasks[0].hold.as_ref().expect("a person is asked");
    assert!(
        hold.brief
            .change
            .iter()
            .any(|line| line.starts_with("1 commit(s), 1 file(s)")),
        "{:?}",
        hold.brief.change
    );
}
