//! Telling whoever watches of what takes its time.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};

use super::{
    handle::Notice,
    step::{LongStep, Stage},
};
use crate::model::AttemptId;

/// The first time at which it is told that something goes on; told again each time it has doubled.
const FIRST: Duration = Duration::from_secs(15);
/// The longest pause between two such notices.
const LONGEST: Duration = Duration::from_secs(600);

/// Tells of a step while it is done.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    notices: broadcast::Sender<Notice>,
    attempt: Option<AttemptId>,
}

impl Progress {
    pub(super) fn of(notices: &broadcast::Sender<Notice>, attempt: Option<AttemptId>) -> Self {
        Self {
            notices: notices.clone(),
            attempt,
        }
    }

    /// Does it, and tells of it.
    pub(super) async fn during<T>(&self, step: LongStep, work: impl Future<Output = T>) -> T {
        self.during_with(step, work, |_| None, || None).await
    }

    /// Does it, and tells of it, whether it passed and what it waits for.
    pub(super) async fn during_with<T>(
        &self,
        step: LongStep,
        work: impl Future<Output = T>,
        passed: impl FnOnce(&T) -> Option<bool>,
        waits_for: impl Fn() -> Option<String>,
    ) -> T {
        let began = Instant::now();
        let mut is_told = step.is_always_told();
        if is_told {
            self.tell(&step, Stage::Began);
        }
        let mut work = pin!(work);
        let mut next = FIRST;
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    let took = began.elapsed();
                    if is_told {
                        let passed = passed(&done);
                        self.tell(&step, Stage::Ended { took, passed });
                    }
                    return done;
                }
                () = sleep_until(began + next) => {
                    let waits_for = waits_for();
                    self.tell(&step, Stage::GoesOn { so_far: next, waits_for });
                    is_told = true;
                    next += next.min(LONGEST);
                }
            }
        }
    }

    fn tell(&self, step: &LongStep, stage: Stage) {
        // Nobody may listen.
        drop(self.notices.send(Notice::Progress {
            attempt: self.attempt.clone(),
            step: step.clone(),
            stage,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(step: LongStep, takes: Duration) -> Vec<String> {
        let (notices, mut heard) = broadcast::channel(1000);
        let progress = Progress::of(&notices, None);
        let waits_for = || Some("a lock".to_owned());
        let work = tokio::time::sleep(takes);
        progress
            .during_with(step, work, |()| Some(true), waits_for)
            .await;
        let mut lines = Vec::new();
        while let Ok(Notice::Progress { step, stage, .. }) = heard.try_recv() {
            lines.push(format!("{step} {stage}"));
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn short_step_is_told_only_where_it_matters() {
        let takes = Duration::from_secs(2);
        assert_eq!(told(LongStep::Land, takes).await, [""; 0]);
        let command = "npm ci".to_owned();
        assert_eq!(
            told(LongStep::SetUp { command }, takes).await,
            ["set-up `npm ci` begins", "set-up `npm ci` passed after 2 s"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn long_step_is_told_at_growing_pauses() {
        let told = told(LongStep::Land, Duration::from_secs(100)).await;
        assert_eq!(
            told,
            [
                "landing has gone on for 15 s; it waits for a lock",
                "landing has gone on for 30 s; it waits for a lock",
                "landing has gone on for 60 s; it waits for a lock",
                "landing passed after 100 s"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn step_of_a_day_is_told_some_hundred_times() {
        let told = told(LongStep::Merge, Duration::from_secs(24 * 3600)).await;
        assert!((140..160).contains(&told.len()), "{}", told.len());
    }
}
