//! One night on the quickstart's project: agents that misbehave, a usage limit, an orchestrator that is killed, and a person who
//! answers two questions from another process. In the morning the report and `verify` alone must tell what happened, what is
//! accepted on which evidence, and what waits for whom.
//!
//! This program plays all parts but the person's: it is the test, the orchestrator that is killed, and the agent.

mod common;
#[path = "../examples/quickstart/project.rs"]
#[expect(dead_code, reason = "what the quickstart prints beforehand")]
mod project;
#[path = "../examples/quickstart/worker.rs"]
mod worker;

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use common::example;
use orchestrator_core::{
    AgentBackend, CommandAgent, Notice, Orchestrator, Policy, Turn,
    model::{Record, RepoPath, Timestamp, TurnOutcome},
    port::{AgentError, Capabilities, Probe, TurnControl, TurnRequest, Update},
};
use project::Project;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MORE: &str = r#"
## Package: night

- [ ] **N1** Draw a sign
  ```toml
  allow = ["sign.txt"]
  approve = ["landing"]
  ```

- [ ] **N2** Draw a logo
  ```toml
  allow = ["logo.txt"]
  ```

- [ ] **N3** Draw a map
  ```toml
  allow = ["map.txt"]
  ```
"#;

fn main() -> Result<()> {
    if let Ok(task) = std::env::var("ORCHESTRATOR_TASK") {
        return work(&task);
    }
    let arguments: Vec<_> = std::env::args().collect();
    match &arguments[1..] {
        [role, top] if role == "orchestrate" => orchestrate(Path::new(top))?,
        // What a test runner asks before it begins.
        [list, ..] if list == "--list" => println!("one_night: test"),
        _ => {
            night()?;
            println!("test one_night ... ok");
        }
    }
    Ok(())
}

/// The agent: the quickstart's, and three more of its kind.
fn work(task: &str) -> Result<()> {
    let file = match task {
        "N1" => "sign.txt",
        "N2" => "logo.txt",
        "N3" if std::env::var("ORCHESTRATOR_TURN")? == "1" => std::process::exit(LIMITED),
        "N3" => "map.txt",
        _ => return worker::work(task),
    };
    std::fs::write(file, format!("a {file}\n"))?;
    project::git(Path::new("."), &["add", "."])?;
    if !project::git(Path::new("."), &["status", "--porcelain"])?.is_empty() {
        project::git(Path::new("."), &["commit", "--quiet", "--message", task])?;
    }
    // N2 says that it changed what it did not, however often it is told.
    let changed = if task == "N2" {
        "\"logo.txt\",\"brand.md\""
    } else {
        &format!("{file:?}")
    };
    let attempt = std::env::var("ORCHESTRATOR_ATTEMPT")?;
    let handoff = format!(
        "{{\"version\":1,\"task\":{task:?},\"attempt\":{attempt},\"status\":\"done\",\"changed_files\":[{changed}],\
         \"self_review\":\"fine\",\"residual_risks\":[\"drawn <b>by hand</b>\"]}}"
    );
    Ok(std::fs::write(
        std::env::var("ORCHESTRATOR_HANDOFF")?,
        handoff,
    )?)
}

/// The exit status by which the agent says that its usage limit is reached.
const LIMITED: i32 = 75;

/// A night that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A backend of one's own: any command, whose exit status 75 is a usage limit.
#[derive(Debug)]
struct Limited(CommandAgent);

#[async_trait::async_trait]
impl AgentBackend for Limited {
    fn name(&self) -> &str {
        "limited"
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn probe(&self) -> std::result::Result<Probe, AgentError> {
        self.0.probe().await
    }

    async fn probe_in(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> std::result::Result<Probe, AgentError> {
        self.0.probe_in(environment).await
    }
    async fn start(&self, request: TurnRequest) -> std::result::Result<Box<dyn Turn>, AgentError> {
        Ok(Box::new(LimitedTurn(self.0.start(request).await?)))
    }
}

#[derive(Debug)]
struct LimitedTurn(Box<dyn Turn>);

#[async_trait::async_trait]
impl Turn for LimitedTurn {
    async fn next(&mut self) -> Option<Update> {
        let update = self.0.next().await?;
        let Update::Ended {
            outcome: TurnOutcome::Crashed { detail },
        } = &update
        else {
            return Some(update);
        };
        if !detail.contains(&format!("exit status {LIMITED}")) {
            return Some(update);
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("it is after 1970");
        let until = Some(Timestamp(
            u64::try_from(now.as_millis()).expect("it is not yet that late") + 1500,
        ));
        Some(Update::Ended {
            outcome: TurnOutcome::UsageLimited { until },
        })
    }
    fn control(&self) -> Arc<dyn TurnControl> {
        self.0.control()
    }
}

/// The orchestrator: says on its standard output what was recorded, a line each.
#[tokio::main]
async fn orchestrate(top: &Path) -> Result<()> {
    tokio::time::timeout(DEADLINE, keep_going(top)).await?
}

async fn keep_going(top: &Path) -> Result<()> {
    let policy = "push = \"origin\"\nmax_sessions = 3\n[gates.consistent]\nrun = [\"sh\", \"check.sh\"]\ndefault = true\n\
                  [defaults]\nforbid = [\"check.sh\"]\n[limits]\nbackoff = \"100ms\"\n";
    let agent = CommandAgent::new(
        std::env::current_exe()?.to_string_lossy(),
        [top.join("remote.git").to_string_lossy()],
    );
    let builder = Orchestrator::builder()
        .repository(top.join("shop"))
        .state_dir(top.join("state"))
        .policy(Policy::parse(policy)?)
        .roadmap("ROADMAP.md".parse::<RepoPath>()?)
        .backend("scripted".parse()?, Arc::new(Limited(agent)))
        .wait(true);
    let orchestrator = builder.build().await?;
    let handle = orchestrator.handle();
    let mut notices = handle.subscribe();
    let run = tokio::spawn(orchestrator.run());
    // What the one before had asked is asked still.
    for task in handle
        .snapshot()
        .await
        .map(|snapshot| snapshot.tasks)
        .unwrap_or_default()
    {
        if let Some(hold) = task.hold {
            println!("asked {} {}", hold.id, task.id);
        }
    }
    drop(handle);
    while let Ok(notice) = notices.recv().await {
        let Notice::Recorded(entry) = notice else {
            continue;
        };
        match &entry.record {
            Record::Landed { attempt, .. } => println!("landed {}", attempt.task),
            Record::HoldOpened { hold } => println!("asked {} {}", hold.id, hold.task),
            _ => {}
        }
    }
    run.await??;
    Ok(())
}

/// What the orchestrator says, as it says it.
struct Watched {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watched {
    fn start(top: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command
            .arg("orchestrate")
            .arg(top)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(process.stdout.take().ok_or("it was piped")?).lines();
        Ok(Self { process, lines })
    }

    fn until(&mut self, line: &str) -> Result<String> {
        for said in self.lines.by_ref() {
            let said = said?;
            if said.starts_with(line) {
                return Ok(said);
            }
        }
        Err(format!("it ended without saying `{line}`").into())
    }
}

fn supervise(project: &Project, arguments: &[&str]) -> Result<Output> {
    let place = [
        "--repo".as_ref(),
        project.repository.as_os_str(),
        "--state-dir".as_ref(),
        project.state.as_os_str(),
    ];
    Ok(Command::new(example("supervise"))
        .args(arguments)
        .args(place)
        .output()?)
}

fn said(project: &Project, arguments: &[&str]) -> Result<String> {
    let output = supervise(project, arguments)?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("supervise {arguments:?}: {}: {text}", output.status).into())
    }
}

fn night() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let top = directory.path();
    let project = Project::make(top)?;
    let roadmap = project.repository.join("ROADMAP.md");
    std::fs::write(&roadmap, std::fs::read_to_string(&roadmap)? + MORE)?;
    for arguments in [
        &["commit", "--quiet", "--all", "--message", "And three more"][..],
        &["push", "--quiet", "origin", "main"],
    ] {
        project::git(&project.repository, arguments)?;
    }

    // The orchestrator dies in the middle of the work, and another takes it up.
    let mut first = Watched::start(top)?;
    first.until("landed R1")?;
    first.process.kill()?;
    first.process.wait()?;
    let mut second = Watched::start(top)?;

    // A person answers what is asked, from elsewhere: one is seen at the printer, one approved, and one waits.
    let proof = top.join("receipt-cut.jpg");
    std::fs::write(&proof, "a photograph")?;
    let proof = proof.to_string_lossy();
    let mut open = vec!["R5", "N1", "N2"];
    while !open.is_empty() {
        let asked = second.until("asked ")?;
        let (hold, task) = asked
            .trim_start_matches("asked ")
            .split_once(' ')
            .ok_or("a hold and its task")?;
        if !open.contains(&task) {
            continue;
        }
        match task {
            "R5" => drop(said(
                &project,
                &[
                    "answer",
                    hold,
                    "observed",
                    "--by",
                    "Ada",
                    "--note",
                    "three receipts, all cut",
                    "--artifact",
                    &proof,
                ],
            )?),
            "N1" => drop(said(
                &project,
                &[
                    "answer",
                    hold,
                    "approve",
                    "--by",
                    "Ada",
                    "--note",
                    "hang it up",
                ],
            )?),
            "N2" => {}
            other => return Err(format!("nobody thought that {other} would ask: {asked}").into()),
        }
        open.retain(|known| *known != task);
    }
    let landed = |project: &Project| -> Result<usize> {
        let log = project::git(
            &project.remote,
            &[
                "log",
                "--first-parent",
                "--format=%(trailers:key=Orchestrator-Task,valueonly)",
                "main",
            ],
        )?;
        Ok(log.lines().filter(|line| !line.is_empty()).count())
    };
    while landed(&project)? < 11 {
        second.until("landed ")?;
    }
    said(&project, &["drain"])?;
    assert!(second.process.wait()?.success(), "it was drained");

    morning(&project)
}

/// What a person finds.
fn morning(project: &Project) -> Result<()> {
    let verified = said(project, &["verify"])?;
    assert_eq!(verified.matches("whole   ").count(), 11, "{verified}");
    assert_eq!(
        verified.matches("\n-       ").count(),
        3,
        "a colleague's commit, and two of the person's own: {verified}"
    );

    let report = said(project, &["report"])?;
    let has = |part: &str| assert!(report.contains(part), "{part}\n---\n{report}");
    // What is accepted, first, and on which evidence.
    has(
        "**11 of 12 tasks have landed. 1 waits for you. 0 were given up, 0 are on their way or not begun. The run ended: drained.**",
    );
    let (delivered, waiting) = (
        report.find("## Delivered").expect("is there"),
        report.find("## Waiting for you").expect("is there"),
    );
    assert!(delivered < waiting);
    has("- DIRECT: `prices` on `repo`: gate `consistent` was green on `repo`");
    has(
        "- DIRECT: `cuts` on `device:printer`: Ada observed it on `device:printer`: three receipts, all cut (with `receipt-cut.jpg`)",
    );
    has("approved by Ada: hang it up");
    has("- risk, says the worker: drawn &lt;b>by hand&lt;/b>");
    // What waits for whom, with what to decide it on.
    let brief = &report[waiting..];
    for part in [
        "about N2: Draw a logo",
        "handoff/files",
        "brand.md",
        "We would: read the findings beside the contract",
        "retry`:",
    ] {
        assert!(brief.contains(part), "{part}\n---\n{brief}");
    }
    // What went wrong, and where it lies.
    has("### D2#1: came to nothing");
    has("the agent failed: exit status 1; stderr: Error: \"out of memory\"");
    has("### D4#1: came to nothing");
    has("its usage limit was reached");
    has("its work is kept: as refs/orchestrator/attempts/D4/1");
    has("it had died, or was stopped in the middle; another took the run up");
    has("- accepted: 11");
    has("- held: 3 (1 still open)");

    let page = project.state.with_file_name("report.html");
    said(project, &["report", "--html", &page.to_string_lossy()])?;
    let html = std::fs::read_to_string(&page)?;
    assert!(
        html.contains("<svg")
            && html.contains("drawn &lt;b&gt;by hand")
            && !html.contains("<script"),
        "{html}"
    );
    // To look at the page in a browser, or to keep the ledger.
    if let Ok(directory) = std::env::var("ONE_NIGHT") {
        std::fs::copy(&page, Path::new(&directory).join("report.html"))?;
        std::fs::copy(
            project.state.join("ledger"),
            Path::new(&directory).join("ledger"),
        )?;
    }

    let record = said(project, &["export", "R5"])?;
    assert!(
        record.contains("receipt-cut.jpg") && record.contains("three receipts, all cut"),
        "{record}"
    );

    // And whatever is altered is noticed.
    let ledger = project.state.join("ledger");
    for directory in std::fs::read_dir(project.state.join("evidence"))?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in std::fs::read_dir(directory.path())?.flatten() {
            std::fs::write(file.path(), "something else")?;
        }
    }
    let altered = supervise(project, &["verify"])?;
    let said = String::from_utf8_lossy(&altered.stdout);
    assert_eq!(
        (altered.status.code(), said.matches("FAULTY").count()),
        (Some(1), 11),
        "{said}"
    );
    assert!(
        said.contains("what was brought as a proof, `receipt-cut.jpg` was altered: sha256:"),
        "{said}"
    );
    std::fs::write(
        &ledger,
        std::fs::read_to_string(&ledger)?.replacen("R1", "R9", 1),
    )?;
    let altered = supervise(project, &["verify"])?;
    assert_eq!(altered.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&altered.stderr).contains("its checksum does not match"));
    Ok(())
}
