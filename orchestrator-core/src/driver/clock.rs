//! The one clock of the driver, and how time awake is told from a sleep.
//!
//! Two clocks are read together. The time of day is what the ledger writes; it is set by people and by NTP, and goes on while the
//! machine sleeps. The other (`Instant`: `CLOCK_MONOTONIC` on Linux, `CLOCK_UPTIME_RAW` on macOS) is never set, and stands still
//! in a suspend. What the first gains or loses over the second is no time in which an agent could have worked. Timers of the
//! runtime run by the second clock, so those of gates, set-up, reviews and notifications need nothing of this.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::{Shift, Timestamp};

/// The loop turns at least every 200 ms. When it has not turned for so long, it did not run, whatever the second clock says: on
/// some systems that counts a sleep, and a process can be stopped alone.
const ASLEEP: Duration = Duration::from_secs(20);
/// A smaller difference, in milliseconds, is how the two are read, one after the other, and how NTP mends small errors.
const NOTABLE: u64 = 2000;

/// Now, as the ledger writes it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Both clocks, as they were read last.
#[derive(Debug)]
pub(super) struct Clock {
    wall: Timestamp,
    awake: Instant,
    /// A file by which a test sets the time of day for one run.
    #[cfg(feature = "failpoints")]
    offset: std::path::PathBuf,
}

/// What a look at the clock showed.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) at: Timestamp,
    pub(super) jump: Option<Jump>,
}

/// The time of day has moved otherwise than the time awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    /// By how much.
    pub(super) by: Shift,
    /// So much of what the second clock counted was no time awake either.
    pub(super) asleep: Duration,
}

impl Clock {
    /// The clock of a run on this state directory.
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(unused_variables, reason = "only tests set it")
    )]
    pub(super) fn new(state_dir: &Path) -> Self {
        let mut clock = Self {
            wall: Timestamp(0),
            awake: Instant::now(),
            #[cfg(feature = "failpoints")]
            offset: state_dir.join("clock-offset"),
        };
        clock.wall = clock.wall();
        clock
    }

    /// The time of day alone.
    pub(super) fn wall(&self) -> Timestamp {
        #[cfg(feature = "failpoints")]
        if let Ok(offset) = std::fs::read_to_string(&self.offset) {
            return now().moved(Shift(offset.trim().parse().unwrap_or_default()));
        }
        now()
    }

    /// Reads both, and compares them with the last time.
    pub(super) fn read(&mut self) -> Reading {
        let (wall, awake) = (self.wall(), Instant::now());
        let jump = jump(self.wall, wall, awake.duration_since(self.awake));
        (self.wall, self.awake) = (wall, awake);
        Reading { at: wall, jump }
    }
}

/// The jump between two times of day, if there is one that matters.
pub(super) fn jump(before: Timestamp, now: Timestamp, counted: Duration) -> Option<Jump> {
    let asleep = if counted >= ASLEEP {
        counted
    } else {
        Duration::ZERO
    };
    let awake = i64::try_from((counted - asleep).as_millis()).unwrap_or(i64::MAX);
    let by = Shift(
        now.0
            .wrapping_sub(before.0)
            .cast_signed()
            .saturating_sub(awake),
    );
    let notable = by.0.unsigned_abs() >= NOTABLE || !asleep.is_zero();
    notable.then_some(Jump { by, asleep })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE_HOURS: u64 = 9 * 3_600_000;

    #[test]
    fn a_jump_is_what_the_time_of_day_gains_or_loses_over_the_time_awake() {
        let second = Duration::from_secs(1);
        let by = |before, now, counted| {
            jump(Timestamp(before), Timestamp(now), counted).map(|jump| (jump.by.0, jump.asleep))
        };
        let forwards = NINE_HOURS.cast_signed();
        assert_eq!(by(5000, 6000, second), None, "both go on");
        assert_eq!(
            by(5000, 6500, second),
            None,
            "they are read one after the other"
        );
        assert_eq!(
            by(5000, 6000 + NINE_HOURS, second),
            Some((forwards, Duration::ZERO))
        );
        assert_eq!(
            by(5000 + NINE_HOURS, 6000, second),
            Some((-forwards, Duration::ZERO))
        );
        // The second clock counted the sleep, or this process alone was stopped.
        let counted = Duration::from_millis(NINE_HOURS);
        assert_eq!(
            by(5000, 5000 + NINE_HOURS, counted),
            Some((forwards, counted))
        );
        assert_eq!(
            by(5000, 5000, counted),
            Some((0, counted)),
            "and the clock was set back meanwhile"
        );
        assert_eq!(
            by(5000, 24_000, Duration::from_secs(19)),
            None,
            "a loop that is slow is none that sleeps"
        );
    }
}
