//! A run from its begin to its end.

use tracing::Instrument as _;

use super::{
    Leftovers, Notice, RunError,
    orchestrator::{Orchestrator, RunReport},
    running::Running,
};
use crate::{model::EndReason, review::AgentReviewer, status::Snapshot};

impl Orchestrator {
    /// Runs until there is a reason to end. Nothing that it began goes on afterwards but threads that read or remove files and will end; where a
    /// file system does not answer, a runtime that is dropped waits for them, and one that is ended by
    /// [`shutdown_background`](tokio::runtime::Runtime::shutdown_background) does not.
    ///
    /// # Errors
    /// [`RunError`] when it cannot go on; what was in flight goes on when the state directory is opened again.
    pub async fn run(self) -> Result<RunReport, RunError> {
        let (ended, leftovers) = self.run_until_ended().await;
        leftovers.clear().await;
        ended
    }

    /// The same, for who wants to know how it ended before the files are removed that were only kept to be used again: those are
    /// left to [`Leftovers::clear`].
    pub async fn run_until_ended(self) -> (Result<RunReport, RunError>, Leftovers) {
        let mut running = Running::new(self);
        let result = running.begin_and_go().await;
        // Whatever ended the run: nothing of it lives on.
        running.stop_everything().await;
        let (state, abandoned, leftovers) = running.into_parts();
        let snapshot = Snapshot::of(&state);
        (
            result.map(|ended| RunReport {
                ended,
                snapshot,
                state,
                abandoned,
            }),
            leftovers,
        )
    }
}

impl Running {
    async fn begin_and_go(&mut self) -> Result<EndReason, RunError> {
        let core = self.core();
        let survivors = core.world.host.survivors.found;
        if survivors > 0 {
            let warning = format!(
                "{survivors} processes of an earlier run were still alive, and were stopped"
            );
            drop(core.notices.send(Notice::Warning(warning)));
        }
        for check in &core.warnings {
            drop(core.notices.send(Notice::Warning(check.to_string())));
        }
        core.world.lane.panel.iter().for_each(AgentReviewer::clear);
        core.world.host.sweeper.begin();
        core.world.lane.pack_objects();
        let (first, checkout) = (core.world.opened(core.wait), core.world.checkout().await?);
        let span = tracing::info_span!("run", id = %core.world.run);
        self.go(first, checkout).instrument(span).await
    }
}
