//! Finding Codex, and starting its turns.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use orchestrator_core::{
    agent::{AgentProcess, strict_schema, told_version},
    model::{AgentWarning, Usage},
    port::{AgentBackend, AgentError, Capabilities, Counting, Probe, Turn, TurnRequest},
};

use crate::{
    CodexBackend,
    app_server::{self, AppServer, Begin, Held},
    arguments,
    choice::{Home, KNOWN, chosen, is_known},
    conversation::Conversation,
    install::find,
    preflight::{Tried, try_reader, try_worker},
    sandbox::{Places, flags},
    session::{Kept, Sessions},
    settings::{CodexProtocol, CodexSandbox},
};

impl CodexBackend {
    /// How the commands of a turn are held back here.
    async fn tried_sandbox(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
        read_only: bool,
    ) -> Result<Tried, AgentError> {
        let together = self.program.environment_in(environment);
        if read_only {
            try_reader(program, self.sandbox, &together).await
        } else {
            try_worker(program, self.sandbox, &together).await
        }
    }

    /// The protocol of the next turn.
    ///
    /// # Errors
    /// Where `app-server` is set, and cannot be used.
    async fn chosen(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<CodexProtocol, AgentError> {
        let home = Home::of(&[environment, &self.program.environment]);
        match self.protocol {
            Some(CodexProtocol::Exec) => Ok(CodexProtocol::Exec),
            Some(CodexProtocol::AppServer) => match home.hinders() {
                None => Ok(CodexProtocol::AppServer),
                Some(hindrance) => Err(hindrance),
            },
            None => Ok(chosen(&self.version(program).await?, &home)),
        }
    }

    /// The program's version, found out once.
    async fn version(&self, program: &Path) -> Result<String, AgentError> {
        let find_out = async || {
            let own = &self.program.environment;
            let told = told_version(program, &["--version"], own).await?;
            Ok(told.trim_start_matches("codex-cli ").to_owned())
        };
        self.version.get_or_try_init(find_out).await.cloned()
    }

    /// One `codex exec`. `counted` is what Codex has counted of the session that is gone on with.
    fn start_exec(
        &self,
        process: AgentProcess,
        request: &TurnRequest,
        held_back: Vec<String>,
        counted: Option<Usage>,
    ) -> Result<Box<dyn Turn>, AgentError> {
        let files = tempfile::tempdir().map_err(AgentError::Spawn)?;
        let schema = request
            .schema
            .as_ref()
            .map(|schema| (files.path().join("schema.json"), strict_schema(schema)));
        if let Some((path, schema)) = &schema {
            std::fs::write(path, schema.to_string()).map_err(AgentError::Spawn)?;
        }
        let schema = schema.as_ref().map(|(path, _)| path.as_path());
        let model = self.program.model.as_deref();
        let arguments = arguments::exec(request, schema, model, &self.settings, held_back);
        let conversation = Conversation::new(request, model, counted, Some(files));
        process.args(arguments).start(conversation)
    }

    /// One `codex app-server`.
    fn start_app_server(
        &self,
        process: AgentProcess,
        request: &TurnRequest,
        held: Held,
        places: &Places<'_>,
    ) -> Result<Box<dyn Turn>, AgentError> {
        let held_back = app_server::settings(held, places);
        let arguments = arguments::app_server(request, &self.settings, &held_back);
        let begin = Begin::new(request, self.program.model.clone(), held);
        process.args(arguments).start(AppServer::new(begin))
    }
}

#[async_trait]
impl AgentBackend for CodexBackend {
    fn name(&self) -> &str {
        "codex"
    }

    /// Where no protocol is set, a turn may be one that listens.
    fn capabilities(&self) -> Capabilities {
        let capabilities = self.program.capabilities().with_resume();
        let capabilities = capabilities.with_counting(Counting::Tokens);
        match self.protocol {
            Some(CodexProtocol::Exec) => capabilities,
            Some(CodexProtocol::AppServer) | None => capabilities.with_input(),
        }
    }

    async fn probe(&self) -> Result<Probe, AgentError> {
        self.probe_in(&of_ours()).await
    }

    async fn probe_in(&self, environment: &BTreeMap<String, String>) -> Result<Probe, AgentError> {
        let found = find(&self.program.path)?;
        let version = self.version(&found.program).await?;
        self.chosen(&found.program, environment).await?;
        let mut probe = Probe::found(Some(version.clone()));
        if !is_known(&version) {
            probe.warnings.push(AgentWarning::UntriedVersion {
                program: "codex".to_owned(),
                version,
                tried: KNOWN.map(|tried| format!("{tried}x")).join(", "),
            });
        }
        let missing = found.missing.into_iter();
        probe
            .warnings
            .extend(missing.map(|file| AgentWarning::MissingFile { file }));
        let tried = self
            .tried_sandbox(&found.program, environment, false)
            .await?;
        if let Some(why) = tried.instead_since {
            let used = "narrow".to_owned();
            probe
                .warnings
                .push(AgentWarning::WeakerSandbox { used, why });
        }
        Ok(probe)
    }

    async fn start(&self, request: TurnRequest) -> Result<Box<dyn Turn>, AgentError> {
        let found = find(&self.program.path)?;
        let protocol = self.chosen(&found.program, &request.environment).await?;
        let tried = self
            .tried_sandbox(&found.program, &request.environment, request.read_only)
            .await?;
        let sandbox = tried.sandbox;
        let places = Places {
            workspace: &request.workspace,
            repository: &request.repository,
            out: request.handoff.parent().unwrap_or(&request.workspace),
            attempt: &request.attempt,
        };
        if !request.read_only && sandbox != CodexSandbox::Off {
            places.make().map_err(AgentError::Spawn)?;
        }
        let sessions = Sessions::of(&self.program.environment_in(&request.environment));
        let resumed = sessions.resumed(&request).await;
        let counted = resumed.as_ref().map(|kept| kept.counted);
        // It tells times as a clock on the wall does: this is the wall.
        let process = AgentProcess::new(&found.program, &request)
            .envs([("TZ", "UTC")])
            .envs(&self.program.environment)
            .counting_from(sessions, resumed.map(Kept::used));
        match protocol {
            CodexProtocol::Exec => {
                let held_back = flags(sandbox, &places, request.read_only);
                self.start_exec(process, &request, held_back, counted)
            }
            CodexProtocol::AppServer => {
                let held = Held::of(sandbox, request.read_only);
                self.start_app_server(process, &request, held, &places)
            }
        }
    }
}

/// What a probe sees of our own environment where none is given.
fn of_ours() -> BTreeMap<String, String> {
    let named = ["PATH", "HOME", "TMPDIR"];
    let set = named
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    set.collect()
}
