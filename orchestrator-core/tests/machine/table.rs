//! Every state × event pair: a row, a `Stale`, or an `IllegalEvent`. The whole table is a snapshot, to be read in review.

use std::fmt::Write as _;

use orchestrator_core::{
    machine::{IllegalEvent, decide},
    model::{
        Answer, Carried, Checkout, Collected, CommitId, ContentHash, Effect, EffectId, Event,
        EventKind, Finding, GateReport, GateSpec, HandoffReport, HoldId, HoldOption,
        LandingOutcome, LandingPlace, MergeFailure, MissingCommit, Opened, Reading, Refusal,
        RefusalCause, ReviewerChoice, RunId, RunMode, SessionRef, Setup, Severity, Shift, Span,
        Submission, Timestamp, TreeId, TurnOutcome, TurnSight, Usage, WorkspaceFate,
    },
};

use crate::world::{
    Laws, World, blocked, collected, commit, name, nothing, policy, report, review, roadmap,
    submission, task, tree_of,
};

/// One world for each state that a task, or the run, can be in.
fn states() -> Vec<(&'static str, World)> {
    let fresh = World::new(policy(""));
    let mut reading = fresh.clone();
    reading.open(false);
    let paused = |claims: &str| {
        let mut world = fresh.clone();
        world.open(true);
        world.tell(EventKind::ModeAsked(RunMode::Paused));
        world.answer(&Effect::ReadRoadmap { tip: None }, |effect| {
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Read(roadmap(vec![task("T1", claims)])),
            }
        });
        world
    };
    let waiting = paused("");
    let mut preparing = waiting.clone();
    preparing.tell(EventKind::ModeAsked(RunMode::Active));
    preparing.tick();
    let mut turn_due = preparing.clone();
    turn_due.tell(EventKind::ModeAsked(RunMode::Paused));
    turn_due.step();
    let after = |world: &World| {
        let mut next = world.clone();
        assert!(next.step(), "an effect was open");
        next
    };
    let working = after(&preparing);
    let collecting = after(&working);
    let reviewing = after(&collecting);
    let merging = after(&reviewing);
    let gating = after(&merging);
    let landing = after(&gating);
    let mut checking_tip = gating.clone();
    checking_tip.tell(EventKind::GateRan {
        effect: last(&gating),
        report: red(&gating),
    });
    checking_tip.tick();
    let baseline = World::with_baseline(policy(""), vec![task("T1", "")]);
    let mut tip_red = checking_tip.clone();
    tip_red.tell(EventKind::GateRan {
        effect: last(&checking_tip),
        report: red(&checking_tip),
    });
    let mut cancelling = gating.clone();
    cancelling.tasks.clear();
    cancelling.tell(EventKind::TipSeen(commit(5)));
    cancelling.tick();
    tip_red.tick();
    let mut away = reviewing.clone();
    away.tell(EventKind::RemoteAway {
        why: "no route".into(),
    });
    away.step();
    let mut withdrawn = working.clone();
    withdrawn.tasks.clear();
    withdrawn.tell(EventKind::TipSeen(commit(5)));
    withdrawn.tick();
    let landed = after(&landing);
    let mut looking_back = landed.clone();
    looking_back.tell(EventKind::TipSeen(commit(5)));
    looking_back.tell(EventKind::Tick);
    let mut rewritten = looking_back.clone();
    let tip = landed.state.tip().expect("a tip");
    rewritten.tell(EventKind::HistoryChecked {
        effect: checks_history(&looking_back),
        missing: vec![missing(tip)],
    });
    rewritten.tell(EventKind::Tick);
    let mut dropped = rewritten.clone();
    dropped.dropped.insert(tip);
    dropped.tick();
    let mut stopping = working.clone();
    stopping.now += 3 * 3600 * 1000;
    stopping.tick();
    let mut silent = working.clone();
    silent.now += 3600 * 1000;
    let mut nudged = silent.clone();
    nudged.tell(EventKind::TurnSeen {
        effect: last(&silent),
        seen: sight(Timestamp(0), None, None),
    });
    let mut held = paused("claims = [{ id = \"c\", text = \"t\", surface = \"device\" }]");
    held.tell(EventKind::ModeAsked(RunMode::Active));
    while held.state.holds().next().is_none() {
        assert!(
            held.tick().len() + usize::from(held.step()) > 0,
            "it comes to the hold"
        );
    }
    let mut parked = reviewing.clone();
    while parked
        .open_effects()
        .iter()
        .any(|(_, what)| !matches!(what, Effect::CleanUp { .. } | Effect::Report { .. }))
    {
        let (effect, what) = parked.open_effects().remove(0);
        let event = match what {
            Effect::Collect { .. } => collected(effect, nothing(blocked("no"), false)),
            Effect::Review { .. } => EventKind::Reviewed {
                effect,
                reviews: vec![review(commit(7), vec![crate::world::error()])],
                carried: None,
            },
            what => parked.good(effect, &what),
        };
        parked.tell(event);
        parked.tick();
    }
    parked.tell(EventKind::Answered(Answer::new(
        HoldId(1),
        HoldOption::Park,
    )));
    parked.tick();
    let mut ended = landed.clone();
    while ended.step() {}
    assert!(ended.state.ended().is_some());
    vec![
        ("fresh", fresh),
        ("reading the roadmap", reading),
        ("waiting (paused)", waiting),
        ("preparing", preparing),
        ("turn due (paused)", turn_due),
        ("working", working),
        ("working, silent for an hour", silent),
        ("working, reminded to go on", nudged),
        ("working, told to stop", stopping),
        ("collecting", collecting),
        ("reviewing", reviewing),
        ("merging", merging),
        ("gating", gating),
        ("checking the tip", checking_tip),
        ("preparing, beside a gate on the tip", baseline),
        ("held, since the tip is red", tip_red),
        ("stopping a gate that nobody needs", cancelling),
        ("waiting for a remote that is away", away),
        ("working on a task that was removed", withdrawn),
        ("landing", landing),
        ("landed, cleaning up", landed),
        ("landed, and the target has moved", looking_back),
        ("landed, and the target was rewritten", rewritten),
        ("held, since its landing was dropped", dropped),
        ("held", held),
        ("parked, cleaning up", parked),
        ("ended", ended),
    ]
}

/// Work without a handoff.
fn silent(head: CommitId) -> Submission {
    Submission {
        handoff: HandoffReport::Missing,
        ..submission(head)
    }
}

/// A look at a turn whose backend says that a minute of silence is too long.
fn sight(active: Timestamp, head: Option<CommitId>, alive: Option<bool>) -> TurnSight {
    TurnSight {
        active,
        tool_in_flight: false,
        silence: Some(Span::secs(60)),
        alive,
        head,
        usage: Usage::default(),
    }
}

/// A commit that the target does not have in any form.
fn missing(commit: CommitId) -> MissingCommit {
    MissingCommit {
        commit,
        again: None,
    }
}

/// The effect that looks through the target's history.
fn checks_history(world: &World) -> EffectId {
    let mut open = world.open_effects().into_iter();
    open.find(|(_, what)| matches!(what, Effect::CheckHistory { .. }))
        .expect("it is asked for")
        .0
}

/// What the gate says that was asked for last: that it failed.
fn red(world: &World) -> GateReport {
    let (gate, tree) = gated(world, last(world)).expect("a gate runs");
    report(gate, tree, 1)
}

/// The gate that this effect runs, and on which tree.
fn gated(world: &World, effect: EffectId) -> Option<(GateSpec, TreeId)> {
    match world.state.open_effects().get(&effect)? {
        Effect::RunGate { tree, gate, .. } => Some((gate.clone(), *tree)),
        _ => None,
    }
}

fn gate_spec() -> GateSpec {
    policy("")
        .gates
        .iter()
        .next()
        .map(|(name, rule)| rule.named(name, &Setup::default()))
        .expect("a gate")
}

fn last(world: &World) -> EffectId {
    world.open_effects().last().expect("one is open").0
}

/// An event of every kind that closes, or speaks of, an effect.
fn effect_events(world: &World, effect: EffectId) -> Vec<(&'static str, EventKind)> {
    let any = || (gate_spec(), format!("{:040x}", 5).parse().expect("an id"));
    let (gate, tree) = gated(world, effect).unwrap_or_else(any);
    let usage = Usage::default();
    let tip = world.state.history().checked().unwrap_or(commit(1));
    let again = MissingCommit {
        commit: tip,
        again: Some(commit(6)),
    };
    let carried = Carried {
        onto: commit(2),
        head: commit(51),
        tree,
        changes: Vec::new(),
        left_out: Vec::new(),
    };
    vec![
        (
            "history checked, whole",
            EventKind::HistoryChecked {
                effect,
                missing: Vec::new(),
            },
        ),
        (
            "history checked, missing",
            EventKind::HistoryChecked {
                effect,
                missing: vec![missing(tip)],
            },
        ),
        (
            "history checked, landed again",
            EventKind::HistoryChecked {
                effect,
                missing: vec![again],
            },
        ),
        (
            "roadmap read",
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Read(roadmap(vec![task("T1", "")])),
            },
        ),
        (
            "roadmap refused",
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Refused {
                    tip: commit(3),
                    why: "line 1".into(),
                },
            },
        ),
        (
            "roadmap unreachable",
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Unreachable {
                    why: "no route".into(),
                },
            },
        ),
        (
            "prepared",
            EventKind::Prepared {
                effect,
                failure: None,
            },
        ),
        (
            "prepared, failed",
            EventKind::Prepared {
                effect,
                failure: Some("disk full".into()),
            },
        ),
        (
            "session seen",
            EventKind::SessionSeen {
                effect,
                session: SessionRef("s".into()),
            },
        ),
        (
            "noticed",
            EventKind::Noticed {
                effect,
                finding: Finding::new(Severity::Warning, "tool/refused", "x"),
            },
        ),
        (
            "reviewer asked",
            EventKind::ReviewerAsked {
                effect,
                reviewer: "agent/second".into(),
                choice: Some(ReviewerChoice::WorkersOwn),
                looked: Span(0),
            },
        ),
        (
            "turn seen",
            EventKind::TurnSeen {
                effect,
                seen: sight(Timestamp(world.now), Some(commit(77)), None),
            },
        ),
        (
            "turn seen, stalled",
            EventKind::TurnSeen {
                effect,
                seen: sight(Timestamp(0), None, None),
            },
        ),
        (
            "turn seen, gone",
            EventKind::TurnSeen {
                effect,
                seen: sight(Timestamp(0), None, Some(false)),
            },
        ),
        (
            "nudged",
            EventKind::Nudged {
                effect,
                heard: true,
            },
        ),
        (
            "nudged, deaf",
            EventKind::Nudged {
                effect,
                heard: false,
            },
        ),
        (
            "turn ended",
            EventKind::TurnEnded {
                effect,
                outcome: TurnOutcome::Completed,
                usage: usage.into(),
            },
        ),
        ("stop sent", EventKind::StopSent { effect }),
        (
            "collected, work",
            collected(effect, Collected::Work(submission(commit(50)))),
        ),
        (
            "collected, without a handoff",
            collected(effect, Collected::Work(silent(commit(50)))),
        ),
        (
            "collected, uncommitted work",
            collected(effect, nothing(HandoffReport::Missing, true)),
        ),
        (
            "collected, nothing",
            collected(effect, nothing(HandoffReport::Missing, false)),
        ),
        (
            "collected, blocked",
            collected(effect, nothing(blocked("why"), false)),
        ),
        (
            "collected, unusable",
            collected(
                effect,
                Collected::Unusable {
                    reason: "rewritten".into(),
                },
            ),
        ),
        (
            "reviewed, fine",
            EventKind::Reviewed {
                effect,
                reviews: vec![review(commit(50), Vec::new())],
                carried: None,
            },
        ),
        (
            "reviewed, findings",
            EventKind::Reviewed {
                effect,
                reviews: vec![review(commit(50), vec![crate::world::error()])],
                carried: None,
            },
        ),
        (
            "merged, conflict",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::Conflict {
                    tip: commit(2),
                    paths: Vec::new(),
                }),
            },
        ),
        (
            "merged, offends",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::Offends {
                    findings: vec![crate::world::error()],
                }),
            },
        ),
        (
            "merged, carried over",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::CarriedOver(carried)),
            },
        ),
        (
            "merged, past review",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::PastReview { tip: commit(2) }),
            },
        ),
        (
            "merged, impossible",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::Impossible {
                    reason: "away".into(),
                }),
            },
        ),
        (
            "gate ran, green",
            EventKind::GateRan {
                effect,
                report: report(gate.clone(), tree, 0),
            },
        ),
        (
            "gate ran, red",
            EventKind::GateRan {
                effect,
                report: report(gate.clone(), tree, 1),
            },
        ),
        (
            "gate ran, on another tree",
            EventKind::GateRan {
                effect,
                report: report(gate, tree_of(commit(99)), 0),
            },
        ),
        ("gate cancelled", EventKind::GateCancelled { effect }),
        (
            "landed",
            EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::Landed { commit: commit(60) },
            },
        ),
        (
            "landing, tip moved",
            EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::TipMoved,
            },
        ),
        (
            "landing, refused",
            EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::Refused(
                    Refusal::new(
                        RefusalCause::Declined,
                        LandingPlace::Remote("origin".into()),
                    )
                    .with_words("hook"),
                ),
            },
        ),
        (
            "merged, remote away",
            EventKind::Merged {
                effect,
                result: Err(MergeFailure::Unreachable {
                    reason: "no route".into(),
                }),
            },
        ),
        (
            "landing, remote away",
            EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::Unreachable {
                    reason: "no route".into(),
                },
            },
        ),
        (
            "landing, checkout dirty",
            EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::CheckoutDirty { paths: Vec::new() },
            },
        ),
        (
            "cleaned up",
            EventKind::CleanedUp {
                effect,
                fate: WorkspaceFate::Kept {
                    reason: "dirty".into(),
                },
            },
        ),
        (
            "reported",
            EventKind::Reported {
                effect,
                failure: None,
            },
        ),
        ("interrupted", EventKind::Interrupted { effect }),
    ]
}

/// An event of every other kind.
fn run_events() -> Vec<(&'static str, EventKind)> {
    let opened = Opened {
        run: RunId::new("again").expect("a name"),
        policy: policy("").hash(),
        environment: ContentHash::of(b""),
        seed: 1,
        backends: vec![("agent".parse().expect("a name"), true)],
        wait: false,
        baseline: false,
    };
    let answer = |hold, option| EventKind::Answered(Answer::new(HoldId(hold), option));
    vec![
        ("opened", EventKind::Opened(opened)),
        ("drain asked", EventKind::ModeAsked(RunMode::Drain)),
        ("answer: approve", answer(1, HoldOption::Approve)),
        ("answer: park", answer(1, HoldOption::Park)),
        ("answer: not an option", answer(1, HoldOption::Retry)),
        ("answer: no such hold", answer(9, HoldOption::Park)),
        ("tip seen", EventKind::TipSeen(commit(88))),
        (
            "remote away",
            EventKind::RemoteAway {
                why: "no route".into(),
            },
        ),
        (
            "target gone",
            EventKind::TargetGone {
                why: "renamed".into(),
            },
        ),
        (
            "checkout dirty",
            EventKind::CheckoutSeen(Checkout::Dirty {
                paths: vec!["a".parse().expect("a path")],
            }),
        ),
        (
            "remarks",
            EventKind::RemarksSeen(vec!["main is 1 ahead".to_owned()]),
        ),
        ("tick", EventKind::Tick),
        ("stop asked", EventKind::StopAsked),
        (
            "clock jumped",
            EventKind::ClockJumped {
                by: Shift(9 * 3_600_000),
            },
        ),
    ]
}

/// Every kind of event that is listed here is in the table: the count below fails until it is.
fn kind_index(kind: &EventKind) -> usize {
    match kind {
        EventKind::Opened(_) => 0,
        EventKind::RoadmapRead { .. } => 1,
        EventKind::ModeAsked(_) => 2,
        EventKind::Answered(_) => 3,
        EventKind::TipSeen(_) => 4,
        EventKind::CheckoutSeen(_) => 5,
        EventKind::Tick => 6,
        EventKind::StopAsked => 7,
        EventKind::Prepared { .. } => 8,
        EventKind::SessionSeen { .. } => 9,
        EventKind::TurnSeen { .. } => 10,
        EventKind::TurnEnded { .. } => 11,
        EventKind::StopSent { .. } => 12,
        EventKind::Collected { .. } => 13,
        EventKind::Reviewed { .. } => 14,
        EventKind::Merged { .. } => 15,
        EventKind::GateRan { .. } => 16,
        EventKind::LandingTried { .. } => 17,
        EventKind::CleanedUp { .. } => 18,
        EventKind::Reported { .. } => 19,
        EventKind::Interrupted { .. } => 20,
        EventKind::RemoteAway { .. } => 21,
        EventKind::GateCancelled { .. } => 22,
        EventKind::Nudged { .. } => 23,
        EventKind::Noticed { .. } => 24,
        EventKind::HistoryChecked { .. } => 25,
        EventKind::ClockJumped { .. } => 26,
        EventKind::TargetGone { .. } => 27,
        EventKind::RemarksSeen(_) => 28,
        EventKind::ReviewerAsked { .. } => 29,
        other => panic!("not in the table: {other:?}"),
    }
}

fn outcome(world: &World, kind: EventKind) -> String {
    match decide(
        &world.state,
        Event {
            at: Timestamp(world.now + 1),
            kind: kind.clone(),
        },
        &world.policy,
    ) {
        Ok(records) => {
            // What was decided can be applied, and something may follow from it.
            let mut world = world.clone();
            world.tell(kind);
            world.tick();
            Laws::hold_and_replay(&world);
            let names: Vec<_> = records.iter().map(name).collect();
            if names.is_empty() {
                "-".to_owned()
            } else {
                names.join(", ")
            }
        }
        Err(IllegalEvent::NotOpened) => "ILLEGAL: not opened".to_owned(),
        Err(IllegalEvent::UnknownEffect(_)) => "ILLEGAL: unknown effect".to_owned(),
        Err(IllegalEvent::WrongKind(_)) => "ILLEGAL: wrong kind".to_owned(),
        Err(other) => panic!("an illegal event of a new kind: {other}"),
    }
}

#[test]
fn the_whole_table() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut text = String::new();
    for (state, world) in states() {
        let _ = writeln!(text, "## {state}");
        for (event, kind) in run_events() {
            kinds.insert(kind_index(&kind));
            let _ = writeln!(text, "{event}: {}", outcome(&world, kind));
        }
        for (effect, what) in world.open_effects() {
            let what = serde_json::to_value(&what).expect("serialises");
            let what = what
                .as_object()
                .and_then(|members| members.keys().next().cloned())
                .unwrap_or_else(|| what.to_string());
            let _ = writeln!(text, "# {effect} {what}");
            for (event, kind) in effect_events(&world, effect) {
                kinds.insert(kind_index(&kind));
                let outcome = outcome(&world, kind);
                // All that is not listed is illegal, as asserted below.
                if outcome != "ILLEGAL: wrong kind" {
                    let _ = writeln!(text, "{event}: {outcome}");
                }
            }
        }
        text.push('\n');
    }
    assert_eq!(kinds.len(), 30, "every kind of event is in the table");
    insta::assert_snapshot!(text);
}

#[test]
fn an_effect_is_closed_by_its_own_kind_of_event_only() {
    let closers: [(&str, &[usize]); 14] = [
        ("ReadRoadmap", &[1]),
        ("CheckHistory", &[25]),
        ("Prepare", &[8]),
        ("RunTurn", &[9, 10, 11, 24]),
        ("Nudge", &[23]),
        ("StopTurn", &[12]),
        ("CancelGate", &[12]),
        ("Collect", &[13]),
        ("Review", &[14, 29]),
        ("Merge", &[15]),
        ("RunGate", &[16, 22]),
        ("Land", &[17]),
        ("CleanUp", &[18]),
        ("Report", &[19]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (state, world) in states() {
        for (effect, what) in world.open_effects() {
            let debug = format!("{what:?}");
            let (kind, own) = closers
                .iter()
                .find(|(kind, _)| debug.starts_with(kind))
                .expect("a known effect");
            seen.insert(*kind);
            for (event, kind) in effect_events(&world, effect) {
                let (index, outcome) = (kind_index(&kind), outcome(&world, kind));
                let of_another = event == "gate ran, on another tree";
                let legal = (own.contains(&index) && !of_another) || index == 20;
                assert_eq!(
                    outcome == "ILLEGAL: wrong kind",
                    !legal,
                    "{state}: {event} for {debug}: {outcome}"
                );
            }
        }
    }
    assert_eq!(
        seen.len(),
        closers.len(),
        "every kind of effect was open in some state: {seen:?}"
    );
}

#[test]
fn a_late_event_is_stale_and_one_for_an_effect_that_never_was_is_illegal() {
    for (state, world) in states() {
        let unknown = EffectId(10_000);
        for (event, kind) in effect_events(&world, unknown) {
            let expected = if world.state.run().is_none() {
                "ILLEGAL: not opened"
            } else {
                "ILLEGAL: unknown effect"
            };
            assert_eq!(outcome(&world, kind), expected, "{state}: {event}");
        }
        let open = world.state.open_effects();
        let last = open.keys().next_back().map_or(0, |effect| effect.0);
        for closed in (1..last)
            .map(EffectId)
            .filter(|effect| !open.contains_key(effect))
        {
            for (event, kind) in effect_events(&world, closed) {
                assert_eq!(
                    outcome(&world, kind),
                    "stale",
                    "{state}: {event} for {closed}"
                );
            }
        }
    }
}
