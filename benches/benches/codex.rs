//! `ORCHESTRATOR_TEST_CODEX=… cargo bench -p benches --bench codex` prints what the loop adds to four real Codex processes at once that do
//! eight tasks against a scripted model: beside the same eight turns alone, in workspaces that are there already. Without Codex it says
//! how to get it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use backend_codex::CodexBackend;
use benches::{line, median, sized};
use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    git::{Destination, Git, Trusted, UserRepository, Workspaces},
    model::{AttemptId, TaskId, TurnOutcome},
    port::{TurnRequest, Update},
};
use orchestrator_testkit::{
    Sandbox,
    model_server::{Answer, ModelServer, Script},
};
use serde_json::json;
use tokio::{runtime::Runtime, sync::Semaphore};

const TASKS: u32 = 8;
const SESSIONS: usize = 4;

fn main() {
    let Some(program) = env::var_os("ORCHESTRATOR_TEST_CODEX") else {
        println!(
            "codex: not measured; set ORCHESTRATOR_TEST_CODEX: npm install --prefix DIR @openai/codex@0.169.0"
        );
        return;
    };
    let rounds = sized(5, 1);
    let runtime = Runtime::new().expect("a runtime");
    let (mut alone, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(measured(&runtime, program.as_ref(), false));
        whole.push(measured(&runtime, program.as_ref(), true));
    }
    println!(
        "{TASKS} tasks by {SESSIONS} real Codex at once, a scripted model; medians of {rounds}\n"
    );
    let (walls, cpus) = (
        |all: &[Cost]| median(all.iter().map(|one| one.wall).collect()),
        |all: &[Cost]| median(all.iter().map(|one| one.cpu).collect()),
    );
    line(
        "wall, the whole loop",
        walls(&whole),
        "the turns alone",
        walls(&alone),
    );
    line(
        "CPU of us, git and Codex, the whole loop",
        cpus(&whole),
        "the turns alone",
        cpus(&alone),
    );
}

/// What one run took.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// CPU time of this process and of all its children that have ended, from `/proc/self/stat` (proc_pid_stat(5): fields 14 to 17, in ticks
/// of 10 ms).
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn measured(runtime: &Runtime, program: &Path, whole: bool) -> Cost {
    let ids: Vec<_> = (1..=TASKS).map(|number| format!("W{number}")).collect();
    let answers = |id: &String| {
        let command =
            format!("echo {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}'");
        let handoff = format!(
            r#"{{"version":1,"task":"{id}","attempt":1,"status":"done","self_review":"read it once more"}}"#
        );
        [
            Answer::call("exec_command", json!({ "cmd": command })),
            Answer::say(handoff),
        ]
    };
    let script = ids.iter().fold(Script::default(), |script, id| {
        script.when(format!("Task {id}."), answers(id))
    });
    let (sandbox, server) = (Sandbox::new(), ModelServer::start(script));
    let home = sandbox.path().join("home");
    for part in [".codex", "tmp"] {
        fs::create_dir_all(home.join(part)).expect("makes the home");
    }
    let item = |id: &String| {
        format!("- [ ] **{id}** Task {id}.\n  ```toml\n  allow = [\"{id}.txt\"]\n  ```\n")
    };
    sandbox.publish(
        &[("ROADMAP.md", &ids.iter().map(item).collect::<String>())],
        "roadmap",
    );
    let backend = CodexBackend::new()
        .program(program)
        .home(home.join(".codex"))
        .env("HOME", home.to_string_lossy())
        // A home in a temporary directory is one in which Codex works only where no bubblewrap is installed.
        .env("TMPDIR", home.join("tmp").to_string_lossy())
        .env("SCRIPTED_KEY", "dummy-key")
        .provider("scripted", &format!("{}/v1", server.url()), "SCRIPTED_KEY");
    if whole {
        let policy = format!(
            "push = \"origin\"\nmax_sessions = {SESSIONS}\ndefault_agent = \"codex\"\n[agents.codex]\nkind = \"codex\"\n"
        );
        let name: BackendName = "codex".parse().expect("a name");
        let builder = Orchestrator::builder()
            .repository(sandbox.repo())
            .state_dir(sandbox.state());
        let builder = builder
            .roadmap("ROADMAP.md".parse().expect("a path"))
            .policy(Policy::parse(&policy).expect("a policy"));
        runtime.block_on(async {
            let orchestrator = builder
                .backend(name, Arc::new(backend))
                .build()
                .await
                .expect("begins");
            let (began, before) = (Instant::now(), cpu());
            let report = orchestrator.run().await.expect("runs");
            assert_eq!(report.ended, EndReason::Complete);
            Cost {
                wall: began.elapsed(),
                cpu: cpu() - before,
            }
        })
    } else {
        runtime.block_on(turns(&sandbox, backend, &ids))
    }
}

/// The same turns, with nothing around them.
async fn turns(sandbox: &Sandbox, backend: CodexBackend, ids: &[String]) -> Cost {
    let git = Git::find().await.expect("git");
    let user = UserRepository::open(git.clone(), &sandbox.repo())
        .await
        .expect("a repository");
    let (target, dir) = (
        "main".parse().expect("a branch"),
        sandbox.state().join("trusted.git"),
    );
    let trusted = Trusted::open(user, git, dir, target, Destination::Local, &BTreeMap::new())
        .await
        .expect("opens");
    let base = trusted.fetch_target().await.expect("fetches");
    let mut requests = Vec::new();
    for id in ids {
        let attempt = AttemptId {
            task: TaskId::new(id.as_str()).expect("an id"),
            number: 1,
        };
        let workspace = Workspaces::beneath(&sandbox.state()).of(&attempt);
        workspace
            .create(&trusted, base, &[])
            .await
            .expect("is made");
        let (handoff, contract) = (
            workspace.out().join("handoff.json"),
            workspace.out().join("contract.json"),
        );
        let environment = BTreeMap::from([("PATH".to_owned(), env::var("PATH").expect("a path"))]);
        let request = TurnRequest::new(
            attempt,
            format!("Task {id}."),
            workspace.tree(),
            handoff,
            format!("bench-{}-{id}", std::process::id()),
        );
        requests.push(
            request
                .with_places(workspace.repository(), contract)
                .with_environment(environment),
        );
    }
    let (began, before) = (Instant::now(), cpu());
    let (lanes, backend) = (Arc::new(Semaphore::new(SESSIONS)), Arc::new(backend));
    let running: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let (lanes, backend) = (Arc::clone(&lanes), Arc::clone(&backend));
            tokio::spawn(async move {
                let _lane = lanes.acquire().await;
                let mut turn = backend.start(request).await.expect("starts");
                while let Some(update) = turn.next().await {
                    if let Update::Ended { outcome } = update {
                        assert_eq!(outcome, TurnOutcome::Completed);
                    }
                }
            })
        })
        .collect();
    for turn in running {
        turn.await.expect("ends");
    }
    Cost {
        wall: began.elapsed(),
        cpu: cpu() - before,
    }
}
