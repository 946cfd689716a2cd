//! Tests that need a program which not every machine has.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Failed, Trial};

/// Set where the programs and agents of all tests must be there, as in CI: an absent one is a
/// failure then.
pub const REQUIRED: &str = "ORCHESTRATOR_TEST_REQUIRED";

/// The `main` of a test with `harness = false`: runs these tests if the program answers
/// `--version`. Otherwise each is reported as ignored, with how to get the program; never as
/// passed.
#[must_use]
pub fn program_main(program: &str, how: &str, tests: &[(&'static str, fn())]) -> ExitCode {
    crate::play_if_asked();
    let arguments = Arguments::from_args();
    let is_there = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = env::var_os(REQUIRED).is_some();
    let trials = tests.iter().map(|(name, test)| {
        let (name, test) = (*name, *test);
        if is_there {
            Trial::test(name, move || caught(test))
        } else if required {
            let why = format!("{REQUIRED} is set, and there is no `{program}`: {how}");
            Trial::test(name, move || Err(Failed::from(why)))
        } else {
            Trial::test(name, || Ok(()))
                .with_kind(format!("no `{program}`: {how}"))
                .with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs a test; what it panicked with is why it failed.
pub(crate) fn caught(test: impl FnOnce()) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Failed::from(text.unwrap_or_else(|| "it panicked".to_owned()))
    })
}
