//! Turns, from a test that has nothing else to do meanwhile.

use std::time::Duration;

use orchestrator_core::{
    model::{Finding, SessionRef, TurnOutcome, TurnUsage, Usage},
    port::{Turn, Update},
};

/// A turn that is over.
#[derive(Debug)]
pub struct Ran {
    /// Its session, if it began.
    pub session: Option<SessionRef>,
    /// What was said, a line each.
    pub said: String,
    /// What its reviewers should know.
    pub findings: Vec<Finding>,
    /// What it is known to have used, as was said last.
    pub usage: Usage,
    /// The same, with what is not known.
    pub used: TurnUsage,
    /// How it ended.
    pub outcome: TurnOutcome,
}

/// Reads a turn to its end.
///
/// # Panics
/// When its updates run out before.
pub async fn ran(mut turn: Box<dyn Turn>) -> Ran {
    let (mut session, mut said, mut findings, mut used) =
        (None, String::new(), Vec::new(), TurnUsage::default());
    loop {
        match turn.next().await.expect("an end comes first") {
            Update::Started { session: begun } => session = Some(begun),
            Update::Activity { text } => said += &format!("{text}\n"),
            Update::Finding(finding) => findings.push(finding),
            Update::Usage(now) => used = now,
            Update::Ended { outcome } => {
                return Ran {
                    session,
                    said,
                    findings,
                    usage: used.known(),
                    used,
                    outcome,
                };
            }
            _ => {}
        }
    }
}

/// Runs something in a runtime of its own, for at most three minutes: as long as a test of a real agent
/// may take.
///
/// # Panics
/// When it does not come to an end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    block_on_within(Duration::from_secs(180), work).expect("it comes to an end")
}

/// Runs something in a runtime of its own, for at most so long; `None` when it does not come to an end. What it leaves running is not
/// waited for.
///
/// # Panics
/// When no runtime can be had.
pub fn block_on_within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let done = runtime.block_on(async { tokio::time::timeout(deadline, work).await });
    runtime.shutdown_background();
    done.ok()
}
