//! Folding a record into the state.
//!
//! Applying never decides: whatever a record does not say is not done. So a ledger replays to the same state under any later
//! version and any policy (law 2).

use std::sync::Arc;

use super::{
    agent_state::{AgentState, Troubled},
    entry::{Active, Attempt, Held, LandedTask, Phase, TaskEntry, Then, Waiting},
    gates::RunningGate,
    lookup::{Misfit, active_mut, entry_mut, held_mut, misfit, set_tip},
    reread::{change_roadmap, read_roadmap},
    state::{Away, Reviewing, RoadmapState, RunInfo, State},
    step::{Asked, Checked, Reviewed, Step, Working},
};
use crate::model::{
    Ask, AttemptId, BackendName, Effect, EffectId, FindingId, HoldReason, Obstacle, ParkReason,
    Predecessor, Record, SessionUsage, Shift, Span, Spend, Submission, Timestamp, TurnEnd,
    TurnOutcome, TurnUsage, Verdict, Withdrawal, WorkspaceFate,
};

/// Folds one record into the state.
///
/// # Errors
/// [`Misfit`] when the record speaks of something that the state does not have. The state may then be half changed and is
/// of no more use.
pub fn apply(state: &mut State, record: &Record) -> Result<(), Misfit> {
    let folded = fold(state, record);
    state.tasks.file();
    folded
}

fn fold(state: &mut State, record: &Record) -> Result<(), Misfit> {
    match record {
        Record::RunOpened {
            opened,
            resumed,
            at,
        } => {
            let before = state.run.take().filter(|_| *resumed);
            let spent = before
                .as_ref()
                .map(|run| run.spent.clone())
                .unwrap_or_default();
            state.run = Some(RunInfo {
                id: before
                    .as_ref()
                    .map_or_else(|| opened.run.clone(), |run| run.id.clone()),
                policy: opened.policy,
                seed: opened.seed,
                wait: opened.wait,
                baseline: opened.baseline,
                backends: opened.backends.iter().cloned().collect(),
                began: before.as_ref().map_or(*at, |run| run.began),
                attempts: before.as_ref().map_or(0, |run| run.attempts),
                spent,
            });
            state.ended = None;
            state.roadmap = RoadmapState::default();
            state.away = None;
            state.gates.keep_environment(opened.environment);
            if !resumed {
                state.baseline.clear();
                state.remarks.clear();
                state.mode = crate::model::RunMode::Active;
                state.package = None;
            }
        }
        Record::RoadmapRead(roadmap) => read_roadmap(state, roadmap),
        Record::RoadmapChanged(change) => change_roadmap(state, change)?,
        Record::RoadmapRefused { tip, why } => {
            set_tip(state, *tip, None);
            state.roadmap.refused = Some((*tip, why.clone()));
        }
        Record::Withdrawn { task, why } => {
            let entry = entry_mut(state, task)?;
            entry.phase = match why {
                Withdrawal::Removed => Phase::Parked {
                    reason: ParkReason::Removed,
                    hold: None,
                },
                Withdrawal::Ticked => TaskEntry::ticked(),
            };
        }
        Record::RemoteAway { why, at, until } => {
            let before = state.away.take();
            let (since, tries) = before.map_or((*at, 0), |before| (before.since, before.tries));
            state.away = Some(Away {
                since,
                why: why.clone(),
                tries: tries + 1,
                until: *until,
            });
        }
        Record::RemoteBack => state.away = None,
        Record::ClockJumped { by, .. } => move_clocks(state, *by),
        Record::ModeSet(mode) => state.mode = *mode,
        Record::TipSeen(tip) => set_tip(state, *tip, None),
        Record::HistoryKept { tip } => {
            state.history.checked = Some(*tip);
            state.history.rewritten = false;
        }
        Record::TargetRewritten { .. } => state.history.rewritten = true,
        Record::LandingMoved { task, commit } => {
            let Phase::Landed(landed) = &mut entry_mut(state, task)?.phase else {
                return Err(misfit("has not landed:", task));
            };
            landed.commit = *commit;
        }
        Record::Reopened { task, advice } => {
            let entry = entry_mut(state, task)?;
            let (Phase::Landed(_) | Phase::Parked { .. }) = entry.phase else {
                return Err(misfit("has neither landed nor been parked:", task));
            };
            entry.unticked = false;
            entry.report = None;
            entry.wait_anew(advice.clone());
        }
        Record::CheckoutSeen(checkout) => state.checkout = Some(checkout.clone()),
        Record::PackageEntered { package, .. } => state.package = Some(package.clone()),
        Record::Requested { effect, at, what } => request(state, *effect, *at, what)?,
        Record::Closed {
            effect,
            interrupted,
        } => {
            let what = state
                .open
                .remove(effect)
                .ok_or_else(|| misfit("no open effect", effect))?;
            state.asked_at.remove(effect);
            state.reviewers.remove(effect);
            if let Effect::ReadRoadmap { .. } = &what {
                state.roadmap.reading = None;
            } else if let Effect::CheckHistory { .. } = &what {
                state.history.checking = None;
            } else if let Effect::RunGate { gate, .. } = &what {
                state.gate_run = None;
                if *interrupted {
                    state.baseline.remove(&gate.name);
                }
            }
            if *interrupted {
                reopen(state, *effect, &what)?;
            } else if let Effect::Report { attempt, .. } = &what {
                entry_mut(state, &attempt.task)?.report = None;
            }
        }
        Record::ReviewerAsked {
            effect,
            reviewer,
            choice,
            since,
            ..
        } => {
            let reviewing = Reviewing {
                reviewer: reviewer.clone(),
                choice: choice.clone(),
                since: *since,
            };
            state.reviewers.insert(*effect, reviewing);
        }
        Record::Remarked(remarks) => state.remarks.clone_from(remarks),
        Record::Stale { .. } | Record::AnswerRefused { .. } => {}
        Record::Reminded { hold, at } => {
            let Phase::Held(held) = &mut held_mut(state, *hold)?.phase else {
                return Err(misfit("not held:", hold));
            };
            held.asked = *at;
        }
        Record::Dispatched {
            attempt,
            contract,
            base,
            at,
            failover,
        } => {
            let entry = entry_mut(state, &attempt.task)?;
            let Phase::Waiting(waiting) = &mut entry.phase else {
                return Err(misfit("not waiting:", attempt));
            };
            entry.last_attempt = attempt.number;
            let attempt = Attempt {
                id: attempt.clone(),
                contract: Arc::clone(contract),
                base: *base,
                began: *at,
                failover: failover.clone(),
                session: None,
                used: SessionUsage::default(),
                head: None,
                carried: None,
                predecessor: entry.predecessor.clone(),
                rescued: None,
                advice: waiting.advice.take(),
                repaired: false,
                extra_turns: 0,
                continued: None,
                ended: None,
                completion: None,
                claimed: Vec::new(),
                idle: false,
                noticed: Vec::new(),
                grants: Vec::new(),
                waivers: Vec::new(),
                observations: Vec::new(),
            };
            entry.counted += 1;
            entry.phase = Phase::Active(Box::new(Active {
                attempt,
                step: Step::Prepare(Asked::Due),
            }));
            if let Some(run) = &mut state.run {
                run.attempts += 1;
            }
        }
        Record::WorkspaceReady { attempt } => {
            active_mut(state, attempt)?.step = Step::TurnDue {
                turn: 1,
                ask: Ask::Begin,
            }
        }
        Record::SessionSeen { attempt, session } => {
            let attempt = &mut active_mut(state, attempt)?.attempt;
            if attempt.session.as_ref() != Some(session) {
                attempt.session = Some(session.clone());
                attempt.used = SessionUsage::default();
            }
        }
        Record::PulseSeen { attempt, pulse } => {
            let Step::Working(working) = &mut active_mut(state, attempt)?.step else {
                return Err(misfit("no turn runs in", attempt));
            };
            working.pulse = *pulse;
        }
        Record::Noticed { attempt, finding } => active_mut(state, attempt)?
            .attempt
            .noticed
            .push(finding.clone()),
        Record::HeadSeen { attempt, head } => {
            active_mut(state, attempt)?.attempt.head = Some(*head);
        }
        Record::TurnEnded {
            attempt,
            outcome,
            usage,
            settled,
            took,
        } => {
            let active = active_mut(state, attempt)?;
            let Step::Working(working) = &active.step else {
                return Err(misfit("no turn runs in", attempt));
            };
            active.attempt.used.add(usage);
            let agent = active.attempt.contract.agent.clone();
            active.step = Step::Collect {
                asked: Asked::Due,
                ended: TurnEnd {
                    turn: working.turn,
                    outcome: outcome.clone(),
                    stopped: working.stopping,
                },
            };
            let entry = entry_mut(state, &attempt.task)?;
            entry.wall.0 = entry.wall.0.saturating_add(took.0);
            spend(state, attempt, &agent, usage, *settled)?;
        }
        Record::Kept { attempt, files } => {
            entry_mut(state, &attempt.task)?
                .kept
                .entry(attempt.number)
                .or_default()
                .extend(files.iter().cloned());
        }
        Record::Rescued { attempt, commit } => {
            active_mut(state, attempt)?.attempt.rescued = Some(*commit);
        }
        Record::ContextFilled { attempt, row } => entry_mut(state, &attempt.task)?.filled = *row,
        Record::NothingDone { attempt } => active_mut(state, attempt)?.attempt.idle = true,
        Record::NothingToDo {
            attempt,
            submission,
            ended,
            claimed,
        } => {
            let active = active_mut(state, attempt)?;
            let Step::Collect { .. } = active.step else {
                return Err(misfit("nothing is collected in", attempt));
            };
            active.attempt.ended = Some(ended.clone());
            active.attempt.claimed.clone_from(claimed);
            let reviewed = Reviewed::untried(ended.turn, Arc::clone(submission), Vec::new());
            active.step = Step::Merge {
                asked: Asked::Due,
                reviewed: Box::new(reviewed),
            };
        }
        Record::Continued {
            attempt,
            ended,
            note,
            head,
            row,
        } => {
            let active = active_mut(state, attempt)?;
            let turn = active.step.turn_over();
            let turn = turn.ok_or_else(|| misfit("no turn is over in", attempt))?;
            active.attempt.extra_turns += 1;
            active.attempt.continued = Some((*row, *head));
            active.attempt.head = head.or(active.attempt.head);
            active.step = Step::TurnDue {
                turn: turn + 1,
                ask: Ask::Continue {
                    ended: ended.clone(),
                    note: note.clone(),
                },
            };
        }
        Record::RepairAsked { attempt, why } => {
            let active = active_mut(state, attempt)?;
            let Step::Collect { ended, .. } = &active.step else {
                return Err(misfit("nothing is collected in", attempt));
            };
            active.attempt.repaired = true;
            active.attempt.extra_turns += 1;
            active.step = Step::TurnDue {
                turn: ended.turn + 1,
                ask: Ask::Repair { why: why.clone() },
            };
        }
        Record::Submitted {
            attempt,
            submission,
            ended,
            completion,
            claimed,
        } => {
            let active = active_mut(state, attempt)?;
            let Step::Collect { .. } = active.step else {
                return Err(misfit("nothing is collected in", attempt));
            };
            active.attempt.rescued = None;
            active.attempt.ended = Some(ended.clone());
            active.attempt.completion.clone_from(completion);
            active.attempt.claimed.clone_from(claimed);
            begin_review(active, ended.turn, submission);
        }
        Record::Completed {
            attempt,
            completion,
        } => active_mut(state, attempt)?.attempt.completion = Some(completion.clone()),
        Record::AgentTroubled {
            agent,
            trouble,
            at,
            until,
            named,
            tries,
        } => {
            let known = state.agents.entry(agent.clone()).or_default();
            let before = known.trouble.as_ref();
            known.trouble = Some(Troubled {
                trouble: trouble.clone(),
                since: before.map_or(*at, |before| before.since),
                found: *at,
                until: *until,
                named: *named,
                tries: *tries,
                asked: before.is_some_and(|before| before.asked),
            });
        }
        Record::AgentFailed {
            agent,
            detail,
            tasks,
        } => {
            let known = state.agents.entry(agent.clone()).or_default();
            known.failed = Some((detail.clone(), tasks.clone()));
        }
        Record::AgentRecovered { agent, at, .. } => {
            let known = AgentState {
                recovered: Some(*at),
                ..AgentState::default()
            };
            state.agents.insert(agent.clone(), known);
        }
        Record::CarriedOver {
            attempt,
            submission,
        } => {
            let active = active_mut(state, attempt)?;
            let turn = match left(active) {
                Step::Merge { reviewed, .. } => reviewed.turn,
                Step::Review { turn, .. } => turn,
                Step::Prepare(_)
                | Step::TurnDue { .. }
                | Step::Working(_)
                | Step::Collect { .. }
                | Step::Gate(_)
                | Step::Land { .. } => {
                    return Err(misfit("nothing is reviewed or merged in", attempt));
                }
            };
            begin_review(active, turn, submission);
        }
        Record::Reviewed { attempt, reviews } => {
            let active = active_mut(state, attempt)?;
            let Step::Review { turn, work, .. } = left(active) else {
                return Err(misfit("nothing is reviewed in", attempt));
            };
            let reviewed = Reviewed::untried(turn, work, reviews.clone());
            active.step = Step::Merge {
                asked: Asked::Due,
                reviewed: Box::new(reviewed),
            };
            for by in reviews.iter().filter_map(|review| review.by_agent.as_ref()) {
                spend(state, attempt, &by.agent, &by.usage, 0)?;
            }
        }
        Record::Queued { attempt } => {
            let active = active_mut(state, attempt)?;
            let reviewed = match left(active) {
                Step::Merge { reviewed, .. } => reviewed,
                Step::Gate(checked) | Step::Land { checked, .. } => Box::new(checked.into_queue()),
                Step::Prepare(_)
                | Step::TurnDue { .. }
                | Step::Working(_)
                | Step::Collect { .. }
                | Step::Review { .. } => {
                    return Err(misfit("nothing was reviewed in", attempt));
                }
            };
            active.step = Step::Merge {
                asked: Asked::Due,
                reviewed,
            };
        }
        Record::CandidateBuilt { attempt, candidate } => {
            let active = active_mut(state, attempt)?;
            let Step::Merge { reviewed, .. } = left(active) else {
                return Err(misfit("nothing is merged in", attempt));
            };
            let Reviewed {
                turn,
                work,
                reviews,
                ..
            } = *reviewed;
            let checked = Checked {
                reviewed: Reviewed::untried(turn, work, reviews),
                candidate: candidate.clone(),
            };
            active.step = Step::Gate(Box::new(checked));
            // What failed on such a tree before is not held against it.
            if candidate.tree != candidate.tip_tree {
                state.gates.forget_failures(candidate.tree);
            }
            set_tip(state, candidate.tip, Some(candidate.tip_tree));
        }
        Record::GateReported { report, .. } => state.gates.insert((**report).clone()),
        Record::TipRed { attempt, gates } => {
            let active = active_mut(state, attempt)?;
            let Step::Gate(checked) = left(active) else {
                return Err(misfit("nothing is gated in", attempt));
            };
            let reviewed = Reviewed {
                red: gates.clone(),
                ..checked.into_queue()
            };
            active.step = Step::Merge {
                asked: Asked::Due,
                reviewed: Box::new(reviewed),
            };
        }
        Record::Judged {
            attempt,
            verdict,
            counted,
            ..
        } => judged(state, attempt, verdict, counted)?,
        Record::Accepted { landing } => {
            let active = active_mut(state, &landing.acceptance.attempt)?;
            let Step::Gate(checked) = left(active) else {
                return Err(misfit("nothing is gated in", &landing.acceptance.attempt));
            };
            active.step = Step::Land {
                asked: Asked::Due,
                landing: Arc::clone(landing),
                checked,
            };
        }
        Record::Landed { attempt, commit } => {
            let entry = entry_mut(state, &attempt.task)?;
            let active = match left_phase(entry) {
                Phase::Active(active) if active.attempt.id == *attempt => active,
                Phase::Active(_)
                | Phase::Waiting(_)
                | Phase::Held(_)
                | Phase::Landed(_)
                | Phase::Parked { .. } => {
                    return Err(misfit("not under way:", attempt));
                }
            };
            let Active {
                attempt: by,
                step: Step::Land { landing, .. },
            } = *active
            else {
                return Err(misfit("nothing lands in", attempt));
            };
            let (tip, tree) = (landing.acceptance.tip, landing.acceptance.tree);
            entry.phase = Phase::Landed(Box::new(LandedTask {
                by: Some(by),
                commit: Some(*commit),
                landing: Some(landing),
            }));
            entry.cleanups.insert(attempt.number, Asked::Due);
            entry.report = Some(Asked::Due);
            if state.history.checked == Some(tip) {
                state.history.checked = Some(*commit);
            }
            set_tip(state, *commit, Some(tree));
        }
        Record::AttemptEnded {
            attempt,
            cause,
            counts,
            left,
        } => {
            let entry = entry_mut(state, &attempt.task)?;
            let active = entry
                .active()
                .filter(|active| active.attempt.id == *attempt);
            let ended = &active
                .ok_or_else(|| misfit("not under way:", attempt))?
                .attempt;
            let advice = ended.advice.clone();
            let unfinished = |head| Predecessor {
                head,
                tip: ended.base,
                obstacle: Obstacle::Unfinished,
            };
            let left = left.clone().or_else(|| ended.rescued.map(unfinished));
            entry.predecessor = left.map(Arc::new).or_else(|| entry.predecessor.take());
            entry.counted = entry.counted.saturating_sub(u32::from(!counts));
            entry.passed_on += u32::from(cause.passed_to().is_some());
            entry.last_failure = Some(cause.clone());
            entry.filled = 0;
            entry.cleanups.insert(attempt.number, Asked::Due);
            entry.phase = Phase::Waiting(Waiting {
                advice,
                ..Waiting::default()
            });
        }
        Record::Waiting { task, until, named } => {
            let entry = entry_mut(state, task)?;
            let Phase::Waiting(waiting) = &mut entry.phase else {
                return Err(misfit("not waiting:", task));
            };
            (waiting.until, waiting.named) = (*until, *named);
        }
        Record::HoldOpened { hold } => {
            state.last_hold = hold.id.0;
            set_agent_asked(state, &hold.about, true);
            let entry = entry_mut(state, &hold.task)?;
            let then = match left_phase(entry) {
                Phase::Waiting(waiting) => Then::Wait(waiting),
                Phase::Active(active) => Then::Resume(active),
                Phase::Landed(landed) => {
                    // That its tick is gone as well says nothing beyond that.
                    entry.unticked = false;
                    Then::Landed(landed)
                }
                Phase::Held(_) | Phase::Parked { .. } => {
                    return Err(misfit("cannot be held:", &hold.task));
                }
            };
            entry.phase = Phase::Held(Box::new(Held {
                hold: hold.clone(),
                asked: hold.since,
                then,
            }));
        }
        Record::HoldAnswered { hold, answer, .. } => {
            let entry = held_mut(state, *hold)?;
            let Phase::Held(held) = left_phase(entry) else {
                return Err(misfit("not held:", hold));
            };
            entry.phase = match held.then {
                Then::Wait(waiting) => Phase::Waiting(Waiting {
                    until: Timestamp(0),
                    ..waiting
                }),
                Then::Resume(active) => Phase::Active(active),
                Then::Landed(landed) => Phase::Landed(landed),
            };
            if answer.is_none() {
                // Its task is gone: another one's is asked about.
                set_agent_asked(state, &held.hold.about, false);
            }
        }
        Record::HoldRedefined { hold, redefined } => {
            let Phase::Held(held) = &mut held_mut(state, *hold)?.phase else {
                return Err(misfit("not held:", hold));
            };
            held.hold.redefined.clone_from(redefined);
        }
        Record::ContractAdopted { attempt, contract } => {
            active_mut(state, attempt)?.attempt.contract = Arc::clone(contract);
        }
        Record::Granted { task, grants } => {
            let entry = entry_mut(state, task)?;
            let (of_head, of_task): (Vec<_>, Vec<_>) = grants
                .iter()
                .cloned()
                .partition(|grant| grant.what.is_for_one_head());
            entry.grants.extend(of_task);
            if let Phase::Active(active) = &mut entry.phase {
                active.attempt.grants.extend(of_head);
            }
        }
        Record::Waived { attempt, waivers } => {
            let known = &mut active_mut(state, attempt)?.attempt.waivers;
            known.extend(waivers.iter().cloned());
        }
        Record::Observed {
            attempt,
            observations,
        } => {
            let known = &mut active_mut(state, attempt)?.attempt.observations;
            known.extend(observations.iter().cloned());
        }
        Record::Advised { task, advice } => match &mut entry_mut(state, task)?.phase {
            Phase::Waiting(waiting) => waiting.advice = Some(advice.clone()),
            Phase::Active(active) => active.attempt.advice = Some(advice.clone()),
            Phase::Held(_) | Phase::Landed(_) | Phase::Parked { .. } => {
                return Err(misfit("nothing is to follow for", task));
            }
        },
        Record::LimitsReset {
            task,
            rejections,
            budget,
            failovers,
        } => {
            let entry = entry_mut(state, task)?;
            if *rejections {
                entry.rejections.clear();
            }
            if *failovers {
                entry.passed_on = 0;
            }
            if *budget {
                entry.counted = u32::from(entry.active().is_some());
                entry.spent = Spend::default();
                entry.wall = Span(0);
            }
        }
        Record::ReviewDue { attempt } => active_mut(state, attempt)?.step.review_again(),
        Record::TipForgotten => forget_tip(state),
        Record::AgentForgotten { agent } => drop(state.agents.remove(agent)),
        Record::CleanupDue { attempt } => {
            let entry = entry_mut(state, &attempt.task)?;
            entry.leftovers.remove(&attempt.number);
            entry.cleanups.insert(attempt.number, Asked::Due);
        }
        Record::Parked { task, reason, hold } => {
            let entry = entry_mut(state, task)?;
            entry.phase = Phase::Parked {
                reason: reason.clone(),
                hold: *hold,
            };
            if entry.last_attempt > 0 {
                entry.report = Some(Asked::Due);
            }
        }
        Record::WorkspaceSettled { attempt, fate } => {
            let entry = entry_mut(state, &attempt.task)?;
            entry.cleanups.remove(&attempt.number);
            match fate {
                WorkspaceFate::Kept { reason } => {
                    drop(entry.leftovers.insert(attempt.number, reason.clone()));
                }
                WorkspaceFate::Removed { kept: Some(kept) } => {
                    drop(entry.kept_refs.insert(attempt.number, kept.clone()));
                }
                WorkspaceFate::Removed { kept: None } => {}
            }
        }
        Record::RunEnded { reason, .. } => state.ended = Some(*reason),
    }
    Ok(())
}

impl Checked {
    /// Back to the queue: another candidate is due, and what gates said is kept for the case that it has the same tree.
    fn into_queue(self) -> Reviewed {
        Reviewed {
            tried: Some(self.candidate.tree),
            ..self.reviewed
        }
    }
}

/// Work is to be reviewed, all of it: what a person said was said of another commit (law 5).
fn begin_review(active: &mut Active, turn: u32, work: &Arc<Submission>) {
    let attempt = &mut active.attempt;
    attempt.head = Some(work.head);
    attempt.carried = work.carried;
    attempt.grants.clear();
    attempt.waivers.clear();
    attempt.observations.clear();
    active.step = Step::Review {
        asked: Asked::Due,
        turn,
        work: Arc::clone(work),
    };
}

/// Where a task stood, whole; another phase has to follow.
fn left_phase(entry: &mut TaskEntry) -> Phase {
    std::mem::replace(&mut entry.phase, Phase::Waiting(Waiting::default()))
}

/// The step that an attempt was at, whole; another has to follow.
fn left(active: &mut Active) -> Step {
    std::mem::replace(&mut active.step, Step::Prepare(Asked::Due))
}

/// The clock was moved: all that is counted in time awake keeps its distance from it. What was only written down for people, and a
/// time of day that somebody named, stays.
fn move_clocks(state: &mut State, by: Shift) {
    if let Some(run) = &mut state.run {
        run.began = run.began.moved(by);
    }
    if let Some(away) = &mut state.away {
        away.until = away.until.moved(by);
    }
    let troubled = state.agents.values_mut();
    for troubled in troubled.filter_map(|known| known.trouble.as_mut()) {
        troubled.moved(by);
    }
    for entry in state.tasks.all_mut() {
        match &mut entry.phase {
            Phase::Waiting(waiting) if waiting.named => {}
            Phase::Waiting(waiting) if waiting.until == Timestamp(0) => {}
            Phase::Waiting(waiting) => waiting.until = waiting.until.moved(by),
            Phase::Active(active) => {
                if let Step::Working(working) = &mut active.step {
                    working.began = working.began.moved(by);
                    working.nudges.1 = working.nudges.1.map(|nudged| nudged.moved(by));
                }
            }
            Phase::Held(held) => held.asked = held.asked.moved(by),
            Phase::Landed(_) | Phase::Parked { .. } => {}
        }
    }
}

/// What gates said of the tip no longer counts: all of them may run again, and nobody waits for one of them.
fn forget_tip(state: &mut State) {
    if let Some(tree) = state.tip_tree {
        state.gates.forget(tree);
    }
    for entry in state.tasks.all_mut() {
        if let Phase::Active(active) = &mut entry.phase
            && let Step::Merge { reviewed, .. } = &mut active.step
        {
            reviewed.red.clear();
        }
    }
}

fn request(
    state: &mut State,
    effect: EffectId,
    at: Timestamp,
    what: &Effect,
) -> Result<(), Misfit> {
    state.last_effect = effect.0;
    state.open.insert(effect, what.clone());
    state.asked_at.insert(effect, at);
    let open = Asked::Open(effect);
    match what {
        Effect::ReadRoadmap { .. } => state.roadmap.reading = Some(effect),
        Effect::CheckHistory { .. } => state.history.checking = Some(effect),
        Effect::RunGate {
            tree,
            gate,
            candidate_of,
            ..
        } => {
            state.gate_run = Some(RunningGate {
                effect,
                tree: *tree,
                cancelled: false,
            });
            if candidate_of.is_none() {
                state.baseline.insert(gate.name.clone());
            }
        }
        Effect::CancelGate { .. } => {
            if let Some(running) = &mut state.gate_run {
                running.cancelled = true;
            }
        }
        Effect::RunTurn { attempt, turn, .. } => {
            active_mut(state, attempt)?.step = Step::Working(Working::begin(effect, *turn, at));
        }
        Effect::Nudge { attempt, .. } => {
            if let Step::Working(working) = &mut active_mut(state, attempt)?.step {
                working.nudges = (working.nudges.0 + 1, Some(at));
            }
        }
        Effect::StopTurn { attempt, why, .. } => {
            if let Step::Working(working) = &mut active_mut(state, attempt)?.step {
                working.stopping = Some(*why);
            }
        }
        Effect::CleanUp { attempt, .. } => drop(
            entry_mut(state, &attempt.task)?
                .cleanups
                .insert(attempt.number, open),
        ),
        Effect::Report { attempt, .. } => {
            entry_mut(state, &attempt.task)?.report = Some(open);
        }
        Effect::Prepare { attempt, .. }
        | Effect::Collect { attempt, .. }
        | Effect::Review { attempt, .. }
        | Effect::Merge { attempt, .. } => set_asked(active_mut(state, attempt)?, open),
        Effect::Land { landing } => {
            set_asked(active_mut(state, &landing.acceptance.attempt)?, open);
        }
    }
    Ok(())
}

/// Whether a person is asked about an agent.
fn set_agent_asked(state: &mut State, about: &HoldReason, asked: bool) {
    if let HoldReason::Agent { agent, .. } = about
        && let Some(known) = state.agents.get_mut(agent)
        && let Some(troubled) = &mut known.trouble
    {
        troubled.asked = asked;
    }
}

fn set_asked(active: &mut Active, to: Asked) {
    match &mut active.step {
        Step::Prepare(asked)
        | Step::Collect { asked, .. }
        | Step::Review { asked, .. }
        | Step::Merge { asked, .. }
        | Step::Land { asked, .. } => *asked = to,
        Step::TurnDue { .. } | Step::Working(_) | Step::Gate(_) => {}
    }
}

/// An interrupted effect is due again, but for a turn: an agent is never silently started again (law 2).
fn reopen(state: &mut State, effect: EffectId, what: &Effect) -> Result<(), Misfit> {
    match what {
        Effect::CleanUp { attempt, .. } => drop(
            entry_mut(state, &attempt.task)?
                .cleanups
                .insert(attempt.number, Asked::Due),
        ),
        Effect::Report { attempt, .. } => {
            entry_mut(state, &attempt.task)?.report = Some(Asked::Due);
        }
        Effect::RunTurn { attempt, .. } => {
            let active = active_mut(state, attempt)?;
            if let Step::Working(working) = &active.step
                && working.effect == effect
            {
                active.attempt.used.add(&TurnUsage::lost());
                active.step = Step::Collect {
                    asked: Asked::Due,
                    ended: TurnEnd {
                        turn: working.turn,
                        outcome: TurnOutcome::Interrupted,
                        stopped: None,
                    },
                };
                let agent = active.attempt.contract.agent.clone();
                spend(state, attempt, &agent, &TurnUsage::lost(), 0)?;
            }
        }
        Effect::ReadRoadmap { .. }
        | Effect::CheckHistory { .. }
        | Effect::RunGate { .. }
        | Effect::CancelGate { .. }
        | Effect::Nudge { .. }
        | Effect::StopTurn { .. } => {}
        Effect::Prepare { attempt, .. }
        | Effect::Collect { attempt, .. }
        | Effect::Review { attempt, .. }
        | Effect::Merge { attempt, .. } => set_asked(active_mut(state, attempt)?, Asked::Due),
        Effect::Land { landing } => {
            set_asked(active_mut(state, &landing.acceptance.attempt)?, Asked::Due);
        }
    }
    Ok(())
}

fn judged(
    state: &mut State,
    attempt: &AttemptId,
    verdict: &Verdict,
    counted: &[FindingId],
) -> Result<(), Misfit> {
    let entry = entry_mut(state, &attempt.task)?;
    match verdict {
        Verdict::Accept => entry.findings.clear(),
        Verdict::Revise { findings } => entry.findings.clone_from(findings),
        Verdict::Reject { .. }
        | Verdict::GaveUp { .. }
        | Verdict::Blocked { .. }
        | Verdict::Escalate(_) => {}
    }
    for id in counted {
        *entry.rejections.entry(*id).or_default() += 1;
    }
    let Verdict::Revise { findings } = verdict else {
        return Ok(());
    };
    let active = active_mut(state, attempt)?;
    let turn = active
        .step
        .turn_over()
        .ok_or_else(|| misfit("nothing can be judged in", attempt))?;
    active.step = Step::TurnDue {
        turn: turn + 1,
        ask: Ask::Revise {
            findings: findings.clone(),
        },
    };
    Ok(())
}

/// An agent has used so much for an attempt; `settled` of its turns before, whose use was not known,
/// are counted in with that.
pub(super) fn spend(
    state: &mut State,
    attempt: &AttemptId,
    agent: &BackendName,
    usage: &TurnUsage,
    settled: u32,
) -> Result<(), Misfit> {
    let entry = entry_mut(state, &attempt.task)?;
    entry.spent.add(usage, settled);
    let by_agent = entry.costs.entry(attempt.number).or_default();
    by_agent
        .entry(agent.clone())
        .or_default()
        .add(usage, settled);
    if let Some(run) = &mut state.run {
        run.spent.add(usage, settled);
    }
    Ok(())
}
