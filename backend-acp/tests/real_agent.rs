//! The real `opencode` (MIT), driven through the protocol against a scripted model on loopback, with an empty environment and a
//! home of its own.

use std::{fs, path::Path, process::ExitCode, sync::Arc, time::Duration};

use backend_acp::{AcpBackend, Permissions};
use orchestrator_core::{
    AgentBackend,
    model::{SessionRef, TurnOutcome},
    port::{Turn, TurnRequest, Update},
    process::kill_marked,
};
use orchestrator_testkit::{
    Ran, RealAgent, RealStage, block_on, git, land,
    model_server::{Answer, Script},
    ran, real_agent_main, wait_for_marked,
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

type Stage = RealStage<AcpBackend>;

const HANDOFF: &str =
    r#"{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"read it once more"}"#;

/// The agent with its configuration in this home, and the scripted model.
fn opencode(program: &Path, home: &Path, url: &str) -> AcpBackend {
    let configuration = home.join(".config/opencode");
    fs::create_dir_all(&configuration).expect("makes the home");
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible", "name": "Scripted",
        "options": { "baseURL": format!("{url}/v1"), "apiKey": "dummy" },
        "models": { "scripted": {
            "name": "Scripted", "tool_call": true, "limit": { "context": 100_000, "output": 8000 },
        } },
    });
    let content = json!({
        "model": "scripted/scripted", "small_model": "scripted/scripted", "autoupdate": false,
        "share": "disabled", "enabled_providers": ["scripted"],
        "permission": { "bash": "ask", "edit": "ask" }, "provider": { "scripted": provider },
    });
    fs::write(configuration.join("opencode.json"), content.to_string())
        .expect("writes the configuration");
    let backend = AcpBackend::new("opencode", program).args(["acp"]);
    let switches = ["AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "SHARE"];
    let disabled = switches.map(|what| format!("OPENCODE_DISABLE_{what}"));
    disabled.into_iter().fold(
        backend.env("HOME", home.to_string_lossy()),
        |backend, name| backend.env(name, "1"),
    )
}

fn stage(agent: &RealAgent, script: Script) -> Stage {
    Stage::new(script, |home, url| opencode(&agent.program, home, url))
}

/// One turn on a stage with this script.
fn turn(agent: &RealAgent, answers: impl IntoIterator<Item = Answer>) -> (Stage, Ran) {
    block_on(stage(agent, Script::new(answers)).first_turn())
}

/// A turn that has begun, and its stage.
async fn started(agent: &RealAgent, answers: [Answer; 1]) -> (Stage, Box<dyn Turn>) {
    let stage = stage(agent, Script::new(answers)).with_workspace().await;
    let turn = stage.backend.start(stage.request(1, None)).await;
    (stage, turn.expect("starts"))
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
    let stage = stage(agent, Script::default());
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
    let (stage, ran) = turn(agent, [commit.costing(70, 5), handoff().costing(90, 7)]);
    let said = ran.said;
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{said}");
    assert!(
        ran.session.is_some() && said.contains("allowed: echo hello"),
        "{said}"
    );
    let tree = stage.workspace().tree();
    assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "hello");
    assert_eq!(stage.handoff(1), HANDOFF);
    assert_eq!(stage.alive(), 0);
}

fn a_further_turn_goes_on_with_the_session(agent: &RealAgent) {
    let (stage, first) = turn(agent, [handoff()]);
    let again = stage.request(2, first.session.clone());
    let second = block_on(stage.run(again));
    let said = second.said;
    assert_eq!(
        (first.outcome, second.outcome),
        (TurnOutcome::Completed, TurnOutcome::Completed),
        "{said}"
    );
    assert_eq!(first.session, second.session);
    // What was said in the first turn is not told again.
    assert_eq!(said.matches("Done.").count(), 1, "{said}");
    let last = stage.server.requests().last().expect("it asked").text();
    assert!(
        last.contains("This is turn 1.") && last.contains("This is turn 2."),
        "{last}"
    );
}

fn a_session_that_it_does_not_know_is_lost(agent: &RealAgent) {
    let unknown = SessionRef("ses_0000000000000000000000000".to_owned());
    let ran = block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        stage.run(stage.request(2, Some(unknown))).await
    });
    assert_eq!(ran.outcome, TurnOutcome::SessionLost, "{}", ran.said);
}

fn a_tool_that_is_not_allowed_is_not_run(agent: &RealAgent) {
    let script = Script::new([shell("echo no > not-allowed.txt"), handoff()]);
    let mut stage = stage(agent, script);
    stage.backend = stage.backend.permissions(Permissions::deny(["execute"]));
    let (stage, ran) = block_on(stage.first_turn());
    assert_eq!(ran.findings.len(), 1, "{:?}", ran.findings);
    let refused = ran.findings[0].to_string();
    assert!(refused.starts_with("tool/refused: `echo no"), "{refused}");
    assert!(!stage.workspace().tree().join("not-allowed.txt").exists());
}

fn stopped_while_a_tool_runs_it_leaves_no_process(agent: &RealAgent) {
    let pipe = stage(agent, Script::default());
    let fifo = pipe.fifo();
    let script = Script::new([shell(&Stage::for_ever(&fifo)), handoff()]);
    block_on(async {
        let stage = stage(agent, script).with_workspace().await;
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        let reads = async { while turn.next().await.is_some() {} };
        tokio::select! {
            () = Stage::runs(fifo) => {}
            () = reads => panic!("it ended too early"),
        }
        // Its children are there.
        wait_for_marked(&stage.mark(), 3);
        stage.stop(turn).await;
    });
}

/// Words of a model that then hangs.
fn hanging() -> [Answer; 1] {
    [Answer::say("working\n").hanging_after(2)]
}

fn is_working(update: &Update) -> bool {
    matches!(update, Update::Activity { text } if text.contains("working"))
}

fn stopped_while_the_model_hangs_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let (stage, mut turn) = started(agent, hanging()).await;
        until(&mut *turn, is_working).await;
        stage.stop(turn).await;
    });
}

fn killed_it_has_crashed_and_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let (stage, mut turn) = started(agent, hanging()).await;
        until(&mut *turn, is_working).await;
        kill_marked(&stage.mark(), Duration::from_secs(10)).await;
        let outcome = ran(turn).await.outcome;
        assert!(
            matches!(outcome, TurnOutcome::Crashed { .. }),
            "{outcome:?}"
        );
        assert_eq!(stage.alive(), 0);
    });
}

fn a_bad_key_needs_a_person(agent: &RealAgent) {
    let refused = Answer::fail(401, "invalid_api_key", "Incorrect API key provided");
    let (_, ran) = turn(agent, [refused]);
    assert!(
        matches!(ran.outcome, TurnOutcome::Authentication { .. }),
        "{ran:?}"
    );
}

fn a_stream_that_breaks_off_once_is_no_failure(agent: &RealAgent) {
    let broken = Answer::say("half of").breaking_off_after(2);
    let (_, ran) = turn(agent, [broken, handoff()]);
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
}

fn usage_of_its_own_agents_is_not_taken_for_all(agent: &RealAgent) {
    let asked = json!({ "description": "d", "prompt": "p", "subagent_type": "general" });
    let answers = [
        Answer::call("task", asked).costing(100, 10),
        Answer::say("That is all.").costing(2000, 200),
        handoff().costing(300, 30),
    ];
    let (_, ran) = turn(agent, answers);
    // It tells what its last answer has used.
    assert_eq!(ran.usage.tokens(), 330, "{ran:?}");
    assert!(ran.used.incomplete, "{ran:?}");
}

fn two_of_them_land_a_roadmap(agent: &RealAgent) {
    let ids = ["A1", "B2", "C3"].map(str::to_owned);
    // The handoff by its file this time: what the agent's commands see tells which attempt it is.
    let task = |id: &String| {
        let handoff =
            r#"{"version":1,"task":"%s","attempt":%s,"status":"done","self_review":"read it"}"#;
        let command = format!(
            "printf {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}' && \
             printf '{handoff}' $ORCHESTRATOR_TASK $ORCHESTRATOR_ATTEMPT > $ORCHESTRATOR_HANDOFF"
        );
        [shell(&command), Answer::say("Done.")]
    };
    let script = ids.iter().fold(Script::default(), |script, id| {
        script.when(format!("Task {id}"), task(id))
    });
    let stage = stage(agent, script);
    // The first start in a new home makes its database, and two at once would both do so.
    let first = TurnRequest::new(
        "T1#1".parse().expect("an id"),
        "This is turn 1.",
        stage.sandbox.repo(),
        stage.sandbox.path().join("handoff.json"),
        stage.mark(),
    );
    let path = std::env::var("PATH").expect("a path");
    let first = first.with_environment([("PATH".to_owned(), path)].into());
    let first = block_on(stage.run(first));
    assert_eq!(first.outcome, TurnOutcome::Completed);
    let backend: Arc<dyn AgentBackend> = Arc::new(stage.backend.clone());
    block_on(land(&stage.sandbox, &[("opencode", backend)], &ids, 2));
}
