//! An agent that looks at another's work.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::silences::Silences;
use crate::{
    model::{
        AgentOpinion, AgentReview, AgentSays, BackendName, Finding, MAX_OPINION, Opinion, RepoPath,
        Review, TurnOutcome, TurnUsage,
    },
    port::{
        AgentBackend, AgentError, ReviewError, ReviewRequest, Reviewer, Silence, Turn, TurnRequest,
        Update,
    },
    prompt::{ReviewContext, review_prompt, standing_review_rules},
    untrusted::{open_beneath, remove},
};

/// What is laid out of one path's difference, in bytes.
const MAX_DIFF: usize = 1 << 20;

/// Any agent as a reviewer. It sees diff, contract, claims and findings, and a copy of the head's files that is thrown away, and
/// answers by a schema. What it says is an opinion: see [`Reviewers`](crate::model::Reviewers) for how it counts.
///
/// Whatever keeps it from answering makes it unavailable, and never makes it say yes: it cannot be started, it takes too long (it
/// is stopped then, with all its processes), it ends otherwise than completed, its answer is missing, cannot be read, or
/// speaks of another commit.
#[derive(Debug, Clone)]
pub(crate) struct AgentReviewer {
    name: BackendName,
    backend: Arc<dyn AgentBackend>,
    room: PathBuf,
    mark: String,
    environment: BTreeMap<String, String>,
    timeout: Duration,
    grace: Duration,
    stall: Option<Duration>,
}

impl AgentReviewer {
    /// This agent, under this name. Beneath `room` it is lent a directory for each look; `mark` begins the value of
    /// `ORCHESTRATOR_MARK` by which its processes are found again. It sees an empty environment, has ten minutes, and ten
    /// seconds from TERM to KILL, unless said otherwise.
    #[must_use]
    pub(crate) fn new(
        name: BackendName,
        backend: Arc<dyn AgentBackend>,
        room: PathBuf,
        mark: impl Into<String>,
    ) -> Self {
        let (timeout, grace) = (Duration::from_secs(600), Duration::from_secs(10));
        Self {
            name,
            backend,
            room,
            mark: mark.into(),
            environment: BTreeMap::new(),
            timeout,
            grace,
            stall: None,
        }
    }

    /// The name in `[agents]`.
    #[must_use]
    pub(crate) fn agent(&self) -> &BackendName {
        &self.name
    }

    /// The name under which its reviews are kept.
    #[must_use]
    pub(crate) fn reviewer(&self) -> String {
        format!("agent/{}", self.name)
    }

    /// Sets what it may see of our environment.
    #[must_use]
    pub(crate) fn with_environment(mut self, environment: BTreeMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// Sets how long it may take, and from TERM to KILL when it took longer.
    #[must_use]
    pub(crate) fn with_limits(mut self, timeout: Duration, grace: Duration) -> Self {
        (self.timeout, self.grace) = (timeout, grace);
        self
    }

    /// Sets how long it may be silent with no tool in flight, before it is stopped; where nothing is
    /// set, what its backend says of its silence counts.
    #[must_use]
    pub(crate) fn with_stall(mut self, stall: Option<Duration>) -> Self {
        self.stall = stall;
        self
    }

    /// Removes what a look left behind that was cut off.
    pub(crate) fn clear(&self) {
        // There is none, most often; and what stays is in nobody's way.
        drop(remove(&self.room));
    }

    /// Looks, and says what it cost; all that goes wrong is an opinion.
    pub(crate) async fn look(&self, request: &ReviewRequest) -> Review {
        let mut usage = TurnUsage::nothing();
        let (opinion, complete) = match self.try_look(request, &mut usage).await {
            Ok(said) => {
                let findings = said.findings(&self.name);
                (Opinion::Looked { findings }, said.complete)
            }
            Err(error) => {
                let reason = error.to_string();
                (Opinion::Unavailable { reason }, None)
            }
        };
        let by_agent = Some(AgentReview {
            agent: self.name.clone(),
            choice: None,
            usage,
            complete,
        });
        Review {
            reviewer: self.reviewer(),
            commit: request.submission.head,
            opinion,
            by_agent,
        }
    }

    async fn try_look(
        &self,
        request: &ReviewRequest,
        usage: &mut TurnUsage,
    ) -> Result<AgentOpinion, ReviewError> {
        let directory = self
            .room
            .join(format!("{}-{}", request.attempt.slug(), self.name));
        // What an interrupted look left.
        drop(removed(&directory).await);
        let answer = self.ask(request, &directory, usage).await;
        if let Err(error) = removed(&directory).await {
            tracing::warn!(directory = %directory.display(), %error, "a reviewer's room could not be removed");
        }
        let opinion = AgentOpinion::parse(&answer?)
            .map_err(|why| unavailable(format!("its answer cannot be read: {why}")))?;
        let head = request.submission.head.to_string();
        if opinion.commit != head {
            return Err(unavailable(format!(
                "its answer is about `{}`, and not about {head}",
                opinion.commit
            )));
        }
        match opinion.outcome {
            AgentSays::Unable => Err(unavailable(format!(
                "it says that it cannot: {}",
                opinion.summary
            ))),
            AgentSays::Looked => Ok(opinion),
        }
    }

    /// Its answer, as it was written.
    async fn ask(
        &self,
        request: &ReviewRequest,
        directory: &Path,
        usage: &mut TurnUsage,
    ) -> Result<Vec<u8>, ReviewError> {
        let (tree, out) = (directory.join("tree"), directory.join("out"));
        for directory in [&tree, &out] {
            tokio::fs::create_dir_all(directory)
                .await
                .map_err(unreadable)?;
        }
        request.view.export(&tree).await?;
        let (answer, diff_file, contract) = (
            out.join("review.json"),
            directory.join("change.diff"),
            directory.join("contract.json"),
        );
        let diff = whole_diff(request).await?;
        tokio::fs::write(&diff_file, &diff)
            .await
            .map_err(unreadable)?;
        tokio::fs::write(
            &contract,
            serde_json::to_vec_pretty(&request.contract).map_err(unreadable)?,
        )
        .await
        .map_err(unreadable)?;
        let schema = schemars::schema_for!(AgentOpinion).to_value();
        let prompt = review_prompt(&ReviewContext {
            attempt: &request.attempt,
            contract: &request.contract,
            work: &request.submission,
            diff: &String::from_utf8_lossy(&diff),
            diff_file: &diff_file,
            findings: &request.findings,
            before: &request.before,
            answer: &answer,
            schema: &format!("{schema:#}"),
        });
        let mark = format!(
            "{}review.{}.{}",
            self.mark,
            request.attempt.slug(),
            self.name
        );
        let turn = TurnRequest::new(request.attempt.clone(), prompt, tree.clone(), answer, mark)
            .with_environment(self.environment.clone())
            .with_places(tree, contract)
            .with_schema(schema)
            .with_rules(standing_review_rules(&request.contract))
            .reading_only();
        match self.turn(turn, usage).await.map_err(cannot)? {
            TurnOutcome::Completed => {}
            other => return Err(unavailable(format!("its turn ended otherwise: {other}"))),
        }
        let name: RepoPath = "review.json".parse().expect("a relative path");
        let mut bytes = Vec::new();
        let read = open_beneath(&out, &name)
            .and_then(|file| file.take(MAX_OPINION + 1).read_to_end(&mut bytes));
        read.map_err(|error| unavailable(format!("it left no answer: {error}")))?;
        Ok(bytes)
    }

    /// One turn, ended after the time that it may take.
    async fn turn(
        &self,
        request: TurnRequest,
        usage: &mut TurnUsage,
    ) -> Result<TurnOutcome, AgentError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let late = || {
            AgentError::Other(format!(
                "it took longer than {} s",
                self.timeout.as_secs_f64()
            ))
        };
        let begun = tokio::time::timeout_at(deadline, self.backend.start(request)).await;
        let mut turn = begun.map_err(|_| late())??;
        // From now on it may use something.
        *usage = TurnUsage::default();
        let mut silence = Silences::of(self.stall.or_else(|| self.silence()));
        let mut outcome = None;
        loop {
            let until = silence.end().map_or(deadline, |end| end.min(deadline));
            let next = tokio::time::timeout_at(until, turn.next()).await;
            if let Ok(Some(update)) = &next {
                silence.broken_by(update);
            }
            match next {
                Err(_) => {
                    turn.control().stop(self.grace).await;
                    last_usage(&mut *turn, usage).await;
                    return Err(if until < deadline {
                        silence.too_long()
                    } else {
                        late()
                    });
                }
                Ok(None) => break,
                Ok(Some(Update::Usage(so_far))) => *usage = so_far,
                Ok(Some(Update::NeedsInput { question })) => {
                    turn.control().stop(self.grace).await;
                    last_usage(&mut *turn, usage).await;
                    return Ok(TurnOutcome::NeedsInput { question });
                }
                Ok(Some(Update::Ended { outcome: ended })) => outcome = Some(ended),
                Ok(Some(Update::Started { .. } | Update::Activity { .. } | Update::Alive)) => {}
                // What it was refused says nothing of the work that it looks at.
                Ok(Some(
                    Update::ToolBegan { .. } | Update::ToolEnded { .. } | Update::Finding(_),
                )) => {}
            }
        }
        outcome.ok_or_else(|| AgentError::Other("its turn ended without an end".to_owned()))
    }

    fn silence(&self) -> Option<Duration> {
        match self.backend.capabilities().silence {
            Silence::MeansNothing => None,
            Silence::Beyond(time) => Some(time),
        }
    }
}

/// What a turn that was stopped has used: it is said at its end.
async fn last_usage(turn: &mut dyn Turn, usage: &mut TurnUsage) {
    while let Some(update) = turn.next().await {
        if let Update::Usage(so_far) = update {
            *usage = so_far;
        }
    }
}

#[async_trait]
impl Reviewer for AgentReviewer {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let said = self.try_look(request, &mut TurnUsage::default()).await?;
        Ok(said.findings(&self.name))
    }
}

/// Removes what a look left, on a thread where that may take its time.
async fn removed(directory: &Path) -> std::io::Result<()> {
    let directory = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove(&directory)).await;
    removed.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// The change, path by path.
async fn whole_diff(request: &ReviewRequest) -> Result<Vec<u8>, ReviewError> {
    let mut whole = Vec::new();
    for change in &request.submission.changes {
        let diff = request.view.diff(&change.path).await?;
        whole.extend_from_slice(&diff[..diff.len().min(MAX_DIFF)]);
    }
    Ok(whole)
}

fn unavailable(why: String) -> ReviewError {
    ReviewError::Unavailable(why)
}

fn unreadable(error: impl std::fmt::Display) -> ReviewError {
    ReviewError::Unreadable(error.to_string())
}

fn cannot(error: AgentError) -> ReviewError {
    match error {
        AgentError::Other(why) => unavailable(why),
        error => unavailable(error.to_string()),
    }
}
