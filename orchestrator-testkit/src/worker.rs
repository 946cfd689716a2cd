//! Workers that do as they are told.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    future::pending,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{Handoff, HandoffStatus, TurnOutcome},
    port::{
        AgentBackend, AgentError, Capabilities, Probe, Silence, Turn, TurnControl, TurnInput,
        TurnRequest, Update,
    },
};
use tokio::sync::{mpsc, watch};

/// Writes a shell script beside a sandbox and returns the argument vector that runs it as a command agent. The script runs in
/// the workspace, sees the `ORCHESTRATOR_*` variables, and has these functions:
///
/// - `commit MESSAGE` commits everything, if there is anything to commit;
/// - `handoff STATUS` leaves a true handoff, which makes all claims of the contract; `handoff STATUS EXTRA` adds JSON members, each
///   with a comma in front, and makes no claims where `evidence` is among them.
///
/// # Panics
/// When the script cannot be written.
#[must_use]
pub fn shell_worker(directory: &Path, name: &str, script: &str) -> Vec<String> {
    const PRELUDE: &str = r#"set -eu
commit() { git add --all; git diff --cached --quiet || git commit --quiet --message "$1"; }
claims() { tr -d '\n' < "$ORCHESTRATOR_CONTRACT" | tr '{' '\n' | sed -n 's/^ *"id": *"\([^"]*\)".*/\1/p'; }
handoff() {
    made=$(claims | sed 's/.*/{"claim":"&","label":"direct","note":"seen"}/' | paste -sd, -)
    case "${2:-}" in *'"evidence"'*) made= ;; *) made=",\"evidence\":[$made]" ;; esac
    printf '{"version":1,"task":"%s","attempt":%s,"status":"%s","self_review":"read it once more"%s%s}' \
        "$ORCHESTRATOR_TASK" "$ORCHESTRATOR_ATTEMPT" "$1" "$made" "${2:-}" > "$ORCHESTRATOR_HANDOFF"
}
"#;
    let path = directory.join(format!("{name}.sh"));
    fs::write(&path, format!("{PRELUDE}{script}\n")).expect("writes the script");
    vec!["/bin/sh".to_owned(), path.to_string_lossy().into_owned()]
}

/// Leaves a handoff that says done, as the agent of a turn in this process.
///
/// # Panics
/// When it cannot be written.
pub fn write_handoff(request: &TurnRequest) {
    let id = &request.attempt;
    let handoff = Handoff::new(id.task.as_str(), id.number, HandoffStatus::Done);
    let json = serde_json::to_vec(&handoff).expect("serialises");
    fs::write(&request.handoff, json).expect("writes the handoff");
}

/// What a scripted agent does in one turn.
type Step = Box<dyn FnOnce(&TurnRequest) -> Vec<Update> + Send>;

/// What it does when it is spoken to.
type Ear = Arc<dyn Fn(&TurnRequest, &TurnInput) -> Vec<Update> + Send + Sync>;

/// An agent in this process: each turn takes the next step of its script and says the updates that the step returns. A step
/// that returns no [`Update::Ended`] hangs until it is stopped.
#[derive(Clone, Default)]
pub struct ScriptedAgent {
    steps: Arc<Mutex<VecDeque<Step>>>,
    silence: Option<Duration>,
    ear: Option<Ear>,
}

impl std::fmt::Debug for ScriptedAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedAgent").finish_non_exhaustive()
    }
}

impl ScriptedAgent {
    /// Adds a turn.
    #[must_use]
    pub fn turn(self, step: impl FnOnce(&TurnRequest) -> Vec<Update> + Send + 'static) -> Self {
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(Box::new(step));
        self
    }

    /// Lets its silence mean something beyond so long.
    #[must_use]
    pub fn silent_for_at_most(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// Lets it be spoken to while it works: it says the updates that `ear` returns.
    #[must_use]
    pub fn hearing(
        mut self,
        ear: impl Fn(&TurnRequest, &TurnInput) -> Vec<Update> + Send + Sync + 'static,
    ) -> Self {
        self.ear = Some(Arc::new(ear));
        self
    }
}

#[async_trait]
impl AgentBackend for ScriptedAgent {
    fn name(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        let known = Capabilities::least().with_resume();
        let known = if self.ear.is_some() {
            known.with_input()
        } else {
            known
        };
        self.silence.map_or(known.clone(), |silence| {
            known.with_silence(Silence::Beyond(silence))
        })
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        Ok(Probe::found(None))
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let step = self
            .steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let step =
            step.ok_or_else(|| AgentError::Other("the script has no more turns".to_owned()))?;
        let (stop, stopped) = watch::channel(false);
        let (say, said) = mpsc::unbounded_channel();
        let updates = step(&request).into();
        let control = ScriptedControl {
            stop,
            say,
            ear: self.ear.clone(),
            request,
        };
        Ok(Box::new(ScriptedTurn {
            updates,
            over: false,
            stopped,
            said,
            control: Arc::new(control),
        }))
    }
}

#[derive(Debug)]
struct ScriptedTurn {
    /// What follows from what it heard.
    said: mpsc::UnboundedReceiver<Update>,
    updates: VecDeque<Update>,
    over: bool,
    stopped: watch::Receiver<bool>,
    control: Arc<ScriptedControl>,
}

struct ScriptedControl {
    stop: watch::Sender<bool>,
    say: mpsc::UnboundedSender<Update>,
    ear: Option<Ear>,
    request: TurnRequest,
}

impl std::fmt::Debug for ScriptedControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedControl")
            .field("attempt", &self.request.attempt)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Turn for ScriptedTurn {
    async fn next(&mut self) -> Option<Update> {
        if self.over {
            return None;
        }
        let update = match self.updates.pop_front() {
            Some(update) => update,
            None => {
                // The turn holds its own control, so neither channel ends before it.
                let (said, stopped) = (&mut self.said, &mut self.stopped);
                tokio::select! {
                    Some(update) = said.recv() => update,
                    true = async { stopped.wait_for(|stopped| *stopped).await.is_ok() } => Update::Ended { outcome: TurnOutcome::Stopped },
                    else => pending().await,
                }
            }
        };
        self.over = matches!(update, Update::Ended { .. });
        Some(update)
    }

    fn control(&self) -> Arc<dyn TurnControl> {
        Arc::clone(&self.control) as Arc<dyn TurnControl>
    }
}

#[async_trait]
impl TurnControl for ScriptedControl {
    async fn send(&self, input: TurnInput) -> Result<(), AgentError> {
        let ear = self
            .ear
            .as_ref()
            .ok_or(AgentError::Unsupported("be spoken to"))?;
        for update in ear(&self.request, &input) {
            // A turn that was dropped hears nothing more.
            drop(self.say.send(update));
        }
        Ok(())
    }

    fn is_alive(&self) -> Option<bool> {
        None
    }

    async fn stop(&self, _: Duration) {
        self.stop.send_replace(true);
    }
}
