//! Where a real agent is tried: a repository with a workspace, as the loop makes it, a home of the agent's own, and a scripted model.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    git::{Destination, Git, Trusted, UserRepository, Workspace, Workspaces},
    model::{AttemptId, SessionRef, SessionUsage, TaskId, TurnOutcome, UsageSource},
    port::{Turn, TurnRequest},
    process::marked,
};
use serde_json::json;

use crate::{
    Ran, RunOutcome, Sandbox,
    model_server::{ModelServer, Script},
    ran, run_checked,
};

/// Waits until so many processes bear the mark: one that is just becoming another program is not to be seen for a moment.
///
/// # Panics
/// When there are not within thirty seconds.
pub fn wait_for_marked(mark: &str, count: usize) {
    let until = Instant::now() + Duration::from_secs(30);
    while marked(mark).len() < count {
        assert!(
            Instant::now() < until,
            "{} processes, not {count}",
            marked(mark).len()
        );
        std::thread::yield_now();
    }
}

/// A stage for one agent. Its task is `T1`; its environment is a path, a home and `ALLOWED=yes`.
#[derive(Debug)]
pub struct RealStage<B> {
    /// The repository, and where all of this is.
    pub sandbox: Sandbox,
    /// The model.
    pub server: ModelServer,
    /// The agent.
    pub backend: B,
    workspace: Option<Workspace>,
}

impl<B: AgentBackend> RealStage<B> {
    /// With this script of the model; the backend is made of the home and the model's address.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn new(script: Script, backend: impl FnOnce(&Path, &str) -> B) -> Self {
        let (sandbox, server) = (Sandbox::new(), ModelServer::start(script));
        let home = sandbox.path().join("home");
        fs::create_dir_all(&home).expect("makes the home");
        let backend = backend(&home, &server.url());
        Self {
            sandbox,
            server,
            backend,
            workspace: None,
        }
    }

    /// The same with a workspace for the first attempt.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn with_workspace(mut self) -> Self {
        let git = Git::find().await.expect("git");
        let user = UserRepository::open(git.clone(), &self.sandbox.repo())
            .await
            .expect("a repository");
        let (target, trusted) = (
            "main".parse().expect("a branch"),
            self.sandbox.state().join("trusted.git"),
        );
        let trusted = Trusted::open(
            user,
            git,
            trusted,
            target,
            Destination::Local,
            &BTreeMap::new(),
        )
        .await
        .expect("opens");
        let base = trusted.fetch_target().await.expect("fetches");
        let attempt = AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        };
        let workspace = Workspaces::beneath(&self.sandbox.state()).of(&attempt);
        workspace
            .create(&trusted, base, &[])
            .await
            .expect("is made");
        self.workspace = Some(workspace);
        self
    }

    /// The workspace.
    ///
    /// # Panics
    /// When it was not asked for.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        self.workspace.as_ref().expect("it has one")
    }

    /// By this the agent's processes are known.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("real-{}", self.sandbox.path().display())
    }

    /// A turn in the workspace: the prompt is `This is turn N.`, and the schema wants a `status`.
    ///
    /// # Panics
    /// Without a workspace.
    #[must_use]
    pub fn request(&self, turn: u32, resume: Option<SessionRef>) -> TurnRequest {
        let workspace = self.workspace();
        let out = workspace.out().join(turn.to_string());
        fs::create_dir_all(&out).expect("makes it");
        let contract = out.join("contract.json");
        let rules = json!({
            "task": "T1", "title": "", "package": null, "text": "", "allow": ["**"], "forbid": ["forbidden/**"], "gates": [],
            "claims": [], "after": [], "resources": [], "docs": [], "artifacts": [], "approve": [], "agent": "real", "budget": {},
        });
        fs::write(&contract, rules.to_string()).expect("writes");
        let environment = [
            ("PATH", std::env::var("PATH").expect("a path")),
            ("ALLOWED", "yes".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let (attempt, handoff) = (workspace.attempt.clone(), out.join("handoff.json"));
        TurnRequest::new(
            attempt,
            format!("This is turn {turn}."),
            workspace.tree(),
            handoff,
            self.mark(),
        )
        .with_places(workspace.repository(), contract)
        .with_environment(environment.into())
        .with_turn(turn, resume)
        .with_schema(json!({ "type": "object", "properties": { "status": { "type": "string" } } }))
    }

    /// Runs a turn to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, request: TurnRequest) -> Ran {
        ran(self.backend.start(request).await.expect("starts")).await
    }

    /// Runs the first turn in a workspace of its own to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn first_turn(self) -> (Self, Ran) {
        let stage = self.with_workspace().await;
        let ran = stage.run(stage.request(1, None)).await;
        (stage, ran)
    }

    /// How many of the agent's processes live.
    #[must_use]
    pub fn alive(&self) -> usize {
        marked(&self.mark()).len()
    }

    /// What a command left in the workspace; nothing where it left no such file.
    #[must_use]
    pub fn left(&self, file: &str) -> String {
        fs::read_to_string(self.workspace().tree().join(file)).unwrap_or_default()
    }

    /// What a turn left as its handoff.
    ///
    /// # Panics
    /// When it left none.
    #[must_use]
    pub fn handoff(&self, turn: u32) -> String {
        fs::read_to_string(self.workspace().out().join(format!("{turn}/handoff.json")))
            .expect("a handoff")
    }

    /// A pipe with a name: who writes to it waits for who reads, and the other way round. Once for each stage.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn fifo(&self) -> PathBuf {
        let fifo = self.sandbox.path().join("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .is_ok_and(|status| status.success()),
            "it is made"
        );
        fifo
    }

    /// A command that says so to this pipe when it runs, and then goes on for ever, as does a child of its in a session of its own. It is
    /// no mere sleep, since some agents run none.
    #[must_use]
    pub fn for_ever(fifo: &Path) -> String {
        let for_ever = "while :; do sleep 1; done";
        format!(
            "setsid sh -c '{for_ever}' & echo here > '{}'; {for_ever}",
            fifo.display()
        )
    }

    /// Waits until that command runs.
    ///
    /// # Panics
    /// When something else is said.
    pub async fn runs(fifo: PathBuf) {
        let said = tokio::task::spawn_blocking(move || fs::read_to_string(fifo))
            .await
            .expect("it is read");
        assert_eq!(said.expect("it runs"), "here\n");
    }

    /// Stops a turn that runs: it is gone at once, with all that it started.
    ///
    /// # Panics
    /// When it is not.
    pub async fn stop(&self, turn: Box<dyn Turn>) -> Ran {
        assert!(self.alive() > 0, "it runs");
        let began = Instant::now();
        turn.control().stop(Duration::from_secs(10)).await;
        assert_eq!(self.alive(), 0, "when `stop` has returned");
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it takes no longer than it may, and what a loaded machine adds"
        );
        let ran = ran(turn).await;
        assert_eq!(ran.outcome, TurnOutcome::Stopped);
        ran
    }

    /// Kills a turn whose session has used 1,210 tokens up to now, and goes on with it twice, at 11,000
    /// tokens and at 4: what each turn has used is known, also to an orchestrator that has not heard of
    /// the turns before.
    ///
    /// # Panics
    /// When it is not.
    pub async fn usage_outlives_a_kill(&self, backend: &dyn AgentBackend, turn: Box<dyn Turn>) {
        turn.control().stop(Duration::ZERO).await;
        let killed = ran(turn).await;
        assert_eq!(killed.used.source, UsageSource::SessionFile, "{killed:?}");
        assert_eq!((killed.usage.tokens(), killed.usage.usd), (1210, None));
        assert!(
            killed.used.incomplete,
            "nobody knows what else it was to be told"
        );

        let mut used = SessionUsage::default();
        used.add(&killed.used);
        let again = self.request(2, killed.session.clone()).with_used(used);
        let second = ran(backend.start(again).await.expect("starts")).await;
        assert_eq!(second.used.source, UsageSource::Protocol, "{second:?}");
        assert_eq!(second.usage.tokens(), 11_000, "{second:?}");

        let unheard = SessionUsage {
            unknown: 2,
            ..SessionUsage::default()
        };
        let again = self.request(3, killed.session).with_used(unheard);
        let third = ran(backend.start(again).await.expect("starts")).await.used;
        let turn = third.turn.expect("it is known").total();
        let earlier = third.earlier.expect("it is known").total();
        assert_eq!((turn.tokens(), earlier.tokens()), (4, 12_210));
    }

    /// A program that runs this one and writes down every call by which it, or anything that it starts, would reach somebody: look-ups of
    /// names included. Needs strace.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn traced(&self, program: &Path) -> PathBuf {
        let (traced, calls) = (
            self.sandbox.path().join("traced"),
            self.sandbox.path().join("calls"),
        );
        let trace = "strace -f -qqq -e trace=connect,sendto,sendmsg,sendmmsg -A";
        let script = format!(
            "#!/bin/sh\nexec {trace} -o '{}' '{}' \"$@\"\n",
            calls.display(),
            program.display()
        );
        fs::write(&traced, script).expect("writes");
        fs::set_permissions(&traced, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("can be run");
        traced
    }

    /// What a traced program would have reached elsewhere than on loopback, call by call.
    ///
    /// # Panics
    /// When it was not traced, or did not even reach its model.
    #[must_use]
    pub fn reached_elsewhere(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.sandbox.path().join("calls")).expect("it was traced");
        let reached: Vec<_> = calls
            .lines()
            .filter(|call| call.contains("sin_addr") || call.contains("sin6_addr"))
            .collect();
        assert!(
            reached.iter().any(|call| call.contains("127.0.0.1")),
            "the model was reached: {calls}"
        );
        let here =
            |call: &str| call.contains("inet_addr(\"127.0.0.1\")") || call.contains("\"::1\"");
        reached
            .into_iter()
            .filter(|call| !here(call))
            .map(str::to_owned)
            .collect()
    }
}

/// Lets the loop work on a roadmap of these tasks, `Task ID.` each, which allow `ID.txt`; each agent in turn gets one. All of them land at
/// once, hold what their id says, and nothing is left.
///
/// # Panics
/// When that is not so.
pub async fn land(
    sandbox: &Sandbox,
    agents: &[(&str, Arc<dyn AgentBackend>)],
    tasks: &[String],
    sessions: u32,
) -> RunOutcome {
    let item = |(id, (agent, _)): (&String, &(&str, Arc<dyn AgentBackend>))| {
        format!(
            "- [ ] **{id}** Task {id}.\n  ```toml\n  allow = [\"{id}.txt\"]\n  agent = \"{agent}\"\n  ```\n  Write `{id}` into `{id}.txt`, and commit it.\n"
        )
    };
    let roadmap: String = tasks.iter().zip(agents.iter().cycle()).map(item).collect();
    sandbox.publish(&[("ROADMAP.md", &roadmap)], "roadmap");
    let policy = Policy::parse(&format!("push = \"origin\"\nmax_sessions = {sessions}\n"))
        .expect("a policy");
    let builder = Orchestrator::builder().policy(policy);
    let builder = agents.iter().fold(builder, |builder, (name, backend)| {
        builder.backend(
            name.parse::<BackendName>().expect("a name"),
            Arc::clone(backend),
        )
    });
    let outcome = run_checked(sandbox, builder).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    for id in tasks {
        assert_eq!(&sandbox.remote_file(&format!("{id}.txt")), id);
        assert_eq!(outcome.task(id).attempts, 1);
    }
    assert_eq!(sandbox.processes(), Vec::<i32>::new());
    assert_eq!(
        fs::read_dir(sandbox.state().join("attempts")).map_or(0, Iterator::count),
        0,
        "all is cleaned up"
    );
    outcome
}
