//! Tests against a real agent, on machines that have it.

use std::{env, path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::program::{REQUIRED, caught};

/// One test against a real agent, whose path it is given.
pub type RealTest = (&'static str, fn(&RealAgent));

/// A real agent on this machine.
#[derive(Debug, Clone)]
pub struct RealAgent {
    /// Its program.
    pub program: PathBuf,
    /// The programs of the other agents that the test needs, in the order in which they were named.
    pub others: Vec<PathBuf>,
}

/// The `main` of a test with `harness = false`: runs these tests against the programs that the variables name, one each, with how to get it.
/// Where one is missing, each test is reported as ignored, with that; never as passed. The first variable may name several programs,
/// separated as in `PATH`, such as two versions: then each test runs with each.
#[must_use]
pub fn real_agent_main(agents: &[(&'static str, &str)], tests: &[RealTest]) -> ExitCode {
    trials(agents, tests, env::var_os(REQUIRED).is_some())
}

/// The same for agents that not everybody can have: nowhere must they be there.
#[must_use]
pub fn private_agent_main(agents: &[(&'static str, &str)], tests: &[RealTest]) -> ExitCode {
    trials(agents, tests, false)
}

fn trials(agents: &[(&'static str, &str)], tests: &[RealTest], required: bool) -> ExitCode {
    crate::play_if_asked();
    let arguments = Arguments::from_args();
    let missing: Vec<_> = agents
        .iter()
        .filter(|(variable, _)| env::var_os(variable).is_none())
        .collect();
    let mut programs = agents.iter().map(|(variable, _)| {
        let named = env::var_os(variable).unwrap_or_default();
        env::split_paths(&named)
            .filter(|program| !program.as_os_str().is_empty())
            .collect::<Vec<_>>()
    });
    let first = programs.next().unwrap_or_default();
    let others: Vec<_> = programs
        .filter_map(|programs| programs.into_iter().next())
        .collect();
    let several = first.len() > 1;
    let mut trials = Vec::new();
    for (name, test) in tests {
        if missing.is_empty() {
            trials.extend(first.iter().enumerate().map(|(number, program)| {
                let name = if several {
                    format!("{name}::{}", number + 1)
                } else {
                    (*name).to_owned()
                };
                let agent = RealAgent {
                    program: program.clone(),
                    others: others.clone(),
                };
                let test = *test;
                Trial::test(name, move || run(&agent, test))
            }));
        } else if required {
            let why = format!("{REQUIRED} is set, and {} is not", missing[0].0);
            trials.push(Trial::test(*name, move || Err(Failed::from(why))));
        } else {
            let reasons = missing
                .iter()
                .map(|(variable, how)| format!("set {variable}: {how}"))
                .collect::<Vec<_>>()
                .join("; ");
            trials.push(
                Trial::test(*name, || Ok(()))
                    .with_kind(reasons)
                    .with_ignored_flag(true),
            );
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(agent: &RealAgent, test: fn(&RealAgent)) -> Result<(), Failed> {
    if let Some(gone) = [&agent.program]
        .into_iter()
        .chain(&agent.others)
        .find(|program| !program.is_file())
    {
        return Err(Failed::from(format!("{} is not there", gone.display())));
    }
    caught(|| test(agent))
}
