//! Asking a store again: what passes is waited for, and what does not pass ends the run.

use std::{error::Error, future::Future, time::Duration};

use thiserror::Error;
use tokio::time::Instant;

use super::roughly;
use crate::{
    model::Span,
    port::{ErrorClass, EvidenceError, LedgerError, ReviewError, SourceError},
};

/// The first pause before a store is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that nobody has named.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often a port that is no store is asked in all.
const MOST_TRIES: u32 = 3;
/// Such a port that names a longer pause is not waited for: an end would wait with it.
const MOST_WAIT: Duration = Duration::from_secs(120);

/// How long a ledger or an evidence store that fails, or does not answer, is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// What one answer may take. Content that is to be kept has a second more for each MiB. Default: 30 seconds.
    pub answer: Duration,
    /// How long it is asked again after the first try began; no try begins later. Default: 2 minutes.
    pub total: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            total: Duration::from_secs(120),
        }
    }
}

impl StoreLimits {
    /// These limits.
    #[must_use]
    pub const fn new(answer: Duration, total: Duration) -> Self {
        Self { answer, total }
    }
}

/// Why a store was given up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError<E: Error + 'static> {
    /// What it said will not pass by itself.
    #[error(transparent)]
    Refused(E),
    /// What it said could have passed, and did not.
    #[error("{store} failed {tries} times within {}, and was given up", roughly(*time))]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// How often it was asked.
        tries: u32,
        /// How long.
        time: Duration,
        /// What it said last.
        #[source]
        source: E,
    },
    /// It did not answer.
    #[error("{store} was asked {tries} times within {}, did not answer, and was given up", roughly(*time))]
    Silent {
        /// Which store.
        store: &'static str,
        /// How often it was asked.
        tries: u32,
        /// How long.
        time: Duration,
    },
}

/// An error that says what can be done about it.
pub(super) trait Classed: Error + 'static {
    fn class(&self) -> ErrorClass;
}

impl Classed for LedgerError {
    fn class(&self) -> ErrorClass {
        self.class()
    }
}

impl Classed for EvidenceError {
    fn class(&self) -> ErrorClass {
        self.class()
    }
}

impl Classed for SourceError {
    fn class(&self) -> ErrorClass {
        self.class()
    }
}

impl Classed for ReviewError {
    fn class(&self) -> ErrorClass {
        self.class()
    }
}

/// Whether a port that is no store is asked again: at most three times in all, while it says that its
/// failure passes by itself.
#[derive(Debug)]
pub(super) struct Retries {
    left: u32,
    pauses: Pauses,
}

impl Retries {
    /// The first pause is `backoff`, unless the port names one.
    pub(super) fn after(backoff: Span) -> Self {
        Self {
            left: MOST_TRIES - 1,
            pauses: Pauses::from(backoff.to_std()),
        }
    }

    /// Waits until it is time to ask again. False where that is no use.
    pub(super) async fn wait(&mut self, error: &impl Classed) -> bool {
        let ErrorClass::Transient { retry_after } = error.class() else {
            return false;
        };
        let pause = self.pauses.take(retry_after);
        if self.left == 0 || pause > MOST_WAIT {
            return false;
        }
        self.left -= 1;
        tracing::warn!(%error, ?pause, "it is asked again");
        tokio::time::sleep(pause).await;
        true
    }
}

/// The pauses between tries: each is twice as long as the one before.
#[derive(Debug)]
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn from(first: Duration) -> Self {
        Self {
            next: first.min(LONGEST_PAUSE),
        }
    }

    /// The next one, unless who is asked names another.
    fn take(&mut self, named: Option<Duration>) -> Duration {
        let next = (self.next * 2).min(LONGEST_PAUSE);
        let pause = std::mem::replace(&mut self.next, next);
        named.unwrap_or(pause)
    }
}

/// The tries at one call of a store.
pub(super) struct Tries {
    store: &'static str,
    limits: StoreLimits,
    began: Instant,
    failed: u32,
    pauses: Pauses,
}

impl Tries {
    pub(super) fn at(store: &'static str, limits: StoreLimits) -> Self {
        Self {
            store,
            limits,
            began: Instant::now(),
            failed: 0,
            pauses: Pauses::from(FIRST_PAUSE),
        }
    }

    /// How many have failed, or were not answered.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Asks once. `None` after a failure that may pass: it is time to ask again.
    pub(super) async fn ask<T, E: Classed>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Option<T>, StoreError<E>> {
        let (failure, retry_after) = match tokio::time::timeout(self.limits.answer, call).await {
            Ok(Ok(answer)) => return Ok(Some(answer)),
            Err(_) => (None, None),
            Ok(Err(error)) => match error.class() {
                ErrorClass::Transient { retry_after } => (Some(error), retry_after),
                ErrorClass::NeedsPerson | ErrorClass::Permanent | ErrorClass::Bug => {
                    return Err(StoreError::Refused(error));
                }
            },
        };
        self.failed += 1;
        let pause = self.pauses.take(retry_after);
        if self.began.elapsed() + pause > self.limits.total {
            return Err(self.given_up(failure));
        }
        let error = failure.as_ref().map(tracing::field::display);
        tracing::warn!(store = self.store, error, ?pause, "it is asked again");
        tokio::time::sleep(pause).await;
        Ok(None)
    }

    fn given_up<E: Error>(&self, failure: Option<E>) -> StoreError<E> {
        let (store, tries, time) = (self.store, self.failed, self.began.elapsed());
        match failure {
            Some(source) => StoreError::Unavailable {
                store,
                tries,
                time,
                source,
            },
            None => StoreError::Silent { store, tries, time },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so often, then answers; with how often it was asked.
    async fn asked(failures: u32, error: fn() -> SourceError) -> (bool, u32) {
        let mut retries = Retries::after(Span::secs(1));
        let mut asked = 1;
        while asked <= failures {
            if !retries.wait(&error()).await {
                return (false, asked);
            }
            asked += 1;
        }
        (true, asked)
    }

    fn away() -> SourceError {
        SourceError::Unavailable("no route".to_owned())
    }

    fn missing() -> SourceError {
        SourceError::Missing {
            path: "ROADMAP.md".to_owned(),
            revision: "1".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn port_is_asked_again_as_its_class_says() {
        assert_eq!(asked(0, away).await, (true, 1));
        assert_eq!(asked(2, away).await, (true, 3));
        assert_eq!(asked(3, away).await, (false, 3), "it has a bound");
        assert_eq!(asked(1, missing).await, (false, 1), "that does not pass");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_have_a_bound_however_long_the_backoff_is() {
        let began = Instant::now();
        assert!(Retries::after(Span::secs(3600)).wait(&away()).await);
        assert_eq!(began.elapsed(), LONGEST_PAUSE);
    }
}
