//! The repository, both agents, and `supervise`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use orchestrator_core::{
    model::Record,
    port::{Ledger as _, LedgerEntry, Sequence},
    store::FileLedger,
};
use orchestrator_testkit::{
    RealAgent, Sandbox, block_on_within,
    model_server::{ModelServer, Script},
};

use crate::{
    common::example,
    model::{Event, Job, Model},
};

/// Tasks of each agent.
const TASKS: usize = 15;

/// All that a night needs.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) server: ModelServer,
    pub(crate) model: Arc<Model>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) events: Receiver<Event>,
    sender: Sender<Event>,
    /// The name of Claude Code's directory, which tells its versions apart.
    agent: String,
}

/// A run of `supervise`, and what it has said.
pub(crate) struct Watched {
    pub(crate) number: u32,
    pub(crate) process: Child,
    pub(crate) said: Vec<String>,
}

impl Stage {
    pub(crate) fn new(agent: &RealAgent) -> Self {
        let sandbox = Sandbox::new();
        let jobs: Vec<_> = (1..=TASKS).flat_map(pair).collect();
        let roadmap: String = jobs.iter().map(item).collect();
        sandbox.publish(&[("ROADMAP.md", &roadmap)], "roadmap");
        for part in ["home/.codex", "home/tmp"] {
            fs::create_dir_all(sandbox.path().join(part)).expect("makes the home");
        }
        let (sender, events) = channel();
        let model = Arc::new(Model::new(sender.clone()));
        let script = jobs.iter().fold(Script::default(), |script, job| {
            let (model, job) = (Arc::clone(&model), job.clone());
            script.asked(format!("# Task {}:", job.id), move |request| {
                model.answer(&job, request)
            })
        });
        let server = ModelServer::start(script);
        let policy = policy(agent, &server);
        fs::write(sandbox.path().join("policy.toml"), policy).expect("writes");
        Self {
            sandbox,
            server,
            model,
            jobs,
            events,
            sender,
            agent: directory_of(&agent.program),
        }
    }

    /// What was recorded so far.
    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        let ledger = FileLedger::new(self.sandbox.state().join("ledger"));
        let read = ledger.read(Sequence(1), usize::MAX);
        block_on_within(std::time::Duration::from_secs(60), read)
            .expect("it comes to an end")
            .expect("the ledger is whole")
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let entries = self.ledger().into_iter();
        entries.map(|entry| entry.record).collect()
    }

    /// A verb of `supervise` about this repository.
    pub(crate) fn supervise(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(example("supervise"));
        command
            .args(arguments)
            .arg("--repo")
            .arg(self.sandbox.repo());
        command.arg("--state-dir").arg(self.sandbox.state());
        command.output().expect("supervise was built")
    }

    /// Copies the ledger, what was charged and what was said to a directory of its own in the one
    /// that `NIGHT` names, to be read.
    pub(crate) fn keep(&self, said: &[String]) {
        let Some(directory) = std::env::var_os("NIGHT") else {
            return;
        };
        let directory = Path::new(&directory).join(&self.agent);
        fs::create_dir_all(&directory).expect("makes the directory");
        fs::write(directory.join("said"), said.join("\n")).expect("writes");
        fs::copy(
            self.sandbox.state().join("ledger"),
            directory.join("ledger"),
        )
        .expect("copies");
        let charged: Vec<_> = self
            .server
            .served()
            .into_iter()
            .map(|served| format!("{served:?}"))
            .collect();
        fs::write(directory.join("charged"), charged.join("\n")).expect("writes");
    }
}

fn directory_of(program: &Path) -> String {
    let directory = program.parent().and_then(Path::file_name);
    directory.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A task for each agent. Those in which a fault can come have three steps.
fn pair(number: usize) -> [Job; 2] {
    let is_long = number.is_multiple_of(2) || number.is_multiple_of(3);
    ["C", "X"].map(|agent| Job {
        id: format!("{agent}{number:02}"),
        steps: if is_long { 3 } else { 1 },
    })
}

fn item(job: &Job) -> String {
    let id = &job.id;
    let agent = if id.starts_with('C') {
        "claude"
    } else {
        "codex"
    };
    format!(
        "- [ ] **{id}** Task {id}.\n  ```toml\n  allow = [\"{id}.txt\"]\n  agent = \"{agent}\"\n  ```\n"
    )
}

fn policy(agent: &RealAgent, server: &ModelServer) -> String {
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let provider = |what: &str, value: &str| format!("'model_providers.scripted.{what}={value}'");
    let config = [
        "'model_provider=\"scripted\"'".to_owned(),
        provider("name", "\"scripted\""),
        provider("base_url", &format!("\"{}/v1\"", server.url())),
        provider("wire_api", "\"responses\""),
        provider("env_key", "\"SCRIPTED_KEY\""),
        provider("request_max_retries", "0"),
        provider("stream_max_retries", "0"),
    ];
    format!(
        "push = \"origin\"\nmax_sessions = 4\n\
         [limits]\nbackoff = \"100ms\"\nbackoff_max = \"2s\"\n\
         [gates.runs]\nrun = [\"true\"]\ndefault = true\n\
         [agents.claude]\nkind = \"claude\"\nprogram = {}\nmodel = \"claude-sonnet-4-5\"\n\
         env = [\"CLAUDE_CODE_OAUTH_TOKEN\", \"ANTHROPIC_BASE_URL\", \"CLAUDE_CODE_MAX_RETRIES\"]\n\
         [agents.codex]\nkind = \"codex\"\nprogram = {}\nconfig = [{}]\n\
         env = [\"CODEX_HOME\", \"SCRIPTED_KEY\"]\n",
        quoted(&agent.program),
        quoted(&agent.others[0]),
        config.join(", "),
    )
}

impl Watched {
    pub(crate) fn start(stage: &Stage, number: u32) -> Self {
        let top = stage.sandbox.path();
        let home = top.join("home");
        let mut supervise = Command::new(example("supervise"));
        supervise
            .args(["run", "--wait", "--roadmap", "ROADMAP.md", "--repo"])
            .arg(stage.sandbox.repo())
            .arg("--state-dir")
            .arg(stage.sandbox.state())
            .arg("--policy")
            .arg(top.join("policy.toml"));
        supervise.env_clear().envs([
            ("PATH", std::env::var("PATH").expect("a path").as_str()),
            ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy"),
            ("CLAUDE_CODE_MAX_RETRIES", "1"),
            ("SCRIPTED_KEY", "dummy-key"),
        ]);
        supervise
            .env("ANTHROPIC_BASE_URL", stage.server.url())
            .env("CODEX_HOME", home.join(".codex"))
            // A home in a temporary directory is one in which Codex works only where no bubblewrap is installed.
            .env("TMPDIR", home.join("tmp"))
            .env("HOME", home);
        let mut process = supervise
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("supervise was built");
        let lines = BufReader::new(process.stderr.take().expect("is piped")).lines();
        let events = stage.sender.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let said = Event::Said { run: number, line };
                if events.send(said).is_err() {
                    return;
                }
            }
            events.send(Event::Over { run: number }).ok();
        });
        Self {
            number,
            process,
            said: Vec::new(),
        }
    }

    /// Stops it in order; the next one.
    pub(crate) fn stopped(mut self, stage: &Stage) -> Self {
        let status = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(status.expect("kill can be run").success());
        let ended = self.process.wait().expect("it is waited for");
        assert_eq!(ended.code(), Some(3), "{}", self.said.join("\n"));
        assert_eq!(stage.sandbox.processes(), Vec::<i32>::new());
        Self::start(stage, self.number + 1)
    }

    /// Kills it; the next one.
    pub(crate) fn killed(mut self, stage: &Stage) -> Self {
        self.process.kill().expect("it lives");
        self.process.wait().expect("it is waited for");
        Self::start(stage, self.number + 1)
    }
}
