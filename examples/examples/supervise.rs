//! A supervisor for a real repository: `cargo run --example supervise -- run --repo DIR --roadmap FILE`.
//!
//! Exit status: 0, everything landed; 3, ended with tasks not landed, each listed with its reason; 2, bad input, nothing was
//! started; 1, failed, which includes that what was asked for could not be printed. A reader that has had enough, as `head` has, ends
//! any command quietly: with 141, as a shell says of what PIPE has ended; `run` goes on, and keeps its status.
//!
//! INT, TERM, QUIT, and HUP (the terminal was closed, the connection is lost; not under `nohup`) stop a run in order: no agent
//! lives on. As process 1 of a container it waits for orphans as an init does.

// What panics where nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand};
use examples::{complain, print};
use orchestrator_core::{
    agent::AgentKinds,
    driver::{
        BuildError, CheckedCommit, Command, CommitKind, Handle, Inbox, Notice, Orchestrator,
        OrchestratorBuilder, RunReport, Verification, VerifiedBranch, VerifyError, bring_proof,
        is_running, verify,
    },
    git::{Git, UserRepository},
    machine::{State, replay},
    model::{
        AgentKind, AgentSpec, Answer, BackendName, BranchName, DoneBy, HoldId, HoldOption, Policy,
        Record, RepoPath, RunMode, TaskId, Timestamp, causes, escaped_json,
    },
    port::{Ledger as _, LedgerEntry, Sequence},
    process::{EndSignals, act_as_init, hide_environment},
    status::{Report, Snapshot, TaskState, table},
    store::{FileEvidence, FileLedger},
};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

#[derive(Parser)]
#[command(
    about = "Keeps a roadmap moving: agents work, accepted change lands.",
    version
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Work on the roadmap until there is a reason to end.
    Run(Run),
    /// Say what stands in the way of a run, before money is spent: each line when it is known. Starts nothing and changes nothing;
    /// works beside a running one. Exit status 2 if something failed.
    Check {
        #[command(flatten)]
        inputs: Inputs,
        /// Each check as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show how everything stands; works beside a running one.
    Status {
        #[command(flatten)]
        place: Place,
        /// As JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Answer questions that wait for a person: one, or several alike.
    Answer {
        #[command(flatten)]
        place: Place,
        /// The hold, such as H1. Several may be answered at once with `retry` or `park`.
        #[arg(required = true, num_args = 1.., value_name = "HOLD")]
        holds: Vec<HoldId>,
        /// One of its options: approve, observed, done, retry, adopt or park.
        option: HoldOption,
        /// Why, or what was seen; kept in the ledger.
        #[arg(long)]
        note: Option<String>,
        /// Who answers [default: the user's name].
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// For this item of the hold alone, such as a claim; may be given more than once.
        #[arg(long, value_name = "ITEM")]
        item: Vec<String>,
        /// A file that proves it; kept as evidence.
        #[arg(long, value_name = "FILE")]
        artifact: Option<PathBuf>,
    },
    /// What was delivered, what waits for whom, and what went wrong: Markdown on the screen, or a page.
    Report {
        #[command(flatten)]
        place: Place,
        /// Write one HTML page here instead.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Of so many hours, and not of everything.
        #[arg(long, value_name = "N")]
        hours: Option<u64>,
        /// As JSON.
        #[arg(long, conflicts_with = "html")]
        json: bool,
    },
    /// Compare each commit of a branch with what we recorded of it. Exit status 1 if something is missing or was altered.
    Verify {
        #[command(flatten)]
        place: Place,
        /// A branch of the repository [default: the target, as it was last seen].
        branch: Option<BranchName>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// All that is recorded of a task: contract, attempts, reviews, gates, evidence, waivers.
    Export {
        #[command(flatten)]
        place: Place,
        /// Which task.
        task: TaskId,
        /// As JSON instead of Markdown.
        #[arg(long)]
        json: bool,
    },
    /// Finish what runs, start nothing new.
    Drain(Place),
    /// Start nothing, and no new turn either.
    Pause(Place),
    /// Go on.
    Resume(Place),
}

#[derive(Args)]
struct Place {
    /// The repository.
    #[arg(long, default_value = ".")]
    repo: PathBuf,
    /// Where ledger, evidence and workspaces are kept [default: a directory beneath ~/.local/state/orchestrator].
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

/// What a run works from.
#[derive(Args)]
struct Inputs {
    #[command(flatten)]
    place: Place,
    /// The roadmap, in the repository and committed.
    #[arg(long)]
    roadmap: PathBuf,
    /// The policy, as TOML.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The agent for tasks that name none.
    #[arg(long)]
    agent: Option<BackendName>,
    /// Any program as the agent: split like shell words, never run by a shell. A relative program is taken from here; it runs
    /// in the workspace.
    #[arg(long, value_name = "PROGRAM ARGS", conflicts_with = "agent")]
    agent_command: Option<String>,
    /// The program writes no handoff: that it ends with status 0, with all work committed, says that it is done.
    #[arg(long, requires = "agent_command")]
    done_by_exit: bool,
    /// How many agents may run at once.
    #[arg(long, value_name = "N")]
    max_sessions: Option<u32>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    inputs: Inputs,
    /// Write the snapshot here whenever something changes.
    #[arg(long, value_name = "FILE")]
    status_json: Option<PathBuf>,
    /// Keep running while only a person can bring it on, or the mode is paused.
    #[arg(long)]
    wait: bool,
    /// Say what would happen, and start nothing.
    #[arg(long)]
    plan: bool,
}

/// How it failed, for the exit status.
enum Failure {
    /// Nothing was started.
    Input(Box<dyn Error>),
    Run(Box<dyn Error>),
    /// What was asked for could not be printed.
    Output(io::Error),
}

/// For what is printed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn input<E: Into<Box<dyn Error>>>(error: E) -> Failure {
    Failure::Input(error.into())
}

fn failed<E: Into<Box<dyn Error>>>(error: E) -> Failure {
    Failure::Run(error.into())
}

/// How long threads that still read or write something are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if let Err(error) = hide_environment() {
        complain(format_args!(
            "supervise: workers of the same user can read its environment: {error}"
        ));
    }
    match act_as_init() {
        Ok(None) => {}
        Ok(Some(status)) => return ExitCode::from(status),
        Err(error) => complain(format_args!(
            "supervise: as process 1 it leaves zombies: run the container with an init: {error}"
        )),
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => error.exit(),
        // Help, or the version.
        Err(said) => match print(&said.to_string()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => return Failure::Output(error).tell(),
        },
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("supervise: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(obey(cli.verb));
    // A call that blocks for ever must not keep a program that has said its last word.
    runtime.shutdown_timeout(FAREWELL);
    match result {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

async fn obey(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(run) => supervise(run).await,
        Verb::Check { inputs, json } => preflight(&inputs, json).await,
        Verb::Status { place, json } => status(&place, json).await,
        Verb::Answer {
            place,
            holds,
            option,
            note,
            by,
            item,
            artifact,
        } => {
            let by = by.or_else(|| std::env::var("USER").ok());
            let say = |hold: HoldId| {
                let mut said = Answer::new(hold, option).with_items(item.clone());
                said.note.clone_from(&note);
                said.by.clone_from(&by);
                said
            };
            let answers: Vec<_> = holds.into_iter().map(say).collect();
            answer(&place, answers, artifact.as_deref()).await
        }
        Verb::Report {
            place,
            html,
            hours,
            json,
        } => report(&place, html.as_deref(), hours, json).await,
        Verb::Verify {
            place,
            branch,
            json,
        } => check(&place, branch.as_ref(), json).await,
        Verb::Export { place, task, json } => export(&place, &task, json).await,
        Verb::Drain(place) => tell(&place, Command::Mode(RunMode::Drain)).await,
        Verb::Pause(place) => tell(&place, Command::Mode(RunMode::Paused)).await,
        Verb::Resume(place) => tell(&place, Command::Mode(RunMode::Active)).await,
    }
}

impl Failure {
    /// Says it, with what caused it; the exit status.
    fn tell(self) -> ExitCode {
        let (code, error) = match self {
            Self::Input(error) => (2, error),
            Self::Run(error) => (1, error),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::from(examples::NOBODY_READS);
            }
            Self::Output(error) => (
                1,
                format!("standard output could not be written: {error}").into(),
            ),
        };
        complain(format_args!("supervise: {error}"));
        for cause in causes(&*error) {
            complain(format_args!("  because: {cause}"));
        }
        ExitCode::from(code)
    }
}

async fn preflight(inputs: &Inputs, json: bool) -> Result<ExitCode, Failure> {
    let mut signals = EndSignals::listen().map_err(failed)?;
    let mut checks = prepared(inputs).await?.preflight();
    let is_ready = tokio::select! {
        printed = examples::print_checks(&mut checks, json) => printed?,
        signal = signals.next() => {
            checks.stop().await;
            return Err(failed(format!("stopped by signal {}", signal.as_raw())));
        }
    };
    Ok(ExitCode::from(if is_ready { 0 } else { 2 }))
}

/// A builder with all that was given.
async fn prepared(inputs: &Inputs) -> Result<OrchestratorBuilder, Failure> {
    let kinds = examples::agent_kinds().map_err(input)?;
    let policy = read_policy(inputs, &kinds)?;
    let git = Git::find().await.map_err(input)?;
    let place = &inputs.place;
    let repository = UserRepository::open(git, &place.repo)
        .await
        .map_err(input)?;
    let root = std::fs::canonicalize(&place.repo)
        .map_err(|error| input(format!("{}: {error}", place.repo.display())))?;
    let top = repository.root().map_or(root.clone(), Path::to_path_buf);
    let mut builder = Orchestrator::builder()
        .agent_kinds(kinds)
        .repository(&root)
        .policy(policy)
        .roadmap(inside(&top, &inputs.roadmap)?);
    if let Some(Ok(path)) = inputs.policy.as_deref().map(|path| inside(&top, path)) {
        builder = builder.forbid(path);
    }
    if let Some(path) = &place.state_dir {
        builder = builder.state_dir(path);
    }
    Ok(builder)
}

async fn supervise(run: Run) -> Result<ExitCode, Failure> {
    let builder = prepared(&run.inputs).await?.wait(run.wait);
    let cannot_begin = |error| match error {
        error @ (BuildError::Ledger(_) | BuildError::Replay(_)) => failed(error),
        BuildError::NoAgent => input(
            "there is no agent: give a program with --agent-command, or a --policy that defines one",
        ),
        error => input(error),
    };
    if run.plan {
        let mut plan = String::new();
        for task in builder.plan().await.map_err(cannot_begin)? {
            let package = task
                .package
                .map(|name| format!(" [{name}]"))
                .unwrap_or_default();
            line(
                &mut plan,
                format_args!("{}{package} {}: {}", task.id, task.title, task.what),
            );
        }
        print(&plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &run.status_json {
        // Better now than when everything is done.
        let blank = State::default();
        write_status(path, &Snapshot::of(&blank))
            .map_err(|error| input(format!("--status-json {}: {error}", path.display())))?;
    }
    let orchestrator = builder.build().await.map_err(cannot_begin)?;
    let handle = orchestrator.handle();
    let view = tokio::spawn(examples::show(handle.subscribe()));
    let mut signals = EndSignals::listen().map_err(failed)?;
    let interrupt = handle.clone();
    tokio::spawn(async move {
        signals.next().await;
        interrupt.stop().await;
        // Later ones are heard as well, and change nothing: what is stopped is stopped in order.
        loop {
            signals.next().await;
        }
    });
    let writer = run
        .status_json
        .clone()
        .map(|path| tokio::spawn(keep_status(handle, path)));
    let (ended, leftovers) = orchestrator.run_until_ended().await;
    let report = ended.map_err(failed)?;
    writer.iter().for_each(tokio::task::JoinHandle::abort);
    if let Some(path) = &run.status_json {
        write_status(path, &report.snapshot).map_err(failed)?;
    }
    // It ends with the run, unless it lagged behind and missed the end.
    drop(tokio::time::timeout(FAREWELL, view).await);
    let code = tell_end(&report)?;
    // What is left of workspaces goes when everything has been said.
    leftovers.clear().await;
    Ok(code)
}

/// Says how it ended.
fn tell_end(report: &RunReport) -> Result<ExitCode, Failure> {
    match print(&summary(report)) {
        // Whoever went away knows that there is nothing to be read; how the run ended is told by the exit status.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && !is_gone(&error) => {
            return Err(error.into());
        }
        Ok(()) | Err(_) => {}
    }
    let landed = report
        .snapshot
        .tasks
        .iter()
        .all(|task| task.state == TaskState::Landed);
    Ok(if landed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// Whether a terminal went away (EIO).
fn is_gone(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

/// Adds a line.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all that is written");
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// How a run ended, and what did not land, each with its reason.
fn summary(report: &RunReport) -> String {
    let snapshot = Snapshot::at(&report.state, now());
    let mut text = format!(
        "\nThe run ended: {}.\n\n{}\n",
        report.ended,
        table(&snapshot)
    );
    text += &examples::agents(&snapshot);
    let open: Vec<_> = snapshot
        .tasks
        .iter()
        .filter(|task| task.state != TaskState::Landed)
        .collect();
    if !open.is_empty() {
        line(&mut text, format_args!("Not landed:"));
        for task in open {
            let reason = task.reason.as_deref().unwrap_or("its turn did not come");
            line(
                &mut text,
                format_args!("- {} ({}): {reason}", task.id, task.state),
            );
            for finding in &task.findings {
                line(
                    &mut text,
                    format_args!("    {}", finding.replace('\n', "\n    ")),
                );
            }
        }
        text += &examples::holds(&snapshot);
    }
    for remark in &snapshot.remarks {
        line(&mut text, format_args!("Remark: {remark}"));
    }
    for what in &report.abandoned {
        line(&mut text, format_args!("No longer waited for: {what}"));
    }
    text
}

fn read_policy(run: &Inputs, kinds: &AgentKinds) -> Result<Policy, Failure> {
    let mut policy = match &run.policy {
        None => Policy::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| input(format!("{}: {error}", path.display())))?;
            Policy::parse(&text).map_err(|error| input(format!("{}: {error}", path.display())))?
        }
    };
    if let Some(command) = &run.agent_command {
        let open = || {
            input(format!(
                "--agent-command: `{command}` cannot be split into words: a quote is open"
            ))
        };
        let mut words = shlex::split(command).ok_or_else(open)?;
        if words.first().is_none_or(String::is_empty) {
            return Err(input("--agent-command: it names no program"));
        }
        if words[0].contains('/') {
            let program = std::fs::canonicalize(&words[0])
                .map_err(|error| input(format!("--agent-command: {}: {error}", words[0])))?;
            words[0] = program.to_string_lossy().into_owned();
        }
        let name = BackendName::new("command").map_err(input)?;
        let kind = AgentKind::new("command").map_err(input)?;
        let mut spec = AgentSpec::new(kind).with("run", words);
        spec.done = run.done_by_exit.then_some(DoneBy::Exit);
        policy.agents.insert(name.clone(), spec);
        policy.default_agent = Some(name);
    }
    if let Some(agent) = &run.agent {
        // One word is enough for an agent that needs no settings.
        let kind = AgentKind::new(agent.as_str()).map_err(input)?;
        if kinds.has(&kind) {
            let spec = AgentSpec::new(kind);
            policy.agents.entry(agent.clone()).or_insert(spec);
        }
        policy.default_agent = Some(agent.clone());
    }
    if let Some(max_sessions) = run.max_sessions {
        policy.max_sessions = max_sessions;
    }
    policy.check().map_err(input)?;
    kinds.check(&policy).map_err(|error| match &run.policy {
        Some(path) => input(format!("{}: {error}", path.display())),
        None => input(error),
    })?;
    Ok(policy)
}

/// A file of the repository, given relative to here or to the repository.
fn inside(top: &Path, path: &Path) -> Result<RepoPath, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    let from_here = std::fs::canonicalize(path).ok();
    let relative = match from_here
        .as_deref()
        .and_then(|path| path.strip_prefix(top).ok())
    {
        Some(relative) => relative,
        None if path.is_relative() => path.strip_prefix("./").unwrap_or(path),
        None => {
            return Err(input(format!(
                "{}: it is not in the repository {}",
                path.display(),
                top.display()
            )));
        }
    };
    RepoPath::from_bytes(relative.as_os_str().as_bytes()).map_err(input)
}

/// Writes the snapshot whenever something was recorded; all that is recorded while one is written goes into the next.
async fn keep_status(handle: Handle, path: PathBuf) {
    let mut notices = handle.subscribe();
    loop {
        match notices.recv().await {
            Ok(notice) if is_in_snapshot(&notice) => {}
            // Among those that were missed, one may have been.
            Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
        // Asked for after all that has been told, so the snapshot has that.
        while !matches!(
            notices.try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {}
        let began = Instant::now();
        let Some(snapshot) = handle.snapshot().await else {
            return;
        };
        if let Err(error) = write_status(&path, &snapshot) {
            complain(format_args!("supervise: {}: {error}", path.display()));
            return;
        }
        // A snapshot of a long roadmap takes long: no more than a tenth of the time is spent on them.
        tokio::time::sleep(began.elapsed() * 9).await;
    }
}

fn is_in_snapshot(notice: &Notice) -> bool {
    matches!(notice, Notice::Recorded(entry) if !matches!(entry.record, Record::HeadSeen { .. }))
}

/// A reader sees the old snapshot or the new one, never half of one.
fn write_status(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    // Written at one stroke: piece by piece it takes a system call for each word.
    let json = escaped_json(&serde_json::to_string_pretty(snapshot)?) + "\n";
    file.write_all(json.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

async fn state_dir(place: &Place) -> Result<PathBuf, Failure> {
    if let Some(path) = &place.state_dir {
        return Ok(path.clone());
    }
    let git = Git::find().await.map_err(input)?;
    let repository = UserRepository::open(git, &place.repo)
        .await
        .map_err(input)?;
    Orchestrator::default_state_dir(repository.git_dir()).map_err(input)
}

async fn known_state_dir(place: &Place) -> Result<PathBuf, Failure> {
    let path = state_dir(place).await?;
    if path.join("ledger").exists() {
        return Ok(path);
    }
    Err(input(format!(
        "{}: there was no run with this state directory yet",
        path.display()
    )))
}

/// Where a run keeps what it decided and saw.
struct Stores {
    state_dir: PathBuf,
    ledger: FileLedger,
    evidence: FileEvidence,
}

/// Those of a run that has begun; reading them works beside it.
async fn stores(place: &Place) -> Result<Stores, Failure> {
    let state_dir = known_state_dir(place).await?;
    Ok(Stores {
        ledger: FileLedger::new(state_dir.join("ledger")),
        evidence: FileEvidence::new(state_dir.join("evidence")),
        state_dir,
    })
}

/// What the ledger tells.
async fn entries(place: &Place) -> Result<Vec<LedgerEntry>, Failure> {
    let ledger = stores(place).await?.ledger;
    ledger.read(Sequence(1), usize::MAX).await.map_err(failed)
}

async fn known(place: &Place) -> Result<State, Failure> {
    replay(entries(place).await?.iter().map(|entry| &entry.record)).map_err(failed)
}

async fn told(place: &Place, hours: Option<u64>) -> Result<Report, Failure> {
    let entries = entries(place).await?;
    let last = entries.last().map(|entry| entry.at).unwrap_or_default();
    let since =
        hours.map(|hours| Timestamp(last.0.saturating_sub(hours.saturating_mul(3_600_000))));
    Report::of(entries.iter().map(|entry| (entry.at, &entry.record)), since).map_err(failed)
}

fn as_json(what: &impl serde::Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(what).map_err(failed)?;
    Ok(escaped_json(&json) + "\n")
}

async fn report(
    place: &Place,
    html: Option<&Path>,
    hours: Option<u64>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let report = told(place, hours).await?;
    match html {
        Some(path) => {
            std::fs::write(path, report.to_html())
                .map_err(|error| input(format!("{}: {error}", path.display())))?;
            print(&format!("written to {}\n", path.display()))?;
        }
        None if json => print(&as_json(&report)?)?,
        None => print(&report.to_markdown())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(place: &Place, task: &TaskId, json: bool) -> Result<ExitCode, Failure> {
    let report = told(place, None).await?;
    let known = || {
        report
            .tasks
            .iter()
            .map(|story| story.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let unknown = || input(format!("there is no task `{task}`; there are: {}", known()));
    let story = report
        .tasks
        .iter()
        .find(|story| story.id == *task)
        .ok_or_else(unknown)?;
    print(&if json {
        as_json(story)?
    } else {
        report.task_to_markdown(task).ok_or_else(unknown)?
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn check(
    place: &Place,
    branch: Option<&BranchName>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let stores = stores(place).await?;
    let git = Git::find().await.map_err(input)?;
    let repository = UserRepository::open(git.clone(), &place.repo)
        .await
        .map_err(input)?;
    let line = match branch {
        Some(name) => VerifiedBranch::Of {
            repository: &repository,
            name,
        },
        None => VerifiedBranch::Target {
            state_dir: &stores.state_dir,
        },
    };
    let found = verify(&git, line, &stores.ledger, &stores.evidence)
        .await
        .map_err(|error| match error {
            VerifyError::Git(error) => input(error),
            error => failed(error),
        })?;
    print(&if json {
        as_json(&found)?
    } else {
        compared(&found)
    })?;
    Ok(if found.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Each commit, and what is missing or was altered.
fn compared(found: &Verification) -> String {
    let mut text = String::new();
    for CheckedCommit {
        commit,
        subject,
        what,
    } in &found.commits
    {
        let id = commit.short();
        match what {
            CommitKind::Foreign => line(&mut text, format_args!("-       {id}  {subject}")),
            CommitKind::Landing { faults, .. } if faults.is_empty() => {
                line(&mut text, format_args!("whole   {id}  {subject}"));
            }
            CommitKind::Landing { faults, .. } => {
                line(&mut text, format_args!("FAULTY  {id}  {subject}"));
                faults
                    .iter()
                    .for_each(|fault| line(&mut text, format_args!("          {fault}")));
            }
        }
    }
    found
        .missing
        .iter()
        .for_each(|missing| line(&mut text, format_args!("MISSING {missing}")));
    let whole = if found.is_whole() {
        "every record is complete, and as it was"
    } else {
        "not all is as it was recorded"
    };
    line(
        &mut text,
        format_args!(
            "\n{}: {whole}. Commits marked `-` were not landed here.",
            found.branch
        ),
    );
    text
}

async fn status(place: &Place, json: bool) -> Result<ExitCode, Failure> {
    let entries = entries(place).await?;
    let state = replay(entries.iter().map(|entry| &entry.record)).map_err(failed)?;
    if json {
        print(&as_json(&Snapshot::of(&state))?)?;
    } else {
        let last = entries.last().map(|entry| entry.at).unwrap_or_default();
        let goes_on = if is_running(&known_state_dir(place).await?) {
            "goes on".to_owned()
        } else {
            format!(
                "has not ended, and no orchestrator is running; its last record is of {}",
                last.to_the_second()
            )
        };
        let snapshot = Snapshot::at(&state, now());
        let ended = snapshot
            .ended
            .map_or(goes_on, |reason| format!("ended: {reason}"));
        let table = table(&snapshot);
        let agents = examples::agents(&snapshot);
        let holds = examples::holds(&snapshot);
        let remarks: String = snapshot
            .remarks
            .iter()
            .map(|remark| format!("Remark: {remark}\n"))
            .collect();
        print(&format!(
            "mode: {}; the run {ended}\n\n{table}\n{agents}{remarks}{holds}",
            snapshot.mode
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says at once what an orchestrator would refuse later.
async fn answer(
    place: &Place,
    mut answers: Vec<Answer>,
    artifact: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let alike = |answer: &Answer| matches!(answer.option, HoldOption::Retry | HoldOption::Park);
    if answers.len() > 1 && !answers.iter().all(alike) {
        let why = "what is approved or was observed is said of one question at a time; several are answered with `retry` or `park`";
        return Err(input(why));
    }
    let state = known(place).await?;
    for answer in &answers {
        state
            .accepts(answer)
            .map_err(|why| input(format!("{}: {why}", answer.hold)))?;
    }
    let stores = stores(place).await?;
    let inbox = Inbox::of(&stores.state_dir);
    if let Some(path) = artifact {
        let brought = bring_proof(&stores.evidence, path).await;
        let brought = brought.map_err(|error| input(format!("{}: {error}", path.display())))?;
        for answer in &mut answers {
            answer.artifact = Some(brought.clone());
        }
    }
    for answer in answers {
        inbox.post(&Command::Answer(answer)).map_err(failed)?;
    }
    let place = stores.state_dir.display();
    print(&format!("left in the inbox of {place}\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn tell(place: &Place, command: Command) -> Result<ExitCode, Failure> {
    let path = known_state_dir(place).await?;
    Inbox::of(&path).post(&command).map_err(failed)?;
    print(&format!("left in the inbox of {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
