//! What processes that are none of ours cost: this process's own processor time for a hundred tasks, with ten thousand idle processes of
//! somebody else beside it, and without.
//!
//! ```text
//! cargo bench -p benches --bench foreign -- [--quick]
//! ```
//!
//! Needs Linux and `perl`, which makes the processes; they end with this one, and after ten minutes at the latest.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use benches::sized;
use orchestrator_core::{Orchestrator, Policy, model::EndReason};
use orchestrator_testkit::{Sandbox, shell_worker};

/// Makes so many children, says so, and takes them with it when its input ends.
const FOREIGN: &str = r#"
    $SIG{TERM} = "DEFAULT"; alarm 600; my @children;
    for (1..$ARGV[0]) { my $pid = fork; die "no more: $!" unless defined $pid; if (!$pid) { close STDIN; sleep 600; exit } push @children, $pid }
    $| = 1; print "there\n"; my $end = <STDIN>; kill "KILL", @children; waitpid $_, 0 for @children;
"#;

/// Other people's processes, which end when this is dropped.
struct Foreign(Child);

impl Foreign {
    fn start(count: usize) -> Self {
        let mut command = Command::new("perl");
        command
            .args(["-e", FOREIGN, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("perl can be run");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("is piped");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("can be read");
        assert_eq!(said, "there\n", "so many processes can be made");
        Self(child)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("can be waited for");
    }
}

fn main() {
    let (tasks, others, rounds) = (sized(100, 20), sized(10_000, 10_000), sized(3, 1));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(run(tasks));
        let foreign = Foreign::start(others);
        beside.push(run(tasks));
        drop(foreign);
    }
    benches::line(
        &format!("{tasks} tasks beside {others} processes, own time"),
        benches::median(beside),
        "without them",
        benches::median(alone),
    );
}

/// This process's own processor time for so many tasks, from the first look at the repository to the end.
fn run(tasks: usize) -> Duration {
    let sandbox = Sandbox::new();
    let items = (0..tasks).map(|task| {
        format!("- [ ] **T{task}** Task\n  ```toml\n  allow = [\"T{task}.txt\"]\n  ```\n")
    });
    sandbox.publish(&[("ROADMAP.md", &items.collect::<String>())], "roadmap");
    let script = "echo work > \"$ORCHESTRATOR_TASK.txt\"; commit work; handoff done";
    let worker = shell_worker(sandbox.path(), "worker", script);
    let policy = format!(
        "push = \"origin\"\nmax_sessions = 2\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n\
         [gates.fine]\nrun = [\"true\"]\ndefault = true\n"
    );
    let policy = Policy::parse(&policy).expect("a policy");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let before = cpu();
    let report = runtime.block_on(async {
        let builder = Orchestrator::builder()
            .repository(sandbox.repo())
            .state_dir(sandbox.state())
            .policy(policy);
        let orchestrator = builder
            .roadmap("ROADMAP.md".parse().expect("a path"))
            .build()
            .await
            .expect("begins");
        orchestrator.run().await.expect("no error")
    });
    assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
    cpu() - before
}

/// From `/proc/self/stat` (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms).
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<u64> = behind
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // The state, which is no number, is left out.
    Duration::from_millis(fields.iter().skip(10).take(2).sum::<u64>() * 10)
}
