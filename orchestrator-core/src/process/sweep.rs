//! Finding and ending processes by marker and session.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::cgroup;

/// The variable that marks all processes of a turn or a gate.
pub const MARK_VARIABLE: &str = "ORCHESTRATOR_MARK";

/// Which processes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The value of the marker, whole or (for a sweep of many) its beginning.
    pub(super) mark: Option<String>,
    pub(super) whole: bool,
    /// The session's leader, with its start time in clock ticks since boot.
    pub(super) leader: Option<(i32, u64)>,
}

impl Target {
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
    members(&Target { mark: Some(prefix.to_owned()), whole: false, leader: None })
}

/// Kills all processes that bear a marker beginning with `prefix`, and returns how many there were. Returns when none is
/// left, or after `patience`.
pub async fn kill_marked(prefix: &str, patience: Duration) -> usize {
    let target = Target { mark: Some(prefix.to_owned()), whole: false, leader: None };
    let found = members(&target).len();
    if found > 0 {
        kill_until_none(&target, patience).await;
    } else {
        target.forget();
    }
    found
}

/// KILL, again and again, until nobody is left: who forks faster than we look loses in the end, since the dead do not fork.
pub(super) async fn kill_until_none(target: &Target, patience: Duration) {
    let mut hunt = Hunt::new(patience);
    while let Some(pause) = hunt.step(target) {
        tokio::time::sleep(pause).await;
    }
    target.forget();
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

/// Looks again and again. One look that finds nobody proves nothing: a process that is just becoming another program has no
/// environment for a moment, and its parent may be gone.
struct Hunt {
    began: Instant,
    patience: Duration,
    /// How many looks in a row have found nobody.
    quiet: u32,
    pause: Duration,
}

impl Hunt {
    fn new(patience: Duration) -> Self {
        Self { began: Instant::now(), patience, quiet: 0, pause: Duration::from_millis(1) }
    }

    /// One look; the pause until the next, or `None` when it is over.
    fn step(&mut self, target: &Target) -> Option<Duration> {
        let found = signal_all(target, Signal::KILL) > 0;
        self.quiet = if found { 0 } else { self.quiet + 1 };
        let took = self.began.elapsed();
        let settled = self.quiet >= 2 && (took >= UNSETTLED || !unsettled());
        if settled || took >= self.patience {
            return None;
        }
        self.pause = (self.pause * 2).min(Duration::from_millis(20));
        Some(self.pause)
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{members, signal_all, signal_leader, start_time, unsettled};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{members, signal_all, signal_leader, start_time, unsettled};

#[cfg(target_os = "linux")]
mod linux {
    use super::{MARK_VARIABLE, Pid, Signal, Target, cgroup};
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    struct Stat {
        session: i32,
        start: u64,
        dead: bool,
        /// A thread of the kernel's, which never has an environment.
        kernel: bool,
    }

    /// The flag of a kernel thread, in the field of `/proc/PID/stat` (`PF_KTHREAD` of the kernel's sched.h).
    const KERNEL_THREAD: u64 = 0x0020_0000;

    /// All processes that there are.
    fn pids() -> impl Iterator<Item = i32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// The fields of `/proc/PID/stat` that matter; the name in parentheses may hold anything, so they are counted behind it.
    fn stat(pid: i32) -> Option<Stat> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let behind = text.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(text.get(behind + 2..)?).ok()?;
        let fields: Vec<_> = text.split(' ').collect();
        let dead = matches!(*fields.first()?, "Z" | "X");
        let kernel = fields.get(6)?.parse::<u64>().ok()? & KERNEL_THREAD != 0;
        Some(Stat { session: fields.get(3)?.parse().ok()?, start: fields.get(19)?.parse().ok()?, dead, kernel })
    }

    pub(in super::super) fn start_time(pid: i32) -> Option<u64> {
        stat(pid).map(|stat| stat.start)
    }

    fn bears(pid: i32, mark: &str, whole: bool) -> bool {
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
        environment.split(|byte| *byte == 0).any(|variable| {
            let value = variable.strip_prefix(MARK_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| if whole { value == mark.as_bytes() } else { value.starts_with(mark.as_bytes()) })
        })
    }

    /// Whether some process began a moment ago and has no environment: it may be in the middle of becoming another program, and
    /// one of those that are looked for.
    pub(in super::super) fn unsettled() -> bool {
        let stats = pids().filter_map(|pid| Some((pid, stat(pid)?))).filter(|(_, stat)| !stat.dead && !stat.kernel);
        let stats: Vec<_> = stats.collect();
        // The youngest that there is tells what time it is, in the same clock.
        let now = stats.iter().map(|(_, stat)| stat.start).max().unwrap_or(0);
        let young = |stat: &Stat| stat.start + rustix::param::clock_ticks_per_second() >= now;
        let blank = |pid: i32| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| environment.is_empty());
        stats.iter().any(|(pid, stat)| young(stat) && blank(*pid))
    }

    /// The session, if it can still be the one that was meant: while a session has members, the kernel gives its number to
    /// nobody else, so another process under the leader's number, with another start time, means that it is gone.
    fn session(target: &Target) -> Option<i32> {
        let (pid, start) = target.leader?;
        start_time(pid).is_none_or(|now| now == start).then_some(pid)
    }

    fn is_member(pid: i32, target: &Target, session: Option<i32>) -> bool {
        let Some(stat) = stat(pid) else { return false };
        let in_session = session == Some(stat.session);
        let ours = |mark: &String| bears(pid, mark, target.whole) || cgroup::holds(pid, mark, target.whole);
        !stat.dead && (in_session || target.mark.as_ref().is_some_and(ours))
    }

    pub(in super::super) fn members(target: &Target) -> Vec<i32> {
        let (own, session) = (std::process::id().cast_signed(), session(target));
        pids().filter(|pid| *pid != own && is_member(*pid, target, session)).collect()
    }

    /// Signals every member through a handle that cannot mean another process, and returns how many there were.
    pub(in super::super) fn signal_all(target: &Target, signal: Signal) -> usize {
        let members = members(target);
        for pid in &members {
            let Some(handle) = Pid::from_raw(*pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { continue };
            // Between listing and opening, the number may have changed hands.
            if is_member(*pid, target, session(target)) {
                let _ = pidfd_send_signal(&handle, signal);
            }
        }
        members.len()
    }

    /// Signals the session's leader alone.
    pub(in super::super) fn signal_leader(target: &Target, signal: Signal) {
        let Some((pid, start)) = target.leader else { return };
        let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
        if start_time(pid) == Some(start) {
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// Compiled for tests everywhere, so that it is known to compile.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "used on other systems"))]
mod other {
    use super::{Pid, Signal, Target};

    pub(in super::super) fn start_time(_: i32) -> Option<u64> {
        Some(0)
    }

    pub(in super::super) fn unsettled() -> bool {
        false
    }

    pub(in super::super) fn members(target: &Target) -> Vec<i32> {
        let alive = |pid: &i32| Pid::from_raw(*pid).is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok());
        target.leader.map(|(pid, _)| pid).filter(alive).into_iter().collect()
    }

    pub(in super::super) fn signal_all(target: &Target, signal: Signal) -> usize {
        let members = members(target);
        for pid in members.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
        members.len()
    }
    pub(in super::super) fn signal_leader(target: &Target, signal: Signal) {
        if let Some(pid) = target.leader.and_then(|(pid, _)| Pid::from_raw(pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}
