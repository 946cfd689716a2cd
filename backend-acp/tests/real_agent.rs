//! The real `opencode` (MIT), driven through the protocol against a scripted model on loopback, with an empty environment and a
//! home of its own.

use std::{collections::BTreeMap, fs, process::ExitCode, sync::Arc, time::Duration};

use backend_acp::{AcpBackend, Permissions};
use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    model::{AttemptId, Record, SessionRef, TaskId, TurnOutcome},
    port::{Turn, TurnRequest, Update},
    process::{kill_marked, marked},
};
use orchestrator_testkit::{
    Ran, RealAgent, Sandbox, block_on_within, git,
    model_server::{Answer, ModelServer, Script},
    ran, real_agent_main, run_checked, wait_for_marked,
};
use serde_json::json;

fn main() -> ExitCode {
    real_agent_main(
        &[(
            "ORCHESTRATOR_TEST_OPENCODE",
            "npm install --prefix DIR opencode-linux-x64@1.18.33, then DIR/node_modules/opencode-linux-x64/bin/opencode",
        )],
        &[
            ("the_probe_tells_its_version", the_probe_tells_its_version),
            (
                "it_commits_and_its_last_word_is_its_handoff",
                it_commits_and_its_last_word_is_its_handoff,
            ),
            (
                "a_further_turn_goes_on_with_the_session",
                a_further_turn_goes_on_with_the_session,
            ),
            (
                "a_session_that_it_does_not_know_is_lost",
                a_session_that_it_does_not_know_is_lost,
            ),
            (
                "a_tool_that_is_not_allowed_is_not_run",
                a_tool_that_is_not_allowed_is_not_run,
            ),
            (
                "stopped_while_a_tool_runs_it_leaves_no_process",
                stopped_while_a_tool_runs_it_leaves_no_process,
            ),
            (
                "stopped_while_the_model_hangs_it_leaves_no_process",
                stopped_while_the_model_hangs_it_leaves_no_process,
            ),
            (
                "killed_it_has_crashed_and_leaves_no_process",
                killed_it_has_crashed_and_leaves_no_process,
            ),
            ("a_bad_key_needs_a_person", a_bad_key_needs_a_person),
            (
                "a_stream_that_breaks_off_once_is_no_failure",
                a_stream_that_breaks_off_once_is_no_failure,
            ),
            (
                "usage_of_its_own_agents_is_not_taken_for_all",
                usage_of_its_own_agents_is_not_taken_for_all,
            ),
            ("two_of_them_land_a_roadmap", two_of_them_land_a_roadmap),
        ],
    )
}

/// A home with the agent's configuration, a repository to work in, and a scripted model.
struct Stage {
    sandbox: Sandbox,
    server: ModelServer,
    backend: AcpBackend,
}

const HANDOFF: &str =
    r#"{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"read it once more"}"#;

impl Stage {
    fn new(agent: &RealAgent, script: Script) -> Self {
        let (sandbox, server) = (Sandbox::new(), ModelServer::start(script));
        let home = sandbox.path().join("home");
        let configuration = home.join(".config/opencode");
        fs::create_dir_all(&configuration).expect("makes the home");
        let provider = json!({
            "npm": "@ai-sdk/openai-compatible", "name": "Scripted",
            "options": { "baseURL": format!("{}/v1", server.url()), "apiKey": "dummy" },
            "models": { "scripted": { "name": "Scripted", "tool_call": true, "limit": { "context": 100_000, "output": 8000 } } },
        });
        let content = json!({
            "model": "scripted/scripted", "small_model": "scripted/scripted", "autoupdate": false, "share": "disabled",
            "enabled_providers": ["scripted"], "permission": { "bash": "ask", "edit": "ask" }, "provider": { "scripted": provider },
        });
        fs::write(configuration.join("opencode.json"), content.to_string())
            .expect("writes the configuration");
        let backend = AcpBackend::new("opencode", &agent.program)
            .args(["acp"])
            .env("HOME", home.to_string_lossy());
        let backend = ["AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "SHARE"]
            .iter()
            .fold(backend, |backend, what| {
                backend.env(format!("OPENCODE_DISABLE_{what}"), "1")
            });
        Self {
            sandbox,
            server,
            backend,
        }
    }

    fn request(&self, turn: u32, resume: Option<SessionRef>) -> TurnRequest {
        let attempt = AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        };
        let mark = format!("real-{}", self.sandbox.path().display());
        let handoff = self.sandbox.path().join(format!("handoff-{turn}.json"));
        let path = std::env::var("PATH").expect("a path");
        let environment = BTreeMap::from([("PATH".to_owned(), path)]);
        let request = TurnRequest::new(
            attempt,
            format!("This is turn {turn}."),
            self.sandbox.repo(),
            handoff,
            mark,
        );
        request
            .with_environment(environment)
            .with_turn(turn, resume)
    }

    fn mark(&self) -> String {
        format!("real-{}", self.sandbox.path().display())
    }

    fn alive(&self) -> usize {
        marked(&self.mark()).len()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    block_on_within(Duration::from_secs(120), work).expect("it comes to an end")
}

async fn until(turn: &mut dyn Turn, wanted: impl Fn(&Update) -> bool) {
    loop {
        let update = turn.next().await.expect("it goes on");
        assert!(
            !matches!(update, Update::Ended { .. }),
            "it ended too early: {update:?}"
        );
        if wanted(&update) {
            return;
        }
    }
}

fn shell(command: &str) -> Answer {
    Answer::call(
        "bash",
        json!({ "command": command, "description": "as the script says" }),
    )
}

fn handoff() -> Answer {
    Answer::say(format!("Done.\n```json\n{HANDOFF}\n```"))
}

fn the_probe_tells_its_version(agent: &RealAgent) {
    let stage = Stage::new(agent, Script::default());
    let probe = block_on(stage.backend.probe()).expect("it is there");
    assert!(
        probe
            .version
            .is_some_and(|version| version.starts_with("1."))
            && probe.warnings.is_empty()
    );
}

fn it_commits_and_its_last_word_is_its_handoff(agent: &RealAgent) {
    let commit = shell("echo hello > hello.txt && git add hello.txt && git commit -qm hello");
    let stage = Stage::new(
        agent,
        Script::new([commit.costing(70, 5), handoff().costing(90, 7)]),
    );
    let request = stage.request(1, None);
    let place = request.handoff.clone();
    let Ran {
        session,
        said,
        outcome,
        ..
    } = block_on(async { ran(stage.backend.start(request).await.expect("starts")).await });
    assert_eq!(outcome, TurnOutcome::Completed, "{said}");
    assert!(
        session.is_some() && said.contains("allowed: echo hello"),
        "{said}"
    );
    assert_eq!(
        git(&stage.sandbox.repo(), &["log", "--format=%s", "-1"]),
        "hello"
    );
    assert_eq!(fs::read_to_string(place).expect("a handoff"), HANDOFF);
    assert_eq!(stage.alive(), 0);
}

fn a_further_turn_goes_on_with_the_session(agent: &RealAgent) {
    let stage = Stage::new(agent, Script::new([handoff()]));
    block_on(async {
        let Ran {
            session,
            outcome: first,
            ..
        } = ran(stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts"))
        .await;
        let Ran {
            session: again,
            said,
            outcome: second,
            ..
        } = ran(stage
            .backend
            .start(stage.request(2, session.clone()))
            .await
            .expect("starts"))
        .await;
        assert_eq!(
            (first, second),
            (TurnOutcome::Completed, TurnOutcome::Completed),
            "{said}"
        );
        assert_eq!(session, again);
        // What was said in the first turn is not told again.
        assert_eq!(said.matches("Done.").count(), 1, "{said}");
    });
    let last = stage.server.requests().last().expect("it asked").text();
    assert!(
        last.contains("This is turn 1.") && last.contains("This is turn 2."),
        "{last}"
    );
}

fn a_session_that_it_does_not_know_is_lost(agent: &RealAgent) {
    let stage = Stage::new(agent, Script::new([handoff()]));
    let request = stage.request(
        2,
        Some(SessionRef("ses_0000000000000000000000000".to_owned())),
    );
    let Ran { said, outcome, .. } =
        block_on(async { ran(stage.backend.start(request).await.expect("starts")).await });
    assert_eq!(outcome, TurnOutcome::SessionLost, "{said}");
}

fn a_tool_that_is_not_allowed_is_not_run(agent: &RealAgent) {
    let stage = Stage::new(
        agent,
        Script::new([shell("echo no > not-allowed.txt"), handoff()]),
    );
    let backend = stage
        .backend
        .clone()
        .permissions(Permissions::deny(["execute"]));
    let Ran { findings, .. } =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(findings.len(), 1, "{findings:?}");
    let refused = findings[0].to_string();
    assert!(refused.starts_with("tool/refused: `echo no"), "{refused}");
    assert!(!stage.sandbox.repo().join("not-allowed.txt").exists());
}

/// Stopped when this has come, it ends as stopped, and nobody is left.
fn stopped_at(stage: &Stage, wanted: impl Fn(&Update) -> bool) {
    block_on(async {
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        until(&mut *turn, wanted).await;
        wait_for_marked(&stage.mark(), 1);
        turn.control().stop(Duration::from_secs(10)).await;
        assert_eq!(stage.alive(), 0, "when `stop` has returned");
        assert_eq!(ran(turn).await.outcome, TurnOutcome::Stopped);
    });
}

fn stopped_while_a_tool_runs_it_leaves_no_process(agent: &RealAgent) {
    let ready = Sandbox::new();
    let fifo = ready.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .expect("mkfifo")
            .success()
    );
    let command = format!(
        "setsid sleep 1000 & echo here > '{}'; sleep 1000",
        fifo.display()
    );
    let stage = Stage::new(agent, Script::new([shell(&command), handoff()]));
    block_on(async {
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        let reads = tokio::task::spawn_blocking(move || fs::read_to_string(fifo));
        let runs = async { while turn.next().await.is_some() {} };
        // Its children are there.
        tokio::select! { here = reads => drop(here.expect("no panic").expect("reads")), () = runs => panic!("it ended too early") }
        wait_for_marked(&stage.mark(), 3);
        turn.control().stop(Duration::from_secs(10)).await;
        assert_eq!(stage.alive(), 0, "when `stop` has returned");
        assert_eq!(ran(turn).await.outcome, TurnOutcome::Stopped);
    });
}

fn stopped_while_the_model_hangs_it_leaves_no_process(agent: &RealAgent) {
    let stage = Stage::new(
        agent,
        Script::new([Answer::say("working\n").hanging_after(2)]),
    );
    stopped_at(
        &stage,
        |update| matches!(update, Update::Activity { text } if text.contains("working")),
    );
}

fn killed_it_has_crashed_and_leaves_no_process(agent: &RealAgent) {
    let stage = Stage::new(
        agent,
        Script::new([Answer::say("working\n").hanging_after(2)]),
    );
    block_on(async {
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        until(
            &mut *turn,
            |update| matches!(update, Update::Activity { text } if text.contains("working")),
        )
        .await;
        kill_marked(
            &format!("real-{}", stage.sandbox.path().display()),
            Duration::from_secs(10),
        )
        .await;
        let outcome = ran(turn).await.outcome;
        assert!(
            matches!(outcome, TurnOutcome::Crashed { .. }),
            "{outcome:?}"
        );
    });
    assert_eq!(stage.alive(), 0);
}

fn a_bad_key_needs_a_person(agent: &RealAgent) {
    let stage = Stage::new(
        agent,
        Script::new([Answer::fail(
            401,
            "invalid_api_key",
            "Incorrect API key provided",
        )]),
    );
    let Ran { said, outcome, .. } = block_on(async {
        ran(stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts"))
        .await
    });
    assert!(
        matches!(outcome, TurnOutcome::Authentication { .. }),
        "{outcome:?}\n{said}"
    );
}

fn a_stream_that_breaks_off_once_is_no_failure(agent: &RealAgent) {
    let stage = Stage::new(
        agent,
        Script::new([Answer::say("half of").breaking_off_after(2), handoff()]),
    );
    let Ran { said, outcome, .. } = block_on(async {
        ran(stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts"))
        .await
    });
    assert_eq!(outcome, TurnOutcome::Completed, "{said}");
}

fn usage_of_its_own_agents_is_not_taken_for_all(agent: &RealAgent) {
    let asked = json!({ "description": "d", "prompt": "p", "subagent_type": "general" });
    let script = Script::new([
        Answer::call("task", asked).costing(100, 10),
        Answer::say("That is all.").costing(2000, 200),
        handoff().costing(300, 30),
    ]);
    let stage = Stage::new(agent, script);
    let ran = block_on(async {
        ran(stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts"))
        .await
    });
    // It tells what its last answer has used.
    assert_eq!(ran.usage.tokens(), 330, "{ran:?}");
    assert!(ran.used.incomplete, "{ran:?}");
}

fn two_of_them_land_a_roadmap(agent: &RealAgent) {
    let ids = ["A1", "B2", "C3"];
    // The handoff by its file this time: what the agent's commands see tells which attempt it is.
    let task = |id: &str| {
        let handoff =
            r#"{"version":1,"task":"%s","attempt":%s,"status":"done","self_review":"read it"}"#;
        let command = format!(
            "echo {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}' && \
             printf '{handoff}' $ORCHESTRATOR_TASK $ORCHESTRATOR_ATTEMPT > $ORCHESTRATOR_HANDOFF"
        );
        [shell(&command), Answer::say("Done.")]
    };
    let script = ids.iter().fold(Script::default(), |script, id| {
        script.when(format!("Task {id}"), task(id))
    });
    let stage = Stage::new(agent, script);
    // The first start in a new home makes its database, and two at once would both do so.
    let first = block_on(async {
        ran(stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts"))
        .await
    });
    assert_eq!(first.outcome, TurnOutcome::Completed);
    let item = |id: &&str| {
        format!("- [ ] **{id}** Task {id}\n  ```toml\n  allow = [\"{id}.txt\"]\n  ```\n")
    };
    stage.sandbox.publish(
        &[("ROADMAP.md", &ids.iter().map(item).collect::<String>())],
        "roadmap",
    );
    let policy = "push = \"origin\"\nmax_sessions = 2\n[agents.opencode]\nkind = \"acp\"\nrun = [\"opencode\", \"acp\"]\n";
    let name: BackendName = "opencode".parse().expect("a name");
    let builder = Orchestrator::builder()
        .policy(Policy::parse(policy).expect("a policy"))
        .backend(name, Arc::new(stage.backend.clone()));
    let outcome = block_on(run_checked(&stage.sandbox, builder));
    let ended: Vec<_> = outcome
        .records()
        .filter(|record| matches!(record, Record::AttemptEnded { .. }))
        .collect();
    assert_eq!(outcome.report.ended, EndReason::Complete, "{ended:#?}");
    for id in ids {
        assert_eq!(stage.sandbox.remote_file(&format!("{id}.txt")), id);
        assert_eq!(outcome.task(id).attempts, 1, "{ended:#?}");
    }
    assert_eq!(stage.sandbox.processes(), Vec::<i32>::new());
}
