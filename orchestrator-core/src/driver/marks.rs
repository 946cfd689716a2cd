//! The markers of our processes, and what bears those of earlier runs.

use std::time::Duration;

use crate::{
    model::LedgerId,
    port::{Epoch, Opening},
    process::{end_marked, marked, sweep_marked},
};

/// How long survivors of an earlier run are fought.
pub(super) const SURVIVORS: Duration = Duration::from_secs(10);

/// How long survivors that are told to end have for that. Git, killed while a push comes in, leaves files in
/// the remote that only a person removes.
const TOLD: Duration = Duration::from_secs(1);

/// What our markers begin with: the ledger, so that the next run finds what this one leaves, and the epoch, so that a run that was
/// overtaken ends nothing of its successor's.
#[derive(Debug)]
pub(super) struct Marks {
    ledger: LedgerId,
    epoch: Epoch,
}

impl Marks {
    pub(super) fn of(opening: &Opening) -> Self {
        Self {
            ledger: opening.ledger.clone(),
            epoch: opening.epoch,
        }
    }

    /// For who only looks, and writes no ledger: nobody else has these.
    pub(super) fn of_a_look() -> Self {
        Self {
            ledger: LedgerId::random(),
            epoch: Epoch(0),
        }
    }

    /// What markers of this run begin with.
    pub(super) fn own(&self) -> String {
        format!("{}{}.", self.of_all(), self.epoch.0)
    }

    /// What markers of all runs on this ledger begin with.
    fn of_all(&self) -> String {
        format!("{}.", self.ledger)
    }
}

/// What earlier runs on a ledger had left running.
#[derive(Debug)]
pub(super) struct Survivors {
    /// How many there were.
    pub(super) found: usize,
    /// The markers of all runs and of this one, where some could not be ended.
    left: Option<[String; 2]>,
}

impl Survivors {
    /// Ends them; to be called before anything bears a marker of this run.
    pub(super) async fn end(marks: &Marks) -> Self {
        let found = end_marked(&marks.of_all(), TOLD).await;
        if found == 0 {
            return Self::none();
        }
        let swept = sweep_marked(&marks.of_all(), SURVIVORS).await;
        Self {
            found,
            left: (swept.left > 0).then(|| [marks.of_all(), marks.own()]),
        }
    }

    /// There are none, or it was not looked for any.
    pub(super) fn none() -> Self {
        Self {
            found: 0,
            left: None,
        }
    }

    /// How many could not be ended, and live.
    pub(super) fn living(&self) -> usize {
        let Some([all, own]) = &self.left else {
            return 0;
        };
        marked(all).len().saturating_sub(marked(own).len())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;
    use crate::{
        port::Sequence,
        process::{MARK_VARIABLE, kill_marked},
    };

    fn marks(ledger: &LedgerId, epoch: u64) -> Marks {
        Marks::of(&Opening::new(ledger.clone(), Epoch(epoch), Sequence(1)))
    }

    /// A process of a turn.
    fn sleeper(marks: &Marks) -> Child {
        Command::new("sleep")
            .arg("1000")
            .env(MARK_VARIABLE, format!("{}A-1.1", marks.own()))
            .spawn()
            .expect("starts")
    }

    #[tokio::test]
    async fn survivors_of_every_epoch_are_ended_and_those_of_another_ledger_are_not() {
        let [ours, theirs] = [(); 2].map(|()| LedgerId::random());
        let other = marks(&theirs, 1);
        let mut ended = [1, 12].map(|epoch| sleeper(&marks(&ours, epoch)));
        let mut untouched = sleeper(&other);

        let survivors = Survivors::end(&marks(&ours, 13)).await;
        assert_eq!((survivors.found, survivors.living()), (2, 0));
        for child in &mut ended {
            child.wait().expect("has ended");
        }
        assert_eq!(marked(&other.own()).len(), 1);
        untouched.kill().expect("ends");
        untouched.wait().expect("has ended");
    }

    #[tokio::test]
    async fn survivors_can_tidy_up_and_those_that_do_not_end_are_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let half_written = directory.path().join("half");
        let ledger = LedgerId::random();
        let script = |on_term: &str| {
            format!("trap '{on_term}' TERM; echo > half; echo ready; while :; do sleep 0.01; done")
        };
        let mut children = ["rm half; exit", ""].map(|on_term| {
            let mut child = Command::new("sh")
                .args(["-c", &script(on_term)])
                .current_dir(&directory)
                .env(MARK_VARIABLE, format!("{}:git", marks(&ledger, 1).own()))
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            let mut ready = String::new();
            let said = child.stdout.take().expect("is piped");
            BufReader::new(said)
                .read_line(&mut ready)
                .expect("is ready");
            child
        });

        let survivors = Survivors::end(&marks(&ledger, 2)).await;
        assert_eq!(survivors.living(), 0);
        assert!(survivors.found >= 2, "{survivors:?}");
        assert!(!half_written.exists());
        for child in &mut children {
            child.wait().expect("has ended");
        }
    }

    #[tokio::test]
    async fn run_that_was_overtaken_ends_nothing_of_its_successor() {
        let ledger = LedgerId::random();
        let (overtaken, successor) = (marks(&ledger, 1), marks(&ledger, 10));
        let mut old = sleeper(&overtaken);
        let mut new = sleeper(&successor);

        assert_eq!(kill_marked(&overtaken.own(), SURVIVORS).await, 1);
        old.wait().expect("has ended");
        assert_eq!(marked(&successor.own()).len(), 1);
        new.kill().expect("ends");
        new.wait().expect("has ended");
    }
}
