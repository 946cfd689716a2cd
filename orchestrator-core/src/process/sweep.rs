//! Finding and ending processes by marker and session.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{cgroup, moment::Moment, sessions};

/// The variable that marks all processes of a turn or a gate.
pub const MARK_VARIABLE: &str = "ORCHESTRATOR_MARK";

/// Which processes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The value of the marker, whole or (for a sweep of many) its beginning.
    pub(super) mark: Option<String>,
    pub(super) whole: bool,
    /// The leader of the session, or of the process group, with its start time in clock ticks since boot.
    pub(super) leader: Option<(i32, u64)>,
    /// Whether it is a session that it leads.
    pub(super) session: bool,
    /// None of them was started before; `None` where that is not known.
    pub(super) since: Option<Moment>,
}

impl Target {
    /// All whose marker begins so.
    fn of_all(prefix: &str, since: Option<Moment>) -> Self {
        Self {
            mark: Some(prefix.to_owned()),
            whole: false,
            leader: None,
            session: true,
            since,
        }
    }

    /// Removes the group, now that nobody is in it.
    fn forget(&self) {
        if let Some(mark) = &self.mark {
            cgroup::remove(mark, self.whole);
        }
    }
}

/// The processes that bear a marker beginning with `prefix`, other than this one.
#[must_use]
pub fn marked(prefix: &str) -> Vec<i32> {
    members(&Target::of_all(prefix, None))
}

/// The same among what was started since this moment: what was there before is not looked at.
pub(crate) fn marked_since(prefix: &str, since: Option<Moment>) -> Vec<i32> {
    members(&Target::of_all(prefix, since))
}

/// Kills all processes that bear a marker beginning with `prefix`, and returns how many there were. Returns when none is
/// left, or after `patience`.
pub async fn kill_marked(prefix: &str, patience: Duration) -> usize {
    sweep_marked(prefix, patience).await.found
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    /// So many processes.
    pub(crate) found: usize,
    /// So many of them were still there when its patience was over.
    pub(crate) left: usize,
}

/// The same, and how many are left.
pub(crate) async fn sweep_marked(prefix: &str, patience: Duration) -> Swept {
    let target = Target::of_all(prefix, None);
    let found = members(&target).len();
    let left = if found > 0 {
        kill_until_none(&target, patience).await
    } else {
        0
    };
    target.forget();
    Swept { found, left }
}

/// Tells all processes that bear a marker beginning with `prefix` to end (TERM), so that git removes what it
/// has half written, and returns how many there were. Returns when none is left, or after `patience`.
pub(crate) async fn end_marked(prefix: &str, patience: Duration) -> usize {
    let target = Target::of_all(prefix, None);
    let found = signal_all(&target, Signal::TERM).members.len();
    let began = Instant::now();
    while found > 0 && began.elapsed() < patience && !members(&target).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    found
}

/// KILL, again and again, until nobody is left: who forks faster than we look loses in the end, since the dead do not fork. How many
/// are left where that took too long.
pub(super) async fn kill_until_none(target: &Target, patience: Duration) -> usize {
    let mut hunt = Hunt::new(patience);
    while let Some(pause) = hunt.step(target) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    target.forget();
    hunt.left
}

/// The same where there is no runtime, as in a destructor's thread.
pub(super) fn kill_until_none_blocking(target: &Target, patience: Duration) {
    let mut hunt = Hunt::new(patience);
    while let Some(pause) = hunt.step(target) {
        std::thread::sleep(pause);
    }
    target.forget();
}

/// How long processes that cannot be told yet are waited for.
const UNSETTLED: Duration = Duration::from_secs(1);

/// What one look at all processes saw.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Those that are meant.
    pub(super) members: Vec<i32>,
    /// Whether some process began a moment ago and has no environment: it may be in the middle of becoming another program, and one of
    /// those that are looked for.
    pub(super) unsettled: bool,
}

/// Looks again and again. One look that finds nobody proves nothing: who was listed before its turn came may have forked and
/// ended since, and a process that is just becoming another program has no environment for a moment.
struct Hunt {
    began: Instant,
    patience: Duration,
    /// How many looks in a row have found nobody.
    quiet: u32,
    /// How many were found by the last look.
    left: usize,
    pause: Duration,
}

impl Hunt {
    fn new(patience: Duration) -> Self {
        Self {
            began: Instant::now(),
            patience,
            quiet: 0,
            left: 0,
            pause: Duration::from_millis(1),
        }
    }

    /// One look; the pause until the next, or `None` when it is over.
    fn step(&mut self, target: &Target) -> Option<Duration> {
        let sight = signal_all(target, Signal::KILL);
        self.left = sight.members.len();
        let found = self.left > 0;
        self.quiet = if found { 0 } else { self.quiet + 1 };
        let took = self.began.elapsed();
        let settled = took >= UNSETTLED || !sight.unsettled;
        if self.quiet >= 2 && settled || took >= self.patience {
            return None;
        }
        if !found && settled {
            // The second look needs no time to have passed, only to begin after the first.
            return Some(Duration::ZERO);
        }
        self.pause = (self.pause * 2).min(Duration::from_millis(20));
        Some(self.pause)
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{members, signal_all, signal_leader, start_time};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{members, signal_all, signal_leader, start_time};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;

    use nix::unistd::{getpgid, getsid};
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    use super::{MARK_VARIABLE, Pid, Sight, Signal, Target, cgroup, sessions};
    use crate::process::moment::{self, Moment};

    struct Stat {
        group: i32,
        session: i32,
        start: u64,
        dead: bool,
        /// It is a thread of the kernel, and runs no program.
        kernel: bool,
    }

    /// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
    const KERNEL_THREAD: u64 = 0x0020_0000;

    /// All processes that could be meant: those that were started since the target was, or, where that cannot be told, all that there are.
    fn pids(target: &Target) -> Vec<i32> {
        let since = target
            .since
            .as_ref()
            .and_then(Moment::since)
            .and_then(|ranges| moment::listed(&ranges));
        since.unwrap_or_else(|| {
            let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            entries
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .collect()
        })
    }

    /// The fields of `/proc/PID/stat` that matter; the name in parentheses may hold anything, so they are counted behind it.
    fn stat(pid: i32) -> Option<Stat> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let behind = text.iter().rposition(|byte| *byte == b')')?;
        let mut fields = std::str::from_utf8(text.get(behind + 2..)?)
            .ok()?
            .split(' ');
        let dead = matches!(fields.next()?, "Z" | "X");
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let flags: u64 = fields.nth(2)?.parse().ok()?;
        Some(Stat {
            group,
            session,
            start: fields.nth(12)?.parse().ok()?,
            dead,
            kernel: flags & KERNEL_THREAD != 0,
        })
    }

    pub(in super::super) fn start_time(pid: i32) -> Option<u64> {
        stat(pid).map(|stat| stat.start)
    }

    /// What a process tells of itself by its environment.
    enum Marked {
        Ours,
        Other,
        /// It has none: it is becoming another program, or has cleared it.
        Blank,
    }

    fn marked(pid: i32, mark: &str, whole: bool) -> Marked {
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
            return Marked::Other;
        };
        let bears = environment.split(|byte| *byte == 0).any(|variable| {
            let value = variable
                .strip_prefix(MARK_VARIABLE.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| {
                if whole {
                    value == mark.as_bytes()
                } else {
                    value.starts_with(mark.as_bytes())
                }
            })
        });
        if bears {
            Marked::Ours
        } else if environment.is_empty() {
            Marked::Blank
        } else {
            Marked::Other
        }
    }

    /// Whether a process began within the last second, by the system's own clock of ticks since it booted.
    fn is_young(pid: i32) -> bool {
        let Some(stat) = stat(pid).filter(|stat| !stat.dead && !stat.kernel) else {
            return false;
        };
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let Some((seconds, _)) = uptime.split_once('.') else {
            return true;
        };
        seconds.parse::<u64>().map_or(true, |now| {
            stat.start / rustix::param::clock_ticks_per_second() + 1 >= now
        })
    }

    /// The session or group, if it can still be the one that was meant: while it has members, the kernel gives its number to
    /// nobody else, so another process under the leader's number, with another start time, means that it is gone.
    fn led(target: &Target) -> Option<i32> {
        let (pid, start) = target.leader?;
        start_time(pid)
            .is_none_or(|now| now == start)
            .then_some(pid)
    }

    fn is_member(pid: i32, target: &Target, led: Option<i32>) -> bool {
        let Some(stat) = stat(pid) else { return false };
        let ours = |mark: &String| {
            matches!(marked(pid, mark, target.whole), Marked::Ours)
                || cgroup::holds(pid, mark, target.whole)
        };
        let in_led = led
            == Some(if target.session {
                stat.session
            } else {
                stat.group
            });
        let in_known = sessions::are_meant(stat.session, target) == Some(true);
        !stat.dead && (in_led || in_known || target.mark.as_ref().is_some_and(ours))
    }

    /// One look. Most of what runs is other children's of ours, and is told apart by its session alone, without a file being read.
    fn look(target: &Target) -> Sight {
        let (own, led, mark) = (
            std::process::id().cast_signed(),
            led(target),
            target.mark.as_deref(),
        );
        let group = mark.map_or_else(
            || Some(HashSet::new()),
            |mark| cgroup::members(mark, target.whole),
        );
        let in_group = |pid: i32| match (&group, mark) {
            (Some(group), _) => group.contains(&pid),
            (None, mark) => mark.is_some_and(|mark| cgroup::holds(pid, mark, target.whole)),
        };
        let mut sight = Sight::default();
        for pid in pids(target).into_iter().filter(|pid| *pid != own) {
            let process = Some(nix::unistd::Pid::from_raw(pid));
            // A process that has ended has no session. Session 0 is the kernel's, but also that of a process whose
            // session began outside of our namespace, as all in a container do.
            let Ok(of) = getsid(process).map(nix::unistd::Pid::as_raw) else {
                continue;
            };
            let leader = if target.session {
                Some(of)
            } else {
                getpgid(process).ok().map(nix::unistd::Pid::as_raw)
            };
            let meant = led.is_some() && led == leader || in_group(pid) || {
                match (sessions::are_meant(of, target), mark) {
                    (Some(has), _) => has,
                    (None, None) => false,
                    (None, Some(mark)) => match marked(pid, mark, target.whole) {
                        Marked::Ours => true,
                        Marked::Other => false,
                        Marked::Blank => {
                            sight.unsettled |= is_young(pid);
                            false
                        }
                    },
                }
            };
            if meant && stat(pid).is_some_and(|stat| !stat.dead) {
                sight.members.push(pid);
            }
        }
        sight
    }

    pub(in super::super) fn members(target: &Target) -> Vec<i32> {
        look(target).members
    }

    /// Signals every member through a handle that cannot mean another process, and returns what was seen.
    pub(in super::super) fn signal_all(target: &Target, signal: Signal) -> Sight {
        let sight = look(target);
        for pid in &sight.members {
            let Some(handle) =
                Pid::from_raw(*pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            else {
                continue;
            };
            // Between listing and opening, the number may have changed hands.
            if is_member(*pid, target, led(target)) {
                let _ = pidfd_send_signal(&handle, signal);
            }
        }
        sight
    }

    /// Signals the session's leader alone.
    pub(in super::super) fn signal_leader(target: &Target, signal: Signal) {
        let Some((pid, start)) = target.leader else {
            return;
        };
        let Some(handle) =
            Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        if start_time(pid) == Some(start) {
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// Compiled for tests everywhere, so that it is known to compile.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    allow(dead_code, reason = "used on other systems")
)]
mod other {
    use super::{Pid, Sight, Signal, Target};

    pub(in super::super) fn start_time(_: i32) -> Option<u64> {
        Some(0)
    }

    pub(in super::super) fn members(target: &Target) -> Vec<i32> {
        let alive = |pid: &i32| {
            Pid::from_raw(*pid)
                .is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
        };
        target
            .leader
            .map(|(pid, _)| pid)
            .filter(alive)
            .into_iter()
            .collect()
    }

    pub(in super::super) fn signal_all(target: &Target, signal: Signal) -> Sight {
        let members = members(target);
        for pid in members.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
        Sight {
            members,
            unsettled: false,
        }
    }

    pub(in super::super) fn signal_leader(target: &Target, signal: Signal) {
        if let Some(pid) = target.leader.and_then(|(pid, _)| Pid::from_raw(pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}
