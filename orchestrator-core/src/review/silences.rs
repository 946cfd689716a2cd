//! How long an agent that reviews may be silent: as for a worker's turn.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::{
    model::Span,
    port::{AgentError, Update},
};

/// The silence of one turn.
#[derive(Debug)]
pub(super) struct Silences {
    patience: Option<Duration>,
    since: Instant,
    tools: BTreeSet<String>,
}

impl Silences {
    /// Beginning now; `None`: its silence means nothing.
    pub(super) fn of(patience: Option<Duration>) -> Self {
        Self {
            patience,
            since: Instant::now(),
            tools: BTreeSet::new(),
        }
    }

    /// When it has been silent for too long; `None` while a tool is in flight.
    pub(super) fn end(&self) -> Option<Instant> {
        let patience = self.patience.filter(|_| self.tools.is_empty())?;
        Some(self.since + patience)
    }

    /// A sign of life.
    pub(super) fn broken_by(&mut self, update: &Update) {
        self.since = Instant::now();
        match update {
            Update::ToolBegan { id, .. } => {
                self.tools.insert(id.clone());
            }
            Update::ToolEnded { id } => {
                self.tools.remove(id);
            }
            Update::Started { .. }
            | Update::Activity { .. }
            | Update::Alive
            | Update::Usage(_)
            | Update::NeedsInput { .. }
            | Update::Finding(_)
            | Update::Ended { .. } => {}
        }
    }

    pub(super) fn too_long(&self) -> AgentError {
        let patience = self.patience.unwrap_or_default().as_millis();
        let patience = Span(u64::try_from(patience).unwrap_or(u64::MAX));
        let why = format!("it was silent for longer than {}", patience.in_words());
        AgentError::Other(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_look_unless_a_tool_is_in_flight() {
        let patience = Duration::from_secs(60);
        let mut silences = Silences::of(Some(patience));
        let began = Instant::now();
        assert_eq!(silences.end(), Some(began + patience));
        tokio::time::sleep(patience / 2).await;
        silences.broken_by(&Update::ToolBegan {
            id: "a".to_owned(),
            name: "tests".to_owned(),
        });
        assert_eq!(silences.end(), None);
        silences.broken_by(&Update::ToolEnded { id: "a".to_owned() });
        assert_eq!(silences.end(), Some(began + patience / 2 + patience));
        assert_eq!(
            silences.too_long().to_string(),
            "the agent failed: it was silent for longer than 60 s"
        );
        assert_eq!(Silences::of(None).end(), None);
    }
}
