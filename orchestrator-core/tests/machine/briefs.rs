//! What a person is told for each way in which a turn can end: how it ended, what there is, and what
//! each answer does.

use std::fmt::Write as _;

use orchestrator_core::{
    model::{
        Collected, Effect, EffectId, EventKind, HandoffReport, HoldReason, RepoPath, SessionRef,
        StopReason, Timestamp, TurnOutcome, TurnUsage,
    },
    status::{HoldView, Snapshot},
};

use crate::world::{World, blocked, collected, commit, nothing, policy, submission, task};

/// What there is when a turn is over.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// A commit, a file that is not committed, and no handoff.
    Half,
    /// A commit, and a handoff that cannot be read.
    Unreadable,
    /// No commit; two files, kept by a commit of ours.
    Uncommitted,
    /// Nothing at all.
    Nothing,
    /// No commit, and a handoff that says blocked.
    Blocked,
}

fn path(text: &str) -> RepoPath {
    text.parse().expect("a path")
}

fn found(left: Left) -> Collected {
    let with = |handoff, uncommitted| {
        let mut work = submission(commit(50));
        work.handoff = handoff;
        work.uncommitted = uncommitted;
        Collected::Work(work)
    };
    match left {
        Left::Half => with(HandoffReport::Missing, vec![path("src/half.rs")]),
        Left::Unreadable => {
            let reason = "line 1: expected value".to_owned();
            with(HandoffReport::Broken { reason }, Vec::new())
        }
        Left::Uncommitted => {
            let mut found = nothing(HandoffReport::Missing, true);
            if let Collected::Nothing {
                uncommitted,
                rescued,
                ..
            } = &mut found
            {
                *uncommitted = vec![path("src/half.rs"), path("src/new.rs")];
                *rescued = Some(commit(60));
            }
            found
        }
        Left::Nothing => nothing(HandoffReport::Missing, false),
        Left::Blocked => nothing(blocked("which tray?"), false),
    }
}

fn is_turn(what: &Effect) -> bool {
    matches!(what, Effect::RunTurn { .. })
}

fn open(world: &World, of: fn(&Effect) -> bool) -> Option<EffectId> {
    let found = world.open_effects().into_iter().find(|(_, what)| of(what));
    found.map(|(effect, _)| effect)
}

/// Lets each turn end so until a person is asked; what they are told.
fn asked(outcome: &TurnOutcome, stopped: Option<StopReason>, left: Left) -> HoldView {
    let mut world = World::with_tasks(
        policy("[limits]\nattempts = 2\nturns = 1"),
        vec![task("A", "")],
    );
    for _ in 0..200 {
        let snapshot = Snapshot::of(&world.state);
        if let Some(hold) = snapshot.tasks.into_iter().find_map(|task| task.hold) {
            return hold;
        }
        let collects = |what: &Effect| matches!(what, Effect::Collect { .. });
        if let Some(effect) = open(&world, is_turn) {
            end_turn(&mut world, effect, outcome, stopped);
        } else if let Some(effect) = open(&world, collects) {
            world.tell(collected(effect, found(left)));
            world.tick();
        } else if !world.step() {
            world.now += 3_600_000;
            world.tick();
        }
    }
    panic!("nobody was asked: {outcome:?}, {stopped:?}, {left:?}");
}

fn end_turn(
    world: &mut World,
    effect: EffectId,
    outcome: &TurnOutcome,
    stopped: Option<StopReason>,
) {
    let session = SessionRef("s".to_owned());
    world.tell(EventKind::SessionSeen { effect, session });
    if stopped == Some(StopReason::Deadline) {
        // Longer than a turn may take.
        world.now += 24 * 3_600_000;
        world.tick();
        let stop = open(world, |what| matches!(what, Effect::StopTurn { .. }));
        let effect = stop.expect("it is told to stop");
        world.tell(EventKind::StopSent { effect });
    }
    let outcome = outcome.clone();
    let usage = TurnUsage::default();
    world.tell(EventKind::TurnEnded {
        effect,
        outcome,
        usage,
    });
    world.tick();
}

#[test]
fn brief_for_each_end_of_a_turn() {
    let words = || "words".to_owned();
    let reset = Some(Timestamp(50 * 3_600_000));
    let cases = [
        (TurnOutcome::Completed, None, Left::Half),
        (TurnOutcome::Completed, None, Left::Unreadable),
        (TurnOutcome::Completed, None, Left::Uncommitted),
        (TurnOutcome::Completed, None, Left::Nothing),
        (TurnOutcome::Completed, None, Left::Blocked),
        (
            TurnOutcome::NeedsInput { question: words() },
            None,
            Left::Half,
        ),
        (
            TurnOutcome::NeedsInput { question: words() },
            None,
            Left::Uncommitted,
        ),
        (TurnOutcome::Refused { reason: words() }, None, Left::Half),
        (
            TurnOutcome::Refused { reason: words() },
            None,
            Left::Nothing,
        ),
        (TurnOutcome::CapReached { cap: words() }, None, Left::Half),
        (
            TurnOutcome::CapReached { cap: words() },
            None,
            Left::Uncommitted,
        ),
        (TurnOutcome::UsageLimited { until: reset }, None, Left::Half),
        (
            TurnOutcome::UsageLimited { until: None },
            None,
            Left::Uncommitted,
        ),
        (
            TurnOutcome::Overloaded { reason: words() },
            None,
            Left::Half,
        ),
        (
            TurnOutcome::Authentication { reason: words() },
            None,
            Left::Half,
        ),
        (
            TurnOutcome::Misconfigured { reason: words() },
            None,
            Left::Nothing,
        ),
        (TurnOutcome::Missing { what: words() }, None, Left::Half),
        (TurnOutcome::Drifted { detail: words() }, None, Left::Half),
        (TurnOutcome::ContextFull, None, Left::Half),
        (TurnOutcome::SessionLost, None, Left::Nothing),
        (TurnOutcome::Crashed { detail: words() }, None, Left::Half),
        (
            TurnOutcome::Crashed { detail: words() },
            None,
            Left::Uncommitted,
        ),
        (TurnOutcome::Interrupted, None, Left::Half),
        (TurnOutcome::Interrupted, None, Left::Nothing),
        (TurnOutcome::Stopped, Some(StopReason::Deadline), Left::Half),
        (
            TurnOutcome::Stopped,
            Some(StopReason::Deadline),
            Left::Uncommitted,
        ),
    ];
    let mut text = String::new();
    for (outcome, stopped, left) in cases {
        let hold = asked(&outcome, stopped, left);
        let why = stopped.map_or(String::new(), |why| format!(", stopped: {why}"));
        let _ = writeln!(text, "## {outcome:?}{why}, left: {left:?}");
        let _ = writeln!(text, "{}\n{}", hold.question, hold.brief);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn refusal_is_no_question() {
    let world_of = |outcome: TurnOutcome| {
        let mut world = World::with_tasks(policy(""), vec![task("A", "")]);
        while open(&world, is_turn).is_none() {
            assert!(world.step());
        }
        let effect = open(&world, is_turn).expect("runs");
        end_turn(&mut world, effect, &outcome, None);
        let effect = open(&world, |what| matches!(what, Effect::Collect { .. }));
        let effect = effect.expect("is collected");
        world.tell(collected(effect, found(Left::Nothing)));
        let hold = world.state.holds().next().cloned();
        hold.expect("a person is asked").about
    };
    let said = "no".to_owned();
    let reason = said.clone();
    assert_eq!(
        world_of(TurnOutcome::Refused { reason }),
        HoldReason::Declined { said }
    );
    let cap = "max_turns".to_owned();
    assert_eq!(
        world_of(TurnOutcome::CapReached { cap: cap.clone() }),
        HoldReason::CapReached { cap }
    );
    let asked = "which?".to_owned();
    let question = asked.clone();
    assert_eq!(
        world_of(TurnOutcome::NeedsInput { question }),
        HoldReason::Question { asked }
    );
}
