//! The real Codex through `app-server`: all that holds for `codex exec` (`real_cli`), and what `app-server` alone can do.

use std::{fs, process::ExitCode};

use backend_codex::{CodexProtocol, CodexSandbox};
use orchestrator_core::{
    AgentBackend,
    model::{SessionRef, SessionUsage, TurnOutcome, Usage},
    port::{AgentError, Turn, TurnInput, Update},
};
use orchestrator_testkit::{
    Ran, RealAgent, RealTest, block_on,
    model_server::{Answer, Script},
    ran, real_agent_main,
};
use serde_json::json;

mod schema;
#[path = "real_cli.rs"]
mod turns;
use turns::{Stage, handoff, shell, stage, turn};

pub(crate) const PROTOCOL: CodexProtocol = CodexProtocol::AppServer;

fn main() -> ExitCode {
    real_agent_main(turns::AGENTS, &[turns::TESTS, OWN].concat())
}

const OWN: &[RealTest] = &[
    ("nudge_is_heard_in_a_command", nudge_is_heard_in_a_command),
    ("nudge_is_heard_in_thought", nudge_is_heard_in_thought),
    ("usage_is_known_while_it_runs", usage_is_known_while_it_runs),
    ("usage_counts_the_turn_alone", usage_counts_the_turn_alone),
    ("output_is_activity", output_is_activity),
    ("usage_limit_has_its_reset", usage_limit_has_its_reset),
    ("workspace_is_not_trusted", workspace_is_not_trusted),
    (
        "sandbox_of_a_resumed_thread_is_new",
        sandbox_of_a_resumed_thread_is_new,
    ),
    (
        "threads_pass_between_the_protocols",
        threads_pass_between_the_protocols,
    ),
    (
        "schema_is_the_one_that_is_kept",
        schema::schema_is_the_one_that_is_kept,
    ),
    (
        "home_with_a_configuration_is_refused",
        home_with_a_configuration_is_refused,
    ),
];

/// Reads until a tool is in flight.
async fn until_a_tool_runs(turn: &mut dyn Turn) {
    while !matches!(
        turn.next().await.expect("it goes on"),
        Update::ToolBegan { .. }
    ) {}
}

async fn nudge(turn: &dyn Turn) {
    let said = TurnInput::Nudge("NUDGED: are you there?".to_owned());
    turn.control().send(said).await.expect("it listens");
}

/// In which of the requests of the model it was.
fn heard(stage: &Stage) -> Vec<bool> {
    let requests = stage.server.requests();
    requests
        .iter()
        .map(|request| request.text().contains("NUDGED"))
        .collect()
}

async fn started(stage: &Stage) -> Box<dyn Turn> {
    stage
        .backend
        .start(stage.request(1, None))
        .await
        .expect("starts")
}

fn nudge_is_heard_in_a_command(agent: &RealAgent) {
    block_on(async {
        let command = "read -r line < gate; echo \"$line\" > came.txt";
        let stage = stage(agent, Script::new([shell(command), handoff()]))
            .with_workspace()
            .await;
        let gate = stage.workspace().tree().join("gate");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&gate)
                .status()
                .is_ok_and(|status| status.success())
        );
        let mut turn = started(&stage).await;
        until_a_tool_runs(&mut *turn).await;
        nudge(&*turn).await;
        tokio::task::spawn_blocking(move || fs::write(gate, "now\n"))
            .await
            .expect("runs")
            .expect("the command listens");
        let ran = ran(turn).await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(stage.left("came.txt"), "now\n");
        assert_eq!(heard(&stage), [false, true]);
    });
}

/// It was said before the turn even had a name.
fn nudge_is_heard_in_thought(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        let turn = started(&stage).await;
        nudge(&*turn).await;
        let ran = ran(turn).await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(heard(&stage).last(), Some(&true));
    });
}

fn usage_is_known_while_it_runs(agent: &RealAgent) {
    block_on(async {
        let script = Script::new([shell("true").costing(70, 5), shell("sleep 1000")]);
        let stage = stage(agent, script).with_workspace().await;
        let mut turn = started(&stage).await;
        let usage = loop {
            match turn.next().await.expect("it goes on") {
                Update::Usage(usage) => break usage,
                Update::Ended { outcome } => panic!("{outcome:?}"),
                _ => {}
            }
        };
        assert_eq!(tokens(usage.known()), (70, 5));
        until_a_tool_runs(&mut *turn).await;
        let ran = stage.stop(turn).await;
        // What was running when it was stopped has cost as well.
        assert_eq!(tokens(ran.usage), (170, 25), "{ran:?}");
    });
}

fn tokens(usage: Usage) -> (u64, u64) {
    (usage.input_tokens, usage.output_tokens)
}

/// Also in a process that knows nothing of the turns before.
fn usage_counts_the_turn_alone(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff().costing(100, 20)]))
            .with_workspace()
            .await;
        let first = stage.run(stage.request(1, None)).await;
        let fresh = stage
            .backend
            .clone()
            .with_protocol(CodexProtocol::AppServer);
        let mut used = SessionUsage::default();
        used.add(&first.used);
        let again = stage.request(2, first.session.clone());
        let second = fresh.start(again.with_used(used)).await.expect("starts");
        let second = ran(second).await;
        assert_eq!(second.outcome, TurnOutcome::Completed, "{second:?}");
        assert_eq!(
            (tokens(first.usage), tokens(second.usage)),
            ((100, 20), (100, 20))
        );
    });
}

fn output_is_activity(agent: &RealAgent) {
    let command = "sleep 0.5; for n in $(seq 1000); do echo \"line $n\"; sleep 0.002; done";
    let (_, ran) = turn(agent, [shell(command), handoff()]);
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let lines = ran.said.lines().filter(|line| line.starts_with("line "));
    let lines = lines.count();
    assert!((1..=20).contains(&lines), "{lines} lines: {}", ran.said);
}

fn usage_limit_has_its_reset(agent: &RealAgent) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let reset = now + 3 * 3600 + 17;
    let limit = json!({ "error": { "type": "usage_limit_reached", "message": "reached" } });
    let answer = Answer::http(429, limit)
        .with_header("x-codex-primary-used-percent", "100")
        .with_header("x-codex-primary-window-minutes", "300")
        .with_header("x-codex-primary-reset-at", reset.to_string());
    let (_, ran) = turn(agent, [answer]);
    let TurnOutcome::UsageLimited { until } = ran.outcome else {
        panic!("{ran:?}");
    };
    assert_eq!(
        until.map(|until| until.0),
        Some(reset * 1000),
        "to the second"
    );
}

/// What a workspace names is not run outside of the sandbox, and nothing is written into the home's configuration.
fn workspace_is_not_trusted(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        let ran_outside = stage.sandbox.path().join("ran-outside");
        let own = stage.workspace().tree().join(".codex");
        fs::create_dir_all(&own).expect("makes it");
        let server = format!(
            "[mcp_servers.own]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"touch '{}'\"]\n",
            ran_outside.display()
        );
        fs::write(own.join("config.toml"), server).expect("writes");
        let first = stage.run(stage.request(1, None)).await;
        let second = stage.run(stage.request(2, first.session.clone())).await;
        let outcomes = [&first.outcome, &second.outcome];
        assert_eq!(
            outcomes,
            [&TurnOutcome::Completed; 2],
            "{first:?} {second:?}"
        );
        assert!(!ran_outside.exists());
        let home = stage.sandbox.path().join("home/.codex");
        assert!(!home.join("config.toml").exists());
    });
}

/// A thread that began without a sandbox, or as a reader's, is held back as the turn that goes on with it is to be.
fn sandbox_of_a_resumed_thread_is_new(agent: &RealAgent) {
    block_on(async {
        let script = Script::default();
        let stage = stage(agent, script).with_workspace().await;
        let outside = stage.sandbox.path().join("outside");
        let command = format!(
            "echo x > '{}'; echo in > in.txt; echo a > \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/a.txt\"",
            outside.display()
        );
        let server = orchestrator_testkit::model_server::ModelServer::start(Script::new([
            handoff(),
            shell(&command),
            handoff(),
        ]));
        let backend = stage.backend.clone().config(format!(
            "model_providers.scripted.base_url=\"{}/v1\"",
            server.url()
        ));
        let open = backend.clone().sandbox(CodexSandbox::Off);
        let first = open.start(stage.request(1, None)).await.expect("starts");
        let first = ran(first).await;
        let second = backend
            .start(stage.request(2, first.session))
            .await
            .expect("starts");
        let second = ran(second).await;
        assert_eq!(second.outcome, TurnOutcome::Completed, "{second:?}");
        assert_eq!(stage.left("in.txt"), "in\n", "{second:?}");
        assert!(!outside.exists());
        assert!(stage.workspace().out().join("2/a.txt").exists());
    });
}

fn threads_pass_between_the_protocols(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        let exec = stage.backend.clone().with_protocol(CodexProtocol::Exec);
        let mut session: Option<SessionRef> = None;
        let turns: [(u32, &dyn AgentBackend); 3] = [(1, &exec), (2, &stage.backend), (3, &exec)];
        for (number, backend) in turns {
            let request = stage.request(number, session.clone());
            let ran: Ran = ran(backend.start(request).await.expect("starts")).await;
            assert_eq!(ran.outcome, TurnOutcome::Completed, "{number}: {ran:?}");
            assert!(session.is_none() || session == ran.session);
            session = ran.session;
        }
        let last = stage.server.requests().last().expect("it asked").text();
        let turns = ["This is turn 1.", "This is turn 2.", "This is turn 3."];
        assert!(turns.iter().all(|turn| last.contains(turn)), "{last}");
    });
}

fn home_with_a_configuration_is_refused(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        let home = stage.sandbox.path().join("home/.codex");
        fs::write(home.join("config.toml"), "").expect("writes");
        let refused = stage.backend.start(stage.request(1, None)).await;
        assert!(
            matches!(&refused, Err(AgentError::Misconfigured { what, .. }) if what.contains("config.toml")),
            "{refused:?}"
        );
        assert!(stage.backend.probe().await.is_err());
        assert_eq!(stage.alive(), 0);
    });
}
