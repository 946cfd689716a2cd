//! What follows from an event.

use super::{
    context::{Context, IllegalEvent, reopened},
    entry::Phase,
    plan,
    reread::roadmap_record,
    state::State,
    step::Step,
};
use crate::model::{
    AttemptId, Checkout, Effect, EndCause, EndReason, Event, EventKind, HoldReason, Policy,
    Reading, Record, Timestamp,
};

/// So much is kept of what was noticed in one attempt.
const MOST_NOTICED: usize = 100;

/// Decides what follows from an event. Pure; what it returns counts once it was appended to the ledger and applied.
///
/// An event that changes nothing gives no records. One that closes an effect for a second time gives [`Record::Stale`].
///
/// # Errors
/// [`IllegalEvent`] for an event that cannot have happened.
pub fn decide(state: &State, event: Event, policy: &Policy) -> Result<Vec<Record>, IllegalEvent> {
    let at = event.at;
    if state.run.is_none() && !matches!(event.kind, EventKind::Opened(_)) {
        return Err(IllegalEvent::NotOpened);
    }
    let cx = Context { state, policy, at };
    match event.kind {
        EventKind::Opened(opened) => {
            let resumed = state.run.is_some() && state.ended.is_none();
            let interrupted = state.open.keys().map(|effect| Record::Closed {
                effect: *effect,
                interrupted: true,
            });
            let mut records = vec![Record::RunOpened {
                opened,
                resumed,
                at,
            }];
            records.extend(interrupted);
            if !resumed {
                records.extend(cx.begins_anew());
            }
            Ok(records)
        }
        EventKind::ModeAsked(mode) => Ok((mode != state.mode)
            .then_some(Record::ModeSet(mode))
            .into_iter()
            .collect()),
        EventKind::Answered(answer) => Ok(cx.answered(answer)),
        EventKind::TipSeen(tip) => {
            let moved = (state.tip != Some(tip)).then_some(Record::TipSeen(tip));
            Ok(cx.reached().into_iter().chain(moved).collect())
        }
        EventKind::RemoteAway { why } => Ok(state
            .away
            .is_none()
            .then(|| cx.away(why))
            .into_iter()
            .collect()),
        EventKind::TargetGone { why } => Ok(cx.target_gone(why)),
        EventKind::CheckoutSeen(checkout) => {
            if state.checkout.as_ref() == Some(&checkout) {
                return Ok(Vec::new());
            }
            let freed = match &checkout {
                Checkout::Dirty { .. } => Vec::new(),
                Checkout::Clean | Checkout::Untouched => state
                    .holds()
                    .filter(|hold| matches!(hold.about, HoldReason::CheckoutDirty { .. }))
                    .map(|hold| Record::HoldAnswered {
                        hold: hold.id,
                        answer: None,
                        at,
                    })
                    .collect(),
            };
            Ok([Record::CheckoutSeen(checkout)]
                .into_iter()
                .chain(freed)
                .collect())
        }
        EventKind::RemarksSeen(remarks) => Ok((state.remarks != remarks)
            .then_some(Record::Remarked(remarks))
            .into_iter()
            .collect()),
        EventKind::Tick => Ok(plan::tick(state, at, policy)),
        EventKind::ClockJumped { by } => Ok((by.0 != 0)
            .then_some(Record::ClockJumped { by, at })
            .into_iter()
            .collect()),
        EventKind::StopAsked => Ok(state
            .ended
            .is_none()
            .then_some(Record::RunEnded {
                reason: EndReason::Stopped,
                at,
            })
            .into_iter()
            .collect()),
        EventKind::RoadmapRead { effect, reading } => cx.closing(effect, |what| {
            let Effect::ReadRoadmap { tip: known } = what else {
                return None;
            };
            let reached = || cx.reached().filter(|_| known.is_none());
            Some(match reading {
                Reading::Read(roadmap) => {
                    let redefined = cx.redefined(&roadmap);
                    reached()
                        .into_iter()
                        .chain([roadmap_record(state, roadmap)])
                        .chain(redefined)
                        .collect()
                }
                Reading::Refused { tip, why } => reached()
                    .into_iter()
                    .chain([Record::RoadmapRefused { tip, why }])
                    .collect(),
                Reading::Unreachable { why } => vec![cx.away(why)],
            })
        }),
        EventKind::HistoryChecked { effect, missing } => cx.history_checked(effect, &missing),
        EventKind::Prepared { effect, failure } => cx.closing_step(effect, |entry, active| {
            let Step::Prepare(_) = &active.step else {
                return None;
            };
            Some(match failure {
                None => vec![Record::WorkspaceReady {
                    attempt: active.attempt.id.clone(),
                }],
                Some(why) => cx.try_again(entry, active, EndCause::NotPrepared { why }),
            })
        }),
        EventKind::SessionSeen { effect, session } => cx.running(effect, |active| {
            let known = active.attempt.session.as_ref() == Some(&session);
            (!known)
                .then(|| Record::SessionSeen {
                    attempt: active.attempt.id.clone(),
                    session,
                })
                .into_iter()
                .collect()
        }),
        EventKind::Noticed { effect, finding } => cx.running(effect, |active| {
            let noticed = &active.attempt.noticed;
            let new = noticed.len() < MOST_NOTICED && !noticed.contains(&finding);
            new.then(|| Record::Noticed {
                attempt: active.attempt.id.clone(),
                finding,
            })
            .into_iter()
            .collect()
        }),
        EventKind::TurnSeen { effect, seen } => {
            cx.running(effect, |active| cx.turn_seen(active, effect, &seen))
        }
        EventKind::Nudged { effect, heard } => cx.nudged(effect, heard),
        EventKind::TurnEnded {
            effect,
            outcome,
            usage,
        } => cx.closing_step(effect, |_, active| {
            let Step::Working(working) = &active.step else {
                return None;
            };
            let took = at.since(working.began);
            let seen = cx.agent_seen(active, &outcome);
            let settles = usage.earlier.is_some();
            let ended = Record::TurnEnded {
                attempt: active.attempt.id.clone(),
                outcome,
                usage,
                settled: if settles {
                    active.attempt.used.unknown
                } else {
                    0
                },
                took,
            };
            Some([ended].into_iter().chain(seen).collect())
        }),
        EventKind::StopSent { effect } => cx.closing(effect, |what| {
            matches!(what, Effect::StopTurn { .. } | Effect::CancelGate { .. }).then(Vec::new)
        }),
        EventKind::Collected {
            effect,
            result,
            kept,
        } => cx.closing_step(effect, |entry, active| {
            let Step::Collect { ended, .. } = &active.step else {
                return None;
            };
            let kept = (!kept.is_empty()).then(|| Record::Kept {
                attempt: active.attempt.id.clone(),
                files: kept,
            });
            Some(
                kept.into_iter()
                    .chain(cx.collected(entry, active, ended, result))
                    .collect(),
            )
        }),
        EventKind::ReviewerAsked {
            effect,
            reviewer,
            choice,
            looked,
        } => match cx.open(effect)? {
            None => Ok(vec![Record::Stale { effect }]),
            Some(Effect::Review { attempt, .. }) => Ok(vec![Record::ReviewerAsked {
                attempt: attempt.clone(),
                effect,
                reviewer,
                choice,
                since: Timestamp(at.0.saturating_sub(looked.0)),
            }]),
            Some(_) => Err(IllegalEvent::WrongKind(effect)),
        },
        EventKind::Reviewed {
            effect,
            reviews,
            carried,
        } => cx.reviewed(effect, reviews, carried),
        EventKind::Merged { effect, result } => cx.closing_step(effect, |entry, active| {
            let Step::Merge { reviewed, .. } = &active.step else {
                return None;
            };
            Some(cx.merged(entry, active, reviewed, result))
        }),
        EventKind::GateRan { effect, report } => cx.gate_ran(effect, report),
        EventKind::GateCancelled { effect } => cx.gate_cancelled(effect),
        EventKind::LandingTried { effect, outcome } => cx.landing_tried(effect, outcome),
        EventKind::CleanedUp { effect, fate } => cx.closing(effect, |what| {
            let Effect::CleanUp { attempt, .. } = what else {
                return None;
            };
            Some(vec![Record::WorkspaceSettled {
                attempt: attempt.clone(),
                fate,
            }])
        }),
        EventKind::Reported { effect, failure: _ } => cx.closing(effect, |what| {
            matches!(what, Effect::Report { .. }).then(Vec::new)
        }),
        EventKind::Interrupted { effect } => match cx.open(effect)? {
            None => Ok(vec![Record::Stale { effect }]),
            Some(_) => Ok(vec![Record::Closed {
                effect,
                interrupted: true,
            }]),
        },
    }
}

impl Context<'_> {
    /// A new run begins: limits count from zero, what a limit has parked is tried again, and so are
    /// agents and workspaces that a person may have repaired.
    fn begins_anew(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (agent, known) in &self.state.agents {
            // A limit ends when it ends, and a question waits for its answer.
            if !known.keep_for_next_run(self.at) {
                let agent = agent.clone();
                records.push(Record::AgentForgotten { agent });
            }
        }
        for entry in self.state.tasks() {
            for number in entry.leftovers.keys() {
                let attempt = AttemptId {
                    task: entry.task.id.clone(),
                    number: *number,
                };
                records.push(Record::CleanupDue { attempt });
            }
            if let Phase::Parked { hold: None, .. } = entry.phase {
                records.push(reopened(&entry.task.id, None));
            }
            if entry.has_used_limits() {
                records.push(Record::LimitsReset {
                    task: entry.task.id.clone(),
                    rejections: false,
                    budget: true,
                    failovers: true,
                });
            }
        }
        records
    }
}
