//! Putting an orchestrator together, and finding out whether it can work before anything is started (law 14).

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU32},
};

use super::{
    BuildError, Inbox, Orchestrator, PlannedTask, Preflight, StoreLimits,
    effects::agents_environment,
    fold::fold_within,
    gate_job::Kept,
    host::Host,
    keeper::Keeper,
    lane::Lane,
    leftovers::{self, Sweeper},
    marks::{Marks, Survivors},
    orchestrator::planned,
    ports::PortRanges,
    preflight::{self, Found},
    recorder::{self, Recorder},
    world::World,
};
use crate::{
    agent::AgentKinds,
    gate::{GateCaches, visible_environment},
    git::{Destination, Discard, Git, Trusted, UserRepository, Workspaces, absolute},
    machine::State,
    model::{
        BackendName, BranchName, ContentHash, Pattern, Policy, PolicyError, RepoPath, Roadmap,
        RunId, Span,
    },
    port::{AgentBackend, EvidenceStore, Ledger, Reviewer, TaskSource},
    review::{self, AgentReviewer},
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
    kinds: AgentKinds,
    backends: BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    reviewers: Option<Vec<Arc<dyn Reviewer>>>,
    ledger: Option<Arc<dyn Ledger>>,
    evidence: Option<Arc<dyn EvidenceStore>>,
    limits: StoreLimits,
    git: Option<PathBuf>,
    forbidden: Vec<RepoPath>,
    wait: bool,
}

impl Orchestrator {
    /// Puts one together.
    #[must_use]
    pub fn builder() -> OrchestratorBuilder {
        OrchestratorBuilder::default()
    }

    /// The state directory that is used where none is given.
    ///
    /// # Errors
    /// When neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn default_state_dir(git_dir: &Path) -> Result<PathBuf, BuildError> {
        default_state_dir(git_dir)
    }
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

    /// The kinds of agent that the policy can name. Default: [`AgentKinds::new`], which has
    /// `command` alone.
    #[must_use]
    pub fn agent_kinds(mut self, kinds: AgentKinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// An agent, under the name by which tasks and policy speak of it. It is used instead of the one
    /// that the policy defines under this name; the settings of that one are not read.
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

    /// How long ledger and evidence store are put up with while they fail, or do not answer. Default: [`StoreLimits::default`].
    #[must_use]
    pub fn store_limits(mut self, limits: StoreLimits) -> Self {
        self.limits = limits;
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

    /// Checks everything that can be checked, and takes repository and state directory over: another orchestrator on either of
    /// them is refused as long as this one lives.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was started then.
    pub async fn build(self) -> Result<Orchestrator, BuildError> {
        let wait = self.wait;
        let (ground, state_dir) = self.ground().await?;
        let mut found = Found::strict();
        ground.look_here(&state_dir, &mut found).await?;
        let repository = lock_repository(ground.user.git_dir())?;
        let (state_dir, lock) = take_over(&state_dir)?;
        let ledger = ground.ledger_in(&state_dir);
        let opening = recorder::open(&*ledger, ground.limits).await?;
        if let Some(mended) = &opening.mended {
            tracing::warn!(mended, "the ledger was mended");
        }
        let (state, last) = fold_within(&*ledger, ground.limits).await?;
        let recorder = Recorder::new(ledger, &opening, ground.limits);
        let marks = Marks::of(&opening);
        let (world, roadmap) = ground.world(&state_dir, &state, marks, &mut found).await?;
        let tree = world.lane.trusted.tree_of(roadmap.tip)?;
        world.lane.trusted.gather_lfs(tree).await?;
        let died = last.filter(|_| state.run().is_some() && state.ended().is_none());
        let orchestrator = Orchestrator::new(
            world,
            state,
            recorder,
            Inbox::of(&state_dir),
            wait,
            [repository, lock],
        );
        Ok(orchestrator
            .silent_since(died)
            .written(last)
            .warned(found.into_warnings()))
    }

    /// Looks at all that can be known before money is spent, and gives each check as soon as it is known: first what is here, then what
    /// the remote says, then the default gates on the target. It works beside a running orchestrator, and changes neither the repository
    /// nor the remote nor the state directory; what it needs for itself lies in a temporary directory. A program of the person's that it
    /// has to start, such as a gate or one that signs, does what it does.
    ///
    /// It goes on in a task of its own: call it within a tokio runtime.
    #[must_use]
    pub fn preflight(self) -> Preflight {
        preflight::preflight(self)
    }

    /// What a run would do first. Makes the same checks, starts nothing, leaves no trace, and works beside a running
    /// orchestrator.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub async fn plan(self) -> Result<Vec<PlannedTask>, BuildError> {
        let wait = self.wait;
        let (mut ground, state_dir) = self.ground().await?;
        ground.only_looks = true;
        let mut found = Found::strict();
        ground.look_here(&state_dir, &mut found).await?;
        let state = ground.state(&state_dir).await?;
        let fail = |error: std::io::Error| BuildError::StateDir {
            path: std::env::temp_dir(),
            why: error.to_string(),
        };
        let scratch = tempfile::tempdir().map_err(fail)?;
        let marks = Marks::of_a_look();
        let (world, roadmap) = ground
            .world(scratch.path(), &state, marks, &mut found)
            .await?;
        planned(&world, state, roadmap, wait).await
    }

    /// Checks what was given, without writing anything.
    pub(super) async fn ground(mut self) -> Result<(Ground, PathBuf), BuildError> {
        if std::env::var_os("ORCHESTRATOR_TASK").is_some() {
            return Err(BuildError::Nested {
                variable: "ORCHESTRATOR_TASK",
            });
        }
        let source = self
            .source
            .take()
            .ok_or(BuildError::Missing("a source of tasks"))?;
        let mut policy = self.policy.take().unwrap_or_default();
        policy.check()?;
        let own = source
            .own_paths()
            .into_iter()
            .chain(std::mem::take(&mut self.forbidden));
        policy
            .always_forbidden
            .extend(own.map(|path| Pattern::exactly(&path)));
        policy
            .always_forbidden
            .extend(policy.setup.bring.iter().flat_map(Pattern::at_and_beneath));
        for (name, spec) in &policy.agents {
            if !self.backends.contains_key(name) {
                let backend = self.kinds.build(name, spec)?;
                self.backends.insert(name.clone(), backend);
            }
        }
        if self.backends.is_empty() {
            return Err(BuildError::NoAgent);
        }

        let git = Git::at(self.git.unwrap_or_else(|| PathBuf::from("git")))
            .await?
            .under(&policy);
        let repository = self
            .repository
            .as_deref()
            .ok_or(BuildError::Missing("a repository"))?;
        let user = UserRepository::open(git.clone(), repository).await?;
        let target = match &policy.target {
            Some(target) => target.clone(),
            None => user.head_branch().await?,
        };
        let destination = user.destination(&policy.push).await?;
        if policy.setup.sparse {
            user.sparse().await?;
        }
        let state_dir = match self.state_dir {
            Some(path) => absolute(&path),
            None => default_state_dir(user.git_dir())?,
        };
        let (reviewers, backends) = (
            self.reviewers.unwrap_or_else(review::standard),
            self.backends,
        );
        let (ledger, evidence, limits) = (self.ledger, self.evidence, self.limits);
        Ok((
            Ground {
                policy,
                source,
                reviewers,
                backends,
                ledger,
                evidence,
                limits,
                git,
                user,
                target,
                destination,
                only_looks: false,
            },
            state_dir,
        ))
    }
}

/// What an orchestrator stands on, before a state directory is used.
pub(super) struct Ground {
    pub(super) policy: Policy,
    pub(super) source: Arc<dyn TaskSource>,
    reviewers: Vec<Arc<dyn Reviewer>>,
    backends: BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    ledger: Option<Arc<dyn Ledger>>,
    evidence: Option<Arc<dyn EvidenceStore>>,
    pub(super) limits: StoreLimits,
    pub(super) git: Git,
    pub(super) user: UserRepository,
    pub(super) target: BranchName,
    pub(super) destination: Destination,
    /// Whether it is only looked, so that nothing of the person's may change.
    pub(super) only_looks: bool,
}

impl Ground {
    /// The ledger that was given, or else the file in this state directory.
    pub(super) fn ledger_in(&self, state_dir: &Path) -> Arc<dyn Ledger> {
        match &self.ledger {
            Some(ledger) => Arc::clone(ledger),
            None => Arc::new(FileLedger::new(state_dir.join("ledger"))),
        }
    }

    /// The same of the evidence.
    fn evidence_in(&self, state_dir: &Path) -> Arc<dyn EvidenceStore> {
        match &self.evidence {
            Some(evidence) => Arc::clone(evidence),
            None => Arc::new(FileEvidence::new(state_dir.join("evidence"))),
        }
    }

    /// All that effects work with, in this state directory, and the roadmap as it is now.
    async fn world(
        self,
        state_dir: &Path,
        state: &State,
        marks: Marks,
        found: &mut Found,
    ) -> Result<(World, Roadmap), BuildError> {
        let world = self.open(state_dir, state, marks).await?;
        let roadmap = world.look_beyond(found).await?;
        let roadmap = roadmap.ok_or(BuildError::Missing("a roadmap"))?;
        Ok((world, roadmap))
    }

    /// All that effects work with, in this state directory.
    pub(super) async fn open(
        self,
        state_dir: &Path,
        state: &State,
        marks: Marks,
    ) -> Result<World, BuildError> {
        let mark = marks.own();
        // What a killed run was doing there is not done any more when that is taken up.
        let survivors = if self.only_looks {
            Survivors::none()
        } else {
            Survivors::end(&marks).await
        };
        let evidence = Keeper::new(self.evidence_in(state_dir), self.limits);
        let workspaces = Workspaces::beneath(state_dir);
        let fail = |error: std::io::Error| BuildError::StateDir {
            path: state_dir.to_owned(),
            why: error.to_string(),
        };
        leftovers::tidy(state_dir, &workspaces).map_err(fail)?;
        let dir = state_dir.join("trusted.git");
        let trusted = Trusted::open(
            self.user,
            self.git,
            dir,
            self.target,
            self.destination,
            &self.policy.filters,
        )
        .await?;
        let mut trusted = trusted.marked(format!("{mark}:git"));
        if self.only_looks {
            trusted = trusted.leaving_logins().await?;
        }
        trusted.tidy().await?;
        let environment = visible_environment(&self.policy.environment);
        let panel = panel(
            &self.policy,
            &self.backends,
            &environment,
            &state_dir.join("review"),
            &mark,
        )?;
        let going_on = state
            .run()
            .filter(|_| state.ended().is_none())
            .map(|run| run.id.clone());
        let (policy, environment) = (Arc::new(self.policy), Arc::new(environment));
        let trusted = Arc::new(trusted);
        let ports = PortRanges::of(policy.environment.ports, state_dir, &workspaces);
        let ports = Arc::new(ports);
        let lane = Lane {
            mark: mark.clone(),
            policy: Arc::clone(&policy),
            environment: Arc::clone(&environment),
            trusted: Arc::clone(&trusted),
            source: self.source,
            agents: self.backends.keys().cloned().collect(),
            reviewers: self.reviewers,
            panel,
            evidence: evidence.clone(),
            directory: state_dir.join("lane"),
            kept: Kept::default(),
            ports: Arc::clone(&ports),
            caches: Arc::new(Mutex::new(GateCaches::beneath(state_dir))),
            landed: AtomicU32::new(0),
            stops: Mutex::default(),
        };
        let host = Host {
            mark: mark.clone(),
            policy: Arc::clone(&policy),
            environment: Arc::clone(&environment),
            trusted,
            sweeper: Sweeper::of(Discard::beneath(state_dir)),
            backends: self.backends,
            evidence,
            ports,
            workspaces,
            survivors,
            begun: Mutex::default(),
            turns: Mutex::default(),
            last_words: Mutex::default(),
            told_to_stop: Mutex::default(),
        };
        Ok(World {
            run: going_on.unwrap_or_else(new_run_id),
            state_dir: state_dir.to_owned(),
            mark,
            policy,
            environment,
            host,
            lane,
        })
    }
}

/// The agents that review.
fn panel(
    policy: &Policy,
    backends: &BTreeMap<BackendName, Arc<dyn AgentBackend>>,
    environment: &BTreeMap<String, String>,
    room: &Path,
    mark: &str,
) -> Result<Vec<AgentReviewer>, BuildError> {
    let rules = &policy.reviewers;
    let reviewer = |name: &BackendName| {
        let unknown = || PolicyError::Value {
            key: "reviewers.agents".to_owned(),
            why: format!("there is no agent `{name}`"),
        };
        let backend = backends.get(name).ok_or_else(unknown)?;
        let reviewer = AgentReviewer::new(name.clone(), Arc::clone(backend), room.to_owned(), mark);
        let limits = (rules.timeout.to_std(), policy.limits.grace.to_std());
        Ok(reviewer
            .with_environment(agents_environment(environment))
            .with_limits(limits.0, limits.1)
            .with_stall(policy.limits.stall.map(Span::to_std)))
    };
    rules.agents.iter().map(reviewer).collect()
}

/// What the policy brings along must be there, and must not be what git keeps.
pub(super) async fn check_bring(policy: &Policy, user: &UserRepository) -> Result<(), BuildError> {
    let wrong = |path: &RepoPath, why: &str| PolicyError::Value {
        key: "setup.bring".to_owned(),
        why: format!("`{path}` {why}"),
    };
    for path in &policy.setup.bring {
        let root = user.root().ok_or_else(|| {
            wrong(
                path,
                "cannot be brought: the repository has no checkout to bring it from",
            )
        })?;
        if root.join(path.to_path()).symlink_metadata().is_err() {
            return Err(wrong(
                path,
                &format!(
                    "is not in {}: make it there, or take it out of the policy",
                    root.display()
                ),
            )
            .into());
        }
        if user.tracks(path).await? {
            return Err(wrong(
                path,
                "is tracked by git, so that every workspace has it: bring only what git ignores",
            )
            .into());
        }
    }
    Ok(())
}

/// Makes the state directory, and locks it for as long as the file is open.
fn take_over(path: &Path) -> Result<(PathBuf, File), BuildError> {
    let fail = |why: String| BuildError::StateDir {
        path: path.to_owned(),
        why,
    };
    let made = std::fs::create_dir_all(path);
    made.map_err(|error| {
        fail(format!(
            "it cannot be made ({error}): give another --state-dir"
        ))
    })?;
    let path = path
        .canonicalize()
        .map_err(|error| fail(error.to_string()))?;
    let lock = File::create(path.join("lock")).map_err(|error| fail(error.to_string()))?;
    let lock = alone(
        lock,
        "another orchestrator is running on it: wait for its end, or give another --state-dir",
    )
    .map_err(fail)?;
    Ok((path, lock))
}

/// Locks a file for as long as it is open; if somebody else has, what that means.
fn alone(file: File, busy: &str) -> Result<File, String> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(busy.to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Locks the person's repository against a second orchestrator with another state directory, and writes nothing into it.
fn lock_repository(git_dir: &Path) -> Result<File, BuildError> {
    let fail = |why: String| BuildError::Repository {
        path: git_dir.to_owned(),
        why,
    };
    let lock = File::open(git_dir).map_err(|error| fail(error.to_string()))?;
    alone(lock, "another orchestrator is running on this repository: wait for its end, or speak to that one").map_err(fail)
}

/// A directory of this repository's own, outside of it, so that nothing of ours makes a checkout dirty.
pub(super) fn default_state_dir(git_dir: &Path) -> Result<PathBuf, BuildError> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let base = base.ok_or(BuildError::Missing(
        "a state directory (neither XDG_STATE_HOME nor HOME is set)",
    ))?;
    let name = git_dir
        .file_name()
        .filter(|name| *name != ".git")
        .or_else(|| git_dir.parent()?.file_name());
    let name = name.map_or_else(
        || "repository".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let hash = ContentHash::of(git_dir.as_os_str().as_encoded_bytes()).to_string();
    Ok(base
        .join("orchestrator")
        .join(format!("{name}-{}", &hash[..12])))
}

fn new_run_id() -> RunId {
    RunId::new(format!("{:016x}", super::orchestrator::random()))
        .expect("hexadecimal digits are a valid name")
}
