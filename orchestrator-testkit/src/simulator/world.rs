//! The machine with a made-up world around it.

use std::collections::BTreeSet;

use orchestrator_core::{
    machine::{State, apply, decide},
    model::{
        BackendName, BlobId, Candidate, Change, ChangeKind, Claim, ClaimedEvidence, ClaimedLabel,
        Collected, CommitId, ContentHash, ContractKeys, Effect, EffectId, Entry, Event, EventKind,
        Finding, GateOutcome, GateReport, GateSpec, Handoff, HandoffReport, HandoffStatus, Lacking,
        LandingOutcome, MissingCommit, Mode, Opened, Opinion, Policy, Reading, Record, Review,
        Roadmap, RunId, Severity, Shift, Span, Submission, Task, TaskId, Timestamp, TreeId,
        TurnOutcome, TurnUsage, Usage, WorkspaceFate,
    },
};

/// The agent of worlds whose policy has none; it can resume a session.
const AGENT: &str = "agent";

/// A machine with its ledger and a clock that moves by one with each event.
#[derive(Debug, Clone)]
pub struct World {
    /// What has been decided, folded.
    pub state: State,
    /// By which rules.
    pub policy: Policy,
    /// All that has been decided.
    pub ledger: Vec<Record>,
    /// In milliseconds.
    pub now: u64,
    /// The roadmap, as a re-reading finds it; what has landed is ticked.
    pub tasks: Vec<Task>,
    /// Commits that the target has dropped.
    pub dropped: BTreeSet<CommitId>,
    commits: u64,
    /// The agents of its runs, each with whether it can resume a session.
    agents: Vec<(BackendName, bool)>,
    /// Whether its runs look at the default gates on the target itself.
    baseline: bool,
}

/// A task's id.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn task_id(id: &str) -> TaskId {
    TaskId::new(id).expect("a valid id")
}

/// A commit by its number.
///
/// # Panics
/// Never: forty digits are an id.
#[must_use]
pub fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().expect("a valid id")
}

fn tree(number: u64) -> TreeId {
    format!("{number:040x}").parse().expect("a valid id")
}

/// A task with the contract's keys as TOML.
///
/// # Panics
/// When they are none.
#[must_use]
pub fn task(id: &str, keys: &str) -> Task {
    let keys: ContractKeys = toml::from_str(keys).expect("valid keys");
    Task::new(task_id(id), format!("task {id}")).with_keys(keys)
}

/// A policy with one gate, and this TOML in front.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn policy(more: &str) -> Policy {
    let text = format!("{more}\n[gates.unit]\nrun = [\"true\"]\ndefault = true\n");
    Policy::parse(&text).expect("a valid policy")
}

/// The name of a record, as the ledger writes it.
///
/// # Panics
/// Never: a record is an object or a name.
#[must_use]
pub fn name(record: &Record) -> String {
    match serde_json::to_value(record).expect("serialises") {
        serde_json::Value::Object(members) => members.keys().next().expect("one member").clone(),
        serde_json::Value::String(name) => name,
        other => panic!("a record is an object or a name, not {other}"),
    }
}

impl World {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let of_policy = policy.agents.keys().map(|name| (name.clone(), true));
        let mut agents: Vec<_> = of_policy.collect();
        if agents.is_empty() {
            agents.push((AGENT.parse().expect("a name"), true));
        }
        Self {
            state: State::default(),
            agents,
            policy,
            ledger: Vec::new(),
            now: 1000,
            tasks: Vec::new(),
            dropped: BTreeSet::new(),
            commits: 100,
            baseline: false,
        }
    }

    /// A run that is open and has read these tasks. Its agents are the policy's, or one, `agent`; all can
    /// resume a session.
    #[must_use]
    pub fn with_tasks(policy: Policy, tasks: Vec<Task>) -> Self {
        let mut world = Self::new(policy);
        world.begin(tasks);
        world
    }

    /// The same, of which the first workers work beside the default gates on the target itself.
    #[must_use]
    pub fn with_baseline(policy: Policy, tasks: Vec<Task>) -> Self {
        let mut world = Self::new(policy);
        world.baseline = true;
        world.begin(tasks);
        world
    }

    fn begin(&mut self, tasks: Vec<Task>) {
        self.open(false);
        self.answer(&Effect::ReadRoadmap { tip: None }, move |effect| {
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Read(roadmap(tasks)),
            }
        });
    }

    /// The same with these agents, each with whether it can resume a session.
    #[must_use]
    pub fn with_agents(policy: Policy, tasks: Vec<Task>, agents: &[(&str, bool)]) -> Self {
        let mut world = Self::new(policy);
        let named = agents.iter();
        let named = named.map(|(name, resumes)| (name.parse().expect("a name"), *resumes));
        world.agents = named.collect();
        world.begin(tasks);
        world
    }

    /// A run begins; with `wait`, it goes on while people are asked.
    ///
    /// # Panics
    /// As [`tell`](Self::tell).
    pub fn open(&mut self, wait: bool) {
        let run = RunId::new(format!("run{}", self.now)).expect("a name");
        self.tell(EventKind::Opened(Opened {
            run,
            policy: self.policy.hash(),
            environment: ContentHash::of(b""),
            seed: 7,
            backends: self.agents.clone(),
            wait,
            baseline: self.baseline,
        }));
        self.tick();
    }

    /// A new run, or the same one after a crash, that has read the roadmap again.
    ///
    /// # Panics
    /// As [`tell`](Self::tell).
    pub fn open_again(&mut self) {
        self.open(false);
        let (effect, what) = self
            .open_effects()
            .into_iter()
            .find(|(_, what)| matches!(what, Effect::ReadRoadmap { .. }))
            .expect("is asked for");
        let event = self.good(effect, &what);
        self.tell(event);
        self.tick();
    }

    /// Decides, appends, applies; the names of what was recorded.
    ///
    /// # Panics
    /// When the event is illegal, or a record does not fit: a bug.
    pub fn tell(&mut self, kind: EventKind) -> Vec<String> {
        self.now += 1;
        if let EventKind::RoadmapRead {
            reading: Reading::Read(roadmap),
            ..
        } = &kind
        {
            self.tasks.clone_from(&roadmap.tasks);
        }
        let event = Event {
            at: Timestamp(self.now),
            kind,
        };
        let records = decide(&self.state, event.clone(), &self.policy)
            .unwrap_or_else(|error| panic!("{error}: {event:?}"));
        for record in &records {
            // What is told of a roadmap by its differences means what it would mean whole.
            let whole = if let (
                Record::RoadmapChanged(_),
                EventKind::RoadmapRead {
                    reading: Reading::Read(roadmap),
                    ..
                },
            ) = (record, &event.kind)
            {
                let mut state = self.state.clone();
                apply(&mut state, &Record::RoadmapRead(roadmap.clone()))
                    .expect("a roadmap fits any state");
                Some(state)
            } else {
                None
            };
            apply(&mut self.state, record)
                .unwrap_or_else(|misfit| panic!("{misfit}: {record:?} after {event:?}"));
            assert!(
                whole.is_none_or(|state| state == self.state),
                "{record:?} is not the whole of what was read"
            );
        }
        let names = records.iter().map(name).collect();
        self.ledger.extend(records);
        names
    }

    /// The clock is set forwards, or, by a negative number of milliseconds, backwards; no time passes.
    ///
    /// # Panics
    /// As [`tell`](Self::tell).
    pub fn jump(&mut self, by: i64) {
        let before = self.now;
        // Each event comes a millisecond after the last.
        self.now = before.saturating_add_signed(by);
        let by = Shift(self.now.cast_signed() - before.cast_signed());
        self.tell(EventKind::ClockJumped { by });
    }

    /// Ticks until nothing more is due. Where the target has moved, reads the roadmap again and
    /// looks through its history.
    ///
    /// # Panics
    /// As [`tell`](Self::tell).
    pub fn tick(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let mut names = self.tell(EventKind::Tick);
            let of_tip = |what: &Effect| {
                matches!(
                    what,
                    Effect::ReadRoadmap { tip: Some(_) } | Effect::CheckHistory { .. }
                )
            };
            let again = self
                .open_effects()
                .into_iter()
                .find(|(_, what)| of_tip(what));
            if let Some((effect, what)) = again {
                let event = self.good(effect, &what);
                names.extend(self.tell(event));
            }
            if names.is_empty() {
                return all;
            }
            all.extend(names);
        }
    }

    /// What was asked for and is not closed, in its order.
    #[must_use]
    pub fn open_effects(&self) -> Vec<(EffectId, Effect)> {
        self.state
            .open_effects()
            .iter()
            .map(|(effect, what)| (*effect, what.clone()))
            .collect()
    }

    /// Closes the open effect of the same kind as `like`, for the first task that has one, and ticks.
    ///
    /// # Panics
    /// When there is none, and as [`tell`](Self::tell).
    pub fn answer(
        &mut self,
        like: &Effect,
        event: impl FnOnce(EffectId) -> EventKind,
    ) -> Vec<String> {
        let kind = std::mem::discriminant(like);
        let found = self
            .open_effects()
            .into_iter()
            .find(|(_, what)| std::mem::discriminant(what) == kind);
        let (effect, _) = found.unwrap_or_else(|| {
            panic!(
                "no such effect is open: {like:?} among {:?}",
                self.open_effects()
            )
        });
        let mut names = self.tell(event(effect));
        names.extend(self.tick());
        names
    }

    /// The event by which an effect ends well.
    ///
    /// # Panics
    /// When it merges or lands before a tip is known: a bug.
    pub fn good(&mut self, effect: EffectId, what: &Effect) -> EventKind {
        self.commits += 1;
        let fresh = commit(self.commits);
        match what {
            Effect::ReadRoadmap { tip } => {
                let landed = |task: &Task| {
                    self.state
                        .task(&task.id)
                        .is_some_and(orchestrator_core::machine::TaskEntry::has_landed)
                };
                let ticked = |mut task: Task| {
                    task.done |= landed(&task);
                    task
                };
                let tasks = self.tasks.iter().cloned().map(ticked).collect();
                let tip = tip.unwrap_or_else(|| self.state.tip().unwrap_or(commit(1)));
                EventKind::RoadmapRead {
                    effect,
                    reading: Reading::Read(Roadmap {
                        tip,
                        tree: self.tree_at(tip),
                        ..roadmap(tasks)
                    }),
                }
            }
            Effect::CheckHistory { commits, .. } => {
                let gone = commits
                    .iter()
                    .filter(|commit| self.dropped.contains(commit));
                let missing = gone
                    .map(|commit| MissingCommit {
                        commit: *commit,
                        again: None,
                    })
                    .collect();
                EventKind::HistoryChecked { effect, missing }
            }
            Effect::Prepare { .. } => EventKind::Prepared {
                effect,
                failure: None,
            },
            Effect::RunTurn { .. } => EventKind::TurnEnded {
                effect,
                outcome: TurnOutcome::Completed,
                usage: TurnUsage::told(Usage {
                    input_tokens: 10,
                    output_tokens: 5,
                    usd: Some(0.5),
                }),
            },
            Effect::Nudge { .. } => EventKind::Nudged {
                effect,
                heard: true,
            },
            Effect::StopTurn { .. } => EventKind::StopSent { effect },
            Effect::Collect { attempt, .. } => {
                let entry = self.state.task(&attempt.task);
                let active = entry.and_then(|entry| entry.active());
                let claims = active.map(|active| active.attempt().contract().claims.clone());
                let work = claiming(submission(fresh), &claims.unwrap_or_default());
                collected(effect, Collected::Work(work))
            }
            Effect::Review { work, .. } => EventKind::Reviewed {
                effect,
                reviews: vec![review(work.head, Vec::new())],
                carried: None,
            },
            Effect::Merge { head, .. } => {
                let tip = self.state.tip().expect("a tip is known");
                EventKind::Merged {
                    effect,
                    result: Ok(Candidate {
                        head: *head,
                        tip,
                        tip_tree: self.tree_at(tip),
                        tree: tree(self.commits),
                        changes: vec![change("a")],
                    }),
                }
            }
            Effect::RunGate { tree, gate, .. } => EventKind::GateRan {
                effect,
                report: report(gate.clone(), *tree, 0),
            },
            Effect::CancelGate { .. } => EventKind::StopSent { effect },
            Effect::Land { .. } => EventKind::LandingTried {
                effect,
                outcome: LandingOutcome::Landed { commit: fresh },
            },
            Effect::CleanUp { .. } => EventKind::CleanedUp {
                effect,
                fate: WorkspaceFate::Removed { kept: None },
            },
            Effect::Report { .. } => EventKind::Reported {
                effect,
                failure: None,
            },
            other => unreachable!("the simulator does not know {other:?}"),
        }
    }

    /// The tree of a commit of the target: of a landing what was gated.
    fn tree_at(&self, tip: CommitId) -> TreeId {
        let known = self
            .state
            .tip_tree()
            .filter(|_| self.state.tip() == Some(tip));
        known.unwrap_or_else(|| tree_of(tip))
    }

    /// Closes the first open effect well, and ticks. False when none is open.
    ///
    /// # Panics
    /// As [`tell`](Self::tell).
    pub fn step(&mut self) -> bool {
        let Some((effect, what)) = self.open_effects().into_iter().next() else {
            return false;
        };
        let event = self.good(effect, &what);
        self.tell(event);
        self.tick();
        true
    }
}

/// A roadmap of these tasks, at the first commit.
#[must_use]
pub fn roadmap(tasks: Vec<Task>) -> Roadmap {
    Roadmap {
        revision: "1".to_owned(),
        tip: commit(1),
        tree: tree_of(commit(1)),
        tasks,
    }
}

/// The tree of a commit that nobody has gated.
///
/// # Panics
/// Never: a commit's id is an id of a tree as well.
#[must_use]
pub fn tree_of(commit: CommitId) -> TreeId {
    TreeId(commit.0)
}

/// What was collected, with nothing rescued.
#[must_use]
pub fn collected(effect: EffectId, result: Collected) -> EventKind {
    EventKind::Collected {
        effect,
        result,
        kept: Vec::new(),
    }
}

/// A new file.
///
/// # Panics
/// When the path is none of a repository's.
#[must_use]
pub fn change(path: &str) -> Change {
    let blob: BlobId = format!("{:040x}", 9).parse().expect("an id");
    Change {
        path: path.parse().expect("a path"),
        kind: ChangeKind::Added,
        old: None,
        new: Some(Entry {
            mode: Mode::File,
            id: blob,
        }),
    }
}

/// No commit.
///
/// # Panics
/// Never: digits are an id.
#[must_use]
pub fn nothing(handoff: HandoffReport, dirty: bool) -> Collected {
    Collected::Nothing {
        base: commit(1),
        tree: tree(1),
        handoff,
        said: None,
        dirty,
        uncommitted: Vec::new(),
        rescued: None,
    }
}

/// A handoff that says blocked.
#[must_use]
pub fn blocked(reason: &str) -> HandoffReport {
    let mut handoff = Handoff::new("T1", 1, HandoffStatus::Blocked);
    handoff.reason = Some(reason.to_owned());
    HandoffReport::Read(handoff)
}

/// One commit with one new file, and its handoff.
#[must_use]
pub fn submission(head: CommitId) -> Submission {
    Submission {
        base: commit(1),
        head,
        carried: None,
        tree: tree(3),
        commits: 1,
        changes: vec![change("a")],
        uncommitted: Vec::new(),
        handoff: HandoffReport::Read(Handoff::new("T1", 1, HandoffStatus::Done)),
        handoff_hash: None,
        findings: Vec::new(),
        artifacts: Vec::new(),
    }
}

/// The same work, with a handoff that makes these claims.
pub(super) fn claiming(work: Submission, claims: &[Claim]) -> Submission {
    let HandoffReport::Read(mut handoff) = work.handoff else {
        return work;
    };
    let made = claims.iter().map(|claim| ClaimedEvidence {
        claim: claim.id.to_string(),
        label: ClaimedLabel::Direct,
        note: Some("seen".to_owned()),
    });
    handoff.evidence = made.collect();
    Submission {
        handoff: HandoffReport::Read(handoff),
        ..work
    }
}

/// What one reviewer found.
#[must_use]
pub fn review(commit: CommitId, findings: Vec<Finding>) -> Review {
    Review::new("r", commit, Opinion::Looked { findings })
}

/// A finding that goes back.
#[must_use]
pub fn error() -> Finding {
    Finding::new(Severity::Error, "paths/contract", "not allowed")
}

/// A gate that ended with this status.
#[must_use]
pub fn report(gate: GateSpec, tree: TreeId, code: i32) -> GateReport {
    let hash = ContentHash::of(b"");
    GateReport {
        gate,
        tree,
        environment: hash,
        outcome: GateOutcome::Exited { code },
        output: hash,
        tail: String::new(),
        before: Vec::new(),
        lacked: Lacking::default(),
        took: Span(1),
    }
}
