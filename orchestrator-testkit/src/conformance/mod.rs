//! What every implementation of a port must do, one clause a function, each of which returns a [`Violation`] or nothing.
//!
//! A macro for each port makes every clause a test of its own, so that one failure hides no other:
//!
//! ```text
//! agent_conformance!(fixture)      AgentBackend     the fixture says how this agent says things
//! source_conformance!(fixture)     TaskSource       …            which trees hold which tasks
//! reviewer_conformance!(fixture)   Reviewer         …            which changes it must find fault with
//! ledger_conformance!(fixture)     Ledger           …            how to open the same ledger twice
//! evidence_conformance!(fixture)   EvidenceStore    …            how to open the same store twice
//! ```
//!
//! For each clause this crate's own tests hold a deliberately wrong implementation that it catches.

pub mod agent;
pub mod evidence;
pub mod ledger;
pub mod reviewer;
pub mod source;
mod stage;

use std::{fmt, sync::Arc, time::Duration};

use orchestrator_core::model::with_source;

use crate::block_on_within;

/// What an implementation did that its port's contract forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Violation {
    /// An error where none may be.
    fn from(error: E) -> Self {
        Self(format!("it failed: {}", with_source(&error)))
    }
}

/// What a clause found.
pub type Checked = Result<(), Violation>;

/// A violation, unless `holds`.
pub(crate) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation(otherwise()))
    }
}

/// Opens the same place again and again, each time as a stranger would.
pub type Opener<T> = Box<dyn Fn() -> Arc<T> + Send + Sync>;

/// A call that its caller gives up at once.
pub(crate) async fn polled_once<T>(call: impl Future<Output = T> + Send) {
    tokio::select! {
        biased;
        _ = call => {}
        () = std::future::ready(()) => {}
    }
}

/// No clause that holds takes longer; one that does hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Runs one clause in a runtime of its own.
pub(crate) fn run(clause: impl Future<Output = Checked>, deadline: Duration) -> Checked {
    let hangs = || {
        Err(Violation(format!(
            "it did not come to an end within {} s",
            deadline.as_secs()
        )))
    };
    block_on_within(deadline, clause).unwrap_or_else(hangs)
}

/// Defines a suite: the list of its clauses, a function that runs one by name, and the macro that makes tests of them.
macro_rules! suite {
    ($dollar:tt $macro:ident in $module:ident: $fixture:path; $($(#[doc = $doc:literal])+ $clause:ident,)+) => {
        /// The clauses' names.
        pub const CLAUSES: &[&str] = &[$(stringify!($clause)),+];

        /// Runs one clause by its name, for at most so long: [`DEADLINE`](crate::conformance::DEADLINE) where it should hold.
        ///
        /// # Errors
        /// What the clause found.
        ///
        /// # Panics
        /// When there is no clause of this name, or no runtime can be had.
        pub fn check(clause: &str, fixture: &dyn $fixture, deadline: std::time::Duration) -> $crate::conformance::Checked {
            match clause {
                $(stringify!($clause) => $crate::conformance::run($clause(fixture), deadline),)+
                _ => panic!("no clause `{clause}`"),
            }
        }

        #[doc = concat!("Makes a test of each clause of [`conformance::", stringify!($module), "`](", stringify!($crate), "::conformance::",
            stringify!($module), "), in the module where it is written. Takes an expression that makes a fixture.")]
        #[macro_export]
        macro_rules! $macro {
            ($dollar fixture:expr) => {
                $(
                    $(#[doc = $doc])+
                    #[test]
                    fn $clause() {
                        if let Err(violation) = $crate::conformance::$module::check(
                            stringify!($clause),
                            &$dollar fixture,
                            $crate::conformance::DEADLINE,
                        ) {
                            panic!("{violation}");
                        }
                    }
                )+
            };
        }
    };
}
pub(crate) use suite;
