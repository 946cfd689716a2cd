//! The tests that need nothing but the crate, git and temporary directories, one module for each subject.
//!
//! They are one program, since each program takes its own time to link.

#[path = "../common/mod.rs"]
mod common;

use std::{env, process::Command};

mod away;
mod bad_input;
mod behaviours;
mod clock;
mod diffs;
mod discovery;
mod ending;
mod environment;
mod failover;
mod gallery;
mod gate_places;
mod heartbeat;
mod histories;
mod holds;
mod hostile;
mod kinds;
mod labels;
mod landing;
mod layering;
mod ledger;
mod one_task;
mod overlap;
mod preflight;
mod progress;
mod prompt;
mod record;
mod refusals;
mod report;
mod restart;
mod revision;
mod rewritten;
mod roadmap;
mod schemas;
mod second_opinion;
mod settings;
mod simulation;
mod sparse;
mod special_files;
mod stores;
mod streams;
mod submodules;
mod transport;
mod trees;
mod upkeep;
mod workspaces;

/// A command that runs one test of this program again, as a process of its own with an environment
/// that holds nothing but `PATH`. `name` is the test's whole name.
fn this_test(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this is a program"));
    command
        .args(["--exact", name, "--nocapture"])
        .env_clear()
        .env("PATH", env::var_os("PATH").expect("a path"));
    command
}

/// Fails unless the test was run and passed. A name that no test has passes nothing.
fn assert_passes(mut test: Command) {
    let output = test.output().expect("can be run");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("test result: ok. 1 passed"),
        "{stdout}{stderr}"
    );
}
