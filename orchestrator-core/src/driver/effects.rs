//! What each effect does in the world.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tokio::sync::{broadcast, mpsc};
use tracing::Instrument as _;

use super::{
    RunError,
    error::RoadmapError,
    gate_place::{GateJob, Kept},
    handle::Notice,
    leftovers::Sweeper,
    panel::Asking,
    ports::PortRanges,
    progress::Progress,
    step::LongStep,
    turn::{TurnJob, TurnWatch},
    views::{ChangeBetween, Tree},
};
pub(super) use crate::model::with_source;
use crate::{
    gate::{CacheOf, GateCaches},
    git::{Ancestry, GateHead, GitError, Merge, Start, Trusted, Workspaces},
    machine::{Phase, State, Step, check_roadmap},
    model::{
        AttemptId, BackendName, Candidate, Carried, CommitId, Contract, Effect, EffectId,
        EventKind, Finding, FindingId, GateReport, GateSpec, HoldItem, Landing, LandingOutcome,
        MergeFailure, MissingCommit, Policy, Reading, Review, Roadmap, RunId, Severity, Submission,
        TreeId, WorkspaceFate, only_history,
    },
    port::{
        AgentBackend, EvidenceStore, Outcome, ReviewRequest, Reviewer, SourceError, TaskSource,
        TurnInput,
    },
    process::Moment,
    review::{AgentReviewer, needs_the_tree, path_findings, tree_findings},
};

/// Everything that effects work with.
#[derive(Debug)]
pub(super) struct World {
    pub(super) run: RunId,
    pub(super) state_dir: PathBuf,
    /// What the markers of all our processes begin with: the same for every run on this state directory, so that survivors
    /// of any of them are found.
    pub(super) mark: String,
    pub(super) trusted: Arc<Trusted>,
    pub(super) workspaces: Workspaces,
    pub(super) source: Arc<dyn TaskSource>,
    pub(super) reviewers: Vec<Arc<dyn Reviewer>>,
    /// Agents that look after them, in the policy's order.
    pub(super) panel: Vec<AgentReviewer>,
    pub(super) backends: BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    pub(super) evidence: Arc<dyn EvidenceStore>,
    pub(super) policy: Policy,
    /// Where gates run, one at a time: always the same place, since build tools remember paths.
    pub(super) lane: PathBuf,
    /// What is kept of their directories.
    pub(super) kept: Kept,
    /// Which ports workspaces and gates have.
    pub(super) ports: PortRanges,
    pub(super) sweeper: Sweeper,
    /// How often it has landed.
    pub(super) landed: AtomicU32,
    /// One at a time: the lane's cache is copied by one attempt and replaced by another.
    pub(super) caches: Arc<Mutex<GateCaches>>,
    /// What the policy lets workers and gates see of our environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Whether what an earlier run had left was swept, so that whoever bears our marker was started by this one.
    pub(super) swept: AtomicBool,
    /// Moments before this run started anything for an attempt.
    pub(super) begun: Mutex<BTreeMap<AttemptId, Moment>>,
    pub(super) turns: Mutex<HashMap<EffectId, Arc<TurnWatch>>>,
    /// What the agent of each attempt said last, cut short.
    pub(super) last_words: Mutex<HashMap<AttemptId, String>>,
    /// Turns that were told to stop, perhaps before they were among the above.
    pub(super) told_to_stop: Mutex<HashSet<EffectId>>,
}

/// What an agent that has gone silent is told.
const NUDGE: &str = "Nothing was heard of you for a long time. Go on with the task; if you are done, commit and write the handoff.";

/// After so many landings it is seen whether objects are to be packed.
const COLLECTED: u32 = 256;

/// An effect with all that it needs of the state, so that it can run beside the loop.
#[derive(Debug)]
pub(super) enum Job {
    ReadRoadmap {
        tip: Option<CommitId>,
    },
    Prepare {
        attempt: AttemptId,
        base: CommitId,
    },
    Nudge {
        turn: EffectId,
    },
    Turn(Box<TurnJob>),
    Stop {
        turn: EffectId,
    },
    Collect {
        attempt: AttemptId,
        contract: Arc<Contract>,
        base: CommitId,
        turn: u32,
    },
    Review(Box<ReviewRequest>),
    CheckHistory {
        tip: CommitId,
        commits: Vec<CommitId>,
    },
    Merge(Box<MergeJob>),
    Gate {
        attempt: AttemptId,
        tree: TreeId,
        gate: GateSpec,
        head: GateHead,
    },
    CheckTip {
        tip: CommitId,
        gate: GateSpec,
    },
    CheckBaseline {
        tip: CommitId,
        gate: GateSpec,
    },
    Land {
        landing: Arc<Landing>,
    },
    CleanUp {
        attempt: AttemptId,
        tip: Option<CommitId>,
        landed: Option<TreeId>,
        carried: Option<CommitId>,
    },
    Report {
        task: AttemptId,
        outcome: Outcome,
    },
}

/// Merging a head into the target's tip.
#[derive(Debug)]
pub(super) struct MergeJob {
    attempt: AttemptId,
    contract: Arc<Contract>,
    base: CommitId,
    head: CommitId,
    waived: Vec<FindingId>,
}

impl World {
    /// Puts together what an effect needs. `None` for one whose attempt is gone from the state, which cannot be.
    pub(super) fn job(&self, state: &State, effect: EffectId, what: &Effect) -> Option<Job> {
        let active =
            |attempt: &AttemptId| state.task(&attempt.task).and_then(|entry| entry.active());
        Some(match what {
            Effect::ReadRoadmap { tip } => Job::ReadRoadmap { tip: *tip },
            Effect::CheckHistory { tip, commits } => Job::CheckHistory {
                tip: *tip,
                commits: commits.clone(),
            },
            Effect::Prepare { attempt, base } => Job::Prepare {
                attempt: attempt.clone(),
                base: *base,
            },
            Effect::RunTurn {
                attempt,
                turn,
                backend,
                resume,
                used,
                ask,
            } => {
                let known = &active(attempt)?.attempt;
                Job::Turn(Box::new(TurnJob {
                    effect,
                    attempt: attempt.clone(),
                    contract: known.contract.clone(),
                    base: known.base,
                    predecessor: known.predecessor.clone(),
                    advice: known.advice.clone(),
                    turn: *turn,
                    backend: backend.clone(),
                    resume: resume.clone(),
                    used: used.clone(),
                    ask: ask.clone(),
                }))
            }
            Effect::Nudge { turn, .. } => Job::Nudge { turn: *turn },
            Effect::StopTurn { turn, .. } => Job::Stop { turn: *turn },
            Effect::Collect { attempt, turn } => {
                let known = &active(attempt)?.attempt;
                Job::Collect {
                    attempt: attempt.clone(),
                    contract: known.contract.clone(),
                    base: known.base,
                    turn: *turn,
                }
            }
            Effect::Review { attempt, .. } => {
                let active = active(attempt)?;
                let Step::Review { work, .. } = &active.step else {
                    return None;
                };
                let before = &state.task(&attempt.task)?.findings;
                Job::Review(Box::new(
                    self.review_request(&active.attempt, work)
                        .with_before(before.clone()),
                ))
            }
            Effect::Merge {
                attempt,
                base,
                head,
            } => {
                let known = &active(attempt)?.attempt;
                let waived = known
                    .waivers
                    .iter()
                    .filter_map(|waiver| match &waiver.item {
                        HoldItem::Finding(finding) => Some(finding.id()),
                        HoldItem::Claim { .. } | HoldItem::Reviewer { .. } => None,
                    });
                Job::Merge(Box::new(MergeJob {
                    attempt: attempt.clone(),
                    contract: known.contract.clone(),
                    base: *base,
                    head: *head,
                    waived: waived.collect(),
                }))
            }
            Effect::RunGate {
                attempt,
                tree,
                gate,
            } => {
                let Step::Gate { checked, .. } = &active(attempt)?.step else {
                    return None;
                };
                let Candidate { tip, head, .. } = checked.candidate;
                Job::Gate {
                    attempt: attempt.clone(),
                    tree: *tree,
                    gate: gate.clone(),
                    head: GateHead::Merge { tip, head },
                }
            }
            Effect::CheckTip { tip, gate, .. } => Job::CheckTip {
                tip: *tip,
                gate: gate.clone(),
            },
            Effect::CheckBaseline { tip, gate } => Job::CheckBaseline {
                tip: *tip,
                gate: gate.clone(),
            },
            Effect::Land { landing } => Job::Land {
                landing: landing.clone(),
            },
            Effect::CleanUp { attempt, carried } => {
                let landed = match state.task(&attempt.task).map(|entry| &entry.phase) {
                    Some(Phase::Landed(landed))
                        if landed.by.as_ref().is_some_and(|by| by.id == *attempt) =>
                    {
                        landed.reports.first().map(|report| report.tree)
                    }
                    _ => None,
                };
                Job::CleanUp {
                    attempt: attempt.clone(),
                    tip: state.tip(),
                    landed,
                    carried: *carried,
                }
            }
            Effect::Report {
                task,
                attempt,
                landed,
            } => {
                let reason = || match state.task(task).map(|entry| &entry.phase) {
                    Some(Phase::Parked { reason, .. }) => reason.to_string(),
                    _ => String::new(),
                };
                let outcome = landed.map_or_else(
                    || Outcome::Parked { reason: reason() },
                    |commit| Outcome::Landed { commit },
                );
                Job::Report {
                    task: attempt.clone(),
                    outcome,
                }
            }
        })
    }

    /// Remembers that nothing of an attempt was started before now, unless it is known to have begun.
    pub(super) fn begin(&self, attempt: &AttemptId) {
        let now = if self.swept.load(Ordering::Acquire) {
            Moment::now()
        } else {
            None
        };
        if let Some(now) = now {
            self.begun
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(attempt.clone())
                .or_insert(now);
        }
    }

    /// A turn that runs.
    fn watched(&self, turn: EffectId) -> Option<Arc<TurnWatch>> {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&turn)
            .cloned()
    }

    fn review_request(
        &self,
        attempt: &crate::machine::Attempt,
        work: &Submission,
    ) -> ReviewRequest {
        let view = ChangeBetween {
            trusted: Arc::clone(&self.trusted),
            base: work.base,
            head: work.head,
        };
        ReviewRequest::new(
            attempt.id.clone(),
            (*attempt.contract).clone(),
            work.base,
            work.clone(),
            Arc::new(view),
        )
        .with_readable(self.policy.limits.readable)
    }

    /// Does it, and says how it went.
    pub(super) async fn perform(
        &self,
        effect: EffectId,
        job: Job,
        events: mpsc::Sender<EventKind>,
        notices: broadcast::Sender<Notice>,
    ) -> Result<EventKind, RunError> {
        Ok(match job {
            Job::ReadRoadmap { tip } => {
                let progress = Progress::of(&notices, None);
                let reading = progress.during(LongStep::Fetch, self.read_roadmap(tip));
                EventKind::RoadmapRead {
                    effect,
                    reading: reading.await?,
                }
            }
            Job::CheckHistory { tip, commits } => EventKind::HistoryChecked {
                effect,
                missing: self.check_history(tip, commits).await?,
            },
            Job::Prepare { attempt, base } => {
                let progress = Progress::of(&notices, Some(attempt.clone()));
                let workspace = self.workspaces.of(&attempt);
                let made = self.prepare(&workspace, base, &progress);
                let made = progress.during(LongStep::Prepare, made).await;
                EventKind::Prepared {
                    effect,
                    failure: made.err(),
                }
            }
            Job::Turn(job) => {
                let span = tracing::info_span!("turn", backend = %job.backend, turn = job.turn);
                self.run_turn(*job, events, notices).instrument(span).await
            }
            Job::Nudge { turn } => {
                let heard = match self.watched(turn) {
                    Some(watch) => watch
                        .control
                        .send(TurnInput::Nudge(NUDGE.to_owned()))
                        .await
                        .is_ok(),
                    None => false,
                };
                EventKind::Nudged { effect, heard }
            }
            Job::Stop { turn } => {
                // A turn that is just being started looks here when it has been.
                self.told_to_stop
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(turn);
                if let Some(watch) = self.watched(turn) {
                    watch.control.stop(self.policy.limits.grace.to_std()).await;
                }
                EventKind::StopSent { effect }
            }
            Job::Collect {
                attempt,
                contract,
                base,
                turn,
            } => {
                let workspace = self.workspaces.of(&attempt);
                // What it said is mostly on the disk before its work has been gathered.
                let (kept, result) = tokio::join!(
                    self.keep_turn(&workspace, turn),
                    self.collect(&workspace, &contract, base, turn)
                );
                EventKind::Collected {
                    effect,
                    result: result?,
                    kept: kept?,
                }
            }
            Job::Review(request) => {
                let progress = Progress::of(&notices, Some(request.attempt.clone()));
                let asking = Asking::by(effect, events, progress);
                let (reviews, carried) = self.review(*request, &asking).await;
                EventKind::Reviewed {
                    effect,
                    reviews,
                    carried,
                }
            }
            Job::Merge(job) => {
                let progress = Progress::of(&notices, Some(job.attempt.clone()));
                let merged = self.merge(*job, &events);
                EventKind::Merged {
                    effect,
                    result: progress.during(LongStep::Merge, merged).await,
                }
            }
            Job::Gate {
                attempt,
                tree,
                gate,
                head,
            } => {
                let span = tracing::info_span!("gate", name = %gate.name);
                let progress = Progress::of(&notices, Some(attempt.clone()));
                let step = LongStep::Gate {
                    gate: gate.name.clone(),
                    tree,
                };
                let job = GateJob {
                    effect,
                    whose: CacheOf::Attempt(attempt),
                    tree,
                    gate,
                    head,
                };
                let run = self.run_gate(job).instrument(span);
                let report = progress.during_with(step, run, has_passed, || None).await?;
                EventKind::GateRan { effect, report }
            }
            Job::CheckTip { tip, gate } => EventKind::TipChecked {
                effect,
                report: self.gate_on_tip(effect, tip, gate, &notices).await?,
            },
            Job::CheckBaseline { tip, gate } => EventKind::BaselineChecked {
                effect,
                report: self.gate_on_tip(effect, tip, gate, &notices).await?,
            },
            Job::Land { landing } => {
                let progress = Progress::of(&notices, Some(landing.attempt.clone()));
                let landed = self.land(&landing, &events);
                let waits_for = || self.trusted.user().waits_for();
                let step = LongStep::Land;
                let landed = progress.during_with(step, landed, |_| None, waits_for);
                EventKind::LandingTried {
                    effect,
                    outcome: landed.await?,
                }
            }
            Job::CleanUp {
                attempt,
                tip,
                landed,
                carried,
            } => {
                let own = attempt.clone();
                let settled = self
                    .with_caches(move |caches| caches.settle(&own, landed))
                    .await;
                settled.unwrap_or_else(
                    |error| tracing::warn!(%attempt, %error, "a gate's cache could not be settled"),
                );
                let progress = Progress::of(&notices, Some(attempt.clone()));
                let cleaned = self.clean_up(&attempt, tip, carried);
                let fate = progress.during(LongStep::CleanUp, cleaned).await;
                if matches!(fate, WorkspaceFate::Removed { .. }) {
                    self.ports.release(&attempt);
                }
                self.sweeper.begin();
                EventKind::CleanedUp { effect, fate }
            }
            Job::Report { task, outcome } => {
                let told = self.source.report(&task.task, &task, &outcome).await;
                EventKind::Reported {
                    effect,
                    failure: told.err().map(|error| error.to_string()),
                }
            }
        })
    }

    /// Reads the roadmap at a tip that we have, or at the target's as it is now. Only what is our own trouble is an error.
    async fn read_roadmap(&self, tip: Option<CommitId>) -> Result<Reading, RunError> {
        let tip = match tip {
            Some(tip) => tip,
            None => match self.trusted.fetch_target().await {
                Ok(tip) => tip,
                Err(GitError::Unreachable { why, .. }) => return Ok(Reading::Unreachable { why }),
                // What runs goes on, and nothing new starts: a branch that was renamed may be named back.
                Err(error @ GitError::NoTarget { .. }) => return self.no_target(error),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(match self.load_roadmap(tip).await {
            Ok(roadmap) => Reading::Read(roadmap),
            Err(RoadmapError::Source(SourceError::Unavailable(why))) => {
                Reading::Unreachable { why }
            }
            Err(RoadmapError::Git(error)) => return Err(error.into()),
            Err(error @ (RoadmapError::Source(_) | RoadmapError::Faults(_))) => Reading::Refused {
                tip,
                why: error.to_string(),
            },
        })
    }

    fn no_target(&self, error: GitError) -> Result<Reading, RunError> {
        let Some(tip) = self.trusted.tip()? else {
            return Err(error.into());
        };
        let why = error.to_string();
        Ok(Reading::Refused { tip, why })
    }

    /// The roadmap as it is at this commit, checked.
    pub(super) async fn load_roadmap(&self, tip: CommitId) -> Result<Roadmap, RoadmapError> {
        let view = self.tree(
            self.trusted.tree_of(tip)?,
            format!("commit {}", tip.short()),
        );
        let snapshot = self.source.snapshot(&view).await?;
        check_roadmap(&snapshot.tasks, &self.policy, self.backends.keys())
            .map_err(RoadmapError::Faults)?;
        Ok(Roadmap {
            revision: snapshot.revision,
            tip,
            tasks: snapshot.tasks,
        })
    }

    fn tree(&self, tree: TreeId, name: String) -> Tree {
        Tree {
            trusted: Arc::clone(&self.trusted),
            tree,
            name,
        }
    }

    /// What reviewers say of a head. Where only its history is wrong, its tree is committed once, and
    /// that is reviewed: no agent has to be paid for it.
    async fn review(
        &self,
        request: ReviewRequest,
        asking: &Asking,
    ) -> (Vec<Review>, Option<Carried>) {
        let reviews = self.ask_reviewers(&request, asking).await;
        let mut findings = request.submission.findings.clone();
        findings.extend(reviews.iter().flat_map(Review::findings).cloned());
        if !only_history(&findings) {
            return (reviews, None);
        }
        findings.retain(|finding| finding.history.is_some());
        let carried = match self.commit_once(&request).await {
            Ok(carried) => Carried {
                left_out: findings,
                ..carried
            },
            Err(error) => {
                tracing::warn!(attempt = %request.attempt, %error, "the work could not be committed once");
                return (reviews, None);
            }
        };
        let mut once = request;
        once.base = carried.onto;
        once.submission = once.submission.as_carried(carried.clone());
        let trusted = Arc::clone(&self.trusted);
        once.view = Arc::new(ChangeBetween {
            trusted,
            base: carried.onto,
            head: carried.head,
        });
        (self.ask_reviewers(&once, asking).await, Some(carried))
    }

    /// The changes of a head as one commit of ours, on what the head's own commits are on.
    async fn commit_once(&self, request: &ReviewRequest) -> Result<Carried, GitError> {
        let (base, head) = (request.submission.base, request.submission.head);
        let onto = self.trusted.begins_on(base, head).await?;
        let subject = format!("{}: {}", request.attempt.task, request.contract.title);
        let carried = self
            .trusted
            .carry_over(&request.attempt, &subject, onto, head, onto)
            .await?;
        carried.map_err(|_| GitError::Output {
            verb: "merge-tree".to_owned(),
            what: "a conflict between a commit and what it is made from".to_owned(),
        })
    }

    /// Which of these commits are not in the target's history. A tip that is not is remembered, so
    /// that nothing brings it back.
    async fn check_history(
        &self,
        tip: CommitId,
        commits: Vec<CommitId>,
    ) -> Result<Vec<MissingCommit>, GitError> {
        let mut missing = Vec::new();
        for commit in commits {
            if self.trusted.ancestry(tip, commit).await? != Ancestry::Dropped {
                continue;
            }
            self.trusted.remember_dropped(commit).await?;
            let again = self.trusted.landed_again(commit, tip).await?;
            missing.push(MissingCommit { commit, again });
        }
        Ok(missing)
    }

    async fn merge(
        &self,
        job: MergeJob,
        events: &mpsc::Sender<EventKind>,
    ) -> Result<Candidate, MergeFailure> {
        let MergeJob {
            attempt,
            contract,
            base,
            head,
            waived,
        } = job;
        let tip = match self.trusted.fetch_target().await {
            Ok(tip) => tip,
            Err(GitError::Unreachable { why, .. }) => {
                return Err(MergeFailure::Unreachable { reason: why });
            }
            Err(error) => {
                tell_target_gone(&error, events).await;
                return Err(impossible(&error));
            }
        };
        if head == base {
            // A person has said that nothing has to be done: only the landing edits land.
            let tree = self
                .trusted
                .tree_of(tip)
                .map_err(|error| impossible(&error))?;
            let tree = self.edited(&attempt, tree).await?;
            return Ok(Candidate {
                head: tip,
                tip,
                tree,
                changes: Vec::new(),
            });
        }
        match self
            .trusted
            .start_of(tip, base, head)
            .await
            .map_err(|error| impossible(&error))?
        {
            Start::Kept => {}
            Start::Dropped(start) => {
                let subject = format!("{}: {}", attempt.task, contract.title);
                let carried = self
                    .trusted
                    .carry_over(&attempt, &subject, start, head, tip)
                    .await;
                return Err(match carried.map_err(|error| impossible(&error))? {
                    Ok(carried) => MergeFailure::CarriedOver(carried),
                    Err(paths) => MergeFailure::Conflict { tip, paths },
                });
            }
            Start::Tangled(dropped) => {
                let message = format!(
                    "the work contains {}, which was dropped from the target, beside other history: \
                     make it again on {} without that commit",
                    dropped.short(),
                    base.short(),
                );
                let finding = Finding::new(Severity::Error, "history/dropped", message);
                return Err(MergeFailure::Offends {
                    findings: vec![finding],
                });
            }
        }
        let merged = match self
            .trusted
            .merge(tip, head)
            .await
            .map_err(|error| impossible(&error))?
        {
            Merge::Clean(tree) => tree,
            Merge::Conflict(paths) => return Err(MergeFailure::Conflict { tip, paths }),
        };
        let before = self
            .trusted
            .tree_of(tip)
            .map_err(|error| impossible(&error))?;
        let changes = self
            .trusted
            .changes(before, merged)
            .await
            .map_err(|error| impossible(&error))?;
        let mut findings = path_findings(&contract, &changes);
        // What neither side has alone, both may have together.
        if needs_the_tree(&changes) {
            let shapes = self
                .trusted
                .shapes(before, merged)
                .await
                .map_err(|error| impossible(&error))?;
            findings.extend(tree_findings(&changes, &shapes));
        }
        findings.retain(|finding| !waived.contains(&finding.id()));
        if changes.is_empty() {
            if self
                .trusted
                .contains(tip, head)
                .await
                .map_err(|error| impossible(&error))?
            {
                return Err(MergeFailure::PastReview { tip });
            }
            findings.push(Finding::new(
                Severity::Error,
                "commit/empty",
                "the target has all of this already",
            ));
        }
        if !findings.is_empty() {
            return Err(MergeFailure::Offends { findings });
        }
        let tree = self.edited(&attempt, merged).await?;
        Ok(Candidate {
            head,
            tip,
            tree,
            changes,
        })
    }

    /// A tree with the landing edits of an attempt's task.
    async fn edited(&self, attempt: &AttemptId, tree: TreeId) -> Result<TreeId, MergeFailure> {
        let view = self.tree(tree, format!("the merge of {attempt}"));
        let edits = self
            .source
            .landing_edits(&attempt.task, &view)
            .await
            .map_err(|error| impossible(&error))?;
        self.trusted
            .edit(tree, &edits)
            .await
            .map_err(|error| impossible(&error))
    }

    /// Packs the objects of our repository beside the work, if there are many.
    pub(super) fn pack_objects(&self) {
        let trusted = Arc::clone(&self.trusted);
        tokio::spawn(async move {
            if let Err(error) = trusted.pack_objects().await {
                tracing::warn!(%error, "the objects of our own repository could not be packed");
            }
        });
    }

    async fn land(
        &self,
        landing: &Landing,
        events: &mpsc::Sender<EventKind>,
    ) -> Result<LandingOutcome, RunError> {
        let record = serde_json::to_vec(&landing.acceptance)
            .expect("our own data has string keys and serialises");
        self.evidence.put(&mut &record[..], u64::MAX).await?;
        let landed = self.trusted.land(landing).await;
        if self.landed.fetch_add(1, Ordering::Relaxed) % COLLECTED == COLLECTED - 1 {
            self.pack_objects();
        }
        Ok(match landed {
            Ok(outcome) => outcome,
            Err(GitError::Unreachable { why, .. }) => LandingOutcome::Unreachable { reason: why },
            Err(error) => {
                tell_target_gone(&error, events).await;
                LandingOutcome::Refused(self.trusted.refusal(&error))
            }
        })
    }
}

/// Tells the loop at once that the remote no longer has the target, so that nothing is started which could not land.
async fn tell_target_gone(error: &GitError, events: &mpsc::Sender<EventKind>) {
    if let GitError::NoTarget { .. } = error {
        let why = error.to_string();
        // The loop is gone only when the run is.
        drop(events.send(EventKind::TargetGone { why }).await);
    }
}

pub(super) fn has_passed(report: &Result<GateReport, RunError>) -> Option<bool> {
    report.as_ref().ok().map(GateReport::passed)
}

/// A candidate could not be built.
fn impossible(error: &dyn std::error::Error) -> MergeFailure {
    MergeFailure::Impossible {
        reason: with_source(error),
    }
}

/// What agents see: what the policy allows, and nothing that lets git ask for, or find, a credential to push with.
pub(super) fn agents_environment(allowed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = allowed.clone();
    let off = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "/bin/false"),
        ("GIT_SSH_COMMAND", "/bin/false"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "credential.helper"),
        ("GIT_CONFIG_VALUE_0", ""),
    ];
    environment.extend(off.map(|(key, value)| (key.to_owned(), value.to_owned())));
    environment
}
