//! Since when a process can have been started, told by its number.
//!
//! The kernel gives out process ids in ascending order, leaves out those that are taken, and begins again behind the greatest. So whoever was
//! started since some moment has an id between the last that was given out then and the last that is now, as long as this went round
//! less than once; and to go round once, all ids that were free at that moment have to be given out. What was there before need not
//! be looked at, however much it is: `/proc` lists by number, from any number on.
//!
//! A count of what was made cannot tell what the kernel refused to make after it had given it a number, as at the limit of a control group. So
//! this is for what is looked at often; what a dead orchestrator has left, and what is there at the end of a run, is looked for among all.

use std::{fs, ops::RangeInclusive, sync::OnceLock};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

/// Ids that are not given out a second time (`RESERVED_PIDS`), and some that are held by a group whose leader has ended.
const SPARE: u64 = 300 + 1000;

/// A moment, as process ids tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The last id that was given out before.
    last: i32,
    /// How many processes and threads were made before, on the whole machine.
    made: u64,
    /// So many ids were free, at least.
    free: u64,
}

impl Moment {
    /// Now; `None` where the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        // Counted before the id is read: what comes in between is counted twice, not missed.
        let made = made()?;
        let ids: u64 = fs::read_to_string("/proc/sys/kernel/pid_max")
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let (taken, last) = taken_and_last()?;
        Some(Self {
            last,
            made,
            free: ids.saturating_sub(taken + SPARE),
        })
    }

    /// The ids that a process can have which was started since; `None` where that can be any.
    pub(super) fn since(&self) -> Option<Vec<RangeInclusive<i32>>> {
        let (_, last) = taken_and_last()?;
        self.between(made()?, last)
    }

    fn between(&self, made: u64, last: i32) -> Option<Vec<RangeInclusive<i32>>> {
        if made.checked_sub(self.made)? >= self.free {
            return None;
        }
        Some(if last >= self.last {
            vec![self.last + 1..=last]
        } else {
            vec![1..=last, self.last + 1..=i32::MAX]
        })
    }
}

/// How many processes and threads there are on the whole machine, and the last id that was given out here (proc_loadavg(5)).
fn taken_and_last() -> Option<(u64, i32)> {
    let said = fs::read_to_string("/proc/loadavg").ok()?;
    let mut fields = said.split_ascii_whitespace().skip(3);
    let (_, taken) = fields.next()?.split_once('/')?;
    Some((taken.parse().ok()?, fields.next()?.parse().ok()?))
}

/// How many processes and threads were made since the machine began (proc_stat(5)).
fn made() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("processes "))?
        .parse()
        .ok()
}

/// What the place of a process in `/proc` is beyond its number: the kernel's own constant (`TGID_OFFSET`).
const OFFSET: i64 = 258;

/// The ids of the processes that there are in these ranges; `None` where `/proc` is not the kernel's that is known.
pub(super) fn listed(ranges: &[RangeInclusive<i32>]) -> Option<Vec<i32>> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let own = std::process::id().cast_signed();
    let known = *KNOWN.get_or_init(|| list(&(own..=own)).is_some_and(|found| found == [own]));
    let lists: Vec<_> = ranges.iter().map(list).collect::<Option<_>>()?;
    known.then(|| lists.concat())
}

fn list(range: &RangeInclusive<i32>) -> Option<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut all = Dir::new(openat(CWD, "/proc", flags, Mode::empty()).ok()?).ok()?;
    all.seek(i64::from(*range.start()) + OFFSET).ok()?;
    let mut ids = Vec::new();
    while let Some(entry) = all.read() {
        let entry = entry.ok()?;
        let Some(id) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if id > *range.end() {
            break;
        }
        ids.push(id);
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_since_a_moment_is_listed_and_what_was_there_is_not() {
        let mut before = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("starts");
        let moment = Moment::now().expect("the kernel tells");
        let mut since = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("starts");
        let ids = listed(&moment.since().expect("ids did not go round meanwhile"))
            .expect("`/proc` is the kernel's");
        for child in [&mut before, &mut since] {
            child.kill().expect("can be killed");
            child.wait().expect("has ended");
        }
        assert!(
            ids.contains(&since.id().cast_signed()) && !ids.contains(&before.id().cast_signed()),
            "{ids:?}"
        );
    }

    #[test]
    fn ids_begin_again_and_once_round_they_tell_nothing() {
        let moment = Moment {
            last: 30_000,
            made: 1_000_000,
            free: 20_000,
        };
        assert_eq!(
            moment.between(1_000_500, 30_400),
            Some(vec![30_001..=30_400])
        );
        let none = moment.between(1_000_000, 30_000).expect("is known");
        assert!(
            none.iter().all(RangeInclusive::is_empty),
            "nothing was started: {none:?}"
        );
        assert_eq!(
            moment.between(1_009_000, 5_000),
            Some(vec![1..=5_000, 30_001..=i32::MAX]),
            "they began again"
        );
        assert_eq!(
            moment.between(1_020_000, 30_100),
            None,
            "as many were made as were free"
        );
        assert_eq!(moment.between(999_999, 30_100), None, "that cannot be");
    }
}
