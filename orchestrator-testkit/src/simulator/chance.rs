//! What may happen, by the roll of a dice.

use std::collections::BTreeSet;

use orchestrator_core::{
    machine::Phase,
    model::{
        Answer, Carried, Checkout, Collected, CommitId, Effect, EffectId, EventKind, Finding,
        HandoffReport, HoldOption, LandingOutcome, LandingPlace, MergeFailure, Reading, Refusal,
        RefusalCause, RunMode, Severity, Span, Submission, Task, Timestamp, TurnOutcome, TurnSight,
        TurnUsage, Usage, WorkspaceFate,
    },
};

use super::{World, blocked, change, collected, commit, nothing, report, review, submission};

/// splitmix64: a seed is all that there is to know of a run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// By this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below this one, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    /// True once in so many times.
    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// One way in which an effect ends; mostly well.
pub(super) fn ending(
    world: &mut World,
    dice: &mut Dice,
    effect: EffectId,
    what: &Effect,
) -> EventKind {
    if dice.chance(2) {
        return world.good(effect, what);
    }
    let words = || "so it is".to_owned();
    let error = || vec![Finding::new(Severity::Error, "rule", "wrong")];
    let tokens = Usage {
        input_tokens: 100,
        output_tokens: 10,
        usd: dice.chance(2).then_some(0.1),
    };
    let usage = TurnUsage {
        turn: dice.chance(2).then(|| tokens.into()),
        earlier: dice.chance(2).then(|| tokens.into()),
        ..TurnUsage::default()
    };
    match what {
        Effect::ReadRoadmap { tip } => {
            let tip = tip.or(world.state.tip()).unwrap_or(commit(1));
            let readings = [
                Reading::Refused { tip, why: words() },
                Reading::Unreachable { why: words() },
            ];
            EventKind::RoadmapRead {
                effect,
                reading: readings[dice.below(2)].clone(),
            }
        }
        Effect::CheckHistory { .. } => world.good(effect, what),
        Effect::Prepare { .. } => EventKind::Prepared {
            effect,
            failure: dice.chance(2).then(words),
        },
        Effect::RunTurn { .. } => {
            let outcomes = [
                TurnOutcome::Completed,
                TurnOutcome::Crashed { detail: words() },
                TurnOutcome::Stopped,
                TurnOutcome::ContextFull,
                TurnOutcome::PromptTooLong { detail: words() },
                TurnOutcome::SessionLost,
                TurnOutcome::UsageLimited {
                    until: Some(Timestamp(world.now + 5000)),
                },
                TurnOutcome::Overloaded { reason: words() },
                TurnOutcome::Authentication { reason: words() },
                TurnOutcome::NeedsInput { question: words() },
                TurnOutcome::Refused { reason: words() },
                TurnOutcome::Drifted { detail: words() },
                TurnOutcome::CapReached { cap: words() },
                TurnOutcome::Misconfigured { reason: words() },
            ];
            EventKind::TurnEnded {
                effect,
                outcome: outcomes[dice.below(outcomes.len())].clone(),
                usage,
            }
        }
        Effect::Collect { .. } => {
            let handoff = [
                HandoffReport::Missing,
                HandoffReport::Broken { reason: words() },
            ][dice.below(2)]
            .clone();
            let head = commit(5000 + dice.roll() % 1000);
            let results = [
                Collected::Work(Submission {
                    handoff,
                    ..submission(head)
                }),
                nothing(HandoffReport::Missing, true),
                nothing(HandoffReport::Missing, false),
                nothing(blocked("so it is"), false),
                Collected::Unusable { reason: words() },
                Collected::Refused { findings: error() },
            ];
            collected(effect, results[dice.below(results.len())].clone())
        }
        Effect::Review { work, .. } => EventKind::Reviewed {
            effect,
            reviews: vec![review(work.head, error())],
            carried: None,
        },
        Effect::Merge { .. } => {
            let tip = commit(6000 + dice.roll() % 1000);
            let failures = [
                MergeFailure::Conflict {
                    tip,
                    paths: Vec::new(),
                },
                MergeFailure::Offends { findings: error() },
                MergeFailure::PastReview { tip },
                MergeFailure::CarriedOver(carried(tip, commit(5000 + dice.roll() % 1000))),
                MergeFailure::Impossible { reason: words() },
                MergeFailure::Unreachable { reason: words() },
            ];
            EventKind::Merged {
                effect,
                result: Err(failures[dice.below(6)].clone()),
            }
        }
        Effect::RunGate { tree, gate, .. } => EventKind::GateRan {
            effect,
            report: report(gate.clone(), *tree, 1),
        },
        Effect::CancelGate { .. } => EventKind::StopSent { effect },
        Effect::Land { .. } => {
            let outcomes = [
                LandingOutcome::TipMoved,
                LandingOutcome::Refused(Refusal::new(
                    RefusalCause::Declined,
                    LandingPlace::Remote(words()),
                )),
                LandingOutcome::CheckoutDirty { paths: Vec::new() },
                LandingOutcome::Unreachable { reason: words() },
            ];
            EventKind::LandingTried {
                effect,
                outcome: outcomes[dice.below(4)].clone(),
            }
        }
        Effect::CleanUp { .. } => EventKind::CleanedUp {
            effect,
            fate: WorkspaceFate::Kept { reason: words() },
        },
        Effect::Report { .. } => EventKind::Reported {
            effect,
            failure: Some(words()),
        },
        Effect::Nudge { .. } => EventKind::Nudged {
            effect,
            heard: dice.chance(2),
        },
        Effect::StopTurn { .. } => EventKind::StopSent { effect },
        other => unreachable!("the simulator does not know {other:?}"),
    }
}

/// An attempt's work as a commit of ours on another tip.
fn carried(onto: CommitId, head: CommitId) -> Carried {
    Carried {
        onto,
        head,
        tree: submission(head).tree,
        changes: vec![change("a")],
        left_out: Vec::new(),
    }
}

/// Something that nobody asked for.
pub(super) fn happening(world: &mut World, dice: &mut Dice, all: &[Task]) -> Option<EventKind> {
    Some(match dice.below(11) {
        0 => EventKind::ModeAsked(
            [
                RunMode::Active,
                RunMode::Active,
                RunMode::Drain,
                RunMode::Paused,
            ][dice.below(4)],
        ),
        1 | 2 => {
            let hold = world.state.holds().next()?.id;
            let option = [
                HoldOption::Approve,
                HoldOption::Done,
                HoldOption::Retry,
                HoldOption::Park,
            ][dice.below(4)];
            EventKind::Answered(Answer {
                note: dice.chance(2).then(|| "a word".to_owned()),
                ..Answer::new(hold, option)
            })
        }
        3 => EventKind::TipSeen(commit(7000 + dice.roll() % 1000)),
        4 => EventKind::RemoteAway {
            why: "no route".to_owned(),
        },
        5 => {
            let dirty = Checkout::Dirty {
                paths: vec!["a/x".parse().expect("a path")],
            };
            EventKind::CheckoutSeen(
                [Checkout::Clean, Checkout::Untouched, dirty][dice.below(3)].clone(),
            )
        }
        6 => {
            let (effect, _) = world
                .open_effects()
                .into_iter()
                .find(|(_, what)| matches!(what, Effect::RunTurn { .. }))?;
            let seen = TurnSight {
                active: Timestamp(world.now.saturating_sub(dice.roll() % 100_000)),
                tool_in_flight: dice.chance(2),
                silence: dice.chance(2).then(|| Span::secs(30)),
                alive: dice.chance(2).then(|| !dice.chance(4)),
                head: dice.chance(2).then(|| commit(8000)),
                usage: Usage::default(),
            };
            EventKind::TurnSeen { effect, seen }
        }
        7 => {
            // The roadmap is edited: a task is taken out with what comes after it, ticked, or put back.
            let name = all[dice.below(all.len())].id.clone();
            match dice.below(3) {
                0 => world.tasks.retain(|task| {
                    task.id != name && !task.keys.after.iter().flatten().any(|after| *after == name)
                }),
                1 => world
                    .tasks
                    .iter_mut()
                    .filter(|task| task.id == name)
                    .for_each(|task| task.done = true),
                _ => world.tasks = all.to_vec(),
            }
            // What was taken out may be what others come after.
            let known: BTreeSet<_> = world.tasks.iter().map(|task| task.id.clone()).collect();
            world.tasks.retain(|task| {
                task.keys
                    .after
                    .iter()
                    .flatten()
                    .all(|after| known.contains(after))
            });
            EventKind::TipSeen(commit(9000 + dice.roll() % 1000))
        }
        8 => {
            // The target is rewritten: its tip is dropped, and what landed is, or comes back.
            world.dropped.extend(world.state.tip());
            for entry in world.state.tasks() {
                let Phase::Landed(landed) = &entry.phase() else {
                    continue;
                };
                let Some(commit) = landed.commit() else {
                    continue;
                };
                if dice.chance(2) {
                    world.dropped.insert(commit);
                } else {
                    world.dropped.remove(&commit);
                }
            }
            EventKind::TipSeen(commit(9000 + dice.roll() % 1000))
        }
        9 => {
            world.jump((dice.roll() % 7_200_000).cast_signed() - 3_600_000);
            EventKind::Tick
        }
        _ => {
            world.now += dice.roll() % 20_000;
            EventKind::Tick
        }
    })
}
