//! The real Codex, driven against a scripted model on loopback, with an empty environment, a home of its own and a dummy key.

use std::{fs, process::ExitCode, sync::Arc, time::Duration};

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox};
use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    model::{
        AgentWarning, Effect, Handoff, Record, SessionRef, SessionUsage, StopReason, TurnOutcome,
    },
    port::Update,
    process::kill_marked,
};
use orchestrator_testkit::{
    Ran, RealAgent, RealStage, RealTest, block_on, git, land,
    model_server::{Answer, ModelRequest, ModelServer, Part, Script},
    ran, real_agent_main, run_checked,
};
use serde_json::json;

/// Of what these tests need, how to get it.
pub(crate) const AGENTS: &[(&str, &str)] = &[(
    "ORCHESTRATOR_TEST_CODEX",
    "npm install --prefix DIR @openai/codex@0.169.0, then DIR/node_modules/@openai/codex/bin/codex.js",
)];

/// How Codex is spoken to here. `real_app_server` has these tests as a module, and another protocol.
#[allow(dead_code, reason = "as a module this is not the root")]
pub(crate) const PROTOCOL: CodexProtocol = CodexProtocol::Exec;

#[allow(dead_code, reason = "as a module this is not the root")]
fn main() -> ExitCode {
    real_agent_main(AGENTS, TESTS)
}

/// What holds for both protocols.
pub(crate) const TESTS: &[RealTest] = &[
    (
        "the_probe_finds_the_native_program_and_its_version",
        the_probe_finds_the_native_program_and_its_version,
    ),
    (
        "it_commits_and_answers_by_the_schema",
        it_commits_and_answers_by_the_schema,
    ),
    (
        "its_commands_see_what_the_policy_allows_and_no_key",
        its_commands_see_what_the_policy_allows_and_no_key,
    ),
    (
        "what_the_sandbox_forbids_is_refused",
        what_the_sandbox_forbids_is_refused,
    ),
    (
        "it_starts_no_agents_of_its_own",
        it_starts_no_agents_of_its_own,
    ),
    ("a_reader_changes_nothing", a_reader_changes_nothing),
    (
        "a_revision_goes_on_with_the_thread_and_counts_its_own_tokens",
        a_revision_goes_on_with_the_thread_and_counts_its_own_tokens,
    ),
    (
        "usage_of_a_killed_turn_is_read_from_its_session",
        usage_of_a_killed_turn_is_read_from_its_session,
    ),
    (
        "a_thread_that_it_does_not_know_is_lost",
        a_thread_that_it_does_not_know_is_lost,
    ),
    (
        "each_failure_of_the_service_has_its_outcome",
        each_failure_of_the_service_has_its_outcome,
    ),
    (
        "context_that_work_has_filled_is_no_prompt_that_is_too_long",
        context_that_work_has_filled_is_no_prompt_that_is_too_long,
    ),
    (
        "prompt_of_more_than_a_million_characters_is_too_long",
        prompt_of_more_than_a_million_characters_is_too_long,
    ),
    (
        "rules_are_there_whole_after_a_compaction",
        rules_are_there_whole_after_a_compaction,
    ),
    (
        "stopped_in_a_command_it_leaves_no_process",
        stopped_in_a_command_it_leaves_no_process,
    ),
    (
        "stopped_while_nothing_comes_it_leaves_no_process",
        stopped_while_nothing_comes_it_leaves_no_process,
    ),
    (
        "killed_it_has_crashed_and_its_thread_goes_on",
        killed_it_has_crashed_and_its_thread_goes_on,
    ),
    (
        "nothing_but_loopback_is_asked_for",
        nothing_but_loopback_is_asked_for,
    ),
    (
        "a_second_writer_of_a_thread_is_told_to_come_again",
        a_second_writer_of_a_thread_is_told_to_come_again,
    ),
    (
        "the_older_flags_let_it_commit_and_no_more",
        the_older_flags_let_it_commit_and_no_more,
    ),
    (
        "four_at_once_land_eight_tasks",
        four_at_once_land_eight_tasks,
    ),
    (
        "sixteen_at_once_share_one_home",
        sixteen_at_once_share_one_home,
    ),
    (
        "a_model_that_hangs_is_silent_for_too_long_and_another_attempt_lands",
        a_model_that_hangs_is_silent_for_too_long_and_another_attempt_lands,
    ),
];

pub(crate) type Stage = RealStage<CodexBackend>;

pub(crate) const HANDOFF: &str =
    r#"{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"read it once more"}"#;

#[allow(unused_qualifications, reason = "as a module this is not the root")]
pub(crate) fn stage(agent: &RealAgent, script: Script) -> Stage {
    RealStage::new(script, |home, url| {
        // Whether bubblewrap is installed makes a difference to a home in a temporary directory alone: here, it is not in one.
        for directory in [".codex", "tmp"] {
            fs::create_dir(home.join(directory)).expect("makes it");
        }
        CodexBackend::new()
            .env("TMPDIR", home.join("tmp").to_string_lossy())
            .program(&agent.program)
            .with_protocol(crate::PROTOCOL)
            .home(home.join(".codex"))
            .env("HOME", home.to_string_lossy())
            .env("SCRIPTED_KEY", "dummy-key")
            .provider("scripted", &format!("{url}/v1"), "SCRIPTED_KEY")
            .config("model_providers.scripted.request_max_retries=0")
            .config("model_providers.scripted.stream_max_retries=0")
    })
}

/// One turn on a stage with this script.
pub(crate) fn turn(agent: &RealAgent, answers: impl IntoIterator<Item = Answer>) -> (Stage, Ran) {
    block_on(stage(agent, Script::new(answers)).first_turn())
}

pub(crate) fn shell(command: &str) -> Answer {
    Answer::call(
        "exec_command",
        json!({ "cmd": command, "yield_time_ms": 60_000 }),
    )
}

pub(crate) fn handoff() -> Answer {
    Answer::say(HANDOFF)
}

fn the_probe_finds_the_native_program_and_its_version(agent: &RealAgent) {
    let stage = stage(agent, Script::default());
    let probe = block_on(stage.backend.probe()).expect("it is there");
    let version = probe.version.expect("a version");
    assert!(version.starts_with("0."), "{version}");
    // The newest is run by the check as well, and may not have been tried.
    let untried = |warning: &AgentWarning| matches!(warning, AgentWarning::UntriedVersion { .. });
    assert!(probe.warnings.iter().all(untried), "{:?}", probe.warnings);
    assert!(
        !version.starts_with("0.169.") || probe.warnings.is_empty(),
        "{:?}",
        probe.warnings
    );
}

fn it_commits_and_answers_by_the_schema(agent: &RealAgent) {
    let commit = shell("echo hello > hello.txt && git add hello.txt && git commit -qm hello");
    let (stage, ran) = turn(agent, [commit.costing(70, 5), handoff().costing(90, 7)]);
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
    assert_eq!((ran.usage.input_tokens, ran.usage.output_tokens), (160, 12));
    let asked = stage.server.requests();
    assert!(
        asked[0].text().contains("codex_output_schema")
            && asked[0].text().contains("This is turn 1.")
    );
    assert_eq!(stage.alive(), 0);
}

fn its_commands_see_what_the_policy_allows_and_no_key(agent: &RealAgent) {
    let (stage, ran) = turn(
        agent,
        [
            shell(
                "env > seen.txt; echo kept > \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/artifact.txt\"",
            ),
            handoff(),
        ],
    );
    let seen = stage.left("seen.txt");
    assert!(
        seen.contains("ALLOWED=yes")
            && seen.contains(&format!("ORCHESTRATOR_MARK={}", stage.mark())),
        "{seen}\n{ran:?}"
    );
    assert!(
        !seen.contains("dummy-key") && !seen.contains("CARGO_"),
        "{seen}"
    );
    assert_eq!(
        fs::read_to_string(stage.workspace().out().join("1/artifact.txt")).expect("can be left"),
        "kept\n"
    );
}

fn what_the_sandbox_forbids_is_refused(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let (remote, repository) = (stage.sandbox.remote(), stage.workspace().repository());
    let trusted = stage.sandbox.state().join("trusted.git");
    let tries = [
        format!("git push -q '{}' HEAD:refs/heads/pushed", remote.display()),
        format!("echo x > '{}/hooks/post-commit'", repository.display()),
        format!("echo x >> '{}/config'", repository.display()),
        format!(
            "git --git-dir='{}' update-ref refs/heads/main HEAD~0",
            repository.display()
        ),
        format!("echo x > '{}/refs/heads/planted'", trusted.display()),
        format!("echo x > '{}/planted'", stage.sandbox.path().display()),
        "exec 3<> /dev/tcp/127.0.0.1/1".to_owned(),
    ];
    let script: String = (0..)
        .zip(&tries)
        .map(|(number, what)| format!("({what}) 2> /dev/null && echo {number} >> done.txt; "))
        .collect();
    let script = format!(
        "{script} echo work > work.txt; git add -A; git commit -qm all; echo over > over.txt"
    );
    let server = ModelServer::start(Script::new([shell(&script), handoff()]));
    let backend = stage.backend.clone().config(format!(
        "model_providers.scripted.base_url=\"{}/v1\"",
        server.url()
    ));
    let ran =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(stage.left("over.txt"), "over\n", "{ran:?}");
    assert_eq!(stage.left("done.txt"), "", "by number: {tries:#?}");
    assert_eq!(
        git(&stage.workspace().tree(), &["log", "--format=%s", "-1"]),
        "all"
    );
    assert_eq!(
        git(&remote, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
}

fn it_starts_no_agents_of_its_own(agent: &RealAgent) {
    let spawn = json!({
        "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "spawn_agent", "namespace": "collaboration",
        "arguments": json!({ "message": "do my work" }).to_string(),
    });
    let (stage, _) = turn(agent, [Answer::parts([Part::Raw(spawn)]), handoff()]);
    let asked = stage.server.requests();
    assert_eq!(asked.len(), 2, "nobody else asked the model");
    assert!(
        asked[1].text().contains("unsupported call"),
        "{}",
        asked[1].text()
    );
    assert!(
        !asked[0].text().contains("\"spawn_agent\""),
        "it is not even offered"
    );
}

fn a_reader_changes_nothing(agent: &RealAgent) {
    let stage =
        block_on(stage(agent, Script::new([shell("echo x > x.txt"), handoff()])).with_workspace());
    let ran = block_on(stage.run(stage.request(1, None).reading_only()));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(stage.left("x.txt"), "");
    assert_eq!(stage.handoff(1), HANDOFF);
}

fn a_revision_goes_on_with_the_thread_and_counts_its_own_tokens(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff().costing(100, 20)]))
            .with_workspace()
            .await;
        let first = stage.run(stage.request(1, None)).await;
        let mut used = SessionUsage::default();
        used.add(&first.used);
        let again = stage.request(2, first.session.clone());
        let second = stage.run(again.with_used(used)).await;
        assert_eq!(
            (first.outcome, second.outcome),
            (TurnOutcome::Completed, TurnOutcome::Completed)
        );
        assert_eq!(first.session, second.session);
        assert_eq!((first.usage.tokens(), second.usage.tokens()), (120, 120));
        let last = stage.server.requests().last().expect("it asked").text();
        assert!(
            last.contains("This is turn 1.") && last.contains("This is turn 2."),
            "{last}"
        );
    });
}

fn usage_of_a_killed_turn_is_read_from_its_session(agent: &RealAgent) {
    let for_ever = "echo here > here.txt; while :; do sleep 1; done";
    let script = Script::new([
        shell("true").costing(100, 10),
        shell(for_ever).costing(1000, 100),
        handoff().costing(10_000, 1000),
        handoff().costing(3, 1),
    ]);
    block_on(async {
        let stage = stage(agent, script).with_workspace().await;
        let turn = stage.backend.start(stage.request(1, None)).await;
        let turn = turn.expect("starts");
        while stage.left("here.txt").is_empty() {
            tokio::task::yield_now().await;
        }
        // Its own count lacks the last answer of the turn that was killed.
        stage.usage_outlives_a_kill(&stage.backend, turn).await;
    });
}

fn a_thread_that_it_does_not_know_is_lost(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff()]))
            .with_workspace()
            .await;
        for unknown in [
            "11111111-1111-7111-8111-111111111111",
            "a-name-that-nobody-gave",
        ] {
            let ran = stage
                .run(stage.request(2, Some(SessionRef(unknown.to_owned()))))
                .await;
            assert_eq!(ran.outcome, TurnOutcome::SessionLost, "{ran:?}");
        }
    });
}

fn each_failure_of_the_service_has_its_outcome(agent: &RealAgent) {
    let failed = |code: &str, message: &str| {
        let response = json!({ "id": "resp_1", "error": { "code": code, "message": message } });
        Answer::events([
            json!({ "type": "response.created", "response": { "id": "resp_1" } }),
            json!({ "type": "response.failed", "response": response }),
        ])
    };
    let later = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        + 3 * 86_400;
    let limit = json!({ "error": { "type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_at": later } });
    let rows: Vec<(&str, Answer, &str)> = vec![
        (
            "400",
            Answer::fail(400, "invalid_request_error", "Bad thing"),
            "Crashed",
        ),
        (
            "401",
            Answer::fail(401, "invalid_api_key", "Incorrect API key"),
            "Authentication",
        ),
        (
            "403",
            Answer::fail(403, "forbidden", "Forbidden"),
            "Authentication",
        ),
        (
            "404",
            Answer::fail(404, "model_not_found", "model not found"),
            "Misconfigured",
        ),
        (
            "429",
            Answer::fail(429, "rate_limit_exceeded", "slow down"),
            "Overloaded",
        ),
        ("429, usage limit", Answer::http(429, limit), "UsageLimited"),
        (
            "429, quota",
            Answer::fail(429, "insufficient_quota", "Quota exceeded"),
            "UsageLimited",
        ),
        (
            "500",
            Answer::fail(500, "server_error", "oops"),
            "Overloaded",
        ),
        (
            "503",
            Answer::fail(503, "overloaded", "overloaded"),
            "Overloaded",
        ),
        (
            "stream that breaks off",
            Answer::say("half").breaking_off_after(1),
            "Overloaded",
        ),
        (
            "context",
            failed(
                "context_length_exceeded",
                "Your input exceeds the context window",
            ),
            "PromptTooLong",
        ),
        (
            "quota in the stream",
            failed("insufficient_quota", "You exceeded your current quota"),
            "UsageLimited",
        ),
        (
            "no answer by the schema",
            Answer::say("I am done."),
            "Completed",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, answer, expected) in rows {
        let (stage, ran) = turn(agent, [answer]);
        if let (TurnOutcome::UsageLimited { until }, true) =
            (&ran.outcome, name.contains("usage limit"))
        {
            let off = until.map(|until| (until.0 / 1000).abs_diff(later));
            assert!(
                off.is_some_and(|off| off <= 60),
                "the reset is read to the minute: {until:?}, not {later}"
            );
        }
        if !format!("{:?}", ran.outcome).starts_with(expected) {
            wrong.push(format!("{name}: {:?}", ran.outcome));
        }
        assert_eq!(stage.alive(), 0);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let refused = block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let backend = stage
            .backend
            .clone()
            .config("model_providers.scripted.base_url=\"http://127.0.0.1:9/v1\"");
        ran(backend.start(stage.request(1, None)).await.expect("starts"))
            .await
            .outcome
    });
    assert!(
        matches!(refused, TurnOutcome::Overloaded { .. }),
        "nobody listens: {refused:?}"
    );
}

fn context_full() -> Answer {
    let error = json!({ "code": "context_length_exceeded", "message": "Your input exceeds the context window" });
    Answer::events([
        json!({ "type": "response.created", "response": { "id": "resp_1" } }),
        json!({ "type": "response.failed", "response": { "id": "resp_1", "error": error } }),
    ])
}

fn context_that_work_has_filled_is_no_prompt_that_is_too_long(agent: &RealAgent) {
    let (_, ran) = turn(agent, [shell("echo hello"), context_full()]);
    assert_eq!(ran.outcome, TurnOutcome::ContextFull, "{ran:?}");
    let resumed = block_on(async {
        let stage = stage(agent, Script::new([handoff(), context_full()]))
            .with_workspace()
            .await;
        let first = stage.run(stage.request(1, None)).await;
        stage.run(stage.request(2, first.session)).await
    });
    assert_eq!(resumed.outcome, TurnOutcome::ContextFull, "{resumed:?}");
}

fn prompt_of_more_than_a_million_characters_is_too_long(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::new([handoff()])).with_workspace());
    let mut request = stage.request(1, None);
    request.prompt = "word ".repeat(220_000);
    let ran = block_on(stage.run(request));
    let TurnOutcome::PromptTooLong { detail } = &ran.outcome else {
        panic!("{ran:?}")
    };
    assert!(detail.contains("1048576"), "{detail}");
    assert_eq!(stage.server.requests().len(), 0, "no model was asked");
}

/// Of a prompt, Codex keeps twenty thousand tokens when it compacts.
fn rules_are_there_whole_after_a_compaction(agent: &RealAgent) {
    let first = shell("echo one").costing(300_000, 20);
    let script = [
        first,
        Answer::say("a summary"),
        shell("echo two"),
        handoff(),
    ];
    let mut stage = block_on(stage(agent, Script::new(script)).with_workspace());
    stage.backend = stage
        .backend
        .clone()
        .config("model_auto_compact_token_limit=1000");
    let mut request = stage
        .request(1, None)
        .with_rules("Never touch \"a.txt\".\n");
    let words = "word ".repeat(30_000);
    request.prompt = format!("{words} the-middle {words}");
    let ran = block_on(stage.run(request));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let asked = stage.server.requests();
    let compacted: Vec<_> = asked.iter().skip(2).map(ModelRequest::text).collect();
    assert!(!compacted.is_empty(), "{} requests", asked.len());
    for text in compacted {
        let rules = r#"Never touch \"a.txt\".\n"#;
        assert!(text.contains("a summary") && text.contains(rules));
        assert!(!text.contains("the-middle"), "the prompt is cut");
    }
}

fn stopped_in_a_command_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let command = "setsid sleep 1000 & echo here > here.txt; sleep 1000";
        let stage = stage(agent, Script::new([shell(command), handoff()]))
            .with_workspace()
            .await;
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        // The tool is told to have begun when its command runs.
        while !matches!(
            turn.next().await.expect("it goes on"),
            Update::ToolBegan { .. }
        ) {}
        stage.stop(turn).await;
    });
}

fn stopped_while_nothing_comes_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        for answer in [Answer::hang(), Answer::say("half").hanging_after(1)] {
            let stage = stage(agent, Script::new([answer])).with_workspace().await;
            let mut turn = stage
                .backend
                .start(stage.request(1, None))
                .await
                .expect("starts");
            while !matches!(
                turn.next().await.expect("it goes on"),
                Update::Started { .. }
            ) {}
            stage.stop(turn).await;
        }
    });
}

fn killed_it_has_crashed_and_its_thread_goes_on(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([shell("sleep 1000"), handoff()]))
            .with_workspace()
            .await;
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        let mut session = None;
        loop {
            match turn.next().await.expect("it goes on") {
                Update::Started { session: begun } => session = Some(begun),
                Update::ToolBegan { .. } => break,
                _ => {}
            }
        }
        kill_marked(&stage.mark(), Duration::from_secs(10)).await;
        let ran = ran(turn).await;
        assert!(
            matches!(ran.outcome, TurnOutcome::Crashed { .. }),
            "{ran:?}"
        );
        assert_eq!(stage.alive(), 0);
        let again = stage.run(stage.request(2, session)).await;
        assert_eq!(again.outcome, TurnOutcome::Completed, "{again:?}");
    });
}

fn nothing_but_loopback_is_asked_for(agent: &RealAgent) {
    let stage = block_on(
        stage(
            agent,
            Script::new([shell("git commit -q --allow-empty -m x"), handoff()]),
        )
        .with_workspace(),
    );
    let backend = stage.backend.clone().program(stage.traced(&agent.program));
    let ran = block_on(async {
        ran(backend
            .start(stage.request(1, None))
            .await
            .expect("starts: it needs strace"))
        .await
    });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(stage.reached_elsewhere(), Vec::<String>::new());
    assert_eq!(stage.server.requests().len(), 2);
}

fn a_second_writer_of_a_thread_is_told_to_come_again(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([Answer::hang()]))
            .with_workspace()
            .await;
        let mut turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        let session = loop {
            if let Update::Started { session } = turn.next().await.expect("it goes on") {
                break session;
            }
        };
        let second = stage.run(stage.request(2, Some(session))).await;
        assert!(
            matches!(&second.outcome, TurnOutcome::Overloaded { reason } if reason.contains("active writer")),
            "{second:?}"
        );
        turn.control().stop(Duration::from_secs(5)).await;
    });
}

fn the_older_flags_let_it_commit_and_no_more(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let hooks = stage.workspace().repository().join("hooks");
    let commands = format!(
        "git commit -q --allow-empty -m narrow; echo x > '{}/post-commit'",
        hooks.display()
    );
    let server = ModelServer::start(Script::new([shell(&commands), handoff()]));
    let backend = stage.backend.clone().config(format!(
        "model_providers.scripted.base_url=\"{}/v1\"",
        server.url()
    ));
    let backend = backend.sandbox(CodexSandbox::Narrow);
    let ran =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(
        git(&stage.workspace().tree(), &["log", "--format=%s", "-1"]),
        "narrow"
    );
    assert!(!hooks.join("post-commit").exists());
}

/// No answer at all is the one hang for which Codex has no limit of its own.
fn a_model_that_hangs_is_silent_for_too_long_and_another_attempt_lands(agent: &RealAgent) {
    let commit = shell("echo hello > hello.txt && git add hello.txt && git commit -qm hello");
    let stage = stage(
        agent,
        Script::new([
            Answer::hang(),
            commit,
            Answer::say(HANDOFF.replace("\"attempt\":1", "\"attempt\":2")),
        ]),
    );
    stage.sandbox.publish(
        &[(
            "ROADMAP.md",
            "- [ ] **T1** Say hello\n  ```toml\n  allow = [\"hello.txt\"]\n  ```\n",
        )],
        "roadmap",
    );
    let text = "push = \"origin\"\n[agents.codex]\nkind = \"codex\"\n[limits]\nheartbeat = \"200ms\"\nbackoff = \"1ms\"\ngrace = \"2s\"\n";
    let backend = Arc::new(
        stage
            .backend
            .clone()
            .silent_for_at_most(Duration::from_secs(5)),
    );
    let builder = Orchestrator::builder().policy(Policy::parse(text).expect("a policy"));
    let builder = builder.backend("codex".parse::<BackendName>().expect("a name"), backend);
    let outcome = block_on(run_checked(&stage.sandbox, builder));
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("T1").attempts, 2);
    let stalled = |record: &Record| {
        matches!(
            record,
            Record::Requested {
                what: Effect::StopTurn {
                    why: StopReason::Stalled,
                    ..
                },
                ..
            }
        )
    };
    assert_eq!(
        outcome.records().filter(|record| stalled(record)).count(),
        1
    );
}

fn four_at_once_land_eight_tasks(agent: &RealAgent) {
    many(agent, 8, 4);
}

fn sixteen_at_once_share_one_home(agent: &RealAgent) {
    many(agent, 16, 16);
}

/// A roadmap of so many tasks, by so many at once.
fn many(agent: &RealAgent, tasks: u32, sessions: u32) {
    let ids: Vec<_> = (1..=tasks).map(|number| format!("W{number}")).collect();
    let answers = |id: &String| {
        let command =
            format!("echo {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}'");
        [shell(&command), Answer::say(HANDOFF.replace("T1", id))]
    };
    let script = ids.iter().fold(Script::default(), |script, id| {
        script.when(format!("Task {id}."), answers(id))
    });
    let stage = stage(agent, script);
    block_on(land(
        &stage.sandbox,
        &[("codex", Arc::new(stage.backend.clone()))],
        &ids,
        sessions,
    ));
}
