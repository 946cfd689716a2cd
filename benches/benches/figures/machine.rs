//! What the pure core and the ledger cost.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use benches::{Rounds, floor, line, median, side_by_side, time};
use orchestrator_core::{
    machine::{State, apply, decide, replay},
    model::{Event, EventKind, Policy, Record, Task, Timestamp},
    port::{Ledger as _, Sequence},
    store::FileLedger,
};
use orchestrator_testkit::simulator::{World, commit, policy, task};
use tokio::runtime::Runtime;

const RUNNING: u32 = 200;

/// A task that may change two places of its own.
fn tasks(count: u32) -> Vec<Task> {
    let one = |number| {
        let keys = format!("allow = [\"area{}/part{number}/**\", \"docs/**/part{number}.md\"]", number % 50);
        task(&format!("T{number}"), &keys)
    };
    (0..count).map(one).collect()
}

fn sessions(count: u32) -> Policy {
    policy(&format!("max_sessions = {count}"))
}

/// Which task comes next, when a session has become free, beside a comparison of every waiting task's patterns with every running one's.
pub(crate) fn dispatch(_: &Runtime) {
    for waiting in [100, 1_000, 10_000] {
        let world = World::with_tasks(sessions(RUNNING), tasks(waiting + RUNNING));
        let (one_more, at) = (sessions(RUNNING + 1), Timestamp(world.now + 1));
        let dispatched = |records: &[Record]| records.iter().filter(|record| matches!(record, Record::Dispatched { .. })).count();
        let ours = || {
            time(|| {
                let records = decide(&world.state, Event { at, kind: EventKind::Tick }, &one_more).expect("is legal");
                assert_eq!(dispatched(&records), 1);
            })
        };
        let (running, rest) = world.tasks.split_at(RUNNING as usize);
        let allowed = |task: &Task| task.keys.allow.clone().unwrap_or_default();
        let (running, rest): (Vec<_>, Vec<_>) = (running.iter().map(allowed).collect(), rest.iter().map(allowed).collect());
        let rival = || {
            time(|| {
                let meet = |one: &Vec<_>, other: &Vec<_>| {
                    one.iter().any(|pattern: &orchestrator_core::model::Pattern| other.iter().any(|other| pattern.overlaps(other)))
                };
                assert!(!rest.iter().any(|one| running.iter().any(|other| meet(one, other))));
            })
        };
        // Each with each takes its time.
        let (ours, rival) = side_by_side(Rounds::from_arguments(3, 1), ours, rival);
        line(&format!("dispatch, {waiting} waiting, {RUNNING} running"), ours, "patterns, each with each", rival);
    }
}

/// All that happens to two hundred tasks that run at once, from their dispatch to their end: each event decided and applied.
pub(crate) fn transitions(_: &Runtime) {
    let (events, policy) = (events(RUNNING), sessions(RUNNING));
    let fold = || {
        let mut state = State::default();
        let (began, mut decided) = (Instant::now(), 0);
        for event in &events {
            let records = decide(&state, event.clone(), &policy).expect("is legal");
            decided += records.len();
            records.iter().for_each(|record| apply(&mut state, record).expect("fits"));
        }
        assert!(decided > events.len());
        began.elapsed()
    };
    let took = median((0..Rounds::from_arguments(11, 1).0).map(|_| fold()).collect());
    let each = took / u32::try_from(events.len()).expect("a few thousand");
    floor(&format!("machine, each of {} events, {RUNNING} running", events.len()), each, Duration::from_micros(1));
}

/// Everything that is told to the machine until so many tasks have landed.
fn events(count: u32) -> Vec<Event> {
    let mut told = Vec::new();
    let mut world = World::new(sessions(count));
    // Before it is read for the first time, it is what it will be.
    world.tasks = tasks(count);
    let mut tell = |world: &mut World, kind: EventKind| {
        let records = world.tell(kind.clone());
        told.push(Event { at: Timestamp(world.now), kind });
        !records.is_empty()
    };
    let mut opening = World::new(sessions(count));
    opening.open(false);
    let opened = opening.ledger.into_iter().find_map(|record| match record {
        Record::RunOpened { opened, .. } => Some(opened),
        _ => None,
    });
    tell(&mut world, EventKind::Opened(opened.expect("it was opened")));
    loop {
        while tell(&mut world, EventKind::Tick) {}
        let Some((effect, what)) = world.open_effects().into_iter().next() else { break };
        let kind = world.good(effect, &what);
        tell(&mut world, kind);
    }
    assert!(world.state.ended().is_some());
    told
}

/// A durable append beside the same bytes written and synced, and a fold of a hundred thousand records beside the bare reading of the file.
pub(crate) fn ledger(runtime: &Runtime) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let world = World::with_tasks(sessions(RUNNING), tasks(RUNNING));
    let running = world.ledger.iter().filter_map(|record| match record {
        Record::Dispatched { attempt, .. } => Some(attempt.clone()),
        _ => None,
    });
    let running: Vec<_> = running.collect();
    let moved = |number: usize| Record::HeadSeen { attempt: running[number % running.len()].clone(), head: commit(number as u64) };
    let place = directory.path().join("ledger");
    let ledger = FileLedger::new(place.clone());
    let open = runtime.block_on(ledger.open()).expect("opens");
    let at = Timestamp(1);
    let mut next = runtime.block_on(ledger.append(open.epoch, open.next, at, &world.ledger)).expect("appends");
    let size = || place.metadata().expect("is there").len();
    let before = size();
    let mut number = 0;
    let append = || {
        number += 1;
        let record = [moved(number)];
        time(|| next = runtime.block_on(ledger.append(open.epoch, next, at, &record)).expect("appends"))
    };
    let bytes = vec![b'x'; 200];
    let mut raw = File::create(directory.path().join("raw")).expect("is made");
    let write = || {
        time(|| {
            raw.write_all(&bytes).expect("writes");
            raw.sync_data().expect("syncs");
        })
    };
    let (ours, rival) = side_by_side(Rounds::from_arguments(201, 5), append, write);
    line("ledger, one durable append", ours, "200 bytes written and synced", rival);
    assert!(size() > before);

    let rest: Vec<_> = (0..100_000 - world.ledger.len()).map(moved).collect();
    next =
        rest.chunks(1000).fold(next, |next, chunk| runtime.block_on(ledger.append(open.epoch, next, at, chunk)).expect("appends"));
    assert!(next.0 > 100_000);
    let fold = || {
        time(|| {
            let entries = runtime.block_on(ledger.read(Sequence(1), usize::MAX)).expect("reads");
            assert!(replay(entries.iter().map(|entry| &entry.record)).is_ok());
        })
    };
    let bare = || time(|| assert!(std::fs::read(&place).expect("reads").len() > 1_000_000));
    let (ours, rival) = side_by_side(Rounds::from_arguments(11, 1), fold, bare);
    line("ledger, 100,000 records read and folded", ours, "the bare reading of the file", rival);
}
