//! Moments and lengths of time as people read them: always with the time zone.

use std::fmt;

use super::{Span, Timestamp};

const DAY: u64 = 86_400;

/// Such as `2026-11-29 14:05 UTC`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / 1000 / DAY);
        let [hours, minutes, _] = self.time_of_day();
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02} UTC"
        )
    }
}

impl Timestamp {
    /// To the second: `2026-11-29 14:05:31 UTC`.
    #[must_use]
    pub fn to_the_second(self) -> String {
        let (year, month, day) = date(self.0 / 1000 / DAY);
        let [hours, minutes, seconds] = self.time_of_day();
        format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02} UTC")
    }

    /// The moment, and how long it still is, seen at `now`: `2026-11-29 14:05 UTC, in 2 h 5 min`. One
    /// that has passed says so.
    #[must_use]
    pub fn seen_at(self, now: Self) -> String {
        if self <= now {
            return format!("{self}, which has passed");
        }
        format!("{self}, in {}", self.since(now).in_words())
    }
}

impl Span {
    /// Roughly: `800 ms`, `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
    #[must_use]
    pub fn in_words(self) -> String {
        match self.0 / 1000 {
            0 => format!("{} ms", self.0),
            seconds @ 1..=119 => format!("{seconds} s"),
            seconds @ 120..=7_199 => format!("{} min", seconds / 60),
            seconds @ 7_200..=172_799 => {
                format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60)
            }
            seconds => format!("{} d {} h", seconds / DAY, seconds % DAY / 3_600),
        }
    }
}

/// Year, month and day of a day that is counted from 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year: an era has 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_has_date_and_zone() {
        for (millis, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_827_700_000, "2000-02-29 12:35 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59 UTC"),
            (1_709_251_200_000, "2024-03-01 00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00 UTC"),
            (1_795_982_740_000, "2026-11-29 20:05 UTC"),
        ] {
            assert_eq!(Timestamp(millis).to_string(), text);
        }
    }

    #[test]
    fn moment_says_how_long_it_still_is() {
        let (now, hour) = (Timestamp(951_827_700_000), 3_600_000);
        let at = |millis| now.after(Span(millis)).seen_at(now);
        assert_eq!(at(2 * hour + 300_000), "2000-02-29 14:40 UTC, in 2 h 5 min");
        assert_eq!(at(100 * hour), "2000-03-04 16:35 UTC, in 4 d 4 h");
        assert_eq!(at(0), "2000-02-29 12:35 UTC, which has passed");
    }
}
