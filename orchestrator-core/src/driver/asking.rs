//! Telling who looks at a change, while it is reviewed.

use std::{future::Future, pin::pin, time::Duration};

use super::{effects::Sink, progress::Progress};
use crate::model::{EventKind, ReviewerChoice, Span};

/// A reviewer that is no agent, and that has looked for so long, is named in the status.
const NAMED_AFTER: Duration = Duration::from_secs(15);

/// Where it is said who looks.
#[derive(Debug)]
pub(super) struct Asking {
    sink: Sink,
    pub(super) progress: Progress,
}

impl Asking {
    pub(super) fn by(sink: Sink, progress: Progress) -> Self {
        Self { sink, progress }
    }

    pub(super) async fn tell(
        &self,
        reviewer: &str,
        choice: Option<ReviewerChoice>,
        looked: Duration,
    ) {
        let asked = EventKind::ReviewerAsked {
            effect: self.sink.effect,
            reviewer: reviewer.to_owned(),
            choice,
            looked: Span(u64::try_from(looked.as_millis()).unwrap_or(u64::MAX)),
        };
        self.sink.tell(asked).await;
    }

    /// Tells who looks, once that takes long.
    pub(super) async fn while_looking<T>(
        &self,
        reviewer: &str,
        look: impl Future<Output = T>,
    ) -> T {
        let mut look = pin!(look);
        tokio::select! {
            biased;
            looked = &mut look => return looked,
            () = tokio::time::sleep(NAMED_AFTER) => {}
        }
        self.tell(reviewer, None, NAMED_AFTER).await;
        look.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EffectId;

    #[tokio::test(start_paused = true)]
    async fn reviewer_that_takes_long_is_named() {
        let (events, mut heard) = tokio::sync::mpsc::channel(8);
        let (notices, _) = tokio::sync::broadcast::channel(8);
        let effect = EffectId(3);
        let sink = Sink {
            effect,
            events,
            notices,
        };
        let progress = sink.progress(None);
        let asking = Asking::by(sink, progress);
        let short = tokio::time::sleep(NAMED_AFTER / 2);
        asking.while_looking("paths", short).await;
        assert!(heard.try_recv().is_err(), "it did not take long");
        asking
            .while_looking("paths", tokio::time::sleep(NAMED_AFTER * 2))
            .await;
        let asked = EventKind::ReviewerAsked {
            effect,
            reviewer: "paths".to_owned(),
            choice: None,
            looked: Span::secs(15),
        };
        assert_eq!(heard.try_recv().ok(), Some(asked));
    }
}
