//! Putting an orchestrator together, and finding out whether it can work before anything is started (law 14).

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    BuildError, Inbox, Orchestrator, RunError,
    effects::{World, with_source},
};
use crate::{
    agent::CommandAgent,
    gate::visible_environment,
    git::{Destination, Git, Trusted, UserRepository, Workspaces},
    machine::{freeze, replay},
    model::{AgentSpec, BackendName, ContentHash, Pattern, Policy, PolicyError, RepoPath, RunId},
    port::{AgentBackend, EvidenceStore, Ledger, Reviewer, Sequence, TaskSource},
    review,
    source::MarkdownRoadmap,
    store::{FileEvidence, FileLedger},
};

/// Puts an [`Orchestrator`] together. What is not said has a default; a repository and a source of tasks must be.
#[derive(Debug, Default)]
pub struct OrchestratorBuilder {
    repository: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    policy: Option<Policy>,
    source: Option<Arc<dyn TaskSource>>,
    backends: BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    reviewers: Option<Vec<Arc<dyn Reviewer>>>,
    ledger: Option<Arc<dyn Ledger>>,
    evidence: Option<Arc<dyn EvidenceStore>>,
    git: Option<PathBuf>,
    forbidden: Vec<RepoPath>,
    wait: bool,
}

impl OrchestratorBuilder {
    /// The repository to work on: any directory in it.
    #[must_use]
    pub fn repository(mut self, path: impl Into<PathBuf>) -> Self {
        self.repository = Some(path.into());
        self
    }

    /// Where ledger, evidence and workspaces are kept, outside the repository's tree. Default: a directory of the
    /// repository's own beneath `$XDG_STATE_HOME/orchestrator`, or `~/.local/state/orchestrator`.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// The rules. Default: [`Policy::default`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Tasks from a Markdown roadmap at this path of the repository. No worker may change it.
    #[must_use]
    pub fn roadmap(self, path: RepoPath) -> Self {
        self.source(Arc::new(MarkdownRoadmap::new(path)))
    }

    /// Tasks from elsewhere.
    #[must_use]
    pub fn source(mut self, source: Arc<dyn TaskSource>) -> Self {
        self.source = Some(source);
        self
    }

    /// An agent, under the name by which tasks and policy speak of it. Agents that the policy defines as commands need not be
    /// given; one that is given wins.
    #[must_use]
    pub fn backend(mut self, name: BackendName, backend: Arc<dyn AgentBackend>) -> Self {
        self.backends.insert(name, backend);
        self
    }

    /// The reviewers, in their order. Default: [`review::standard`].
    #[must_use]
    pub fn reviewers(mut self, reviewers: Vec<Arc<dyn Reviewer>>) -> Self {
        self.reviewers = Some(reviewers);
        self
    }

    /// The ledger. Default: a file in the state directory.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// The evidence store. Default: files in the state directory.
    #[must_use]
    pub fn evidence(mut self, evidence: Arc<dyn EvidenceStore>) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// The git binary. Default: the first on the `PATH`.
    #[must_use]
    pub fn git(mut self, program: impl Into<PathBuf>) -> Self {
        self.git = Some(program.into());
        self
    }

    /// A path of the repository that no worker may change, such as the policy.
    #[must_use]
    pub fn forbid(mut self, path: RepoPath) -> Self {
        self.forbidden.push(path);
        self
    }

    /// Whether the run goes on while only a person can bring it on, or its mode is paused. Default: it ends.
    #[must_use]
    pub fn wait(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }

    /// Checks everything that can be checked, and takes the state directory over.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was started then.
    pub async fn build(mut self) -> Result<Orchestrator, BuildError> {
        if std::env::var_os("ORCHESTRATOR_TASK").is_some() {
            return Err(BuildError::Nested { variable: "ORCHESTRATOR_TASK" });
        }
        let source = self.source.take().ok_or(BuildError::Missing("a source of tasks"))?;
        let mut policy = self.policy.take().unwrap_or_default();
        policy.check()?;
        let own = source.own_paths().into_iter().chain(std::mem::take(&mut self.forbidden));
        policy.always_forbidden.extend(own.map(|path| Pattern::exactly(&path)));
        add_command_agents(&policy, &mut self.backends)?;

        let git = Git::at(self.git.unwrap_or_else(|| PathBuf::from("git"))).await?;
        let repository = self.repository.as_deref().ok_or(BuildError::Missing("a repository"))?;
        let user = UserRepository::open(git.clone(), repository).await?;
        let target = match &policy.target {
            Some(target) => target.clone(),
            None => user.head_branch().await?,
        };
        let destination = user.destination(&policy.push).await?;
        if destination == Destination::Local {
            user.tip(&target).await?;
        }
        user.identity().await?;
        let state_dir = match self.state_dir {
            Some(path) => path,
            None => default_state_dir(user.git_dir())?,
        };
        let (state_dir, lock) = take_over(&state_dir)?;
        let trusted = Trusted::open(user, git, state_dir.join("trusted.git"), target, destination).await?;

        let ledger = self.ledger.unwrap_or_else(|| Arc::new(FileLedger::new(state_dir.join("ledger"))));
        let opening = ledger.open().await?;
        if let Some(bytes) = opening.torn {
            tracing::warn!(bytes, "the ledger ended in a torn batch, which was cut");
        }
        let entries = ledger.read(Sequence(1), usize::MAX).await?;
        let state = replay(entries.iter().map(|entry| &entry.record))?;
        let going_on = state.run().filter(|_| state.ended().is_none()).map(|run| run.id.clone());
        let world = World {
            run: going_on.unwrap_or_else(new_run_id),
            mark: format!("{}.", &ContentHash::of(state_dir.as_os_str().as_encoded_bytes()).to_string()[..16]),
            trusted: Arc::new(trusted),
            workspaces: Workspaces::beneath(&state_dir),
            source,
            reviewers: self.reviewers.unwrap_or_else(review::standard),
            backends: self.backends,
            evidence: self.evidence.unwrap_or_else(|| Arc::new(FileEvidence::new(state_dir.join("evidence")))),
            environment: visible_environment(&policy.environment),
            policy,
            state_dir: state_dir.clone(),
            turns: Mutex::default(),
            told_to_stop: Mutex::default(),
        };
        let roadmap = world.read_roadmap().await.map_err(|error| match error {
            RunError::Git(error) => BuildError::Git(error),
            RunError::Source(error) => BuildError::Source(error),
            RunError::Roadmap(faults) => BuildError::Roadmap(faults),
            other => BuildError::StateDir { path: state_dir.clone(), why: with_source(&other) },
        })?;
        let open = roadmap.tasks.iter().filter(|task| !task.done);
        let needed = open.filter_map(|task| freeze(task, &world.policy, world.backends.keys()).ok()).map(|contract| contract.agent);
        for name in needed.collect::<std::collections::BTreeSet<_>>() {
            if let Some(backend) = world.backends.get(&name) {
                let probe = backend.probe().await.map_err(|error| BuildError::Agent { name: name.clone(), error })?;
                probe.warnings.iter().for_each(|warning| tracing::warn!(agent = %name, warning));
            }
        }
        Ok(Orchestrator::new(world, state, roadmap, ledger, &opening, Inbox::of(&state_dir), self.wait, lock))
    }
}

/// The agents that the policy defines and nobody gave.
fn add_command_agents(policy: &Policy, backends: &mut BTreeMap<BackendName, Arc<dyn AgentBackend>>) -> Result<(), BuildError> {
    for (name, spec) in policy.agents.iter().filter(|(name, _)| !backends.contains_key(*name)).collect::<Vec<_>>() {
        let kind = match spec {
            AgentSpec::Command { run } => {
                let (program, arguments) = run.split_first().ok_or(BuildError::Missing("the agent's program"))?;
                backends.insert(name.clone(), Arc::new(CommandAgent::new(program, arguments.iter().cloned())));
                continue;
            }
            AgentSpec::Codex {} => "codex",
            AgentSpec::Claude {} => "claude",
            AgentSpec::Cursor {} => "cursor",
        };
        let why =
            format!("no backend of kind `{kind}` was given to this program: use kind = \"command\", or give one with `backend`");
        return Err(PolicyError::Value { key: format!("agents.{name}.kind"), why }.into());
    }
    if backends.is_empty() {
        return Err(BuildError::NoAgent);
    }
    Ok(())
}

/// Makes the state directory, and locks it for as long as the file is open.
fn take_over(path: &Path) -> Result<(PathBuf, File), BuildError> {
    let fail = |why: String| BuildError::StateDir { path: path.to_owned(), why };
    std::fs::create_dir_all(path).map_err(|error| fail(error.to_string()))?;
    let path = path.canonicalize().map_err(|error| fail(error.to_string()))?;
    let lock = File::create(path.join("lock")).map_err(|error| fail(error.to_string()))?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => {
            Err(fail("another orchestrator is running on it: wait for its end, or give another --state-dir".to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(fail(error.to_string())),
    }
}

/// A directory of this repository's own, outside of it, so that nothing of ours makes a checkout dirty.
pub(super) fn default_state_dir(git_dir: &Path) -> Result<PathBuf, BuildError> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let base = base.ok_or(BuildError::Missing("a state directory (neither XDG_STATE_HOME nor HOME is set)"))?;
    let name = git_dir.file_name().filter(|name| *name != ".git").or_else(|| git_dir.parent()?.file_name());
    let name = name.map_or_else(|| "repository".to_owned(), |name| name.to_string_lossy().into_owned());
    let hash = ContentHash::of(git_dir.as_os_str().as_encoded_bytes()).to_string();
    Ok(base.join("orchestrator").join(format!("{name}-{}", &hash[..12])))
}

fn new_run_id() -> RunId {
    RunId::new(format!("{:016x}", super::orchestrator::random())).expect("hexadecimal digits are a valid name")
}
