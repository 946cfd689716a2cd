//! Ports that workers, set-up commands and gates may listen on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyError;

/// Gates that run at one time, each of which has ports of its own.
const GATE_SLOTS: u32 = 1;

/// Ports that are handed out in ranges: one range for each workspace, and one for the gates. Whoever has a range finds its first port in
/// the variable `ORCHESTRATOR_PORT_BASE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Ports {
    /// The first port of all. Default: 20000.
    pub first: u16,
    /// The last port of all. Default: 29999.
    pub last: u16,
    /// How many ports one range has. Default: 10.
    pub each: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            first: 20_000,
            last: 29_999,
            each: 10,
        }
    }
}

impl Ports {
    /// How many ranges there are.
    #[must_use]
    pub fn ranges(&self) -> u32 {
        let ports = (u32::from(self.last) + 1).saturating_sub(u32::from(self.first));
        ports.checked_div(u32::from(self.each)).unwrap_or(0)
    }

    /// The first port of a range, which are counted from 0; `None` beyond the last range.
    #[must_use]
    pub fn base(&self, range: u32) -> Option<u16> {
        if range >= self.ranges() {
            return None;
        }
        u16::try_from(u32::from(self.first) + range * u32::from(self.each)).ok()
    }

    /// The range that begins with this port, if one does.
    #[must_use]
    pub fn range_of(&self, base: u16) -> Option<u32> {
        let offset = u32::from(base.checked_sub(self.first)?);
        let range = offset.checked_div(u32::from(self.each))?;
        (self.base(range) == Some(base)).then_some(range)
    }

    /// # Errors
    /// [`PolicyError::Value`] when the ranges are not enough for so many agents at one time, and the gates.
    pub(super) fn check(&self, max_sessions: u32) -> Result<(), PolicyError> {
        let wrong = |why: String| {
            Err(PolicyError::Value {
                key: "environment.ports".to_owned(),
                why,
            })
        };
        if self.each == 0 {
            return wrong("`each` must be greater than zero".to_owned());
        }
        if self.first < 1024 || self.last < self.first {
            let why = "needs `first` of at least 1024, and `last` of at least `first`";
            return wrong(why.to_owned());
        }
        let needed = max_sessions.saturating_add(GATE_SLOTS);
        if self.ranges() < needed {
            return wrong(format!(
                "{} to {} are {} ranges of {}, and {needed} are needed: one for each of `max_sessions`, and one for gates",
                self.first,
                self.last,
                self.ranges(),
                self.each
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted_and_named_by_their_first_port() {
        let ports = Ports {
            first: 65_000,
            last: 65_535,
            each: 100,
        };
        assert_eq!(ports.ranges(), 5);
        assert_eq!((ports.base(4), ports.base(5)), (Some(65_400), None));
        assert_eq!(ports.range_of(65_400), Some(4));
        assert_eq!(ports.range_of(65_401), None);
        assert_eq!(ports.range_of(64_900), None);
        assert_eq!(Ports::default().ranges(), 1000);
    }

    #[test]
    fn ports_that_are_too_few_are_refused() {
        let said = |first, last, each| {
            let checked = Ports { first, last, each }.check(2);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(said(20_000, 20_029, 10), Ok(()));
        let few = said(20_000, 20_028, 10).expect_err("two ranges");
        assert_eq!(
            few,
            "`environment.ports`: 20000 to 20028 are 2 ranges of 10, and 3 are needed: one for each of `max_sessions`, and one for \
             gates"
        );
        assert!(said(20_000, 20_029, 0).is_err());
        assert!(said(80, 20_029, 10).is_err());
        assert!(said(30_000, 20_000, 10).is_err());
    }
}
