//! What a task costs in a long roadmap, and after many landings: processor time, which says more than the clock on a busy machine.

use std::{fmt::Write as _, fs, io::Write as _, process::Command, process::Stdio, time::Duration};

use benches::{line, sized};
use orchestrator_core::{driver::Orchestrator, model::Policy};
use orchestrator_testkit::{Sandbox, git};
use tokio::runtime::Runtime;

use super::{
    landing::{AGENT, stage},
    used,
};

/// So many tasks are landed for each figure.
const LANDED: usize = 40;

/// Own processor time for each task that lands, beside the same in a short roadmap.
pub(crate) fn roadmaps(runtime: &Runtime) {
    let short = with_roadmap(runtime, 100);
    for tasks in sized([1_000, 3_000], [300, 1_000]) {
        let long = with_roadmap(runtime, tasks);
        line(
            &format!("own CPU for a task, {tasks} in the roadmap"),
            long.own,
            "100 in the roadmap",
            short.own,
        );
    }
}

/// All processor time for each task that lands, gits included, beside the same after few landings.
pub(crate) fn histories(runtime: &Runtime) {
    let few = after_landings(runtime, 100);
    for landings in sized([1_000, 3_000], [300, 1_000]) {
        let many = after_landings(runtime, landings);
        line(
            &format!("gits' CPU for a task, {landings} landed before"),
            many.gits,
            "100 landed before",
            few.gits,
        );
        line(
            &format!("own CPU for a task, {landings} landed before"),
            many.own,
            "100 landed before",
            few.own,
        );
    }
}

/// Processor time for one task.
struct Cost {
    own: Duration,
    /// Of the agent's processes as well, which do the same each time.
    gits: Duration,
}

fn with_roadmap(runtime: &Runtime, tasks: usize) -> Cost {
    let sandbox = stage(200, tasks);
    let cost = land(runtime, &sandbox);
    used(sandbox);
    cost
}

/// With what so many landings, and as many attempts that did not land, have left: for each a commit, and a ref in a file of its own, as
/// versions before this one left them.
fn after_landings(runtime: &Runtime, landings: usize) -> Cost {
    let sandbox = stage(200, 2 * LANDED);
    land(runtime, &sandbox);
    let trusted = sandbox.state().join("trusted.git");
    let tip = git(&trusted, &["rev-parse", "refs/orchestrator/target"]);
    let mut stream = String::new();
    for number in 0..landings {
        let committer = format!(
            "committer A <a@b> {} +0000\ndata 1\nx\n",
            1_700_000_000 + number
        );
        writeln!(
            stream,
            "commit refs/orchestrator/attempts/X{number}/1/1\n{committer}from {tip}\n"
        )
        .expect("a string");
        writeln!(
            stream,
            "reset refs/orchestrator/landings/X{number}/1\nfrom {tip}\n"
        )
        .expect("a string");
    }
    let mut import = Command::new("git");
    import.args([
        "-c",
        "fastimport.unpackLimit=100000000",
        "fast-import",
        "--quiet",
    ]);
    let mut import = import
        .current_dir(&trusted)
        .stdin(Stdio::piped())
        .spawn()
        .expect("git can be run");
    import
        .stdin
        .take()
        .expect("is piped")
        .write_all(stream.as_bytes())
        .expect("is read");
    assert!(
        import.wait().expect("ends").success(),
        "all of it was imported"
    );
    let cost = land(runtime, &sandbox);
    used(sandbox);
    cost
}

fn land(runtime: &Runtime, sandbox: &Sandbox) -> Cost {
    let policy = format!(
        "push = \"origin\"\nmax_sessions = 2\n[limits]\nrun_attempts = {LANDED}\n\
         [agents.a]\nkind = \"command\"\nrun = [\"sh\", \"-c\", {AGENT:?}]\n"
    );
    let builder = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state());
    let builder = builder.policy(Policy::parse(&policy).expect("a valid policy"));
    let builder = builder.roadmap("ROADMAP.md".parse().expect("a path"));
    let ticks = || sandbox.remote_file("ROADMAP.md").matches("[x]").count();
    let landed = ticks();
    // What it costs to begin belongs to no task.
    let orchestrator = runtime.block_on(builder.build()).expect("builds");
    let before = times();
    let report = runtime.block_on(orchestrator.run()).expect("runs");
    let after = times();
    assert_eq!(
        ticks() - landed,
        LANDED,
        "each task has landed: {}",
        orchestrator_core::status::table(&report.snapshot)
    );
    let each =
        |at: usize| (after[at] - before[at]) / u32::try_from(LANDED).expect("a small number");
    Cost {
        own: each(0),
        gits: each(1),
    }
}

/// The processor time of this process, and that of the children that it waited for: proc_pid_stat(5), in hundredths of a second.
fn times() -> [Duration; 2] {
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let behind = stat.rsplit_once(')').expect("the name is in parentheses").1;
    let fields: Vec<u64> = behind
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse().expect("a number"))
        .collect();
    [fields[0] + fields[1], fields[2] + fields[3]].map(|ticks| Duration::from_millis(ticks * 10))
}
