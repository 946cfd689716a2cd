//! Running gates on exact trees, in the landing lane.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::Instant,
};

use tracing::Instrument as _;

use super::{
    LongStep, RunError, effects::Sink, gate_job::GateJob, gate_place::GatePlace, lane::Lane,
    marks::SURVIVORS,
};
use crate::{
    failpoint::reach,
    gate::{CacheOf, GateCaches, GateRun, run_gate},
    model::{GateReport, Span},
    process::{Captured, kill_marked, labelled_ends},
};

/// Of what a gate printed, so many characters go into findings and questions; all of it is in the evidence.
const TAIL: usize = 2000;

/// Which way a cache is moved.
#[derive(Debug, Clone, Copy)]
enum Move {
    ToTheGate,
    Back,
}

impl Lane {
    /// Does something with the caches beside the loop.
    pub(super) async fn with_caches(
        &self,
        what: impl FnOnce(&GateCaches) -> std::io::Result<()> + Send + 'static,
    ) -> std::io::Result<()> {
        let caches = Arc::clone(&self.caches);
        let done = tokio::task::spawn_blocking(move || {
            what(&caches.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// Runs a gate, and tells how that goes; `None` if it was told to stop.
    pub(super) async fn gate(
        &self,
        job: GateJob,
        sink: &Sink,
    ) -> Result<Option<GateReport>, RunError> {
        let gate = job.gate.name.clone();
        let span = tracing::info_span!("gate", name = %gate);
        let (step, attempt) = match (&job.whose, job.head) {
            (CacheOf::Attempt(attempt), _) => {
                let tree = job.tree;
                (LongStep::Gate { gate, tree }, Some(attempt.clone()))
            }
            (CacheOf::Lane, head) => {
                let tip = head.tip();
                (LongStep::TipGate { gate, tip }, None)
            }
        };
        let progress = sink.progress(attempt.as_ref());
        let run = self.run_gate(job).instrument(span);
        progress.during_with(step, run, has_passed, || None).await
    }

    /// Runs a gate, and again as often as it may be while it is red; `None` if it was told to stop.
    pub(super) async fn run_gate(&self, job: GateJob) -> Result<Option<GateReport>, RunError> {
        let mut before = Vec::new();
        loop {
            let Some(report) = self.run_gate_once(&job).await? else {
                return Ok(None);
            };
            let again = !report.passed() && before.len() < job.gate.rerun as usize;
            if !again {
                return Ok(Some(GateReport { before, ..report }));
            }
            before.push(report.outcome);
        }
    }

    async fn run_gate_once(&self, job: &GateJob) -> Result<Option<GateReport>, RunError> {
        let began = Instant::now();
        let run = match self.make_gate_place(job).await {
            Ok(place) => {
                self.move_caches(job, &place.directory, Move::ToTheGate)
                    .await;
                let run = self.run_gate_in(job, &place).await;
                self.move_caches(job, &place.directory, Move::Back).await;
                run
            }
            Err(outcome) => Some(GateRun::not_started(outcome, &self.environment)),
        };
        let Some(run) = run else { return Ok(None) };
        let tail = tail_of(&run);
        let (outcome, environment) = (run.outcome, run.environment);
        let output = joined(run.stdout, run.stderr);
        let output = self.evidence.keep(&output).await?.hash;
        Ok(Some(GateReport {
            gate: job.gate.clone(),
            tree: job.tree,
            environment,
            outcome,
            output,
            tail,
            took: Span(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            before: Vec::new(),
            lacked: self.lacking(job).await,
        }))
    }

    /// Runs it in its directory; when it is told to stop, no process of it lives on.
    async fn run_gate_in(&self, job: &GateJob, place: &GatePlace) -> Option<GateRun> {
        let mark = format!("{}gate.{}", self.mark, job.effect);
        tokio::select! {
            biased;
            run = self.run_marked(job, place, &mark) => Some(run),
            () = job.stop.notified() => {
                kill_marked(&mark, SURVIVORS).await;
                None
            }
        }
    }

    async fn run_marked(&self, job: &GateJob, place: &GatePlace, mark: &str) -> GateRun {
        if let Err(outcome) = self.set_up_gate(job, place, mark).await {
            return GateRun::not_started(outcome, &self.environment);
        }
        reach("before gate");
        let run = run_gate(
            &job.gate,
            &place.directory,
            &self.environment,
            &place.variables,
            mark,
        );
        let run = run.await;
        reach("after gate");
        run
    }

    /// Moves the gate's caches between where they are kept and its directory.
    async fn move_caches(&self, job: &GateJob, directory: &Path, way: Move) {
        if job.gate.cache.is_empty() {
            return;
        }
        let (whose, tree) = (job.whose.clone(), job.tree);
        let (paths, directory) = (job.gate.cache.clone(), directory.to_owned());
        let moved = self.with_caches(move |caches| match way {
            Move::ToTheGate => caches.lend(&whose, tree, &paths, &directory),
            Move::Back => caches.take_back(&whose, &paths, &directory),
        });
        // Without its cache a gate is slow, and as right as with it.
        let effect = job.effect;
        moved.await.unwrap_or_else(
            |error| tracing::warn!(%effect, %error, "a gate's cache could not be moved"),
        );
    }
}

fn has_passed(report: &Result<Option<GateReport>, RunError>) -> Option<bool> {
    let report = report.as_ref().ok()?.as_ref();
    report.map(GateReport::passed)
}

/// The end of what a gate printed: of one stream alone, or of both, each after its name.
fn tail_of(run: &GateRun) -> String {
    let complained = run.stderr.end(TAIL / 2);
    if complained.is_empty() {
        return run.stdout.end(TAIL);
    }
    let printed = run.stdout.end(TAIL / 2);
    if printed.is_empty() {
        return run.stderr.end(TAIL);
    }
    labelled_ends(&printed, &complained)
}

fn joined(stdout: Captured, stderr: Captured) -> Vec<u8> {
    let mut output = stdout.into_bytes();
    let stderr = stderr.into_bytes();
    if !stderr.is_empty() {
        output.extend_from_slice(b"\n--- stderr ---\n");
        output.extend(stderr);
    }
    output
}
