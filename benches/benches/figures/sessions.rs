//! What many sessions cost while agents talk, and while they are silent.

use std::{
    env, fs,
    io::Write as _,
    time::{Duration, Instant},
};

use benches::sized;
use orchestrator_core::{
    agent::CommandAgent,
    model::AttemptId,
    port::{AgentBackend as _, TurnRequest},
    process::kill_marked,
};
use tokio::runtime::Runtime;

/// Set in a process that is one of the sessions.
const ROLE: &str = "BENCH_SESSION";

/// This process is a session: it talks ten times a second, or is silent, until it is killed. False in any other.
pub(crate) fn be_one() -> bool {
    let Some(role) = env::var_os(ROLE) else {
        return false;
    };
    let line = format!("{}\n", "working ".repeat(25));
    loop {
        if role == "talks" && std::io::stdout().write_all(line.as_bytes()).is_err() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(if role == "talks" {
            100
        } else {
            1000
        }));
    }
}

/// This process's own memory and processor time while two hundred sessions talk, and while a thousand are silent. The sessions
/// are processes, started and read as agents are.
pub(crate) fn sessions(runtime: &Runtime) {
    let (most, seconds) = (sized(1, 20), sized(10, 1));
    for (role, count) in [("talks", 200 / most), ("silent", 1_000 / most)] {
        let before = resident();
        let (memory, cpu, updates) =
            runtime.block_on(measured(role, count, Duration::from_secs(seconds)));
        let each_second = cpu.as_secs_f64() / seconds as f64;
        println!(
            "{:<44} {:>8.1} MiB   {:<36} {before:>8.1} MiB   {:>6.2} % of one core, {updates} updates",
            format!("{count} sessions, {role}, {seconds} s"),
            memory,
            "before they began",
            each_second * 100.0
        );
    }
}

async fn measured(role: &str, count: usize, lasting: Duration) -> (f64, Duration, usize) {
    let room = tempfile::tempdir().expect("a temporary directory");
    let mark = format!("bench-sessions-{}-{role}", std::process::id());
    let agent = CommandAgent::new(
        env::current_exe()
            .expect("this is a program")
            .display()
            .to_string(),
        [""; 0],
    );
    let mut turns = Vec::new();
    for number in 1..=count {
        let attempt: AttemptId = format!("T{number}#1").parse().expect("an id");
        let (place, handoff) = (room.path().to_owned(), room.path().join("handoff.json"));
        let mut request = TurnRequest::new(attempt, "Go.", place, handoff, mark.clone());
        request.environment.insert(ROLE.to_owned(), role.to_owned());
        turns.push(agent.start(request).await.expect("starts"));
    }
    let reading: Vec<_> = turns
        .into_iter()
        .map(|mut turn| {
            tokio::spawn(async move {
                let mut updates = 0_usize;
                while turn.next().await.is_some() {
                    updates += 1;
                }
                updates
            })
        })
        .collect();
    // Until all of them have begun.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, at) = (spent(), Instant::now());
    tokio::time::sleep(lasting).await;
    let cpu = spent()
        .saturating_sub(began)
        .mul_f64(lasting.as_secs_f64() / at.elapsed().as_secs_f64());
    let memory = resident();
    kill_marked(&mark, Duration::from_secs(30)).await;
    let mut updates = 0;
    for one in reading {
        updates += one.await.expect("no panic");
    }
    (memory, cpu, updates)
}

/// This process's memory in MiB, from `/proc/self/status`; 0 where there is no such thing.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0
}

/// This process's own processor time, from `/proc/self/stat`.
fn spent() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    // A hundred a second, on every Linux that there is.
    Duration::from_millis(ticks * 10)
}
