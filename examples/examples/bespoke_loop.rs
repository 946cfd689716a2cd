//! An orchestrator of your own: one task after the other, in the foreground, with a word to the screen for each step. What may follow
//! is still decided by the machine; git, agents, reviewers and gates are the library's, taken one by one.
//!
//! ```text
//! cargo run --example bespoke_loop
//! ```
//!
//! It has no heartbeat, no inbox and no second session; its ledger is in memory, so that nothing survives it. `Orchestrator` has all
//! that. What it shows is that each piece can be had alone.

use std::{collections::BTreeMap, error::Error, fs, path::Path, sync::Arc, time::SystemTime};

use orchestrator_core::{
    AgentBackend, CommandAgent, Policy, Task, TaskId,
    driver::ChangeBetween,
    gate::run_gate,
    git::{Ancestry, Git, IngressLimits, Merge, Start, Trusted, UserRepository, Workspaces},
    machine::{State, TaskEntry, apply, decide},
    model::{
        BackendName, Candidate, Collected, ContentHash, Effect, EffectId, Event, EventKind,
        GateReport, GateSpec, Handoff, HandoffReport, Lacking, MergeFailure, MissingCommit, Opened,
        Opinion, Reading, Record, Review, Roadmap, RunId, Span, Submission, Timestamp, TreeId,
        TurnOutcome, TurnUsage, WorkspaceFate,
    },
    port::{ReviewRequest, TurnRequest, Update},
    prompt::{PromptContext, prompt},
    review,
    status::{Snapshot, table},
};
use orchestrator_testkit::{Sandbox, shell_worker};

type Failure = Box<dyn Error>;

/// Says more than it should at first, and is sent back for it. What one commit does and the next undoes would still be pushed.
const WORKER: &str = r#"
echo "$ORCHESTRATOR_TASK" > "$ORCHESTRATOR_TASK.txt"
if [ "$ORCHESTRATOR_TASK.$ORCHESTRATOR_TURN" = B.1 ]; then echo more > elsewhere.txt
elif [ -e elsewhere.txt ]; then git reset --quiet --soft HEAD~1; rm elsewhere.txt; fi
commit "$ORCHESTRATOR_TASK, turn $ORCHESTRATOR_TURN"
handoff done
"#;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let sandbox = Sandbox::new();
    let run = shell_worker(sandbox.path(), "worker", WORKER);
    let task = |id: &str| -> Result<Task, Failure> {
        let keys = serde_json::from_str(&format!(r#"{{"allow": ["{id}.txt"]}}"#))?;
        Ok(Task::new(TaskId::new(id)?, format!("Write {id}.txt")).with_keys(keys))
    };
    let policy = Policy::parse(
        "push = \"origin\"\nmax_sessions = 1\n[gates.there]\nrun = [\"ls\", \"README.md\"]\ndefault = true",
    )?;
    let mut own = Bespoke::open(
        &sandbox.repo(),
        &sandbox.state(),
        policy,
        vec![task("A")?, task("B")?],
        &run,
    )
    .await?;
    own.run().await?;
    println!("\n{}", table(&Snapshot::of(&own.state)));
    println!(
        "The remote's main: {}",
        sandbox.remote_subjects().join(", ")
    );
    if Snapshot::of(&own.state).all_landed() {
        Ok(())
    } else {
        Err("not all landed".into())
    }
}

struct Bespoke {
    policy: Policy,
    state: State,
    tasks: Vec<Task>,
    due: Vec<(EffectId, Effect)>,
    agent: CommandAgent,
    trusted: Arc<Trusted>,
    workspaces: Workspaces,
    lane: std::path::PathBuf,
}

impl Bespoke {
    async fn open(
        repo: &Path,
        state: &Path,
        policy: Policy,
        tasks: Vec<Task>,
        run: &[String],
    ) -> Result<Self, Failure> {
        let git = Git::find().await?;
        let user = UserRepository::open(git.clone(), repo).await?;
        let (target, destination) = (
            user.head_branch().await?,
            user.destination(&policy.push).await?,
        );
        let trusted = Trusted::open(
            user,
            git,
            state.join("trusted.git"),
            target,
            destination,
            &policy.filters,
        )
        .await?;
        let agent = CommandAgent::new(&run[0], &run[1..]);
        let (workspaces, lane) = (Workspaces::beneath(state), state.join("lane"));
        Ok(Self {
            policy,
            state: State::default(),
            tasks,
            due: Vec::new(),
            agent,
            trusted: Arc::new(trusted),
            workspaces,
            lane,
        })
    }

    /// One event, and then ticks until nothing more is due: only a tick starts things. Whoever wants to survive a crash makes the
    /// records durable before they are applied.
    fn tell(&mut self, kind: EventKind) -> Result<(), Failure> {
        let mut next = Some(kind);
        while let Some(kind) = next.take() {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_millis();
            let records = decide(
                &self.state,
                Event {
                    at: Timestamp(u64::try_from(now)?),
                    kind: kind.clone(),
                },
                &self.policy,
            )?;
            for record in &records {
                apply(&mut self.state, record)?;
                if let Record::Requested { effect, what, .. } = record {
                    self.due.push((*effect, what.clone()));
                }
            }
            if !records.is_empty() || kind != EventKind::Tick {
                next = Some(EventKind::Tick);
            }
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let (run, policy) = (RunId::new("bespoke")?, self.policy.hash());
        let backends = vec![(BackendName::new("worker")?, true)];
        self.tell(EventKind::Opened(Opened {
            run,
            policy,
            environment: ContentHash::of_json(&environment()?),
            seed: 7,
            backends,
            wait: false,
            baseline: false,
        }))?;
        while self.state.ended().is_none() {
            if self.due.is_empty() {
                return Err("nothing is due, and it has not ended".into());
            }
            let (effect, what) = self.due.remove(0);
            let event = self.perform(effect, &what).await?;
            self.tell(event)?;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: EffectId, what: &Effect) -> Result<EventKind, Failure> {
        Ok(match what {
            Effect::ReadRoadmap { .. } => {
                let tip = self.trusted.fetch_target().await?;
                // A real source reads the tasks from this very commit, ticks included.
                for task in &mut self.tasks {
                    task.done |= self.state.task(&task.id).is_some_and(TaskEntry::has_landed);
                }
                let roadmap = Roadmap {
                    revision: tip.to_string(),
                    tip,
                    tree: self.trusted.tree_of(tip)?,
                    tasks: self.tasks.clone(),
                };
                EventKind::RoadmapRead {
                    effect,
                    reading: Reading::Read(roadmap),
                }
            }
            Effect::CheckHistory { tip, commits } => {
                let mut missing = Vec::new();
                for commit in commits {
                    if self.trusted.ancestry(*tip, *commit).await? == Ancestry::Dropped {
                        missing.push(MissingCommit {
                            commit: *commit,
                            again: None,
                        });
                    }
                }
                EventKind::HistoryChecked { effect, missing }
            }
            Effect::Prepare { attempt, base, .. } => {
                println!("{attempt}: from {}", base.short());
                let made = self
                    .workspaces
                    .of(attempt)
                    .create(&self.trusted, *base, &[])
                    .await;
                EventKind::Prepared {
                    effect,
                    failure: made.err().map(|error| error.to_string()),
                }
            }
            Effect::RunTurn { .. } => self.run_turn(effect, what).await?,
            Effect::Collect {
                attempt,
                turn,
                base,
                ..
            } => {
                let workspace = self.workspaces.of(attempt);
                let base = *base;
                let keep = Trusted::keep_ref(attempt, *turn);
                let limits = IngressLimits::default();
                let head = self
                    .trusted
                    .ingest(
                        &workspace.repository(),
                        &attempt.branch(),
                        &keep,
                        base,
                        limits,
                    )
                    .await?;
                let result = if head == base {
                    Collected::Nothing {
                        base,
                        tree: self.trusted.tree_of(base)?,
                        handoff: HandoffReport::Missing,
                        said: None,
                        dirty: false,
                        uncommitted: Vec::new(),
                        rescued: None,
                    }
                } else {
                    let left = fs::read(workspace.out().join(format!("handoff-{turn}.json"))).ok();
                    let handoff =
                        left.and_then(|bytes| serde_json::from_slice::<Handoff>(&bytes).ok());
                    let tree = self.trusted.tree_of(head)?;
                    let changes = self
                        .trusted
                        .changes(self.trusted.tree_of(base)?, tree)
                        .await?;
                    println!("{attempt}: {} files, {}", changes.len(), head.short());
                    Collected::Work(Submission {
                        base,
                        carried: None,
                        head,
                        tree,
                        commits: self.trusted.between(base, head).await?.0,
                        changes,
                        uncommitted: Vec::new(),
                        handoff: handoff.map_or(HandoffReport::Missing, HandoffReport::Read),
                        handoff_hash: None,
                        findings: Vec::new(),
                        artifacts: Vec::new(),
                    })
                };
                EventKind::Collected {
                    effect,
                    result,
                    kept: Vec::new(),
                }
            }
            Effect::Review {
                attempt,
                work,
                contract,
                ..
            } => {
                let view = Arc::new(ChangeBetween {
                    trusted: Arc::clone(&self.trusted),
                    base: work.base,
                    head: work.head,
                });
                let request = ReviewRequest::new(
                    attempt.clone(),
                    (**contract).clone(),
                    work.base,
                    (**work).clone(),
                    view,
                );
                let mut reviews = Vec::new();
                for reviewer in review::standard() {
                    let opinion = match reviewer.review(&request).await {
                        Ok(findings) => Opinion::Looked { findings },
                        Err(error) => Opinion::Unavailable {
                            reason: error.to_string(),
                        },
                    };
                    reviews.push(Review::new(
                        reviewer.name(),
                        request.submission.head,
                        opinion,
                    ));
                }
                reviews
                    .iter()
                    .flat_map(Review::findings)
                    .for_each(|finding| println!("{attempt}: {finding}"));
                EventKind::Reviewed {
                    effect,
                    reviews,
                    carried: None,
                }
            }
            Effect::Merge { base, head, .. } => {
                let tip = self.trusted.fetch_target().await?;
                if self.trusted.start_of(tip, *base, *head).await? != Start::Kept {
                    return Err(
                        "the target was rewritten: carrying work over is more than this page holds"
                            .into(),
                    );
                }
                let tip_tree = self.trusted.tree_of(tip)?;
                let result = match self.trusted.merge(tip, *head).await? {
                    Merge::Clean(tree) => {
                        let changes = self.trusted.changes(tip_tree, tree).await?;
                        Ok(Candidate {
                            head: *head,
                            tip,
                            tip_tree,
                            tree,
                            changes,
                        })
                    }
                    Merge::Conflict(paths) => Err(MergeFailure::Conflict { tip, paths }),
                };
                EventKind::Merged { effect, result }
            }
            Effect::RunGate { tree, gate, .. } => EventKind::GateRan {
                effect,
                report: self.gate(*tree, gate).await?,
            },
            Effect::Land { landing } => {
                let outcome = self.trusted.land(landing).await?;
                println!("{}: {outcome:?}", landing.acceptance.attempt);
                EventKind::LandingTried { effect, outcome }
            }
            Effect::CleanUp { attempt, .. } => {
                // Kept: proving that nothing is lost is more than this page holds.
                let reason = format!(
                    "{} stays to be looked at",
                    self.workspaces.of(attempt).root().display()
                );
                EventKind::CleanedUp {
                    effect,
                    fate: WorkspaceFate::Kept { reason },
                }
            }
            Effect::Nudge { .. } => EventKind::Nudged {
                effect,
                heard: false,
            },
            Effect::StopTurn { .. } | Effect::CancelGate { .. } => EventKind::StopSent { effect },
            Effect::Report { .. } => EventKind::Reported {
                effect,
                failure: None,
            },
            other => return Err(format!("{other:?} is more than this page holds").into()),
        })
    }

    async fn run_turn(&self, effect: EffectId, what: &Effect) -> Result<EventKind, Failure> {
        let Effect::RunTurn {
            attempt,
            turn,
            ask,
            contract,
            base,
            ..
        } = what
        else {
            return Err("a turn is asked for".into());
        };
        let workspace = self.workspaces.of(attempt);
        let handoff = workspace.out().join(format!("handoff-{turn}.json"));
        let context = PromptContext {
            attempt,
            contract,
            base: *base,
            handoff: &handoff,
            predecessor: None,
            advice: None,
            resumed: *turn > 1,
        };
        let text = prompt(&context, ask);
        let request = TurnRequest::new(
            attempt.clone(),
            text,
            workspace.tree(),
            handoff,
            format!("bespoke-{}-{effect}", std::process::id()),
        );
        let mut running = self
            .agent
            .start(
                request
                    .with_turn(*turn, None)
                    .with_environment(environment()?),
            )
            .await?;
        let (mut outcome, mut usage) = (TurnOutcome::Stopped, TurnUsage::default());
        while let Some(update) = running.next().await {
            match update {
                Update::Activity { text } => println!("{attempt}, turn {turn}: {text}"),
                Update::Usage(now) => usage = now,
                Update::Ended { outcome: ended } => outcome = ended,
                _ => {}
            }
        }
        println!("{attempt}, turn {turn}: {outcome}");
        Ok(EventKind::TurnEnded {
            effect,
            outcome,
            usage,
        })
    }

    async fn gate(&self, tree: TreeId, gate: &GateSpec) -> Result<GateReport, Failure> {
        self.trusted.export(tree, &self.lane).await?;
        let ran = run_gate(
            gate,
            &self.lane,
            &environment()?,
            &BTreeMap::new(),
            &format!("bespoke-{}-gate", std::process::id()),
        )
        .await;
        let (tail, output) = (
            ran.stdout.end(1000),
            ContentHash::of(&ran.stdout.into_bytes()),
        );
        Ok(GateReport {
            gate: gate.clone(),
            tree,
            environment: ran.environment,
            outcome: ran.outcome,
            output,
            tail,
            took: Span(0),
            before: Vec::new(),
            lacked: Lacking::default(),
        })
    }
}

/// What agents and gates see of ours.
fn environment() -> Result<BTreeMap<String, String>, Failure> {
    let path = std::env::var("PATH")?;
    Ok(BTreeMap::from([("PATH".to_owned(), path)]))
}
