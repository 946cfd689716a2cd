//! Since when a process can have been started, told by its number.
//!
//! The kernel gives out process ids in ascending order, until it comes to the greatest and begins again. So whoever was started since some
//! moment has a greater number than the last that was given out before, as long as fewer processes and threads were made since than
//! there are numbers above that. What was there before need not be looked at, however much it is; and `/proc` lists by number, from
//! any number on.
//!
//! A count of what was made cannot tell what the kernel refused to make after it had given it a number, as at the limit of a control group. So
//! this is for what is looked at often; what a dead orchestrator has left, and what is there at the end of a run, is looked for among all.

use std::fs;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

/// A moment, as process ids tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The last id that was given out before.
    last: i32,
    /// How many processes and threads were made before, on the whole machine.
    made: u64,
    /// So many ids there are.
    ids: u64,
}

impl Moment {
    /// Now; `None` where the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        // Counted before the id is read: what comes in between is counted twice, not missed.
        let made = made()?;
        let ids = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()?;
        Some(Self { last: last()?, made, ids })
    }

    /// The least id that a process can have which was started since; `None` where ids may have begun again.
    pub(super) fn first(&self) -> Option<i32> {
        let made = made()?.checked_sub(self.made)?;
        let above = self.ids.checked_sub(u64::try_from(self.last).ok()?)?;
        (made < above && last()? >= self.last).then_some(self.last + 1)
    }
}

/// The last id that was given out (proc_loadavg(5)).
fn last() -> Option<i32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// How many processes and threads were made since the machine began (proc_stat(5)).
fn made() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("processes "))?.parse().ok()
}

/// What the place of a process in `/proc` is beyond its number: the kernel's own constant (`TGID_OFFSET`).
const OFFSET: i64 = 258;

/// The ids from this one on, in ascending order; `None` where `/proc` is not the kernel's that is known.
pub(super) fn from(first: i32) -> Option<Vec<i32>> {
    let own = std::process::id().cast_signed();
    let known = || listed(own)?.first().filter(|found| **found == own).map(|_| ());
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    KNOWN.get_or_init(|| known().is_some()).then(|| listed(first)).flatten()
}

fn listed(first: i32) -> Option<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut all = Dir::new(openat(CWD, "/proc", flags, Mode::empty()).ok()?).ok()?;
    all.seek(i64::from(first) + OFFSET).ok()?;
    let mut ids = Vec::new();
    while let Some(entry) = all.read() {
        ids.extend(entry.ok()?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_since_a_moment_is_listed_and_what_was_there_is_not() {
        let mut before = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
        let moment = Moment::now().expect("the kernel tells");
        let mut since = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
        let first = moment.first().expect("ids have not begun again");
        let ids = from(first).expect("`/proc` is the kernel's");
        for child in [&mut before, &mut since] {
            child.kill().expect("can be killed");
            child.wait().expect("has ended");
        }
        assert!(ids.contains(&since.id().cast_signed()) && !ids.contains(&before.id().cast_signed()));
        assert!(ids.is_sorted() && ids.first() >= Some(&first));
    }

    #[test]
    fn a_moment_from_which_ids_may_have_begun_again_tells_nothing() {
        let now = Moment::now().expect("the kernel tells");
        let made = now.made.checked_sub(now.ids).unwrap_or_default();
        let above = now.ids - u64::try_from(now.last).expect("positive");
        assert_eq!(
            Moment { made: now.made.saturating_sub(above), ..now.clone() }.first(),
            None,
            "as many were made as there are left"
        );
        assert_eq!(Moment { made, ..now.clone() }.first(), None, "all of them were given out once");
        let greatest = i32::try_from(now.ids - 1).expect("is an id");
        assert_eq!(Moment { last: greatest, ..now }.first(), None, "the last that was given out is smaller");
    }
}
