//! What must hold of every run, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{
    machine::replay,
    model::{Effect, GateReport, Record, RunMode, StopReason, TurnOutcome},
};

use super::{World, agent_laws::AgentLaws};

/// The laws, over what was recorded since the last look. `told` is how far that was.
#[derive(Debug, Default)]
pub struct Laws {
    told: usize,
    turns: BTreeMap<String, BTreeSet<u32>>,
    open: BTreeSet<u64>,
    /// The greatest number that an effect was given.
    last: u64,
    stops: BTreeMap<u64, StopReason>,
    /// How often the session of an attempt went on after it was cut off.
    continued: BTreeMap<String, usize>,
    agents: AgentLaws,
}

impl Laws {
    /// Looks at what is new.
    ///
    /// # Panics
    /// When a law is broken, with its name.
    pub fn hold(&mut self, world: &World) {
        for record in &world.ledger[self.told..] {
            self.agents.hold(world, record);
            match record {
                Record::Requested { effect, what, .. } => {
                    assert!(
                        self.open.insert(effect.0),
                        "effect {effect} was asked for once"
                    );
                    assert!(
                        self.last < effect.0,
                        "effect {effect} has a number of its own"
                    );
                    self.last = effect.0;
                    if let Effect::RunTurn { attempt, turn, .. } = what {
                        let turns = self.turns.entry(attempt.to_string()).or_default();
                        assert!(
                            turns.insert(*turn),
                            "no agent is started twice for {attempt}, turn {turn}"
                        );
                        // One more for a missing handoff, and what went on after it was cut off.
                        let continued = self.continued.get(&attempt.to_string());
                        let continued = continued.copied().unwrap_or_default();
                        let most = world.policy.limits.turns as usize + 1 + continued;
                        assert!(
                            turns.len() <= most,
                            "{attempt} has no more turns than the policy allows"
                        );
                    }
                    if let Effect::StopTurn { turn, why, .. } = what {
                        assert!(
                            self.stops.insert(turn.0, *why).is_none(),
                            "a turn is told to stop once"
                        );
                    }
                }
                Record::Closed { effect, .. } => assert!(
                    self.open.remove(&effect.0),
                    "effect {effect} is closed once"
                ),
                Record::Continued {
                    attempt,
                    ended,
                    note,
                    row,
                    ..
                } => {
                    *self.continued.entry(attempt.to_string()).or_default() += 1;
                    let is_outage = matches!(ended.outcome, TurnOutcome::Overloaded { .. });
                    assert!(
                        *row <= 3 || is_outage || note.is_some(),
                        "{attempt} goes on at most three times in a row"
                    );
                }
                Record::Accepted { landing } => {
                    assert!(
                        landing.acceptance.completion.is_some(),
                        "accepted when somebody has said that it is complete"
                    );
                    let green = |report: &GateReport| {
                        report.passed() && report.tree == landing.acceptance.tree
                    };
                    assert!(
                        !landing.acceptance.gates.is_empty()
                            && landing.acceptance.gates.iter().all(green),
                        "accepted with green gates"
                    );
                }
                Record::Dispatched { attempt, .. } => {
                    assert_eq!(
                        world.state.mode(),
                        RunMode::Active,
                        "{attempt}: nothing is started in another mode"
                    );
                }
                _ => {}
            }
        }
        self.told = world.ledger.len();
        Self::hold_now(world);
    }

    /// Looks at the state alone: the lane, the sessions, and that no open work can collide.
    ///
    /// # Panics
    /// When a law is broken, with its name.
    pub fn hold_now(world: &World) {
        let steps: Vec<_> = world
            .state
            .tasks()
            .iter()
            .filter_map(|entry| entry.active())
            .collect();
        assert!(
            steps
                .iter()
                .filter(|active| active.step().in_lane())
                .count()
                <= 1,
            "the landing lane holds one at a time"
        );
        let sessions = steps
            .iter()
            .filter(|active| active.step().takes_session())
            .count();
        assert!(
            sessions <= world.policy.max_sessions as usize,
            "no more sessions than the policy allows"
        );
        let open: Vec<_> = world
            .state
            .tasks()
            .iter()
            .filter_map(|entry| entry.occupying())
            .collect();
        for (at, one) in open.iter().enumerate() {
            for other in &open[at + 1..] {
                let overlap = one
                    .contract()
                    .allow
                    .iter()
                    .any(|a| other.contract().allow.iter().any(|b| a.overlaps(b)));
                let share = one
                    .contract()
                    .resources
                    .iter()
                    .any(|resource| other.contract().resources.contains(resource));
                assert!(
                    !overlap && !share,
                    "{} and {} may collide",
                    one.id(),
                    other.id()
                );
            }
        }
    }

    /// The same, and that the records alone fold to the state: as dear as the ledger is long.
    ///
    /// # Panics
    /// When a law is broken, with its name.
    pub fn hold_and_replay(world: &World) {
        Self::hold_now(world);
        let replayed = replay(&world.ledger).expect("the ledger replays");
        assert_eq!(
            replayed, world.state,
            "the replayed ledger equals the live state"
        );
    }
}
