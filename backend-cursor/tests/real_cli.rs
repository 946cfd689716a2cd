//! The checklist for the real Cursor agent: what this backend takes from others, and nobody here could try. It needs a login or
//! `CURSOR_API_KEY`, reaches Cursor's service, and costs a few short turns of a model. With a key, its home and its configuration are new;
//! without one they are yours, for the login that is there.

use std::{env, fs, path::Path, process::ExitCode, sync::Arc, time::Duration};

use backend_cursor::CursorBackend;
use orchestrator_core::{
    AgentBackend,
    model::{Handoff, SessionRef, TurnOutcome},
    port::{Turn, TurnRequest, Update},
    process::kill_marked,
};
use orchestrator_testkit::{
    Ran, RealAgent, RealStage, block_on_within, git, land, model_server::Script,
    private_agent_main, ran,
};

fn main() -> ExitCode {
    private_agent_main(
        &[(
            "ORCHESTRATOR_TEST_CURSOR",
            "the path of `cursor-agent`, which no package registry has; log in, or set CURSOR_API_KEY",
        )],
        &[
            ("the_probe_tells_its_version", the_probe_tells_its_version),
            (
                "it_commits_and_leaves_a_handoff",
                it_commits_and_leaves_a_handoff,
            ),
            (
                "its_commands_see_what_the_policy_allows",
                its_commands_see_what_the_policy_allows,
            ),
            (
                "a_push_is_refused_by_the_hook",
                a_push_is_refused_by_the_hook,
            ),
            ("a_reader_changes_nothing", a_reader_changes_nothing),
            (
                "a_revision_goes_on_with_the_session",
                a_revision_goes_on_with_the_session,
            ),
            ("a_session_of_nobody_is_lost", a_session_of_nobody_is_lost),
            ("nobody_is_logged_in", nobody_is_logged_in),
            ("a_bad_key_needs_a_person", a_bad_key_needs_a_person),
            (
                "a_model_that_there_is_not_needs_a_person",
                a_model_that_there_is_not_needs_a_person,
            ),
            (
                "stopped_in_a_command_it_leaves_no_process",
                stopped_in_a_command_it_leaves_no_process,
            ),
            (
                "killed_it_has_crashed_and_its_session_goes_on",
                killed_it_has_crashed_and_its_session_goes_on,
            ),
            ("four_at_once_land", four_at_once_land),
        ],
    )
}

const KEY: &str = "CURSOR_API_KEY";
const HANDOFF: &str =
    r#"{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"read it once more"}"#;

type Stage = RealStage<CursorBackend>;

async fn stage(agent: &RealAgent) -> Stage {
    let stage = RealStage::new(Script::default(), |home, _| {
        let backend = CursorBackend::new().program(&agent.program);
        match env::var(KEY) {
            Ok(key) => backend
                .env(KEY, key)
                .env("HOME", home.to_string_lossy())
                .config_dir(home.join("config")),
            Err(_) => backend.env("HOME", env::var("HOME").expect("a home")),
        }
    });
    stage.with_workspace().await
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    block_on_within(Duration::from_secs(600), work).expect("it comes to an end")
}

fn asking(stage: &Stage, turn: u32, resume: Option<SessionRef>, prompt: String) -> TurnRequest {
    let mut request = stage.request(turn, resume);
    request.prompt = prompt;
    request
}

/// That it is to run this, and to end with the handoff.
fn run(command: &str) -> String {
    format!(
        "Run this command in the shell, exactly as it is and in the foreground, and nothing else:\n\n{command}\n\nThen answer with this \
         JSON and nothing else, whatever came of the command:\n\n{HANDOFF}"
    )
}

fn turn(agent: &RealAgent, command: &str) -> (Stage, Ran) {
    block_on(async {
        let stage = stage(agent).await;
        let ran = stage.run(asking(&stage, 1, None, run(command))).await;
        (stage, ran)
    })
}

fn the_probe_tells_its_version(agent: &RealAgent) {
    let probe = block_on(async { stage(agent).await.backend.probe().await }).expect("it is there");
    assert!(
        probe
            .version
            .is_some_and(|version| version.starts_with("20")),
        "a date and a hash"
    );
    assert_eq!(
        probe.warnings.len(),
        1,
        "it is logged in: {:?}",
        probe.warnings
    );
}

fn it_commits_and_leaves_a_handoff(agent: &RealAgent) {
    let (stage, ran) = turn(
        agent,
        "echo hello > hello.txt && git add hello.txt && git commit -qm hello",
    );
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(
        git(&stage.workspace().tree(), &["log", "--format=%s", "-1"]),
        "hello"
    );
    assert_eq!(
        Handoff::parse(stage.handoff(1).as_bytes())
            .expect("is one")
            .task,
        "T1"
    );
    assert!(ran.usage.tokens() > 0, "{ran:?}");
    assert_eq!(stage.alive(), 0);
}

fn its_commands_see_what_the_policy_allows(agent: &RealAgent) {
    let (stage, ran) = turn(agent, "env > seen.txt");
    let seen = stage.left("seen.txt");
    assert!(
        seen.contains("ALLOWED=yes")
            && seen.contains(&format!("ORCHESTRATOR_MARK={}", stage.mark())),
        "{seen}\n{ran:?}"
    );
    assert!(!seen.contains("CARGO_"), "{seen}");
}

/// Only where the workers' configuration is their own: with a key.
fn a_push_is_refused_by_the_hook(agent: &RealAgent) {
    assert!(env::var_os(KEY).is_some(), "this needs {KEY}");
    let (_, ran) = turn(agent, "git push ../elsewhere HEAD");
    assert!(
        ran.findings
            .iter()
            .any(|finding| finding.message.contains("was refused")),
        "{ran:?}"
    );
}

fn a_reader_changes_nothing(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent).await;
        let ran = stage
            .run(asking(&stage, 1, None, run("echo x > x.txt")).reading_only())
            .await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(stage.left("x.txt"), "");
        assert!(stage.handoff(1).contains("self_review"));
    });
}

fn a_revision_goes_on_with_the_session(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent).await;
        let first = stage
            .run(asking(
                &stage,
                1,
                None,
                "Remember the number 4711, and answer with `ok`.".to_owned(),
            ))
            .await;
        let asked = asking(
            &stage,
            2,
            first.session.clone(),
            "Which number were you to remember? Answer with it alone.".to_owned(),
        );
        let second = stage.run(asked).await;
        assert_eq!(
            (&second.outcome, &second.session),
            (&TurnOutcome::Completed, &first.session),
            "{second:?}"
        );
        assert!(second.said.contains("4711"), "{second:?}");
    });
}

fn a_session_of_nobody_is_lost(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent).await;
        let nobody = SessionRef("11111111-1111-4111-8111-111111111111".to_owned());
        let ran = stage
            .run(asking(
                &stage,
                2,
                Some(nobody),
                "Answer with `ok`.".to_owned(),
            ))
            .await;
        assert_eq!(ran.outcome, TurnOutcome::SessionLost, "{ran:?}");
    });
}

/// A turn in a home where nobody is logged in, with this changed.
fn strangers(
    agent: &RealAgent,
    changed: impl FnOnce(CursorBackend, &Path) -> CursorBackend,
) -> TurnOutcome {
    block_on(async {
        let stage = stage(agent).await;
        let home = stage.sandbox.path().join("stranger");
        fs::create_dir(&home).expect("makes it");
        let backend = changed(
            CursorBackend::new()
                .program(&agent.program)
                .env("HOME", home.to_string_lossy()),
            &home,
        );
        ran(backend
            .start(asking(&stage, 1, None, "Answer with `ok`.".to_owned()))
            .await
            .expect("starts"))
        .await
        .outcome
    })
}

fn nobody_is_logged_in(agent: &RealAgent) {
    let outcome = strangers(agent, |backend, _| backend);
    assert!(
        matches!(outcome, TurnOutcome::Authentication { .. }),
        "{outcome:?}"
    );
}

fn a_bad_key_needs_a_person(agent: &RealAgent) {
    let outcome = strangers(agent, |backend, _| {
        backend.env(KEY, "key_00000000000000000000000000000000")
    });
    assert!(
        matches!(outcome, TurnOutcome::Authentication { .. }),
        "{outcome:?}"
    );
}

fn a_model_that_there_is_not_needs_a_person(agent: &RealAgent) {
    block_on(async {
        let mut stage = stage(agent).await;
        stage.backend = stage.backend.clone().model("no-such-model");
        let ran = stage
            .run(asking(&stage, 1, None, "Answer with `ok`.".to_owned()))
            .await;
        assert!(
            matches!(ran.outcome, TurnOutcome::Authentication { .. }),
            "{ran:?}"
        );
    });
}

/// A turn in a command that goes on for ever.
async fn in_a_command(agent: &RealAgent) -> (Stage, Box<dyn Turn>) {
    let stage = stage(agent).await;
    let fifo = stage.fifo();
    let turn = stage
        .backend
        .start(asking(&stage, 1, None, run(&Stage::for_ever(&fifo))))
        .await
        .expect("starts");
    Stage::runs(fifo).await;
    (stage, turn)
}

fn stopped_in_a_command_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let (stage, turn) = in_a_command(agent).await;
        stage.stop(turn).await;
    });
}

fn killed_it_has_crashed_and_its_session_goes_on(agent: &RealAgent) {
    block_on(async {
        let (stage, mut turn) = in_a_command(agent).await;
        let session = loop {
            if let Update::Started { session } = turn.next().await.expect("it goes on") {
                break session;
            }
        };
        kill_marked(&stage.mark(), Duration::from_secs(10)).await;
        let killed = ran(turn).await;
        assert!(
            matches!(killed.outcome, TurnOutcome::Crashed { .. }),
            "{killed:?}"
        );
        assert_eq!(stage.alive(), 0);
        let again = stage
            .run(asking(
                &stage,
                2,
                Some(session),
                "Answer with `ok`.".to_owned(),
            ))
            .await;
        assert_eq!(again.outcome, TurnOutcome::Completed, "{again:?}");
    });
}

fn four_at_once_land(agent: &RealAgent) {
    let ids: Vec<_> = (1..=4).map(|number| format!("W{number}")).collect();
    let stage = block_on(stage(agent));
    drop(fs::remove_dir_all(stage.sandbox.state()));
    block_on(land(
        &stage.sandbox,
        &[("cursor", Arc::new(stage.backend.clone()))],
        &ids,
        4,
    ));
}
