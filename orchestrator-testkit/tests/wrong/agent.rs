//! Wrong agent backends.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    CommandAgent,
    model::{SessionRef, TurnOutcome},
    port::{
        AgentBackend, AgentError, Capabilities, Probe, Turn, TurnControl, TurnInput, TurnRequest,
        Update,
    },
    process::MARK_VARIABLE,
};
use orchestrator_testkit::{
    Player, Step,
    conformance::agent::{AgentFixture, CLAUSES, Phrase, check},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    sync::mpsc,
};

/// What is wrong with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    EndsTwice,
    SwapsWhatWasSaid,
    TakesTheHandoffElsewhere,
    KeepsNoStream,
    DoesNotStop,
    EndsAgainWithEachStop,
    /// Written by hand, as one would: the child alone is killed, and standard error is never read.
    Naive,
    ChokesOnLongLines,
    EndsAtGarbage,
    FailsAtTheUnknown,
    TakesEveryEndForSuccess,
    TakesALostSessionForACrash,
    SharesTheHandoff,
    InheritsTheEnvironment,
    WorksElsewhere,
    DeniesThatItResumes,
    ClaimsToListen,
    ChangesItsName,
    DropsWhatHasToWait,
    LosesWhatADroppedCallTook,
    FindsWhatIsNotThere,
    HasAnEmptyVersion,
}

#[test]
fn each_clause_of_the_agent_suite_catches_a_fault() {
    use Fault::*;
    let faults = [
        ("a_turn_ends_exactly_once", EndsTwice),
        ("what_it_says_is_told_in_order", SwapsWhatWasSaid),
        (
            "the_handoff_is_where_it_should_be",
            TakesTheHandoffElsewhere,
        ),
        ("the_raw_stream_is_kept", KeepsNoStream),
        ("it_can_be_stopped_before_its_first_update", DoesNotStop),
        ("it_can_be_stopped_twice", EndsAgainWithEachStop),
        ("stopping_leaves_no_process", Naive),
        ("dropping_leaves_no_process", Naive),
        ("an_end_leaves_no_process", Naive),
        ("more_than_a_pipe_holds_passes", Naive),
        ("a_line_of_sixteen_mebibytes_passes", ChokesOnLongLines),
        ("garbage_is_no_end", EndsAtGarbage),
        ("an_unknown_event_is_no_crash", FailsAtTheUnknown),
        (
            "a_program_that_breaks_off_has_not_completed",
            TakesEveryEndForSuccess,
        ),
        ("a_lost_session_is_told", TakesALostSessionForACrash),
        ("two_turns_do_not_mix", SharesTheHandoff),
        ("the_environment_is_not_inherited", InheritsTheEnvironment),
        ("it_runs_in_the_workspace", WorksElsewhere),
        ("resuming_is_as_the_capabilities_say", DeniesThatItResumes),
        ("listening_is_as_the_capabilities_say", ClaimsToListen),
        ("it_describes_itself_the_same_way_twice", ChangesItsName),
        ("a_slow_reader_loses_nothing", DropsWhatHasToWait),
        ("a_dropped_next_loses_nothing", LosesWhatADroppedCallTook),
        ("a_missing_program_is_an_error", FindsWhatIsNotThere),
        ("the_probe_finds_the_agent", HasAnEmptyVersion),
    ];
    super::caught(CLAUSES, &faults, |clause, fault, deadline| {
        check(clause, &Bent(fault), deadline)
    });
}

/// The command agent, with a fault.
#[derive(Debug)]
struct Bent(Fault);

impl AgentFixture for Bent {
    fn player(&self) -> Player {
        super::player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        let inner = CommandAgent::new(program.to_string_lossy(), [""; 0]);
        let (first, started) = (Mutex::default(), AtomicBool::default());
        Arc::new(BentBackend {
            inner,
            program: program.to_owned(),
            fault: self.0,
            first,
            started,
        })
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        match phrase {
            Phrase::Begin { .. } => Some(vec![Step::HearAll]),
            Phrase::Say(text) => Some(vec![Step::line(text)]),
            Phrase::Unknown => Some(vec![Step::line("unknown")]),
            Phrase::End { handoff } => Some(vec![Step::Handoff(handoff.into()), Step::Exit(0)]),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct BentBackend {
    inner: CommandAgent,
    program: PathBuf,
    fault: Fault,
    /// The first handoff that it was asked for.
    first: Mutex<Option<PathBuf>>,
    started: AtomicBool,
}

#[async_trait]
impl AgentBackend for BentBackend {
    fn name(&self) -> &str {
        let other = self.fault == Fault::ChangesItsName && self.started.load(Ordering::Relaxed);
        if other { "another" } else { "bent" }
    }

    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::DeniesThatItResumes => Capabilities::least(),
            Fault::ClaimsToListen => Capabilities::least().with_resume().with_input(),
            _ => Capabilities::least().with_resume(),
        }
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        match self.fault {
            Fault::FindsWhatIsNotThere => Ok(Probe::found(None)),
            Fault::HasAnEmptyVersion => Ok(Probe::found(Some(String::new()))),
            _ => self.inner.probe().await,
        }
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, mut request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        self.started.store(true, Ordering::Relaxed);
        let lost = request
            .resume
            .as_ref()
            .is_some_and(|session| session.0.contains("unknown"));
        match self.fault {
            Fault::Naive => return Naive::start(&self.program, request),
            Fault::TakesTheHandoffElsewhere => drop(request.handoff.set_extension("elsewhere")),
            Fault::KeepsNoStream => drop(request.streams.take()),
            Fault::InheritsTheEnvironment => request.environment.extend(std::env::vars()),
            Fault::WorksElsewhere => drop(request.workspace.pop()),
            Fault::SharesTheHandoff => {
                request.handoff.clone_from(
                    self.first
                        .lock()
                        .expect("no panic")
                        .get_or_insert(request.handoff.clone()),
                );
            }
            _ => {}
        };
        let turn = self.inner.start(request).await?;
        let mut bent = BentTurn {
            control: turn.control(),
            inner: turn,
            fault: self.fault,
            said: None,
            more: Vec::new(),
            over: false,
        };
        if self.fault == Fault::TakesALostSessionForACrash && lost {
            bent.more.push(Update::Ended {
                outcome: TurnOutcome::Crashed {
                    detail: "no such session".to_owned(),
                },
            });
        }
        if self.fault == Fault::DropsWhatHasToWait {
            return Ok(Box::new(Hasty::start(bent)));
        }
        Ok(Box::new(bent))
    }
}

#[derive(Debug)]
struct BentTurn {
    inner: Box<dyn Turn>,
    control: Arc<dyn TurnControl>,
    fault: Fault,
    /// Something that is said later than it was.
    said: Option<Update>,
    /// To be told before anything else.
    more: Vec<Update>,
    over: bool,
}

#[async_trait]
impl Turn for BentTurn {
    async fn next(&mut self) -> Option<Update> {
        if let Some(update) = self.more.pop() {
            self.over |= matches!(update, Update::Ended { .. });
            return Some(update);
        }
        if self.over {
            return None;
        }
        let update = self.inner.next().await;
        let crashed = || {
            Some(Update::Ended {
                outcome: TurnOutcome::Crashed {
                    detail: "not understood".to_owned(),
                },
            })
        };
        match (self.fault, update) {
            (Fault::EndsTwice, Some(Update::Ended { outcome })) => {
                self.more.push(Update::Ended {
                    outcome: outcome.clone(),
                });
                Some(Update::Ended { outcome })
            }
            (Fault::EndsAgainWithEachStop, Some(Update::Ended { outcome }))
                if outcome == TurnOutcome::Stopped =>
            {
                self.more.push(Update::Ended {
                    outcome: outcome.clone(),
                });
                Some(Update::Ended { outcome })
            }
            (Fault::SwapsWhatWasSaid, Some(update @ Update::Activity { .. })) => {
                match self.said.take() {
                    Some(before) => {
                        self.more.push(before);
                        Some(update)
                    }
                    None => {
                        self.said = Some(update);
                        self.next().await
                    }
                }
            }
            (Fault::ChokesOnLongLines, Some(Update::Activity { text })) if text.len() >= 4096 => {
                self.control.stop(Duration::ZERO).await;
                self.over = true;
                crashed()
            }
            (Fault::EndsAtGarbage, Some(Update::Activity { text }))
                if text.contains('\u{fffd}') =>
            {
                self.over = true;
                crashed()
            }
            (Fault::FailsAtTheUnknown, Some(Update::Activity { text })) if text == "unknown" => {
                self.over = true;
                crashed()
            }
            (Fault::TakesEveryEndForSuccess, Some(Update::Ended { .. })) => Some(Update::Ended {
                outcome: TurnOutcome::Completed,
            }),
            (Fault::LosesWhatADroppedCallTook, update) => {
                tokio::task::yield_now().await;
                update
            }
            (_, update) => update,
        }
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        match self.fault {
            Fault::DoesNotStop => Arc::new(Unstoppable),
            _ => Arc::clone(&self.control),
        }
    }
}

#[derive(Debug)]
struct Unstoppable;

#[async_trait]
impl TurnControl for Unstoppable {
    async fn send(&self, _: TurnInput) -> Result<(), AgentError> {
        Err(AgentError::Unsupported("listen"))
    }

    fn is_alive(&self) -> Option<bool> {
        None
    }

    async fn stop(&self, _: Duration) {}
}

/// A short queue, and who comes when it is full is sent away.
#[derive(Debug)]
struct Hasty {
    queue: mpsc::Receiver<Update>,
    control: Arc<dyn TurnControl>,
}

impl Hasty {
    fn start(mut turn: BentTurn) -> Self {
        let (send, queue) = mpsc::channel(64);
        let control = turn.control();
        tokio::spawn(async move {
            while let Some(update) = turn.next().await {
                if matches!(update, Update::Ended { .. }) {
                    drop(send.send(update).await);
                } else {
                    drop(send.try_send(update));
                }
            }
        });
        Self { queue, control }
    }
}

#[async_trait]
impl Turn for Hasty {
    async fn next(&mut self) -> Option<Update> {
        self.queue.recv().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.control)
    }
}

/// What one writes who has not read the guide.
#[derive(Debug)]
struct Naive {
    updates: mpsc::UnboundedReceiver<Update>,
    control: Arc<NaiveControl>,
}

#[derive(Debug)]
struct NaiveControl(tokio::sync::Mutex<tokio::process::Child>);

impl Naive {
    fn start(program: &Path, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let environment: BTreeMap<_, _> = request
            .environment
            .into_iter()
            .chain([(MARK_VARIABLE.to_owned(), request.mark)])
            .collect();
        let handoff = ("ORCHESTRATOR_HANDOFF", request.handoff);
        let pipe = std::process::Stdio::piped;
        let mut child = Command::new(program)
            .current_dir(request.workspace)
            .env_clear()
            .envs(environment)
            .envs([handoff])
            .stdin(pipe())
            .stdout(pipe())
            .stderr(pipe())
            .kill_on_drop(true)
            .spawn()
            .map_err(AgentError::Spawn)?;
        let (mut stdin, stdout) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
        );
        let control = Arc::new(NaiveControl(tokio::sync::Mutex::new(child)));
        let (say, updates) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            drop(stdin.write_all(request.prompt.as_bytes()).await);
            drop(stdin);
            drop(say.send(Update::Started {
                session: SessionRef("naive".to_owned()),
            }));
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(text)) = lines.next_line().await {
                drop(say.send(Update::Activity { text }));
            }
            drop(say.send(Update::Ended {
                outcome: TurnOutcome::Completed,
            }));
        });
        Ok(Box::new(Self { updates, control }))
    }
}

#[async_trait]
impl Turn for Naive {
    async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.control) as Arc<dyn TurnControl>
    }
}

#[async_trait]
impl TurnControl for NaiveControl {
    async fn send(&self, _: TurnInput) -> Result<(), AgentError> {
        Err(AgentError::Unsupported("listen"))
    }

    fn is_alive(&self) -> Option<bool> {
        None
    }

    async fn stop(&self, _: Duration) {
        drop(self.0.lock().await.kill().await);
    }
}
