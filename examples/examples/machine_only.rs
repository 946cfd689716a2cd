//! The machine in a loop of your own: no git, no processes, no disk. You keep the records, perform the effects, and tell what
//! happened; it decides.
//!
//! ```text
//! cargo run --example machine_only
//! ```
//!
//! Here the world is made up: an agent that commits at once, a reviewer that has an objection to the first commit, a gate that
//! is green. What is real is every decision, and that the state can be folded again from the records alone.

use std::error::Error;

use orchestrator_core::{
    machine::{State, apply, decide, replay},
    model::{
        Candidate, Collected, CommitId, ContentHash, Effect, EffectId, Event, EventKind, Finding,
        GateOutcome, GateReport, Handoff, HandoffReport, HandoffStatus, Lacking, LandingOutcome,
        Opened, Opinion, Policy, Reading, Record, Review, Roadmap, RunId, Severity, Span,
        Submission, Task, Timestamp, TurnOutcome, TurnUsage, WorkspaceFate,
    },
    status::{Snapshot, table},
};

/// All that a driver has to keep.
struct Driver {
    policy: Policy,
    state: State,
    /// Append these durably before you apply them.
    ledger: Vec<Record>,
    /// Effects that were asked for, in order.
    due: Vec<(EffectId, Effect)>,
    clock: u64,
}

impl Driver {
    /// One event: decide, append, apply. What it asks for is due afterwards.
    fn tell(&mut self, kind: EventKind) -> Result<bool, Box<dyn Error>> {
        self.clock += 1000;
        let records = decide(
            &self.state,
            Event {
                at: Timestamp(self.clock),
                kind,
            },
            &self.policy,
        )?;
        for record in &records {
            apply(&mut self.state, record)?;
            if let Record::Requested { effect, what, .. } = record {
                self.due.push((*effect, what.clone()));
            }
        }
        let moved = !records.is_empty();
        self.ledger.extend(records);
        Ok(moved)
    }

    /// The same, and then ticks until nothing more is due: only a tick starts things.
    fn tell_and_settle(&mut self, kind: EventKind) -> Result<(), Box<dyn Error>> {
        self.tell(kind)?;
        while self.tell(EventKind::Tick)? {}
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let policy = Policy::parse("[gates.unit]\nrun = [\"cargo\", \"test\"]\ndefault = true")?;
    let mut driver = Driver {
        policy,
        state: State::default(),
        ledger: Vec::new(),
        due: Vec::new(),
        clock: 1_700_000_000_000,
    };
    let opened = Opened {
        run: RunId::new("demo")?,
        policy: driver.policy.hash(),
        environment: ContentHash::of(b""),
        seed: 7,
        // An agent, and that its sessions can be gone on with.
        backends: vec![("agent".parse()?, true)],
        wait: false,
        baseline: false,
    };
    driver.tell_and_settle(EventKind::Opened(opened))?;
    while driver.state.ended().is_none() {
        let (effect, what) = driver.due.remove(0);
        println!("{:>4} {}", effect.to_string(), short(&what));
        let event = perform(effect, &what)?;
        driver.tell_and_settle(event)?;
    }

    println!("\n{}", table(&Snapshot::of(&driver.state)));
    assert_eq!(
        replay(&driver.ledger)?,
        driver.state,
        "the records are all that there is"
    );
    println!(
        "{} records, from which the very same state was folded again",
        driver.ledger.len()
    );
    Ok(())
}

/// The world, made up: one event for each effect.
fn perform(effect: EffectId, what: &Effect) -> Result<EventKind, Box<dyn Error>> {
    let commit = |digit: &str| digit.repeat(40).parse::<CommitId>();
    let tree = "e".repeat(40).parse()?;
    let tip = commit("0")?;
    let tip_tree = "d".repeat(40).parse()?;
    Ok(match what {
        Effect::ReadRoadmap { tip: known } => {
            let mut task = Task::new("T1".parse()?, "Say hello");
            // Read again after the landing, it is ticked.
            task.done = known.is_some();
            let roadmap = Roadmap {
                revision: "1".to_owned(),
                tip: known.unwrap_or(tip),
                tree: if known.is_some() { tree } else { tip_tree },
                tasks: vec![task],
            };
            EventKind::RoadmapRead {
                effect,
                reading: Reading::Read(roadmap),
            }
        }
        // Nobody rewrites this target.
        Effect::CheckHistory { .. } => EventKind::HistoryChecked {
            effect,
            missing: Vec::new(),
        },
        Effect::Prepare { .. } => EventKind::Prepared {
            effect,
            failure: None,
        },
        Effect::RunTurn { .. } => EventKind::TurnEnded {
            effect,
            outcome: TurnOutcome::Completed,
            usage: TurnUsage::default(),
        },
        Effect::Nudge { .. } => EventKind::Nudged {
            effect,
            heard: true,
        },
        Effect::StopTurn { .. } => EventKind::StopSent { effect },
        Effect::Collect { attempt, turn, .. } => {
            let submission = Submission {
                base: tip,
                carried: None,
                head: commit(&turn.to_string())?,
                tree,
                commits: *turn,
                changes: Vec::new(),
                uncommitted: Vec::new(),
                handoff: HandoffReport::Read(Handoff::new(
                    attempt.task.as_str(),
                    attempt.number,
                    HandoffStatus::Done,
                )),
                handoff_hash: None,
                findings: Vec::new(),
                artifacts: Vec::new(),
            };
            EventKind::Collected {
                effect,
                result: Collected::Work(submission),
                kept: Vec::new(),
            }
        }
        Effect::Review { work, .. } => {
            let head = work.head;
            let objection = Finding::new(Severity::Error, "taste/greeting", "say it more warmly");
            let findings = if head == commit("1")? {
                vec![objection]
            } else {
                Vec::new()
            };
            let review = Review::new("me", head, Opinion::Looked { findings });
            EventKind::Reviewed {
                effect,
                reviews: vec![review],
                carried: None,
            }
        }
        Effect::Merge { head, .. } => EventKind::Merged {
            effect,
            result: Ok(Candidate {
                head: *head,
                tip,
                tip_tree,
                tree,
                changes: Vec::new(),
            }),
        },
        Effect::RunGate { tree, gate, .. } => {
            let nothing = ContentHash::of(b"");
            let report = GateReport {
                gate: gate.clone(),
                tree: *tree,
                environment: nothing,
                outcome: GateOutcome::Exited { code: 0 },
                output: nothing,
                tail: String::new(),
                before: Vec::new(),
                lacked: Lacking::default(),
                took: Span::secs(1),
            };
            EventKind::GateRan { effect, report }
        }
        Effect::CancelGate { .. } => EventKind::StopSent { effect },
        Effect::Land { .. } => EventKind::LandingTried {
            effect,
            outcome: LandingOutcome::Landed {
                commit: commit("f")?,
            },
        },
        Effect::CleanUp { .. } => EventKind::CleanedUp {
            effect,
            fate: WorkspaceFate::Removed { kept: None },
        },
        Effect::Report { .. } => EventKind::Reported {
            effect,
            failure: None,
        },
        other => return Err(format!("this page does not know {other:?}").into()),
    })
}

fn short(what: &Effect) -> String {
    let debug = format!("{what:?}");
    debug
        .split([' ', '{'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
