//! For each clause of each suite a deliberately wrong implementation, which it catches.

mod agent;
mod evidence;
mod ledger;
mod reviewer;
mod source;

use std::{fmt::Debug, thread, time::Duration};

use orchestrator_testkit::{conformance::Checked, scripted_worker};

scripted_worker!();

/// A wrong implementation may hang; that is seen soon enough.
const DEADLINE: Duration = Duration::from_secs(15);

/// Holds each clause against the fault that it is to catch.
fn caught<F: Debug + Copy + Send>(
    clauses: &[&str],
    faults: &[(&str, F)],
    check: impl Fn(&str, F, Duration) -> Checked + Sync,
) {
    let named: Vec<_> = faults.iter().map(|(clause, _)| *clause).collect();
    assert_eq!(
        named, clauses,
        "a fault for each clause, in the suite's order"
    );
    let missed: Vec<_> = thread::scope(|scope| {
        let run = |(clause, fault): &(&str, F)| {
            let (clause, fault, check) = (clause.to_string(), *fault, &check);
            scope.spawn(move || match check(&clause, fault, DEADLINE) {
                Ok(()) => Some(format!("{clause} does not catch {fault:?}")),
                Err(violation) => {
                    println!("{clause} on {fault:?}: {violation}");
                    None
                }
            })
        };
        let running: Vec<_> = faults.iter().map(run).collect();
        running
            .into_iter()
            .filter_map(|thread| thread.join().expect("a clause does not panic"))
            .collect()
    });
    assert!(missed.is_empty(), "{missed:#?}");
}
