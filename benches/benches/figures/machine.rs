//! What the pure core and the ledger cost.

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use benches::{floor, line, median, side_by_side, sized, time};
use orchestrator_core::{
    driver::fold_ledger,
    machine::{State, apply, decide},
    model::{
        ContentHash, Effect, EffectId, Event, EventKind, Pattern, Policy, Record, Task, Timestamp,
    },
    port::Ledger as _,
    store::FileLedger,
};
use orchestrator_testkit::simulator::{World, commit, policy, task};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{VALUES, two_at_a_time};

const RUNNING: u32 = 200;

/// Records in a line of the ledger: in those of the example `one_night`, which is a test, 3.1.
const BATCH: usize = 3;
/// The bytes before a line's JSON: a hash and a blank.
const HASH: usize = 65;

/// A task that may change two places of its own.
fn tasks(count: u32) -> Vec<Task> {
    let one = |number| {
        let keys = format!(
            "allow = [\"area{}/part{number}/**\", \"docs/**/part{number}.md\"]",
            number % 50
        );
        task(&format!("T{number}"), &keys)
    };
    (0..count).map(one).collect()
}

fn sessions(count: u32) -> Policy {
    policy(&format!("max_sessions = {count}"))
}

/// Which task comes next, when a session has become free, beside a comparison of every waiting task's patterns with every
/// running one's: where the first that waits can begin, and where only the last can, since all others wait for somebody.
pub(crate) fn dispatch(_: &Runtime) {
    let sizes: &[u32] = sized(&[100, 1_000, 10_000], &[100, 1_000]);
    for (waiting, free) in sizes
        .iter()
        .flat_map(|waiting| [(*waiting, true), (*waiting, false)])
    {
        let mut all = tasks(waiting + RUNNING);
        if !free {
            let last = all.len() - 1;
            for (number, task) in all[..last].iter_mut().enumerate().skip(RUNNING as usize) {
                let other = number % RUNNING as usize;
                let taken = [
                    format!("crate{number}/**"),
                    format!("docs/guide/part{other}.md"),
                ];
                task.keys.allow = Some(
                    taken
                        .iter()
                        .map(|pattern| pattern.parse().expect("a pattern"))
                        .collect(),
                );
            }
        }
        let world = World::with_tasks(sessions(RUNNING), all);
        let (one_more, at) = (sessions(RUNNING + 1), Timestamp(world.now + 1));
        let expected = &world.tasks[if free {
            RUNNING as usize
        } else {
            world.tasks.len() - 1
        }]
        .id;
        let ours = || {
            time(|| {
                let records = decide(
                    &world.state,
                    Event {
                        at,
                        kind: EventKind::Tick,
                    },
                    &one_more,
                )
                .expect("is legal");
                assert!(
                    matches!(&records[..], [Record::Dispatched { attempt, .. }] if attempt.task == *expected)
                );
            })
        };
        let (running, rest) = world.tasks.split_at(RUNNING as usize);
        let allowed = |task: &Task| task.keys.allow.clone().unwrap_or_default();
        let (running, rest): (Vec<_>, Vec<_>) = (
            running.iter().map(allowed).collect(),
            rest.iter().map(allowed).collect(),
        );
        let rival = || {
            time(|| {
                let meet = |one: &Vec<Pattern>, other: &Vec<Pattern>| {
                    one.iter()
                        .any(|pattern| other.iter().any(|other| pattern.overlaps(other)))
                };
                let fits = |one: &&Vec<Pattern>| !running.iter().any(|other| meet(one, other));
                assert_eq!(
                    rest.iter().filter(fits).count(),
                    if free { rest.len() } else { 1 }
                );
            })
        };
        let (ours, rival) = side_by_side(sized(21, 1), ours, rival);
        let which = if free {
            "the first can begin"
        } else {
            "only the last can"
        };
        line(
            &format!("dispatch, {waiting} waiting, {RUNNING} running, {which}"),
            ours,
            "patterns, each with each",
            rival,
        );
    }
}

/// All that happens to tasks that land one after another while two hundred others are at work: each event decided and applied.
pub(crate) fn transitions(_: &Runtime) {
    let policy = sessions(RUNNING + 1);
    let (state, way) = way(&policy, sized(100, 5));
    let is_reading = |event: &&Event| matches!(event.kind, EventKind::RoadmapRead { .. });
    let fold = |of_reading: bool| {
        let mut state = state.clone();
        let (mut took, mut decided) = (Duration::ZERO, 0);
        for event in way.clone() {
            let counts = is_reading(&&event) == of_reading;
            let began = Instant::now();
            let records = decide(&state, event, &policy).expect("is legal");
            decided += records.len();
            records
                .iter()
                .for_each(|record| apply(&mut state, record).expect("fits"));
            drop(records);
            took += if counts {
                began.elapsed()
            } else {
                Duration::ZERO
            };
        }
        assert!(decided > way.len());
        took
    };
    for (of_reading, what) in [
        (false, "machine, an event of a task"),
        (true, "machine, the roadmap read again"),
    ] {
        let events = way
            .iter()
            .filter(|event| is_reading(event) == of_reading)
            .count();
        let took = median((0..sized(101, 3)).map(|_| fold(of_reading)).collect());
        let each = took / u32::try_from(events).expect("a few thousand");
        floor(
            &format!("{what}, {RUNNING} running"),
            each,
            Duration::from_micros(1),
        );
    }
}

/// Two hundred at work, and everything that is told to the machine from there until so many others have landed.
fn way(policy: &Policy, landing: u32) -> (State, Vec<Event>) {
    let mut world = World::with_tasks(policy.clone(), tasks(RUNNING + landing));
    // All but the last are at work.
    for _ in 0..RUNNING {
        let next = world
            .open_effects()
            .into_iter()
            .find(|(_, what)| matches!(what, Effect::Prepare { .. }));
        let (effect, what) = next.expect("is prepared");
        let kind = world.good(effect, &what);
        world.tell(kind);
        world.tick();
    }
    let (state, working) = (world.state.clone(), world.open_effects());
    let works = |effect: &EffectId| {
        working
            .iter()
            .any(|(other, what)| other == effect && matches!(what, Effect::RunTurn { .. }))
    };
    let mut told = Vec::new();
    loop {
        let mut tell = |world: &mut World, kind: EventKind| {
            told.push(Event {
                at: Timestamp(world.now),
                kind: kind.clone(),
            });
            !world.tell(kind).is_empty()
        };
        while tell(&mut world, EventKind::Tick) {}
        let Some((effect, what)) = world
            .open_effects()
            .into_iter()
            .find(|(effect, _)| !works(effect))
        else {
            break;
        };
        let kind = world.good(effect, &what);
        tell(&mut world, kind);
    }
    assert_eq!(
        world
            .state
            .tasks()
            .iter()
            .filter(|entry| entry.has_landed())
            .count(),
        landing as usize
    );
    (state, told)
}

/// A durable append beside the same bytes written and synced, and a fold of a hundred thousand records beside the reading of the file.
pub(crate) fn ledger(runtime: &Runtime) {
    // The file is on a disk, where syncing means something.
    let directory =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let world = World::with_tasks(sessions(RUNNING), tasks(RUNNING));
    let running = world.ledger.iter().filter_map(|record| match record {
        Record::Dispatched { attempt, .. } => Some(attempt.clone()),
        _ => None,
    });
    let running: Vec<_> = running.collect();
    let moved = |number: usize| Record::HeadSeen {
        attempt: running[number % running.len()].clone(),
        head: commit(number as u64),
    };
    let place = directory.path().join("ledger");
    let ledger = FileLedger::new(place.clone());
    let open = runtime.block_on(ledger.open()).expect("opens");
    let at = Timestamp(1);
    let mut next = runtime
        .block_on(ledger.append(open.epoch, open.next, at, &world.ledger))
        .expect("appends");
    let size = || place.metadata().expect("is there").len();
    let before = size();
    let mut number = 0;
    let append = || {
        number += 1;
        let record = [moved(number)];
        time(|| {
            next = runtime
                .block_on(ledger.append(open.epoch, next, at, &record))
                .expect("appends");
        })
    };
    let bytes = vec![b'x'; 200];
    let mut raw = File::create(directory.path().join("raw")).expect("is made");
    let write = || {
        time(|| {
            raw.write_all(&bytes).expect("writes");
            raw.sync_data().expect("syncs");
        })
    };
    let (ours, rival) = side_by_side(sized(201, 5), append, write);
    line(
        "ledger, one durable append",
        ours,
        "200 bytes written and synced",
        rival,
    );
    assert!(size() > before);

    let count = sized(100_000, 2_000);
    let short: Vec<_> = world
        .ledger
        .iter()
        .cloned()
        .chain((0..count - world.ledger.len()).map(moved))
        .collect();
    for (records, what) in [
        (short, "short records"),
        (long_run(count), "records of a run"),
    ] {
        replay(runtime, &records, what);
    }
}

/// A ledger of three records a line, as a run writes them, checked, read and folded; it is in memory, where there is such a place,
/// since it is written to so often.
fn replay(runtime: &Runtime, records: &[Record], what: &str) {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let place = directory
        .as_ref()
        .expect("a temporary directory")
        .path()
        .join("ledger");
    let ledger = FileLedger::new(place.clone());
    let open = runtime.block_on(ledger.open()).expect("opens");
    let write = async {
        let mut next = open.next;
        for batch in records.chunks(BATCH) {
            next = ledger
                .append(open.epoch, next, Timestamp(1), batch)
                .await
                .expect("appends");
        }
    };
    runtime.block_on(write);
    let fold = || {
        time(|| {
            let (state, _) = runtime.block_on(fold_ledger(&ledger)).expect("folds");
            assert!(state.tasks().len() >= RUNNING as usize);
        })
    };
    let read = || std::fs::read_to_string(&place).expect("reads");
    // Before the batches: what the file is, and who has opened it.
    let lines = records.len().div_ceil(BATCH) + 2;
    let values = || {
        time(|| {
            let text = read();
            let parsed = text
                .lines()
                .filter(|line| serde_json::from_str::<Value>(&line[HASH..]).is_ok());
            assert_eq!(parsed.count(), lines);
        })
    };
    let least = || {
        time(|| {
            let text = read();
            let all: Vec<_> = text.lines().collect();
            assert_eq!(all.len(), lines);
            two_at_a_time(&all, |line: &&str| {
                let json = &line.as_bytes()[HASH..];
                black_box(ContentHash::of(json));
                assert!(serde_json::from_slice::<IgnoredAny>(json).is_ok());
            });
        })
    };
    let bytes = place.metadata().expect("is there").len() / records.len() as u64;
    let name = format!(
        "ledger, {} {what} of {bytes} bytes, checked and folded",
        records.len()
    );
    let rounds = sized(11, 1);
    let (ours, values) = side_by_side(rounds, fold, values);
    line(&name, ours, VALUES, values);
    let (ours, least) = side_by_side(rounds, fold, least);
    line(&name, ours, "hashed and passed over, by two threads", least);
}

/// The first records of a state directory in which run after run lands its four hundred tasks.
fn long_run(count: usize) -> Vec<Record> {
    let (mut world, mut all) = (
        World::new(sessions(20)),
        tasks(u32::try_from(count / 20).expect("some thousands").max(400)),
    );
    while world.ledger.len() < count {
        world.tasks = all.drain(..400).collect();
        world.open(false);
        world.tick();
        while world.step() {}
        assert!(world.state.ended().is_some());
    }
    world.ledger.truncate(count);
    world.ledger
}
