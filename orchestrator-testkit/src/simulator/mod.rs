//! The machine under a virtual clock, for those who drive it: no git, no process, no time that passes.
//!
//! A [`World`] answers effects, well or as a test says, and keeps the records. [`simulate`] lets anything happen in any order, by a
//! seed: agents crash, conflicts come, the remote goes away, people answer and change their minds, the orchestrator dies. The [`Laws`]
//! are held after each step. So a policy or a roadmap can be tried in milliseconds, before an agent costs anything.
//!
//! ```
//! use orchestrator_testkit::simulator::{policy, simulate, task};
//!
//! let tasks = [task("A", "allow = [\"a/**\"]"), task("B", "allow = [\"b/**\"]\nafter = [\"A\"]")];
//! let world = simulate(7, policy("max_sessions = 2"), &tasks);
//! println!("{} records, and it ended: {:?}", world.ledger.len(), world.state.ended());
//! ```

mod agent_laws;
mod chance;
mod laws;
mod world;

use orchestrator_core::model::{Policy, Task};

use chance::{ending, happening};

pub use chance::Dice;
pub use laws::Laws;
pub use world::{
    World, blocked, change, collected, commit, error, name, nothing, policy, report, review,
    roadmap, submission, task, task_id, tree_of,
};

/// One run of these tasks in which anything happens for a while, and then all goes well until it ends; the same for the same seed.
///
/// # Panics
/// When a law is broken, or the run does not end.
#[must_use]
pub fn simulate(seed: u64, policy: Policy, tasks: &[Task]) -> World {
    let mut dice = Dice::new(seed);
    let mut world = if seed.is_multiple_of(2) {
        World::with_tasks(policy, tasks.to_vec())
    } else {
        World::with_baseline(policy, tasks.to_vec())
    };
    let mut laws = Laws::default();
    for _ in 0..40 + dice.below(120) {
        laws.hold(&world);
        if world.state.ended().is_some() || dice.chance(40) {
            // It has died, or has ended and is started again.
            world.open_again();
            continue;
        }
        let open = world.open_effects();
        let event = match open.get(dice.below(open.len().max(1))) {
            Some((effect, what)) if !dice.chance(4) => {
                Some(ending(&mut world, &mut dice, *effect, what))
            }
            _ => happening(&mut world, &mut dice, tasks),
        };
        if let Some(event) = event {
            world.tell(event);
        }
        world.tick();
    }
    // From now on all goes well, and nobody says anything: it ends for a reason.
    for _ in 0..3000 {
        laws.hold(&world);
        if world.state.ended().is_some() {
            break;
        }
        if !world.step() {
            world.now += 10_000;
            world.tick();
        }
    }
    assert!(
        world.state.ended().is_some(),
        "it goes on for ever: {:#?}",
        world.state.tasks()
    );
    laws.hold(&world);
    Laws::hold_and_replay(&world);
    world
}
