//! Running gates on exact trees, in the landing lane.

use std::sync::{Arc, PoisonError};

use tokio::sync::broadcast;
use tracing::Instrument as _;

use super::{
    LongStep, Notice, RunError,
    effects::{World, has_passed, with_source},
    progress::Progress,
};
use crate::{
    failpoint::reach,
    gate::{CacheOf, GateCaches, run_gate},
    model::{CommitId, ContentHash, EffectId, GateOutcome, GateReport, GateSpec, Span, TreeId},
    process::{Captured, labelled_ends},
};

/// Of what a gate printed, so many characters go into findings and questions; all of it is in the evidence.
const TAIL: usize = 2000;

impl World {
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

    /// Runs a gate on a tip of the target, and tells how that goes.
    pub(super) async fn gate_on_tip(
        &self,
        effect: EffectId,
        tip: CommitId,
        gate: GateSpec,
        notices: &broadcast::Sender<Notice>,
    ) -> Result<GateReport, RunError> {
        let step = LongStep::TipGate {
            gate: gate.name.clone(),
            tip,
        };
        let run = self.run_gate_on_tip(effect, tip, gate);
        let progress = Progress::of(notices, None);
        progress.during_with(step, run, has_passed, || None).await
    }

    /// Runs a gate on a tip of the target.
    pub(super) async fn run_gate_on_tip(
        &self,
        effect: EffectId,
        tip: CommitId,
        gate: GateSpec,
    ) -> Result<GateReport, RunError> {
        let span = tracing::info_span!("gate", name = %gate.name, tip = %tip.short());
        let tree = self.trusted.tree_of(tip)?;
        self.run_gate(effect, CacheOf::Lane, tree, gate)
            .instrument(span)
            .await
    }

    /// Runs a gate, and again as often as it may be while it is red.
    pub(super) async fn run_gate(
        &self,
        effect: EffectId,
        whose: CacheOf,
        tree: TreeId,
        gate: GateSpec,
    ) -> Result<GateReport, RunError> {
        let mut before = Vec::new();
        loop {
            let report = self
                .run_gate_once(effect, whose.clone(), tree, gate.clone())
                .await?;
            let again = !report.passed() && before.len() < gate.rerun as usize;
            if !again {
                return Ok(GateReport { before, ..report });
            }
            before.push(report.outcome);
        }
    }

    async fn run_gate_once(
        &self,
        effect: EffectId,
        whose: CacheOf,
        tree: TreeId,
        gate: GateSpec,
    ) -> Result<GateReport, RunError> {
        let began = std::time::Instant::now();
        let mark = format!("{}gate.{effect}", self.mark);
        let directory = self.lane.join("tree");
        // Whatever the last gate left there.
        let exported = async {
            self.trusted
                .export(tree, &directory)
                .await
                .map_err(|error| with_source(&error))
        };
        let cached = async |back: bool| {
            if gate.cache.is_empty() {
                return;
            }
            let (whose, paths, directory) = (whose.clone(), gate.cache.clone(), directory.clone());
            let moved = self.with_caches(move |caches| {
                if back {
                    caches.take_back(&whose, &paths, &directory)
                } else {
                    caches.lend(&whose, tree, &paths, &directory)
                }
            });
            // Without its cache a gate is slow, and as right as with it.
            moved.await.unwrap_or_else(
                |error| tracing::warn!(%effect, %error, "a gate's cache could not be moved"),
            );
        };
        let (outcome, output, tail, environment) = match exported.await {
            Ok(()) => {
                cached(false).await;
                reach("before gate");
                let run = run_gate(&gate, &directory, &self.environment, &mark).await;
                reach("after gate");
                cached(true).await;
                let tail = tail(&run.stdout, &run.stderr);
                (
                    run.outcome,
                    joined(run.stdout, run.stderr),
                    tail,
                    run.environment,
                )
            }
            Err(reason) => (
                GateOutcome::NotStarted { reason },
                Vec::new(),
                String::new(),
                ContentHash::of_json(&self.environment),
            ),
        };
        let output = self.evidence.put(&mut &output[..], u64::MAX).await?.hash;
        let took = Span(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok(GateReport {
            gate,
            tree,
            environment,
            outcome,
            output,
            tail,
            took,
            before: Vec::new(),
        })
    }
}

/// The end of what a gate printed: of one stream alone, or of both, each after its name.
fn tail(stdout: &Captured, stderr: &Captured) -> String {
    let complained = stderr.end(TAIL / 2);
    if complained.is_empty() {
        return stdout.end(TAIL);
    }
    let printed = stdout.end(TAIL / 2);
    if printed.is_empty() {
        return stderr.end(TAIL);
    }
    labelled_ends(&printed, &complained)
}

fn joined(stdout: Captured, stderr: Captured) -> Vec<u8> {
    let (mut output, stderr) = (stdout.into_bytes(), stderr.into_bytes());
    if !stderr.is_empty() {
        output.extend_from_slice(b"\n--- stderr ---\n");
        output.extend(stderr);
    }
    output
}
