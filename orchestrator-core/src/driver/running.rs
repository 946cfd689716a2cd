//! The run loop.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use tracing::Instrument as _;

use super::{
    Command, Inbox, Leftovers, Notice, Orchestrator, RunError,
    clock::{Clock, Reading, jump},
    discovery::Discovery,
    drift::Drift,
    effects::Sink,
    handle::Request,
    looking::{Checked, Question},
    marks::SURVIVORS,
    notify::Message,
    preflight::remarks_of,
    progress::Progress,
    step::LongStep,
    turn_watch::TurnWatch,
};
use crate::{
    git::{Destination, Look, Lookout},
    machine::{Active, State, Step, apply, decide, wake_at},
    model::{
        AttemptId, Checkout, CommitId, Effect, EffectId, EndReason, Event, EventKind, Record,
        Shift, Span, Timestamp, TurnOutcome, TurnSight,
    },
    port::{LedgerEntry, Sequence},
    process::sweep_marked,
    status::Snapshot,
};

/// How often the inbox is looked into.
const INBOX: Duration = Duration::from_millis(200);
/// How long a look at the target that is under way is waited for when a run ends.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long a stopped run waits for a landing that is under way.
const LANDING: Duration = Duration::from_secs(60);
/// How much longer than its grace and the fight against survivors the stopping of a turn may take.
const STOPPED: Duration = Duration::from_secs(2);
/// How long the end of a run waits for what should be over at once.
const BRIEFLY: Duration = Duration::from_secs(20);
/// How long it waits for the commands that tell a person something: longer than each of them may take.
const TELLING: Duration = Duration::from_secs(60);

/// Of so many heartbeats, one takes a full look: it asks a remote for its tip, and looks at what workers touch, which costs
/// a process for each of them.
const FULL_LOOK: u32 = 4;

/// A run under way.
pub(super) struct Running {
    core: Orchestrator,
    clock: Clock,
    effects: JoinSet<(EffectId, Result<EventKind, RunError>)>,
    /// How many of the effects are landings, which are waited for.
    landings: usize,
    /// What turns tell while they run.
    events: (mpsc::Sender<EventKind>, mpsc::Receiver<EventKind>),
    /// Away while a look is under way.
    lookout: Option<Lookout>,
    looking: JoinSet<Seen>,
    /// What may take longer, and is never waited for; one at a time.
    checking: JoinSet<Checked>,
    /// Which workspaces full looks found to be unreadable since the last look.
    unreadable: Vec<(AttemptId, bool)>,
    /// Commands that tell a person something.
    telling: JoinSet<()>,
    looks: u32,
    drift: Drift,
    discovery: Discovery,
    decided: Decided,
    /// What the end of the run no longer waits for.
    abandoned: Vec<String>,
}

/// What was decided, and the ledger has not yet.
#[derive(Default)]
struct Decided {
    records: Vec<Record>,
    /// Effects that are to be performed.
    due: Vec<(EffectId, Effect)>,
    /// What a person is told of a record, by its place among them.
    messages: Vec<(usize, Message)>,
}

/// What one heartbeat saw.
struct Seen {
    lookout: Lookout,
    looks: Vec<Look>,
}

impl Running {
    pub(super) fn new(core: Orchestrator) -> Self {
        let lookout = Lookout::new(
            core.world.host.workspaces.clone(),
            core.world.lane.trusted.objects().clone(),
        );
        let discovery = Discovery::since(core.silent_since);
        let clock = Clock::new(&core.world.state_dir);
        Self {
            core,
            clock,
            effects: JoinSet::new(),
            landings: 0,
            events: mpsc::channel(256),
            lookout: Some(lookout),
            looking: JoinSet::new(),
            checking: JoinSet::new(),
            unreadable: Vec::new(),
            telling: JoinSet::new(),
            looks: 0,
            drift: Drift::default(),
            discovery,
            decided: Decided::default(),
            abandoned: Vec::new(),
        }
    }

    pub(super) fn core(&self) -> &Orchestrator {
        &self.core
    }

    /// What is left when it is over: the state, what is no longer waited for, and what the run has left on the disk.
    pub(super) fn into_parts(self) -> (State, Vec<String>, Leftovers) {
        let Orchestrator {
            world,
            state,
            locks,
            ..
        } = self.core;
        let (host, lane) = (&world.host, world.lane.directory.clone());
        let leftovers = Leftovers::of(&host.sweeper, lane, host.workspaces.clone(), locks);
        (state, self.abandoned, leftovers)
    }

    /// Goes on until there is a reason to end.
    pub(super) async fn go(
        &mut self,
        first: EventKind,
        checkout: Checkout,
    ) -> Result<EndReason, RunError> {
        self.tell(first)?;
        self.tell_setback()?;
        self.tell(EventKind::CheckoutSeen(checkout))?;
        let remarks = remarks_of(&self.core.warnings);
        self.tell(EventKind::RemarksSeen(remarks))?;
        // What was answered while nobody ran counts before it is decided that only a person can bring the run on.
        self.read_inbox().await?;
        self.settle().await?;
        let every = |period: Duration| {
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let limits = &self.core.world.policy.limits;
        // A stall is seen at a heartbeat: one that is to be noticed earlier needs more of them.
        let period = limits
            .stall
            .map_or(limits.heartbeat, |stall| stall.min(limits.heartbeat));
        if let Some(away) = self.discovery.taken_up(self.clock.wall()) {
            drop(self.core.notices.send(away));
        }
        self.tell_gap(period)?;
        let (mut heartbeat, mut inbox) = (every(period.to_std()), every(INBOX));
        loop {
            if let Some(reason) = self.core.state.ended() {
                self.remark_anew().await?;
                // Each has a deadline of its own.
                let told = async { while self.telling.join_next().await.is_some() {} };
                if tokio::time::timeout(TELLING, told).await.is_err() {
                    self.abandon("the command that tells a person how the run ended");
                }
                return Ok(reason);
            }
            let at = self.read_clock()?;
            let wake = wake_at(&self.core.state, &self.core.world.policy, at)
                .map(|due| due.since(at).to_std());
            tokio::select! {
                Some(done) = self.effects.join_next() => self.effect_done(done)?,
                Some(event) = self.events.1.recv() => drop(self.tell(event)?),
                Some(request) = self.core.requests.1.recv() => self.request(request).await?,
                Some(seen) = self.looking.join_next() => self.seen(seen).await?,
                Some(checked) = self.checking.join_next() => self.checked(checked).await?,
                Some(_) = self.telling.join_next() => {}
                _ = heartbeat.tick() => {
                    self.tell_gap(period)?;
                    self.look()?;
                }
                _ = inbox.tick() => self.read_inbox().await?,
                () = tokio::time::sleep(wake.unwrap_or_default() + Duration::from_millis(1)), if wake.is_some() => {}
            }
            // What else has been done by now goes into the ledger at the same stroke.
            while let Some(done) = self.effects.try_join_next() {
                self.effect_done(done)?;
            }
            self.settle().await?;
        }
    }

    /// Whoever hears how it ended hears as well what a person has by now that was no part of it.
    async fn remark_anew(&mut self) -> Result<(), RunError> {
        let Some(tip) = self.core.state.tip() else {
            return Ok(());
        };
        let world = Arc::clone(&self.core.world);
        if let Some(remarks) = world.remarks(tip).await {
            self.tell(EventKind::RemarksSeen(remarks))?;
        }
        self.perform().await
    }

    /// Tells the machine. What it decides is applied at once, so that what follows from that can be decided as well; but nobody hears of
    /// it, and nothing is performed, before the ledger has it. Whether anything was decided.
    fn tell(&mut self, kind: EventKind) -> Result<bool, RunError> {
        let at = self.read_clock()?;
        self.tell_at(at, kind)
    }

    /// What the clock shows. A jump of it is told before anything that happened since: what is judged by the time is judged by time
    /// awake.
    fn read_clock(&mut self) -> Result<Timestamp, RunError> {
        let Reading { at, jump } = self.clock.read();
        let Some(jump) = jump else { return Ok(at) };
        tracing::warn!(by = %jump.by, asleep = ?jump.asleep, "the clock jumped");
        self.discovery.jumped();
        for (_, watch) in self.turns() {
            watch.slept(jump.asleep);
        }
        if self.core.state.run().is_some() {
            self.tell_at(at, EventKind::ClockJumped { by: jump.by })?;
        }
        Ok(at)
    }

    /// The ledger was last written at a time that is still to come: the clock was set back while nobody ran.
    fn tell_setback(&mut self) -> Result<(), RunError> {
        let at = self.read_clock()?;
        let written = self.core.written.filter(|written| *written > at);
        if let Some(jump) = written.and_then(|written| jump(written, at, Duration::ZERO)) {
            self.tell_at(at, EventKind::ClockJumped { by: jump.by })?;
        }
        Ok(())
    }

    fn tell_at(&mut self, at: Timestamp, kind: EventKind) -> Result<bool, RunError> {
        let core = &mut self.core;
        let records = decide(&core.state, Event { at, kind }, &core.world.policy)?;
        for (record, index) in records.iter().zip(self.decided.records.len()..) {
            apply(&mut core.state, record)?;
            if let Record::Requested { effect, what, .. } = record {
                self.decided.due.push((*effect, what.clone()));
            }
            if !core.world.policy.notify.run.is_empty()
                && let Some(message) = Message::of(record, &core.state)
            {
                self.decided.messages.push((index, message));
            }
        }
        let told = !records.is_empty();
        self.decided.records.extend(records);
        Ok(told)
    }

    /// Ticks until nothing more is due, and does what was decided.
    async fn settle(&mut self) -> Result<(), RunError> {
        while self.tell(EventKind::Tick)? {}
        self.perform().await
    }

    /// Performs what was asked for, now that the ledger has it (law 2).
    async fn perform(&mut self) -> Result<(), RunError> {
        for (effect, what) in self.record().await? {
            self.start(effect, what);
        }
        Ok(())
    }

    /// Appends all that was decided, an event and what follows from it at one stroke, and says so; what is now to be performed.
    async fn record(&mut self) -> Result<Vec<(EffectId, Effect)>, RunError> {
        if self.decided.records.is_empty() {
            return Ok(Vec::new());
        }
        let (core, at) = (&mut self.core, self.clock.wall());
        let records = &self.decided.records;
        let first = core.recorder.append(at, records, &core.notices).await?;
        let Decided {
            records,
            due,
            messages,
        } = std::mem::take(&mut self.decided);
        for (record, number) in records.into_iter().zip(first.0..) {
            drop(core.notices.send(Notice::Recorded(Arc::new(LedgerEntry {
                sequence: Sequence(number),
                at,
                record,
            }))));
            tracing::debug!(sequence = number, "recorded");
        }
        for (index, message) in messages {
            self.telling.spawn(Arc::clone(&core.world).tell_person(
                message,
                first.0 + index as u64,
                core.notices.clone(),
            ));
        }
        Ok(due)
    }

    /// Begins an effect beside the loop.
    fn start(&mut self, effect: EffectId, what: Effect) {
        self.landings += usize::from(matches!(what, Effect::Land { .. }));
        let world = Arc::clone(&self.core.world);
        let sink = Sink {
            effect,
            events: self.events.0.clone(),
            notices: self.core.notices.clone(),
        };
        let span = match what.attempt() {
            Some(attempt) => {
                tracing::info_span!("attempt", task = %attempt.task, attempt = attempt.number)
            }
            None => tracing::Span::current(),
        };
        self.effects
            .spawn(async move { (effect, world.perform(what, sink).await) }.instrument(span));
    }

    fn effect_done(
        &mut self,
        done: Result<(EffectId, Result<EventKind, RunError>), JoinError>,
    ) -> Result<(), RunError> {
        let (_, event) = done.map_err(|error| RunError::Panicked(error.to_string()))?;
        let event = event?;
        // What a turn told before it ended comes before its end.
        while let Ok(before) = self.events.1.try_recv() {
            self.tell(before)?;
        }
        self.landings -= usize::from(matches!(event, EventKind::LandingTried { .. }));
        if let EventKind::Reported {
            failure: Some(why), ..
        } = &event
        {
            let warning =
                format!("the source of the roadmap could not be told how a task ended: {why}");
            drop(self.core.notices.send(Notice::Warning(warning)));
        }
        if let EventKind::GateRan { effect, report } = &event
            && !report.passed()
            && self
                .core
                .state
                .open_effects()
                .get(effect)
                .is_some_and(Effect::is_gate_on_tip)
        {
            let warning = format!(
                "gate {} fails on the target by itself ({}): nothing lands until it passes there",
                report.gate.name, report.outcome
            );
            drop(self.core.notices.send(Notice::Warning(warning)));
        }
        self.tell(event).map(drop)
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
            Command::Mode(mode) => self.tell(EventKind::ModeAsked(mode)).map(drop),
            Command::Answer(answer) => self.tell(EventKind::Answered(answer)).map(drop),
            Command::Stop => {
                let progress = Progress::of(&self.core.notices, None);
                progress
                    .during(LongStep::Stop, self.stop_everything())
                    .await;
                self.tell(EventKind::StopAsked).map(drop)
            }
        }
    }

    fn tell_gap(&mut self, period: Span) -> Result<(), RunError> {
        self.read_clock()?;
        if let Some(gap) = self.discovery.gap(self.clock.wall(), period) {
            drop(self.core.notices.send(gap));
        }
        Ok(())
    }

    async fn read_inbox(&mut self) -> Result<(), RunError> {
        let letters = self.core.inbox.letters();
        let mut read = Vec::with_capacity(letters.len());
        for (path, letter) in letters {
            match letter {
                Ok(command) => self.command(command).await?,
                Err(why) => {
                    let warning = format!(
                        "{}: it is no command, and was thrown away: {why}",
                        path.display()
                    );
                    drop(self.core.notices.send(Notice::Warning(warning)));
                }
            }
            read.push(path);
        }
        // Once the ledger has what they say.
        self.perform().await?;
        read.iter().for_each(|path| Inbox::consumed(path));
        Ok(())
    }

    /// The turns that run, each with its effect.
    fn turns(&self) -> Vec<(EffectId, Arc<TurnWatch>)> {
        let turns = self
            .core
            .world
            .host
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        turns
            .iter()
            .map(|(effect, watch)| (*effect, Arc::clone(watch)))
            .collect()
    }

    /// Begins a look at the real state; what it sees comes back as events. A look that takes longer than the heartbeat is
    /// not overtaken by another; that turns go on, or do not, is seen all the same.
    fn look(&mut self) -> Result<(), RunError> {
        self.looks = self.looks.wrapping_add(1);
        self.check(self.looks.is_multiple_of(FULL_LOOK));
        let Some(mut lookout) = self.lookout.take() else {
            return self.turns_seen(&[]);
        };
        let unreadable = std::mem::take(&mut self.unreadable);
        self.looking.spawn_blocking(move || {
            let looks = lookout.look().unwrap_or_default();
            // Of those that were looked at now.
            for (attempt, unreadable) in unreadable {
                lookout.looked_whole(&attempt, unreadable);
            }
            Seen { lookout, looks }
        });
        Ok(())
    }

    /// Begins to look at what git and a remote are to be asked for.
    fn check(&mut self, full: bool) {
        if !self.checking.is_empty() {
            return;
        }
        let world = Arc::clone(&self.core.world);
        let remote = matches!(world.lane.trusted.destination(), Destination::Remote { .. });
        // While we land ourselves, target and checkout are on their way.
        let ask = self.landings == 0 && (!remote || full);
        let workers = if full { self.workers() } else { Vec::new() };
        let question = Question {
            tip: self.core.state.tip(),
            ask,
            workers,
        };
        self.checking
            .spawn(async move { world.check(question).await });
    }

    /// The attempts in which an agent works, with their bases, if there is another that it could get in the way of.
    fn workers(&self) -> Vec<(AttemptId, CommitId)> {
        let open = self
            .core
            .state
            .tasks()
            .iter()
            .filter_map(|entry| entry.active());
        let open: Vec<_> = open.collect();
        let works = |active: &&Active| matches!(active.step, Step::Working(_));
        let workers = open
            .iter()
            .copied()
            .filter(works)
            .map(|active| (active.attempt.id.clone(), active.attempt.base));
        if open.len() > 1 {
            workers.collect()
        } else {
            Vec::new()
        }
    }

    async fn checked(&mut self, checked: Result<Checked, JoinError>) -> Result<(), RunError> {
        let Checked {
            tip,
            facts,
            touched,
            unreadable,
        } = checked.map_err(|error| RunError::Panicked(error.to_string()))?;
        // What was seen before a landing of ours says nothing about the world after it.
        if self.landings == 0 && self.core.state.tip() == tip {
            for fact in facts {
                self.tell(fact)?;
            }
        }
        self.unreadable = unreadable;
        self.perform().await?;
        for notice in self.drift.notices(&self.core.state, &touched) {
            drop(self.core.notices.send(notice));
        }
        Ok(())
    }

    async fn seen(&mut self, seen: Result<Seen, JoinError>) -> Result<(), RunError> {
        let Seen { lookout, looks } =
            seen.map_err(|error| RunError::Panicked(error.to_string()))?;
        self.lookout = Some(lookout);
        self.turns_seen(&looks)?;
        self.perform().await?;
        for notice in self.discovery.observed(&self.core.state, &looks) {
            drop(self.core.notices.send(notice));
        }
        drop(self.core.notices.send(Notice::Heartbeat {
            looks: Arc::new(looks),
        }));
        Ok(())
    }

    /// Tells of each turn whether it goes on, with what a look saw of its workspace, if it saw it.
    fn turns_seen(&mut self, looks: &[Look]) -> Result<(), RunError> {
        let by_attempt: HashMap<_, _> = looks.iter().map(|look| (&look.attempt, look)).collect();
        for (effect, watch) in self.turns() {
            let look = by_attempt.get(&watch.attempt);
            if look.is_some_and(|look| look.changed) {
                watch.touch(|_| {});
            }
            let at = self.read_clock()?;
            let watched = watch.read();
            let silent = i64::try_from(watched.active.elapsed().as_millis()).unwrap_or(i64::MAX);
            let seen = TurnSight {
                active: at.moved(Shift(-silent)),
                tool_in_flight: !watched.tools.is_empty(),
                silence: watched.silence,
                alive: watch.control.is_alive(),
                head: look.and_then(|look| look.head),
                usage: watched.usage.known(),
            };
            // The turn may have ended while we looked.
            if self.core.state.open_effects().contains_key(&effect) {
                self.tell_at(at, EventKind::TurnSeen { effect, seen })?;
            }
        }
        Ok(())
    }

    /// Stops all turns, lets a landing that is under way finish, and drops everything else: it is interrupted, and closed as
    /// such at the next start. Nothing is waited for without a bound.
    pub(super) async fn stop_everything(&mut self) {
        let stopped = self.stop_turns().await;
        self.finish_turns(stopped).await;
        self.finish_landings().await;
        self.record_last().await;
        let ended = async {
            // A fetch that is cut off leaves a lock, which only the next start removes.
            let checked = async { while self.checking.join_next().await.is_some() {} };
            drop(tokio::time::timeout(LAST_LOOK, checked).await);
            tokio::join!(
                self.effects.shutdown(),
                self.looking.shutdown(),
                self.checking.shutdown(),
                self.telling.shutdown()
            );
        };
        if tokio::time::timeout(BRIEFLY, ended).await.is_err() {
            self.abandon("what was being done beside the run, and was told to end");
        }
        self.landings = 0;
        // Their effects are gone, and nobody stops them a second time.
        self.core
            .world
            .host
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let swept = sweep_marked(&self.core.world.mark, SURVIVORS).await;
        if swept.left > 0 {
            self.abandon(format!(
                "{} processes that were killed and have not ended",
                swept.left
            ));
        }
    }

    /// Appends what was decided last, of which nothing is begun any more: what was asked for is interrupted as well. A ledger that
    /// was given up is not asked again.
    async fn record_last(&mut self) {
        if self.core.recorder.is_lost() {
            return;
        }
        match tokio::time::timeout(BRIEFLY, self.record()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was decided while the run was stopped could not be recorded");
            }
            Err(_) => self.abandon("the ledger, which did not take what was decided last"),
        }
    }

    /// Names something that the end of the run no longer waits for.
    fn abandon(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(what, "is no longer waited for");
        self.abandoned.push(what);
    }

    /// Stops the turns that run; those that have stopped. A backend of somebody else may never come
    /// back.
    async fn stop_turns(&mut self) -> BTreeSet<EffectId> {
        let grace = self.core.world.policy.limits.grace.to_std();
        let mut left = BTreeMap::new();
        let mut stops = JoinSet::new();
        for (effect, watch) in self.turns() {
            left.insert(effect, watch.attempt.clone());
            stops.spawn(async move {
                watch.control.stop(grace).await;
                effect
            });
        }
        let mut ended = BTreeSet::new();
        let deadline = Instant::now() + grace + SURVIVORS + STOPPED;
        while let Ok(Some(stopped)) = tokio::time::timeout_at(deadline, stops.join_next()).await {
            if let Ok(effect) = stopped {
                left.remove(&effect);
                ended.insert(effect);
            }
        }
        for attempt in left.into_values() {
            self.abandon(format!("the agent of {attempt}, which was told to stop"));
        }
        ended
    }

    /// Takes the ends of the turns that were stopped, since they say what the turns used.
    async fn finish_turns(&mut self, mut stopped: BTreeSet<EffectId>) {
        let deadline = Instant::now() + STOPPED;
        while !stopped.is_empty() {
            match self.last_end(deadline).await {
                LastEnd::Of(effect) => drop(stopped.remove(&effect)),
                LastEnd::NoMore | LastEnd::TooLate => break,
            }
        }
    }

    async fn finish_landings(&mut self) {
        let deadline = Instant::now() + LANDING;
        while self.landings > 0 {
            match self.last_end(deadline).await {
                LastEnd::Of(_) => {}
                LastEnd::NoMore => break,
                LastEnd::TooLate => {
                    self.abandon("a landing that is under way");
                    break;
                }
            }
        }
    }

    /// Takes the next end of an effect while the run is stopped.
    async fn last_end(&mut self, deadline: Instant) -> LastEnd {
        let done = match tokio::time::timeout_at(deadline, self.effects.join_next()).await {
            Ok(Some(done)) => done.map(interrupted_by_us),
            Ok(None) => return LastEnd::NoMore,
            Err(_) => return LastEnd::TooLate,
        };
        let effect = done.as_ref().map(|(effect, _)| *effect).ok();
        if let Err(error) = self.effect_done(done) {
            tracing::warn!(%error, "an end could not be told while the run was stopped");
            return LastEnd::NoMore;
        }
        effect.map_or(LastEnd::NoMore, LastEnd::Of)
    }
}

/// What came of waiting for the end of an effect while the run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastEnd {
    /// It was told.
    Of(EffectId),
    /// No other end can be told.
    NoMore,
    /// None came in time.
    TooLate,
}

/// A turn that the end of the run has stopped was interrupted: its session goes on in the next run.
fn interrupted_by_us(
    (effect, mut event): (EffectId, Result<EventKind, RunError>),
) -> (EffectId, Result<EventKind, RunError>) {
    if let Ok(EventKind::TurnEnded { outcome, .. }) = &mut event
        && *outcome == TurnOutcome::Stopped
    {
        *outcome = TurnOutcome::Interrupted;
    }
    (effect, event)
}
