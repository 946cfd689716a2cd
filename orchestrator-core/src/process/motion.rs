//! Whether a program still gets on, seen from outside: what it and all that it started read, write and compute.
//!
//! Counters of the kernel are watched, not the program's output: so it does not matter by which transport, helper or proxy the
//! bytes go, nor whether the program reports its progress. Linux has them in `/proc`; elsewhere nothing can be said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use super::sweep::{Target, members};

/// For how long a program may run, by what it does meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without moving a byte, or computing.
    pub(crate) still: Duration,
    /// In all, however much it moves.
    pub(crate) total: Duration,
    /// In all, where it cannot be seen what it does.
    pub(crate) unseen: Duration,
}

/// Why a program was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Nothing moved for so long.
    Still(Duration),
    /// It took longer than this in all.
    Late(Duration),
}

/// The longest time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// A program that takes at least this part of a processor computes. One that only waits and polls takes far less: `git-remote-http`
/// took a thousandth.
const COMPUTES: u32 = 50;

/// Returns when the program has lost the caller's patience. Time counts only while this process itself runs: whoever was stopped
/// meanwhile has not looked.
pub(super) async fn until_given_up(target: Target, patience: Patience) -> GivenUp {
    let period = (patience.still / 10).clamp(Duration::from_millis(10), PERIOD);
    let began = Instant::now();
    let mut motion = Motion::of(target, patience.still / COMPUTES);
    let mut still = Duration::ZERO;
    let mut last = began;
    loop {
        tokio::time::sleep(period).await;
        let passed = last.elapsed().min(period * 2);
        last = Instant::now();
        let total = match motion.look() {
            Some(moved) => {
                still = if moved {
                    Duration::ZERO
                } else {
                    still + passed
                };
                patience.total
            }
            None => patience.unseen,
        };
        if still >= patience.still {
            return GivenUp::Still(patience.still);
        }
        if began.elapsed() >= total {
            return GivenUp::Late(total);
        }
    }
}

/// What a program and its relatives were seen to have done.
#[derive(Debug)]
struct Motion {
    target: Target,
    /// So much time of a processor, and it has computed.
    computes: Duration,
    /// The bytes that each has read and written, by process.
    bytes: BTreeMap<i32, u64>,
    /// The time that each has computed, as of the last movement.
    computed: BTreeMap<i32, Duration>,
    /// What waits in the queues of their connections, as of the last look at which nothing else had moved.
    queues: Option<BTreeSet<String>>,
}

impl Motion {
    fn of(target: Target, computes: Duration) -> Self {
        Self {
            target,
            computes,
            bytes: BTreeMap::new(),
            computed: BTreeMap::new(),
            queues: None,
        }
    }

    /// Whether anything has moved since the last look; `None` where that cannot be seen.
    fn look(&mut self) -> Option<bool> {
        let members = members(&self.target);
        let bytes: BTreeMap<_, _> = members
            .iter()
            .filter_map(|pid| Some((*pid, bytes_moved(*pid)?)))
            .collect();
        if bytes.is_empty() {
            return None;
        }
        let work: Vec<_> = members
            .iter()
            .filter_map(|pid| Some((*pid, Work::of(*pid)?)))
            .collect();
        // Who waits for the disk, as for a large pack to be on it, waits for nobody at the other end.
        let writing = work.iter().any(|(_, work)| work.waits_for_disk);
        let computed: BTreeMap<_, _> = work
            .into_iter()
            .map(|(pid, work)| (pid, work.computed))
            .collect();
        let more = computed.iter().map(|(pid, now)| {
            now.saturating_sub(self.computed.get(pid).copied().unwrap_or_default())
        });
        let computing = more.sum::<Duration>() >= self.computes;
        if self.bytes != bytes || computing || writing {
            self.bytes = bytes;
            self.computed = computed;
            self.queues = None;
            return Some(true);
        }
        // A writer that waits for room in a large buffer calls nobody for a while, and the bytes leave all the same.
        let queues = queues(&members);
        let moved = self.queues.as_ref().is_some_and(|before| *before != queues);
        self.queues = Some(queues);
        Some(moved)
    }
}

/// What a process has read and written by its calls, in bytes: from files, pipes and connections (`/proc/PID/io` in proc(5)).
fn bytes_moved(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let counters = text.lines().filter_map(|line| {
        line.strip_prefix("rchar: ")
            .or_else(|| line.strip_prefix("wchar: "))
    });
    Some(counters.filter_map(|count| count.parse::<u64>().ok()).sum())
}

/// What a process does on this machine, by `/proc/PID/stat`.
#[derive(Debug)]
struct Work {
    /// It is in the middle of a call that cannot be interrupted.
    waits_for_disk: bool,
    /// How long it has computed, itself and for its callers in the kernel.
    computed: Duration,
}

impl Work {
    /// The third, fourteenth and fifteenth fields, counted behind the name in parentheses, which may hold anything.
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = fields
            .get(11)?
            .parse::<u64>()
            .ok()?
            .saturating_add(fields.get(12)?.parse().ok()?);
        let computed = Duration::from_millis(
            ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1),
        );
        Some(Self {
            waits_for_disk: fields.first() == Some(&"D"),
            computed,
        })
    }
}

/// The state and the queues of the TCP connections that these processes hold, each with its number (`/proc/net/tcp` in proc(5)).
fn queues(members: &[i32]) -> BTreeSet<String> {
    let held: BTreeSet<_> = members.iter().flat_map(|pid| sockets(*pid)).collect();
    if held.is_empty() {
        return BTreeSet::new();
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let ours = lines.filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (state, queues, number) = (fields.get(3)?, fields.get(4)?, fields.get(9)?);
        held.contains(*number)
            .then(|| format!("{number} {state} {queues}"))
    });
    ours.collect()
}

/// The numbers of the sockets that a process holds.
fn sockets(pid: i32) -> Vec<String> {
    let held = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = held.filter_map(|entry| fs::read_link(entry.path()).ok());
    let numbers = links.filter_map(|link| {
        Some(
            link.to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .to_owned(),
        )
    });
    numbers.collect()
}
