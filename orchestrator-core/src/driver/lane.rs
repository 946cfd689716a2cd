//! What is done for the target: the roadmap is read, work is reviewed, merged, gated and landed.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    RunError,
    asking::Asking,
    effects::Sink,
    gate_job::{GateJob, Kept},
    keeper::Keeper,
    patience::Retries,
    ports::PortRanges,
    step::LongStep,
    views::{ChangeBetween, Tree},
};
use crate::{
    gate::{CacheOf, GateCaches},
    git::{Ancestry, GitError, Trusted},
    model::{
        AttemptId, BackendName, Carried, CommitId, Contract, Effect, EffectId, EventKind,
        FindingId, Landing, LandingOutcome, MissingCommit, Policy, Review, TaskEnd, TreeId,
        only_history,
    },
    port::{Outcome, ReviewRequest, Reviewer, SourceError, TaskSource},
    review::AgentReviewer,
};

/// After so many landings it is seen whether objects are to be packed.
const COLLECTED: u32 = 256;

/// Performs the effects that need our own repository.
#[derive(Debug)]
pub(super) struct Lane {
    /// As [`World::mark`](super::world::World::mark).
    pub(super) mark: String,
    pub(super) policy: Arc<Policy>,
    pub(super) environment: Arc<BTreeMap<String, String>>,
    pub(super) trusted: Arc<Trusted>,
    pub(super) source: Arc<dyn TaskSource>,
    /// The agents that tasks can name.
    pub(super) agents: Vec<BackendName>,
    pub(super) reviewers: Vec<Arc<dyn Reviewer>>,
    /// Agents that look after them, in the policy's order.
    pub(super) panel: Vec<AgentReviewer>,
    pub(super) evidence: Keeper,
    /// Where gates run, one at a time: always the same place, since build tools remember paths.
    pub(super) directory: PathBuf,
    /// What is kept of their directories.
    pub(super) kept: Kept,
    /// Which ports workspaces and gates have.
    pub(super) ports: Arc<PortRanges>,
    /// One at a time: the lane's cache is copied by one attempt and replaced by another.
    pub(super) caches: Arc<Mutex<GateCaches>>,
    /// How often it has landed.
    pub(super) landed: AtomicU32,
    /// By which a gate that runs is told to stop.
    pub(super) stops: Mutex<HashMap<EffectId, Arc<Notify>>>,
}

/// Merging a head into the target's tip.
#[derive(Debug)]
pub(super) struct MergeJob {
    pub(super) attempt: AttemptId,
    pub(super) contract: Arc<Contract>,
    pub(super) base: CommitId,
    pub(super) head: CommitId,
    pub(super) waived: Vec<FindingId>,
}

impl Lane {
    pub(super) async fn perform(&self, what: Effect, sink: Sink) -> Result<EventKind, RunError> {
        let effect = sink.effect;
        Ok(match what {
            Effect::ReadRoadmap { tip } => {
                let reading = self.read_roadmap(tip);
                let progress = sink.progress(None);
                let reading = progress.during(LongStep::Fetch, reading);
                EventKind::RoadmapRead {
                    effect,
                    reading: reading.await?,
                }
            }
            Effect::CheckHistory { tip, commits } => EventKind::HistoryChecked {
                effect,
                missing: self.check_history(tip, commits).await?,
            },
            Effect::Review {
                attempt,
                work,
                contract,
                before,
            } => {
                let progress = sink.progress(Some(&attempt));
                let asking = Asking::by(sink, progress);
                let view = self.change_between(work.base, work.head);
                let request = ReviewRequest::new(
                    attempt,
                    (*contract).clone(),
                    work.base,
                    (*work).clone(),
                    Arc::new(view),
                )
                .with_readable(self.policy.limits.readable)
                .with_before(before);
                let (reviews, carried) = self.review(request, &asking).await;
                EventKind::Reviewed {
                    effect,
                    reviews,
                    carried,
                }
            }
            Effect::Merge {
                attempt,
                base,
                head,
                contract,
                waived,
            } => {
                let progress = sink.progress(Some(&attempt));
                let job = MergeJob {
                    attempt,
                    contract,
                    base,
                    head,
                    waived,
                };
                let merged = self.merge(job, &sink);
                EventKind::Merged {
                    effect,
                    result: progress.during(LongStep::Merge, merged).await,
                }
            }
            Effect::RunGate {
                tree,
                gate,
                at,
                candidate_of,
                slot: _,
            } => {
                let job = GateJob {
                    effect,
                    whose: candidate_of.map_or(CacheOf::Lane, CacheOf::Attempt),
                    tree,
                    gate,
                    head: at,
                    stop: self.stop_of(effect),
                };
                let report = self.gate(job, &sink).await;
                self.stops
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&effect);
                match report? {
                    Some(report) => EventKind::GateRan { effect, report },
                    None => EventKind::GateCancelled { effect },
                }
            }
            Effect::CancelGate { gate } => {
                self.stop_of(gate).notify_one();
                EventKind::StopSent { effect }
            }
            Effect::Land { landing } => {
                let landed = self.land(&landing, &sink);
                let progress = sink.progress(Some(&landing.acceptance.attempt));
                let waits_for = || self.trusted.user().waits_for();
                let step = LongStep::Land;
                let landed = progress.during_with(step, landed, |_| None, waits_for);
                EventKind::LandingTried {
                    effect,
                    outcome: landed.await?,
                }
            }
            Effect::Report { attempt, end } => {
                let outcome = outcome_of(end);
                let told = self.tell_source(&attempt, &outcome).await;
                EventKind::Reported {
                    effect,
                    failure: told.err().map(|error| error.to_string()),
                }
            }
            Effect::Prepare { .. }
            | Effect::RunTurn { .. }
            | Effect::Nudge { .. }
            | Effect::StopTurn { .. }
            | Effect::Collect { .. }
            | Effect::CleanUp { .. } => return Err(RunError::WrongPerformer(effect)),
        })
    }

    async fn tell_source(&self, attempt: &AttemptId, outcome: &Outcome) -> Result<(), SourceError> {
        let mut retries = Retries::after(self.policy.limits.backoff);
        loop {
            let error = match self.source.report(&attempt.task, attempt, outcome).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !retries.wait(&error).await {
                return Err(error);
            }
        }
    }

    /// By which this gate is told to stop, whether it has begun or not.
    fn stop_of(&self, gate: EffectId) -> Arc<Notify> {
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stops.entry(gate).or_default())
    }

    /// What is kept of the gates of an attempt that is over serves the lane, or goes.
    pub(super) async fn settle_caches(&self, attempt: &AttemptId, landed: Option<TreeId>) {
        let own = attempt.clone();
        let settled = self
            .with_caches(move |caches| caches.settle(&own, landed))
            .await;
        settled.unwrap_or_else(
            |error| tracing::warn!(%attempt, %error, "a gate's cache could not be settled"),
        );
    }

    pub(super) fn tree(&self, tree: TreeId, name: String) -> Tree {
        Tree {
            trusted: Arc::clone(&self.trusted),
            tree,
            name,
        }
    }

    fn change_between(&self, base: CommitId, head: CommitId) -> ChangeBetween {
        ChangeBetween {
            trusted: Arc::clone(&self.trusted),
            base,
            head,
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
        once.view = Arc::new(self.change_between(carried.onto, carried.head));
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

    /// Packs the objects of our repository beside the work, if there are many.
    pub(super) fn pack_objects(&self) {
        let trusted = Arc::clone(&self.trusted);
        tokio::spawn(async move {
            if let Err(error) = trusted.pack_objects().await {
                tracing::warn!(%error, "the objects of our own repository could not be packed");
            }
        });
    }

    async fn land(&self, landing: &Landing, sink: &Sink) -> Result<LandingOutcome, RunError> {
        self.evidence.keep(&landing.acceptance.to_bytes()).await?;
        let landed = self.trusted.land(landing).await;
        if self.landed.fetch_add(1, Ordering::Relaxed) % COLLECTED == COLLECTED - 1 {
            self.pack_objects();
        }
        Ok(match landed {
            Ok(outcome) => outcome,
            Err(GitError::Unreachable { why, .. }) => LandingOutcome::Unreachable { reason: why },
            Err(error) => {
                sink.target_gone(&error).await;
                LandingOutcome::Refused(self.trusted.refusal(&error))
            }
        })
    }
}

/// What a source is told of it.
fn outcome_of(end: TaskEnd) -> Outcome {
    match end {
        TaskEnd::Landed {
            commit: Some(commit),
        } => Outcome::Landed { commit },
        TaskEnd::Landed { commit: None } => Outcome::Parked {
            reason: "a person let it count as landed, without a commit".to_owned(),
        },
        TaskEnd::Parked { reason } => Outcome::Parked {
            reason: reason.to_string(),
        },
    }
}
