//! A backend for an agent that exists nowhere else: `parrot` reads JSON lines and writes JSON lines.
//!
//! ```text
//! ─► {"prompt":"…"}                        ◄─ {"type":"session","id":"p-1"}
//!                                          ◄─ {"type":"text","text":"I look."}
//!                                          ◄─ {"type":"tool","id":"t1","name":"shell"} … {"type":"tool_end","id":"t1"}
//! ─► {"nudge":"…"}, at any time            ◄─ {"type":"cost","read":70,"written":5,"usd":0.01}
//!                                          ◄─ {"type":"error","kind":"limit","message":"…","reset":1790000000}
//!                                          ◄─ {"type":"end","handoff":{…}}
//! ```
//!
//! `--session ID` goes on with a session; `--version` tells the version; closing its input ends it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentEntry, AgentProgram, Ended, Protocol, Reply, SettingError},
    model::{AgentWarning, Timestamp, TurnOutcome, Usage},
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Turn, TurnInput, TurnRequest},
    process::Line,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Where `parrot` is.
#[derive(Debug, Clone)]
pub(crate) struct Parrot {
    program: AgentProgram,
}

/// What `[agents.NAME]` with `kind = "parrot"` says.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ParrotSettings {
    /// The program, where it is not the `parrot` on the `PATH`.
    program: Option<String>,
}

impl Parrot {
    /// This program.
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        // It says something at least once a minute, unless a tool runs: its makers promise that.
        let mut program = AgentProgram::new(program);
        program.silence = Some(Duration::from_secs(120));
        Self { program }
    }

    /// As a policy says.
    pub(crate) fn from_settings(
        settings: ParrotSettings,
        agent: &AgentEntry,
    ) -> Result<Self, SettingError> {
        let mut parrot = Self::new("parrot");
        parrot.program.configure(settings.program, None, agent);
        Ok(parrot)
    }
}

#[async_trait]
impl AgentBackend for Parrot {
    fn name(&self) -> &str {
        "parrot"
    }

    fn capabilities(&self) -> Capabilities {
        let least = self.program.capabilities().with_resume().with_input();
        least.with_counting(Counting::TokensAndMoney)
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        let hint = "get it at the pet shop";
        let version = self.program.version(&["--version"], hint).await?;
        let mut probe = Probe::found(version);
        if probe
            .version
            .as_ref()
            .is_some_and(|version| !version.starts_with("1."))
        {
            probe.warnings.push(AgentWarning::Other {
                what: "only versions 1.x were tried".to_owned(),
                fix: None,
            });
        }
        Ok(probe)
    }

    async fn probe_in(&self, _: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        self.probe().await
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let session = request
            .resume
            .iter()
            .flat_map(|session| ["--session", session.0.as_str()]);
        let talk = Talk {
            prompt: request.prompt.clone(),
        };
        self.program.process(&request).args(session).start(talk)
    }
}

/// One turn.
#[derive(Debug)]
struct Talk {
    prompt: String,
}

impl Protocol for Talk {
    fn begin(&mut self, reply: &mut Reply) {
        reply.write_json(&json!({ "prompt": self.prompt }));
    }

    fn line(&mut self, line: &Line, reply: &mut Reply) {
        // What is no JSON, and what this version does not know, is a sign of life and no more.
        let Ok(said) = serde_json::from_slice::<Value>(&line.bytes) else {
            return reply.alive();
        };
        let text = |key: &str| said[key].as_str().unwrap_or_default();
        match text("type") {
            "session" => reply.started(text("id")),
            "text" => reply.activity(text("text")),
            "tool" => reply.tool_began(text("id"), text("name")),
            "tool_end" => reply.tool_ended(text("id")),
            "cost" => {
                let number = |key: &str| said[key].as_u64().unwrap_or(0);
                let usd = said["usd"].as_f64().unwrap_or(0.0);
                reply.usage(Usage {
                    input_tokens: number("read"),
                    output_tokens: number("written"),
                    usd: Some(usd),
                });
            }
            "error" => reply.finish(match text("kind") {
                "limit" => {
                    let until = said["reset"]
                        .as_u64()
                        .map(|seconds| Timestamp(seconds * 1000));
                    TurnOutcome::UsageLimited { until }
                }
                "session" => TurnOutcome::SessionLost,
                "login" => TurnOutcome::Authentication {
                    reason: text("message").to_owned(),
                },
                "busy" => TurnOutcome::Overloaded {
                    reason: text("message").to_owned(),
                },
                "full" => TurnOutcome::ContextFull,
                _ => TurnOutcome::Crashed {
                    detail: text("message").to_owned(),
                },
            }),
            "end" => {
                reply.handoff(said["handoff"].to_string());
                reply.finish(TurnOutcome::Completed);
            }
            _ => reply.alive(),
        }
    }

    fn input(&mut self, input: &TurnInput, reply: &mut Reply) -> Result<(), AgentError> {
        let TurnInput::Nudge(text) = input else {
            return Err(AgentError::Unsupported("be told that"));
        };
        reply.write_json(&json!({ "nudge": text }));
        Ok(())
    }

    fn interrupt(&mut self, reply: &mut Reply) {
        reply.close();
    }

    fn end(&mut self, ended: &Ended) -> TurnOutcome {
        TurnOutcome::Crashed {
            detail: ended.detail(),
        }
    }
}
