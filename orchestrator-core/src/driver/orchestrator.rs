//! The run loop.

use std::{
    fs::File,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::{
    BuildError, Command, Inbox, OrchestratorBuilder, RunError,
    clock::now,
    effects::{Job, World},
};
use crate::{
    git::{Destination, Look, Lookout},
    machine::{NotReady, Phase, State, apply, decide, readiness, wake_at},
    model::{
        Answer, AttemptId, Effect, EffectId, EndReason, Event, EventKind, Opened, PackageName, Record, Roadmap, RunMode, TaskId,
    },
    port::{Epoch, Ledger, LedgerEntry, Opening, Sequence},
    process::kill_marked,
    status::Snapshot,
};

/// How often the inbox is looked into.
const INBOX: Duration = Duration::from_millis(200);
/// How long a stopped run waits for a landing that is under way.
const LANDING: Duration = Duration::from_secs(60);
/// How long survivors of an earlier run are fought.
const SURVIVORS: Duration = Duration::from_secs(10);
/// How often, at most, a remote is asked for its tip between landings.
const REMOTE: Duration = Duration::from_secs(60);

/// One orchestrator on one repository, ready to run.
#[derive(Debug)]
pub struct Orchestrator {
    world: Arc<World>,
    state: State,
    roadmap: Roadmap,
    ledger: Arc<dyn Ledger>,
    epoch: Epoch,
    next: Sequence,
    inbox: Inbox,
    wait: bool,
    notices: broadcast::Sender<Notice>,
    requests: (mpsc::Sender<Request>, mpsc::Receiver<Request>),
    /// Held for as long as we live.
    _lock: File,
}

/// What subscribers hear.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// Something was decided, and is in the ledger.
    Recorded(Arc<LedgerEntry>),
    /// An agent said something.
    Activity {
        /// Which attempt's.
        attempt: AttemptId,
        /// A line.
        text: String,
    },
    /// A heartbeat looked at the workspaces.
    Heartbeat {
        /// One for each workspace that was found.
        looks: Arc<Vec<Look>>,
    },
    /// Something that a person should know, and that stops nothing.
    Warning(String),
}

#[derive(Debug)]
enum Request {
    Command(Command),
    Snapshot(oneshot::Sender<Snapshot>),
}

/// Speaks to a run from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    notices: broadcast::Sender<Notice>,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunReport {
    /// Why.
    pub ended: EndReason,
    /// How everything stands.
    pub snapshot: Snapshot,
    /// The same, whole: equal to the replayed ledger.
    pub state: State,
}

/// What would happen to a task first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTask {
    /// The task.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// Its package.
    pub package: Option<PackageName>,
    /// `starts now`, or why it does not.
    pub what: String,
}

impl Handle {
    /// Finish what runs, start nothing new. False when the run is over.
    pub async fn drain(&self) -> bool {
        self.command(Command::Mode(RunMode::Drain)).await
    }

    /// Start nothing, and no new turn either. False when the run is over.
    pub async fn pause(&self) -> bool {
        self.command(Command::Mode(RunMode::Paused)).await
    }

    /// Go on. False when the run is over.
    pub async fn resume(&self) -> bool {
        self.command(Command::Mode(RunMode::Active)).await
    }

    /// Answers a hold. False when the run is over.
    pub async fn answer(&self, answer: Answer) -> bool {
        self.command(Command::Answer(answer)).await
    }

    /// Ends the run at once: agents are stopped, what is in flight goes on at the next start. False when the run is over.
    pub async fn stop(&self) -> bool {
        self.command(Command::Stop).await
    }

    async fn command(&self, command: Command) -> bool {
        self.requests.send(Request::Command(command)).await.is_ok()
    }

    /// How everything stands; `None` when the run is over.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (reply, snapshot) = oneshot::channel();
        self.requests.send(Request::Snapshot(reply)).await.ok()?;
        snapshot.await.ok()
    }

    /// Everything from now on. A subscriber that falls more than 4,096 notices behind loses the oldest, and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    // The system's randomness does not fail once it is there; if it does, time is still better than nothing.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        return now().0;
    }
    u64::from_le_bytes(bytes)
}

impl Orchestrator {
    /// Puts one together.
    #[must_use]
    pub fn builder() -> OrchestratorBuilder {
        OrchestratorBuilder::default()
    }

    #[expect(clippy::too_many_arguments, reason = "the builder's last step, called from one place")]
    pub(super) fn new(
        world: World,
        state: State,
        roadmap: Roadmap,
        ledger: Arc<dyn Ledger>,
        opening: &Opening,
        inbox: Inbox,
        wait: bool,
        lock: File,
    ) -> Self {
        let (epoch, next) = (opening.epoch, opening.next);
        let (notices, requests) = (broadcast::Sender::new(4096), mpsc::channel(64));
        Self { world: Arc::new(world), state, roadmap, ledger, epoch, next, inbox, wait, notices, requests, _lock: lock }
    }

    /// A handle to speak to the run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { requests: self.requests.0.clone(), notices: self.notices.clone() }
    }

    /// The state directory that is used where none is given.
    ///
    /// # Errors
    /// When neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn default_state_dir(git_dir: &std::path::Path) -> Result<std::path::PathBuf, BuildError> {
        super::builder::default_state_dir(git_dir)
    }

    fn opened(&self) -> EventKind {
        let backends = self.world.backends.iter().map(|(name, backend)| (name.clone(), backend.capabilities().resume));
        EventKind::Opened(Opened {
            run: self.world.run.clone(),
            policy: self.world.policy.hash(),
            seed: random(),
            backends: backends.collect(),
            wait: self.wait,
        })
    }

    /// What a run would do first. Starts nothing.
    ///
    /// # Errors
    /// When the person's checkout cannot be read.
    pub async fn plan(&self) -> Result<Vec<PlannedTask>, RunError> {
        let (mut state, at, policy) = (self.state.clone(), now(), &self.world.policy);
        let checkout = self.checkout().await?;
        for kind in [self.opened(), EventKind::CheckoutSeen(checkout)] {
            for record in decide(&state, Event { at, kind }, policy)? {
                apply(&mut state, &record)?;
            }
        }
        apply(&mut state, &Record::RoadmapRead(self.roadmap.clone()))?;
        let records = decide(&state, Event { at, kind: EventKind::Tick }, policy)?;
        let first = |id: &TaskId| {
            records.iter().find_map(|record| match record {
                Record::Dispatched { attempt, contract, .. } if attempt.task == *id => {
                    Some(format!("starts now, with {}", contract.agent))
                }
                Record::HoldOpened { hold } if hold.task == *id => Some(format!("asks a person: {}", hold.question)),
                _ => None,
            })
        };
        let planned = |entry: &crate::machine::TaskEntry| {
            let waits = || match readiness(&state, entry, policy, at) {
                Ok(()) => "waits for a free session, or for its package".to_owned(),
                Err(
                    not_ready @ (NotReady::After(_) | NotReady::Until(_) | NotReady::Overlaps { .. } | NotReady::Resource { .. }),
                ) => {
                    format!("waits: {not_ready}")
                }
            };
            let what = match &entry.phase {
                Phase::Landed(_) => "has landed".to_owned(),
                Phase::Waiting(_) => first(&entry.task.id).unwrap_or_else(waits),
                Phase::Active(_) => "goes on".to_owned(),
                Phase::Held(held) => format!("waits for a person: {}", held.hold.question),
                Phase::Parked { reason } => format!("is parked: {reason}"),
            };
            let task = &entry.task;
            PlannedTask { id: task.id.clone(), title: task.title.clone(), package: task.package.clone(), what }
        };
        Ok(state.tasks().iter().map(planned).collect())
    }

    async fn checkout(&self) -> Result<crate::model::Checkout, RunError> {
        let trusted = &self.world.trusted;
        match trusted.destination() {
            Destination::Remote { .. } => Ok(crate::model::Checkout::Untouched),
            Destination::Local => Ok(trusted.user().checkout(trusted.target()).await?),
        }
    }

    /// Runs until there is a reason to end.
    ///
    /// # Errors
    /// [`RunError`] when it cannot go on; what was in flight goes on when the state directory is opened again.
    pub async fn run(self) -> Result<RunReport, RunError> {
        let survivors = kill_marked(&self.world.mark, SURVIVORS).await;
        if survivors > 0 {
            drop(
                self.notices
                    .send(Notice::Warning(format!("{survivors} processes of an earlier run were still alive, and were stopped"))),
            );
        }
        let (first, checkout) = (self.opened(), self.checkout().await?);
        let (events, incoming) = mpsc::channel(256);
        let lookout = Lookout::new(self.world.workspaces.clone());
        let mut running = Running {
            core: self,
            effects: JoinSet::new(),
            landings: 0,
            events,
            lookout: Some(lookout),
            looking: JoinSet::new(),
            asked_remote: Instant::now(),
        };
        let result = running.go(first, checkout, incoming).await;
        // Whatever ended the run: nothing of it lives on.
        running.stop_everything().await;
        let ended = result?;
        let state = running.core.state;
        Ok(RunReport { ended, snapshot: Snapshot::of(&state), state })
    }
}

/// A run under way.
struct Running {
    core: Orchestrator,
    effects: JoinSet<(EffectId, Result<EventKind, RunError>)>,
    /// How many of the effects are landings, which are waited for.
    landings: usize,
    events: mpsc::Sender<EventKind>,
    /// Away while a look is under way.
    lookout: Option<Lookout>,
    looking: JoinSet<Seen>,
    asked_remote: Instant,
}

/// What one heartbeat saw.
struct Seen {
    lookout: Lookout,
    looks: Vec<Look>,
    facts: Vec<EventKind>,
}

impl Running {
    async fn go(
        &mut self,
        first: EventKind,
        checkout: crate::model::Checkout,
        mut incoming: mpsc::Receiver<EventKind>,
    ) -> Result<EndReason, RunError> {
        self.tell(first).await?;
        self.tell(EventKind::CheckoutSeen(checkout)).await?;
        // What was answered while nobody ran counts before it is decided that only a person can bring the run on.
        self.read_inbox().await?;
        self.settle().await?;
        let every = |period: Duration| {
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut heartbeat, mut inbox) = (every(self.core.world.policy.limits.heartbeat.to_std()), every(INBOX));
        loop {
            if let Some(reason) = self.core.state.ended() {
                return Ok(reason);
            }
            let at = now();
            let wake = wake_at(&self.core.state, &self.core.world.policy, at).map(|due| due.since(at).to_std());
            tokio::select! {
                Some(done) = self.effects.join_next() => self.effect_done(done).await?,
                Some(event) = incoming.recv() => drop(self.tell(event).await?),
                Some(request) = self.core.requests.1.recv() => self.request(request).await?,
                Some(seen) = self.looking.join_next() => self.seen(seen).await?,
                _ = heartbeat.tick() => self.look(),
                _ = inbox.tick() => self.read_inbox().await?,
                () = tokio::time::sleep(wake.unwrap_or_default() + Duration::from_millis(1)), if wake.is_some() => {}
            }
            self.settle().await?;
        }
    }

    /// Tells the machine, and does what follows: append, then apply, then perform (law 2).
    async fn tell(&mut self, kind: EventKind) -> Result<bool, RunError> {
        let at = now();
        let core = &mut self.core;
        let records = decide(&core.state, Event { at, kind }, &core.world.policy)?;
        if records.is_empty() {
            return Ok(false);
        }
        let mut sequence = core.next;
        core.next = core.ledger.append(core.epoch, core.next, at, &records).await?;
        let mut asked = Vec::new();
        for record in records {
            apply(&mut core.state, &record)?;
            if let Record::Requested { effect, what, .. } = &record {
                asked.push((*effect, what.clone()));
            }
            drop(core.notices.send(Notice::Recorded(Arc::new(LedgerEntry { sequence, at, record }))));
            sequence.0 += 1;
        }
        for (effect, what) in asked {
            self.start(effect, &what);
        }
        Ok(true)
    }

    /// Ticks until nothing more is due.
    async fn settle(&mut self) -> Result<(), RunError> {
        while self.tell(EventKind::Tick).await? {}
        Ok(())
    }

    /// Begins an effect beside the loop.
    fn start(&mut self, effect: EffectId, what: &Effect) {
        let Some(job) = self.core.world.job(&self.core.state, effect, what) else {
            tracing::error!(%effect, "an effect was asked for an attempt that is not there");
            return;
        };
        self.landings += usize::from(matches!(job, Job::Land { .. }));
        let (world, events, notices) = (Arc::clone(&self.core.world), self.events.clone(), self.core.notices.clone());
        self.effects.spawn(async move { (effect, world.perform(effect, job, events, notices).await) });
    }

    async fn effect_done(&mut self, done: Result<(EffectId, Result<EventKind, RunError>), JoinError>) -> Result<(), RunError> {
        let (_, event) = done.map_err(|error| RunError::Panicked(error.to_string()))?;
        let event = event?;
        self.landings -= usize::from(matches!(event, EventKind::LandingTried { .. }));
        self.tell(event).await.map(drop)
    }

    async fn request(&mut self, request: Request) -> Result<(), RunError> {
        match request {
            Request::Command(command) => self.command(command).await,
            Request::Snapshot(reply) => {
                // Who asked may have gone away.
                drop(reply.send(Snapshot::of(&self.core.state)));
                Ok(())
            }
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), RunError> {
        match command {
            Command::Mode(mode) => self.tell(EventKind::ModeAsked(mode)).await.map(drop),
            Command::Answer(answer) => self.tell(EventKind::Answered(answer)).await.map(drop),
            Command::Stop => {
                self.stop_everything().await;
                self.tell(EventKind::StopAsked).await.map(drop)
            }
        }
    }

    async fn read_inbox(&mut self) -> Result<(), RunError> {
        for (path, letter) in self.core.inbox.letters() {
            match letter {
                Ok(command) => self.command(command).await?,
                Err(why) => {
                    let warning = format!("{}: it is no command, and was thrown away: {why}", path.display());
                    drop(self.core.notices.send(Notice::Warning(warning)));
                }
            }
            Inbox::consumed(&path);
        }
        Ok(())
    }

    /// Begins a look at the real state; what it sees comes back as events. A look that takes longer than the heartbeat is
    /// not overtaken by another.
    fn look(&mut self) {
        let Some(mut lookout) = self.lookout.take() else { return };
        let (world, tip) = (Arc::clone(&self.core.world), self.core.state.tip());
        let remote = matches!(world.trusted.destination(), Destination::Remote { .. });
        let ask = !remote || self.asked_remote.elapsed() >= REMOTE;
        if ask {
            self.asked_remote = Instant::now();
        }
        self.looking.spawn(async move {
            let mut facts = Vec::new();
            if ask {
                // A remote that is away now is asked again later; landing says so if it matters.
                if let Ok(tip) = world.trusted.fetch_target().await {
                    facts.push(EventKind::TipSeen(tip));
                }
                if !remote && let Ok(checkout) = world.trusted.user().checkout(world.trusted.target()).await {
                    facts.push(EventKind::CheckoutSeen(checkout));
                }
            }
            let looked = tokio::task::spawn_blocking(move || {
                let looks = tip.and_then(|tip| lookout.look(tip).ok()).unwrap_or_default();
                (lookout, looks)
            });
            // The closure does not panic, and a runtime that shuts down takes this task with it.
            let (lookout, looks) = looked.await.expect("looking does not panic");
            Seen { lookout, looks, facts }
        });
    }

    async fn seen(&mut self, seen: Result<Seen, JoinError>) -> Result<(), RunError> {
        let Seen { lookout, looks, facts } = seen.map_err(|error| RunError::Panicked(error.to_string()))?;
        self.lookout = Some(lookout);
        for fact in facts {
            self.tell(fact).await?;
        }
        let turns: Vec<_> = {
            let turns = self.core.world.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.iter().map(|(effect, watch)| (*effect, Arc::clone(watch))).collect()
        };
        for (effect, watch) in turns {
            let look = looks.iter().find(|look| look.attempt == watch.attempt);
            if look.is_some_and(|look| look.changed) {
                watch.touch(|_| {});
            }
            let watched = watch.read();
            let event = EventKind::TurnSeen {
                effect,
                active: watched.active,
                tool_in_flight: !watched.tools.is_empty(),
                silence: watched.silence,
                head: look.and_then(|look| look.head),
                usage: watched.usage,
            };
            // The turn may have ended while we looked.
            if self.core.state.open_effects().contains_key(&effect) {
                self.tell(event).await?;
            }
        }
        drop(self.core.notices.send(Notice::Heartbeat { looks: Arc::new(looks) }));
        Ok(())
    }

    /// Stops all turns, lets a landing that is under way finish, and drops everything else: it is interrupted, and closed as
    /// such at the next start.
    async fn stop_everything(&mut self) {
        let turns: Vec<_> = {
            let turns = self.core.world.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.values().cloned().collect()
        };
        let grace = self.core.world.policy.limits.grace.to_std();
        let mut stops = JoinSet::new();
        for watch in turns {
            stops.spawn(async move { watch.control.stop(grace).await });
        }
        while stops.join_next().await.is_some() {}
        let deadline = Instant::now() + LANDING;
        while self.landings > 0 {
            match tokio::time::timeout_at(deadline, self.effects.join_next()).await {
                Ok(Some(done)) => {
                    if let Err(error) = self.effect_done(done).await {
                        tracing::warn!(%error, "what ended while the run was stopped could not be recorded");
                        break;
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.effects.shutdown().await;
        self.looking.shutdown().await;
        self.landings = 0;
        kill_marked(&self.core.world.mark, SURVIVORS).await;
    }
}
