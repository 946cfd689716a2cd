//! Tests against a real agent, on machines that have it.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
};

use libtest_mimic::{Arguments, Failed, Trial};

/// Set where the real agents must be there, as in CI: an absent one is a failure then.
pub const REQUIRED: &str = "ORCHESTRATOR_TEST_REQUIRED";

/// One test against a real agent, whose path it is given.
pub type RealTest = (&'static str, fn(&RealAgent));

/// A real agent on this machine.
#[derive(Debug, Clone)]
pub struct RealAgent {
    /// Its program.
    pub program: PathBuf,
}

/// The `main` of a test with `harness = false`: runs these tests against the program that the variable names. Where there is none,
/// each is reported as ignored, with how to get it; never as passed.
#[must_use]
pub fn real_agent_main(variable: &'static str, how_to_get_it: &str, tests: &[RealTest]) -> ExitCode {
    crate::play_if_asked();
    let arguments = Arguments::from_args();
    let agent = env::var_os(variable).map(|program| RealAgent { program: program.into() });
    let required = env::var_os(REQUIRED).is_some();
    let trial = |(name, test): &RealTest| {
        let (agent, test) = (agent.clone(), *test);
        let absent = agent.is_none();
        let run = move || {
            let agent = agent.ok_or_else(|| Failed::from(format!("{REQUIRED} is set, and {variable} is not")))?;
            if !agent.program.is_file() {
                return Err(Failed::from(format!("{variable} names {}, which is not there", agent.program.display())));
            }
            catch_unwind(AssertUnwindSafe(|| test(&agent))).map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Failed::from(text.unwrap_or_else(|| "it panicked".to_owned()))
            })
        };
        let trial = Trial::test(*name, run);
        let reason = format!("set {variable}: {how_to_get_it}");
        if absent && !required { trial.with_kind(reason).with_ignored_flag(true) } else { trial }
    };
    libtest_mimic::run(&arguments, tests.iter().map(trial).collect()).exit_code()
}
