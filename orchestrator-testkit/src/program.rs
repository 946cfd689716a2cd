//! Tests that need a program which not every machine has.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Failed, Trial};

/// Set where the programs and agents of all tests must be there, as in CI: an absent one is a
/// failure then.
pub const REQUIRED: &str = "ORCHESTRATOR_TEST_REQUIRED";

/// One test, with the programs that it needs on the `PATH`.
pub type ToolTest = (&'static str, &'static [&'static str], fn());

/// The `main` of a test with `harness = false`. Where a program is missing, the tests that need it are reported as ignored, with the
/// reason; never as passed. With [`REQUIRED`] set they fail.
#[must_use]
pub fn tool_main(tests: &[ToolTest]) -> ExitCode {
    crate::play_if_asked();
    let required = env::var_os(REQUIRED).is_some();
    let trials = tests.iter().map(|(name, tools, test)| {
        let missing = tools.iter().find(|tool| !is_on_path(tool));
        let test = *test;
        match missing {
            None => Trial::test(*name, move || caught(test)),
            Some(tool) if required => {
                let why = format!("{REQUIRED} is set, and there is no `{tool}`");
                Trial::test(*name, move || Err(Failed::from(why)))
            }
            Some(tool) => Trial::test(*name, || Ok(()))
                .with_kind(format!("install `{tool}`"))
                .with_ignored_flag(true),
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn is_on_path(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(tool).is_file())
}

/// Runs a test; what it panicked with is why it failed.
pub(crate) fn caught(test: impl FnOnce()) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Failed::from(text.unwrap_or_else(|| "it panicked".to_owned()))
    })
}
