//! Asking reviewers: first those that are code, then agents, and of these another one than the
//! worker's where there is one.

use std::time::Duration;

use super::{asking::Asking, lane::Lane, patience::Retries, step::LongStep};
use crate::{
    model::{BackendName, Opinion, Review, ReviewerChoice, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
    review::AgentReviewer,
};

impl Lane {
    /// What reviewers say. Agents are asked only about what all others let through: what goes back
    /// anyway, or waits for another reviewer, costs no agent's time.
    pub(super) async fn ask_reviewers(
        &self,
        request: &ReviewRequest,
        asking: &Asking,
    ) -> Vec<Review> {
        let mut request = request.clone();
        let mut reviews = Vec::new();
        for reviewer in &self.reviewers {
            let opinion = match self.look(&**reviewer, &request, asking).await {
                Ok(findings) => Opinion::Looked { findings },
                Err(error) => Opinion::Unavailable {
                    reason: error.to_string(),
                },
            };
            let review = Review::new(reviewer.name(), request.submission.head, opinion);
            request.findings.extend(review.findings().iter().cloned());
            reviews.push(review);
        }
        let found = request.submission.findings.iter().chain(&request.findings);
        let goes_back = found
            .into_iter()
            .any(|found| found.severity == Severity::Error);
        if !goes_back && reviews.iter().all(has_looked) {
            reviews.extend(self.ask_agents(&request, asking).await);
        }
        reviews
    }

    /// One reviewer's look, which ends after the time that each may take.
    async fn look(
        &self,
        reviewer: &dyn Reviewer,
        request: &ReviewRequest,
        asking: &Asking,
    ) -> Result<Vec<crate::model::Finding>, ReviewError> {
        let limit = self.policy.reviewers.timeout;
        let name = reviewer.name();
        let look = self.look_again(reviewer, request);
        let look = tokio::time::timeout(limit.to_std(), look);
        let look = asking.while_looking(name, look);
        let step = LongStep::Review {
            reviewer: name.to_owned(),
        };
        let looked = asking.progress.during(step, look).await;
        looked.unwrap_or_else(|_| {
            let why = format!("it took longer than {}", limit.in_words());
            Err(ReviewError::Unavailable(why))
        })
    }

    async fn look_again(
        &self,
        reviewer: &dyn Reviewer,
        request: &ReviewRequest,
    ) -> Result<Vec<crate::model::Finding>, ReviewError> {
        let mut retries = Retries::after(self.policy.limits.backoff);
        loop {
            let error = match reviewer.review(request).await {
                Ok(findings) => return Ok(findings),
                Err(error) => error,
            };
            if !retries.wait(&error).await {
                return Err(error);
            }
        }
    }

    async fn ask_agents(&self, request: &ReviewRequest, asking: &Asking) -> Vec<Review> {
        let worker = &request.contract.agent;
        let count = self.policy.reviewers.count as usize;
        let asked = in_order(&self.panel, worker, count);
        let mut wanted = if count == 0 { asked.len() } else { count };
        let mut reviews = Vec::new();
        for (agent, choice) in asked {
            if wanted == 0 {
                break;
            }
            let name = agent.reviewer();
            asking
                .tell(&name, Some(choice.clone()), Duration::ZERO)
                .await;
            let step = LongStep::Review { reviewer: name };
            let mut review = asking.progress.during(step, agent.look(request)).await;
            if let Some(by_agent) = &mut review.by_agent {
                by_agent.choice = Some(choice);
            }
            wanted -= usize::from(has_looked(&review));
            reviews.push(review);
        }
        reviews
    }
}

fn has_looked(review: &Review) -> bool {
    matches!(review.opinion, Opinion::Looked { .. })
}

/// The agents in the order in which they are asked: the worker's own comes last. Where all are asked,
/// it is asked only if there is no other.
fn in_order<'a>(
    panel: &'a [AgentReviewer],
    worker: &BackendName,
    count: usize,
) -> Vec<(&'a AgentReviewer, ReviewerChoice)> {
    let is_own = |agent: &&AgentReviewer| agent.agent() == worker;
    let (own, others): (Vec<_>, Vec<_>) = panel.iter().partition(is_own);
    let is_replaced = panel.iter().position(|agent| agent.agent() == worker);
    let last = if count == 0 && !others.is_empty() {
        Vec::new()
    } else {
        own
    };
    let of_other = |(place, agent): (usize, &'a AgentReviewer)| {
        // Whoever stands where the worker's own agent would have been asked.
        let choice = match is_replaced {
            Some(own) if own == place => ReviewerChoice::InPlaceOf {
                worker: worker.clone(),
            },
            Some(_) | None => ReviewerChoice::Other,
        };
        (agent, choice)
    };
    let others = others.into_iter().enumerate().map(of_other);
    let own = last
        .into_iter()
        .map(|agent| (agent, ReviewerChoice::WorkersOwn));
    others.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use super::*;
    use crate::agent::CommandAgent;

    fn name(text: &str) -> BackendName {
        text.parse().expect("a name")
    }

    fn order(panel: &[&str], worker: &str, count: usize) -> Vec<(String, ReviewerChoice)> {
        let agent = |of: &&str| {
            let backend = Arc::new(CommandAgent::new("true", [""; 0]));
            AgentReviewer::new(name(of), backend, PathBuf::new(), "")
        };
        let panel: Vec<_> = panel.iter().map(agent).collect();
        let asked = in_order(&panel, &name(worker), count);
        let asked = asked.into_iter();
        asked
            .map(|(agent, choice)| (agent.agent().to_string(), choice))
            .collect()
    }

    fn other(agent: &str) -> (String, ReviewerChoice) {
        (agent.to_owned(), ReviewerChoice::Other)
    }

    fn instead(agent: &str, worker: &str) -> (String, ReviewerChoice) {
        let worker = name(worker);
        (agent.to_owned(), ReviewerChoice::InPlaceOf { worker })
    }

    fn own(agent: &str) -> (String, ReviewerChoice) {
        (agent.to_owned(), ReviewerChoice::WorkersOwn)
    }

    #[test]
    fn workers_own_agent_is_asked_last() {
        let two = ["codex", "claude"];
        assert_eq!(
            order(&two, "codex", 1),
            [instead("claude", "codex"), own("codex")]
        );
        assert_eq!(order(&two, "claude", 1), [other("codex"), own("claude")]);
        assert_eq!(order(&two, "cursor", 1), [other("codex"), other("claude")]);
        assert_eq!(order(&["codex"], "codex", 1), [own("codex")]);
        // Where all are asked, it is not asked beside another.
        assert_eq!(order(&two, "codex", 0), [instead("claude", "codex")]);
        assert_eq!(order(&["codex"], "codex", 0), [own("codex")]);
    }
}
