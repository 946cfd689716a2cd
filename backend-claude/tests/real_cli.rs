//! The real Claude Code, driven against a scripted model on loopback, with an empty environment, a home of its own and a dummy key.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use backend_claude::{ClaudeBackend, Permissions};
use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    model::{
        AgentOpinion, AgentWarning, AttemptId, Effect, Handoff, Record, SessionRef, SessionUsage,
        StopReason, TaskId, TurnOutcome,
    },
    port::{Turn, TurnInput, TurnRequest, Update},
    process::kill_marked,
};
use orchestrator_testkit::{
    Ran, RealAgent, RealStage, block_on, block_on_within, git, land,
    model_server::{Answer, ModelServer, Script},
    ran, real_agent_main, run_checked, wait_for_marked,
};
use serde_json::json;

fn main() -> ExitCode {
    if let Some(directory) = env::var_os(HOST) {
        host(Path::new(&directory));
    }
    real_agent_main(
        &[(
            "ORCHESTRATOR_TEST_CLAUDE",
            "npm install --prefix DIR @anthropic-ai/claude-code-linux-x64@2.1.330, then DIR/node_modules/@anthropic-ai/claude-code-linux-x64/claude",
        )],
        &[
            ("the_probe_tells_its_version", the_probe_tells_its_version),
            (
                "it_commits_and_answers_by_the_schema",
                it_commits_and_answers_by_the_schema,
            ),
            (
                "it_takes_the_whole_schema_of_a_handoff",
                it_takes_the_whole_schema_of_a_handoff,
            ),
            (
                "a_missing_handoff_is_asked_for_in_the_same_process",
                a_missing_handoff_is_asked_for_in_the_same_process,
            ),
            (
                "its_commands_see_what_the_policy_allows",
                its_commands_see_what_the_policy_allows,
            ),
            (
                "nothing_of_the_users_or_the_projects_set_up_counts",
                nothing_of_the_users_or_the_projects_set_up_counts,
            ),
            (
                "it_starts_no_agents_of_its_own",
                it_starts_no_agents_of_its_own,
            ),
            (
                "its_own_rules_refuse_a_write_outside_of_the_workspace",
                its_own_rules_refuse_a_write_outside_of_the_workspace,
            ),
            (
                "what_the_permissions_refuse_is_not_done_and_is_a_finding",
                what_the_permissions_refuse_is_not_done_and_is_a_finding,
            ),
            ("a_reader_changes_nothing", a_reader_changes_nothing),
            (
                "a_revision_goes_on_with_the_session",
                a_revision_goes_on_with_the_session,
            ),
            (
                "a_session_of_nobody_is_lost_and_one_of_another_attempt_is_lost_or_works_here",
                a_session_of_nobody_is_lost_and_one_of_another_attempt_is_lost_or_works_here,
            ),
            (
                "what_is_said_while_it_works_is_heard",
                what_is_said_while_it_works_is_heard,
            ),
            (
                "each_failure_of_the_service_has_its_outcome",
                each_failure_of_the_service_has_its_outcome,
            ),
            ("steps_and_money_have_an_end", steps_and_money_have_an_end),
            (
                "usage_of_a_killed_turn_is_read_from_its_session",
                usage_of_a_killed_turn_is_read_from_its_session,
            ),
            (
                "usage_of_its_own_agents_is_counted",
                usage_of_its_own_agents_is_counted,
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
                "stopped_before_it_has_begun_it_leaves_no_process",
                stopped_before_it_has_begun_it_leaves_no_process,
            ),
            (
                "what_it_leaves_running_is_gone_when_its_turn_is_over",
                what_it_leaves_running_is_gone_when_its_turn_is_over,
            ),
            (
                "killed_it_has_crashed_and_its_session_goes_on",
                killed_it_has_crashed_and_its_session_goes_on,
            ),
            (
                "it_dies_with_the_orchestrator",
                it_dies_with_the_orchestrator,
            ),
            (
                "it_says_that_it_lives_while_a_command_is_silent",
                it_says_that_it_lives_while_a_command_is_silent,
            ),
            (
                "nothing_but_loopback_is_asked_for",
                nothing_but_loopback_is_asked_for,
            ),
            ("an_ordinary_user_can_run_it", an_ordinary_user_can_run_it),
            (
                "what_was_refused_is_among_the_findings_of_what_lands",
                what_was_refused_is_among_the_findings_of_what_lands,
            ),
            (
                "eight_at_once_share_one_home_and_land",
                eight_at_once_share_one_home_and_land,
            ),
            (
                "a_model_that_hangs_is_asked_anew_with_a_reminder",
                a_model_that_hangs_is_asked_anew_with_a_reminder,
            ),
        ],
    )
}

type Stage = RealStage<ClaudeBackend>;

fn claude(program: &Path, home: &Path, url: &str) -> ClaudeBackend {
    ClaudeBackend::new()
        .program(program)
        .model("claude-sonnet-4-5")
        .env("HOME", home.to_string_lossy())
        .env("ANTHROPIC_BASE_URL", url)
        .env("ANTHROPIC_API_KEY", "dummy-key")
        .env("CLAUDE_CODE_MAX_RETRIES", "1")
}

fn stage(agent: &RealAgent, script: Script) -> Stage {
    RealStage::new(script, |home, url| claude(&agent.program, home, url))
}

/// One turn on a stage with this script.
fn turn(agent: &RealAgent, answers: impl IntoIterator<Item = Answer>) -> (Stage, Ran) {
    block_on(stage(agent, Script::new(answers)).first_turn())
}

fn shell(command: &str) -> Answer {
    Answer::call(
        "Bash",
        json!({ "command": command, "description": "as asked" }),
    )
}

fn done() -> Answer {
    Answer::call("StructuredOutput", json!({ "status": "done" }))
}

/// As [`done`], by the schema of a whole handoff, for work on one file.
fn handoff(task: &str, attempt: u32, file: &str) -> Answer {
    let handoff = json!({
        "version": 1, "task": task, "attempt": attempt, "status": "done", "reason": null, "branch": null, "commit": null,
        "changed_files": [file], "gates": [], "artifacts": [], "self_review": "read it once more", "residual_risks": [], "evidence": [],
    });
    Answer::call("StructuredOutput", handoff)
}

const COMMIT: &str = "echo hello > hello.txt && git add hello.txt && git commit -qm hello";

fn the_probe_tells_its_version(agent: &RealAgent) {
    let stage = stage(agent, Script::default());
    let probe = block_on(stage.backend.probe()).expect("it is there");
    let version = probe.version.expect("a version");
    assert!(
        version.starts_with("2.1."),
        "{version} {:?}",
        probe.warnings
    );
    // The newest is run by the check as well, and may not have been tried.
    let untried = |warning: &AgentWarning| matches!(warning, AgentWarning::UntriedVersion { .. });
    assert!(probe.warnings.iter().all(untried), "{:?}", probe.warnings);
    if ["2.1.197", "2.1.330"].contains(&version.as_str()) {
        assert_eq!(probe.warnings, []);
    }
}

fn it_commits_and_answers_by_the_schema(agent: &RealAgent) {
    let (stage, ran) = turn(agent, [shell(COMMIT).costing(70, 5), done().costing(90, 7)]);
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(
        git(&stage.workspace().tree(), &["log", "--format=%s %an", "-1"])
            .lines()
            .count(),
        1
    );
    assert_eq!(
        git(&stage.workspace().tree(), &["log", "--format=%B", "-1"]).trim(),
        "hello",
        "nothing is added to a message"
    );
    assert_eq!(stage.handoff(1), r#"{"status":"done"}"#);
    assert_eq!((ran.usage.input_tokens, ran.usage.output_tokens), (160, 12));
    assert!(ran.usage.usd > Some(0.0));
    assert_eq!((ran.findings.len(), stage.alive()), (0, 0), "{ran:?}");
    let asked = stage.server.requests();
    assert_eq!(asked.len(), 2, "nothing else is asked of the model");
    assert!(asked[0].text().contains("This is turn 1."));
}

fn it_takes_the_whole_schema_of_a_handoff(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([handoff("T1", 1, "hello.txt")]))
            .with_workspace()
            .await;
        let request = stage
            .request(1, None)
            .with_schema(schemars::schema_for!(Handoff).to_value());
        let ran = stage.run(request).await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(
            Handoff::parse(stage.handoff(1).as_bytes())
                .expect("is one")
                .task,
            "T1"
        );
        assert_eq!(
            stage.server.requests().len(),
            1,
            "what it was given was valid"
        );
        // That of a review is taken as well, and what does not fit it is never a handoff.
        let stage = self::stage(agent, Script::new([done()]))
            .with_workspace()
            .await;
        let ran = stage
            .run(
                stage
                    .request(1, None)
                    .with_schema(schemars::schema_for!(AgentOpinion).to_value()),
            )
            .await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(
            (
                stage.server.requests().len(),
                ran.said.contains("again and again")
            ),
            (5, true),
            "{ran:?}"
        );
        assert!(!stage.workspace().out().join("1/handoff.json").exists());
    });
}

fn a_missing_handoff_is_asked_for_in_the_same_process(agent: &RealAgent) {
    // Claude Code itself asks for it once.
    let (stage, ran) = turn(
        agent,
        [
            shell(COMMIT),
            Answer::say("I am done."),
            Answer::say("As I said."),
            done(),
        ],
    );
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(stage.handoff(1), r#"{"status":"done"}"#);
    let last = stage.server.requests().last().expect("it asked").text();
    assert!(
        last.contains("You have ended without calling the StructuredOutput tool"),
        "{last}"
    );
    assert_eq!(ran.usage.input_tokens, 400, "all that the process has cost");
}

fn its_commands_see_what_the_policy_allows(agent: &RealAgent) {
    let (stage, ran) = turn(
        agent,
        [
            shell(
                "env > seen.txt; echo kept > \"$(dirname \"$ORCHESTRATOR_HANDOFF\")/artifact.txt\"",
            ),
            done(),
        ],
    );
    let seen = stage.left("seen.txt");
    assert!(
        seen.contains("ALLOWED=yes")
            && seen.contains(&format!("ORCHESTRATOR_MARK={}", stage.mark())),
        "{seen}\n{ran:?}"
    );
    assert!(!seen.contains("CARGO_"), "{seen}");
    assert_eq!(
        fs::read_to_string(stage.workspace().out().join("1/artifact.txt")).expect("can be left"),
        "kept\n"
    );
}

fn nothing_of_the_users_or_the_projects_set_up_counts(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::new([shell("true"), done()])).with_workspace());
    let (tree, home, ran_by) = (
        stage.workspace().tree(),
        stage.sandbox.path().join("home"),
        stage.sandbox.path().join("ran"),
    );
    let touch = |what: &str| format!("touch '{}-{what}'", ran_by.display());
    let hooks = |who: &str| {
        let hook = |event: &str| json!([{ "hooks": [{ "type": "command", "command": touch(&format!("{who}-{event}")) }] }]);
        json!({ "hooks": { "PreToolUse": hook("tool"), "SessionStart": hook("start"), "Stop": hook("stop") } }).to_string()
    };
    let servers =
        json!({ "mcpServers": { "x": { "command": "/bin/sh", "args": ["-c", touch("server")] } } });
    for (place, content) in [
        (tree.join(".claude/settings.json"), hooks("project")),
        (tree.join(".claude/settings.local.json"), hooks("local")),
        (home.join(".claude/settings.json"), hooks("user")),
        (tree.join(".mcp.json"), servers.to_string()),
        (tree.join("CLAUDE.md"), "the-projects-own-word".to_owned()),
        (tree.join("AGENTS.md"), "the-projects-own-word".to_owned()),
        (
            home.join(".claude/CLAUDE.md"),
            "the-users-own-word".to_owned(),
        ),
    ] {
        fs::create_dir_all(place.parent().expect("it is in a directory")).expect("makes it");
        fs::write(place, content).expect("writes");
    }
    let ran = block_on(stage.run(stage.request(1, None)));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let left = fs::read_dir(stage.sandbox.path())
        .expect("can be read")
        .flatten()
        .map(|entry| entry.file_name());
    let ran: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("ran-"))
        .collect();
    assert!(ran.is_empty(), "{ran:?}");
    assert!(!stage.server.requests()[0].text().contains("own-word"));
}

fn it_starts_no_agents_of_its_own(agent: &RealAgent) {
    for tool in ["Task", "Agent", "WebFetch", "EnterWorktree"] {
        let call = Answer::call(
            tool,
            json!({ "description": "x", "prompt": "do my work", "subagent_type": "general-purpose", "url": "http://x" }),
        );
        let (stage, ran) = turn(agent, [call, done()]);
        let asked = stage.server.requests();
        assert_eq!(asked.len(), 2, "nobody else asked the model: {ran:?}");
        let offered: Vec<_> = asked[0].body["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        assert!(
            !offered.contains(&tool) && offered.contains(&"Bash"),
            "{offered:?}"
        );
        assert!(
            asked[1].text().contains("No such tool available"),
            "{}",
            asked[1].text()
        );
    }
}

fn write(path: &str) -> Answer {
    Answer::call(
        "Write",
        json!({ "file_path": path, "content": "written\n" }),
    )
}

fn its_own_rules_refuse_a_write_outside_of_the_workspace(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let (outside, inside) = (
        stage.sandbox.path().join("outside.txt"),
        stage.workspace().tree().join("inside.txt"),
    );
    let server = ModelServer::start(Script::new([
        write(&outside.to_string_lossy()),
        shell("git push origin HEAD"),
        write(&inside.to_string_lossy()),
        done(),
    ]));
    let backend = stage
        .backend
        .clone()
        .env("ANTHROPIC_BASE_URL", server.url());
    let ran =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert!(!outside.exists() && inside.exists());
    let found: Vec<_> = ran
        .findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("outside.txt") && found[1].contains("`git push origin HEAD` was refused"),
        "{found:?}"
    );
}

fn what_the_permissions_refuse_is_not_done_and_is_a_finding(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let tree = stage.workspace().tree();
    let at = |path: &str| tree.join(path).to_string_lossy().into_owned();
    let outside = stage
        .sandbox
        .path()
        .join("outside.txt")
        .to_string_lossy()
        .into_owned();
    let server = ModelServer::start(Script::new([
        write(&at("forbidden/x.txt")),
        write(&outside),
        shell("cd . && git -C . push ../elsewhere HEAD"),
        write(&at("allowed.txt")),
        shell("git add -A && git commit -qm allowed"),
        done(),
    ]));
    let backend = stage
        .backend
        .clone()
        .env("ANTHROPIC_BASE_URL", server.url())
        .permissions(Permissions::within_contract());
    let ran =
        block_on(async { ran(backend.start(stage.request(1, None)).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert!(!Path::new(&at("forbidden")).exists() && !Path::new(&outside).exists());
    assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "allowed");
    let found: Vec<_> = ran.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].contains("forbidden/x.txt may not be changed: forbidden by `forbidden/**`"),
        "{found:#?}"
    );
    assert!(
        found[1].contains("is not in the workspace")
            && found[2].contains("workers commit and never push"),
        "{found:#?}"
    );
    // The model was told why.
    assert!(
        server.requests()[1]
            .text()
            .contains("may not be changed: forbidden by")
    );
}

fn a_reader_changes_nothing(agent: &RealAgent) {
    let stage = block_on(stage(agent, Script::default()).with_workspace());
    let file = stage.workspace().tree().join("x.txt");
    let server = ModelServer::start(Script::new([
        shell("echo x > x.txt"),
        write(&file.to_string_lossy()),
        Answer::call(
            "Read",
            json!({ "file_path": stage.request(1, None).contract }),
        ),
        done(),
    ]));
    for backend in [
        stage.backend.clone(),
        stage.backend.clone().permissions(Permissions::default()),
    ] {
        let backend = backend.env("ANTHROPIC_BASE_URL", server.url());
        let ran = block_on(async {
            ran(backend
                .start(stage.request(1, None).reading_only())
                .await
                .expect("starts"))
            .await
        });
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    }
    assert!(!file.exists());
    assert_eq!(stage.handoff(1), r#"{"status":"done"}"#);
    assert!(
        server.requests()[3].text().contains("forbidden/**"),
        "it may read what it is told of"
    );
}

fn a_revision_goes_on_with_the_session(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([done().costing(100, 20)]))
            .with_workspace()
            .await;
        let first = stage.run(stage.request(1, None)).await;
        let mut used = SessionUsage::default();
        used.add(&first.used);
        let again = stage.request(2, first.session.clone());
        let second = stage.run(again.with_used(used.clone())).await;
        used.add(&second.used);
        assert_eq!(
            (&first.outcome, &second.outcome),
            (&TurnOutcome::Completed, &TurnOutcome::Completed)
        );
        assert_eq!(first.session, second.session);
        let again = stage.request(3, first.session.clone());
        let third = stage.run(again.with_used(used)).await;
        for turn in [&first, &second, &third] {
            assert_eq!(
                turn.usage.tokens(),
                120,
                "each turn costs what it costs: {turn:?}"
            );
            let usd = [turn, &first].map(|turn| turn.usage.usd.expect("it has a price"));
            assert!((usd[0] - usd[1]).abs() < 1e-9, "{turn:?}");
        }
        let last = stage.server.requests().last().expect("it asked").text();
        assert!(
            last.contains("This is turn 1.") && last.contains("This is turn 2."),
            "{last}"
        );
    });
}

/// 2.1.197 finds a session from the workspaces of its own repository alone, and each attempt has its own. 2.1.330 finds it from anywhere, and
/// works where it was started.
fn a_session_of_nobody_is_lost_and_one_of_another_attempt_is_lost_or_works_here(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([done()])).with_workspace().await;
        for unknown in [
            "11111111-1111-4111-8111-111111111111",
            "a-name-that-nobody-gave",
        ] {
            let ran = stage
                .run(stage.request(2, Some(SessionRef(unknown.to_owned()))))
                .await;
            assert_eq!(ran.outcome, TurnOutcome::SessionLost, "{ran:?}");
        }
        let first = stage.run(stage.request(1, None)).await;
        let server = ModelServer::start(Script::new([shell("touch here.txt"), done()]));
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url());
        let other = RealStage::new(Script::default(), |_, _| backend)
            .with_workspace()
            .await;
        let ran = other.run(other.request(2, first.session)).await;
        let old = stage
            .backend
            .probe()
            .await
            .expect("it is there")
            .version
            .as_deref()
            == Some("2.1.197");
        let expected = if old {
            TurnOutcome::SessionLost
        } else {
            TurnOutcome::Completed
        };
        assert_eq!(ran.outcome, expected, "{ran:?}");
        let here = |stage: &Stage| stage.workspace().tree().join("here.txt").exists();
        assert_eq!((here(&stage), here(&other)), (false, !old));
    });
}

fn what_is_said_while_it_works_is_heard(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let fifo = stage.fifo();
        let server = ModelServer::start(Script::new([
            shell(&format!("cat '{}' > /dev/null", fifo.display())),
            done(),
        ]));
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url());
        let mut turn = backend.start(stage.request(1, None)).await.expect("starts");
        while !matches!(
            turn.next().await.expect("it goes on"),
            Update::ToolBegan { .. }
        ) {}
        turn.control()
            .send(TurnInput::Nudge("And mind the gap.".to_owned()))
            .await
            .expect("it listens");
        // It reads what it is sent before the command ends: the pong says so.
        drop(
            tokio::task::spawn_blocking(move || fs::write(fifo, ""))
                .await
                .expect("writes"),
        );
        let ran = ran(turn).await;
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert!(
            server
                .requests()
                .iter()
                .any(|request| request.text().contains("And mind the gap."))
        );
    });
}

fn each_failure_of_the_service_has_its_outcome(agent: &RealAgent) {
    let fail = |status: u16, kind: &str, message: &str| vec![Answer::fail(status, kind, message)];
    let later = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
        + 7200;
    let limited = Answer::fail(
        429,
        "rate_limit_error",
        "This request would exceed your account's rate limit.",
    )
    .with_header("anthropic-ratelimit-unified-status", "rejected")
    .with_header(
        "anthropic-ratelimit-unified-representative-claim",
        "five_hour",
    )
    .with_header("anthropic-ratelimit-unified-reset", later.to_string());
    let rows = [
        (
            "bad request",
            fail(400, "invalid_request_error", "messages.0: bad"),
            "Crashed",
        ),
        (
            "bad key",
            fail(401, "authentication_error", "invalid x-api-key"),
            "Authentication",
        ),
        (
            "forbidden",
            fail(403, "permission_error", "not for you"),
            "Authentication",
        ),
        (
            "no such model",
            fail(404, "not_found_error", "model: claude-sonnet-4-5"),
            "Authentication",
        ),
        (
            "too large",
            fail(413, "request_too_large", "Request exceeds the maximum size"),
            "PromptTooLong",
        ),
        (
            "too long",
            fail(
                400,
                "invalid_request_error",
                "prompt is too long: 250000 tokens > 200000 maximum",
            ),
            "PromptTooLong",
        ),
        (
            "no credit",
            fail(
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API.",
            ),
            "UsageLimited",
        ),
        ("a limit of a subscription", vec![limited], "UsageLimited"),
        (
            "too many requests",
            fail(429, "rate_limit_error", "rate limited"),
            "Overloaded",
        ),
        (
            "server error",
            fail(500, "api_error", "Internal server error"),
            "Overloaded",
        ),
        (
            "overloaded",
            fail(529, "overloaded_error", "Overloaded"),
            "Overloaded",
        ),
        (
            "refusal",
            vec![Answer::say("I will not.").stopping_for("refusal")],
            "Refused",
        ),
        (
            "in the middle",
            vec![
                shell("true"),
                Answer::fail(500, "api_error", "Internal server error"),
            ],
            "Overloaded",
        ),
        (
            "recovers",
            vec![
                Answer::fail(500, "api_error", "Internal server error"),
                done(),
            ],
            "Completed",
        ),
        (
            "recovers from a break",
            vec![Answer::say("half of").breaking_off_after(3), done()],
            "Completed",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, answers, expected) in rows {
        let (stage, ran) = block_on(async {
            let mut stage = stage(agent, Script::new(answers)).with_workspace().await;
            if name.contains("subscription") {
                stage.backend = stage
                    .backend
                    .clone()
                    .env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy")
                    .env("ANTHROPIC_API_KEY", "");
            }
            let ran = stage.run(stage.request(1, None)).await;
            (stage, ran)
        });
        if let (TurnOutcome::UsageLimited { until }, true) =
            (&ran.outcome, name.contains("subscription"))
        {
            assert_eq!(
                until.map(|until| until.0 / 1000),
                Some(later),
                "the reset is read"
            );
        }
        if !format!("{:?}", ran.outcome).starts_with(expected) {
            wrong.push(format!("{name}: {:?}", ran.outcome));
        }
        assert_eq!(stage.alive(), 0);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let nobody = block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:9");
        ran(backend.start(stage.request(1, None)).await.expect("starts"))
            .await
            .outcome
    });
    assert!(
        matches!(nobody, TurnOutcome::Overloaded { .. }),
        "nobody listens: {nobody:?}"
    );
    let keyless = block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let backend = stage.backend.clone().env("ANTHROPIC_API_KEY", "");
        ran(backend.start(stage.request(1, None)).await.expect("starts"))
            .await
            .outcome
    });
    assert!(
        matches!(keyless, TurnOutcome::Authentication { .. }),
        "nobody is logged in: {keyless:?}"
    );
}

fn steps_and_money_have_an_end(agent: &RealAgent) {
    for (what, bounded) in [
        (
            "max_turns",
            (|backend: ClaudeBackend| backend.max_turns(2)) as fn(ClaudeBackend) -> ClaudeBackend,
        ),
        ("max_usd", |backend| backend.max_usd(0.0001)),
    ] {
        let ran = block_on(async {
            let mut stage = stage(agent, Script::new([shell("true")]))
                .with_workspace()
                .await;
            stage.backend = bounded(stage.backend.clone());
            stage.run(stage.request(1, None)).await
        });
        let TurnOutcome::CapReached { cap } = &ran.outcome else {
            panic!("{what}: {ran:?}")
        };
        assert!(cap.contains(what), "{cap}");
        assert!(ran.usage.usd > Some(0.0), "{ran:?}");
    }
}

/// Waits until a session has written this into its file, which it does some time after it was said.
async fn session_has(stage: &Stage, part: &str) {
    let written = || {
        let files = files_under(stage.sandbox.path());
        let mut sessions = files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "jsonl"));
        sessions.any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(part)))
    };
    while !written() {
        tokio::task::yield_now().await;
    }
}

fn files_under(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let within = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_under(&entry.path()),
        _ => vec![entry.path()],
    });
    within.collect()
}

/// A turn in a command that goes on for ever.
async fn in_a_command(agent: &RealAgent) -> (Stage, ModelServer, Box<dyn Turn>) {
    let stage = stage(agent, Script::default()).with_workspace().await;
    let fifo = stage.fifo();
    let server = ModelServer::start(Script::new([shell(&Stage::for_ever(&fifo)), done()]));
    let turn = stage
        .backend
        .clone()
        .env("ANTHROPIC_BASE_URL", server.url())
        .start(stage.request(1, None))
        .await
        .expect("starts");
    Stage::runs(fifo).await;
    (stage, server, turn)
}

fn usage_of_a_killed_turn_is_read_from_its_session(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let fifo = stage.fifo();
        let server = ModelServer::start(Script::new([
            shell("true").costing(100, 10),
            shell(&Stage::for_ever(&fifo)).costing(1000, 100),
            done().costing(10_000, 1000),
            done().costing(3, 1),
        ]));
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url());
        let turn = backend.start(stage.request(1, None)).await.expect("starts");
        Stage::runs(fifo).await;
        session_has(&stage, "while :;").await;
        stage.usage_outlives_a_kill(&backend, turn).await;
    });
}

fn usage_of_its_own_agents_is_counted(agent: &RealAgent) {
    let asked = json!({ "description": "d", "prompt": "p", "subagent_type": "general-purpose" });
    block_on(async {
        let server = ModelServer::start(Script::new([
            Answer::call("Task", asked.clone()).costing(100, 10),
            shell("true").costing(1000, 100),
            Answer::say("That is all.").costing(2000, 200),
            done().costing(300, 30),
        ]));
        let stage = stage(agent, Script::default()).with_workspace().await;
        let backend = stage.backend.clone().tools(["Bash", "Task"]);
        let backend = backend.env("ANTHROPIC_BASE_URL", server.url());
        let turn = backend.start(stage.request(1, None)).await.expect("starts");
        let first = ran(turn).await;
        assert_eq!(server.requests().len(), 4, "its own agent asked as well");
        assert_eq!(first.usage.tokens(), 3740);
        assert!(first.usage.usd > Some(0.0), "{first:?}");
    });
}

fn stopped_in_a_command_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let (stage, _server, turn) = in_a_command(agent).await;
        let ran = stage.stop(turn).await;
        assert_eq!(
            ran.usage.tokens(),
            120,
            "it told what it has cost, so it was not killed"
        );
    });
}

fn stopped_while_nothing_comes_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        for answer in [Answer::hang(), Answer::say("half").hanging_after(3)] {
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

fn stopped_before_it_has_begun_it_leaves_no_process(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::new([Answer::hang()]))
            .with_workspace()
            .await;
        let turn = stage
            .backend
            .start(stage.request(1, None))
            .await
            .expect("starts");
        stage.stop(turn).await;
    });
}

fn what_it_leaves_running_is_gone_when_its_turn_is_over(agent: &RealAgent) {
    let leave = "for how in nohup setsid; do $how sh -c 'while :; do sleep 1; done' > /dev/null 2>&1 & done; true";
    let (stage, ran) = turn(agent, [shell(leave), done()]);
    assert_eq!(
        (&ran.outcome, stage.alive()),
        (&TurnOutcome::Completed, 0),
        "{ran:?}"
    );
}

fn killed_it_has_crashed_and_its_session_goes_on(agent: &RealAgent) {
    block_on(async {
        let (stage, _server, mut turn) = in_a_command(agent).await;
        let session = loop {
            if let Update::Started { session } = turn.next().await.expect("it goes on") {
                break session;
            }
        };
        session_has(&stage, "while :;").await;
        kill_marked(&stage.mark(), Duration::from_secs(10)).await;
        let killed = ran(turn).await;
        assert!(
            matches!(killed.outcome, TurnOutcome::Crashed { .. }),
            "{killed:?}"
        );
        assert_eq!(stage.alive(), 0);
        let server = ModelServer::start(Script::new([done()]));
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url());
        let again = ran(backend
            .start(stage.request(2, Some(session)))
            .await
            .expect("starts"))
        .await;
        assert_eq!(again.outcome, TurnOutcome::Completed, "{again:?}");
        assert!(server.requests()[0].text().contains("This is turn 1."));
    });
}

/// Set in a process that is an orchestrator, to be killed.
const HOST: &str = "ORCHESTRATOR_TEST_HOST";

/// Runs one turn, for ever: a process of its own, so that it can be killed.
fn host(directory: &Path) -> ! {
    let given = |name: &str| fs::read_to_string(directory.join(name)).expect("it was given");
    let backend = claude(
        Path::new(&given("program")),
        &directory.join("home"),
        &given("url"),
    );
    let (attempt, workspace) = (
        AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        },
        directory.join("tree"),
    );
    fs::create_dir(&workspace).expect("makes it");
    let mut request = TurnRequest::new(
        attempt,
        "Go.",
        workspace,
        directory.join("handoff.json"),
        given("mark"),
    );
    request
        .environment
        .insert("PATH".to_owned(), env::var("PATH").expect("a path"));
    block_on_within(Duration::from_secs(180), async {
        ran(backend.start(request).await.expect("starts")).await
    });
    std::process::exit(0);
}

fn it_dies_with_the_orchestrator(agent: &RealAgent) {
    let stage = stage(agent, Script::default());
    let fifo = stage.fifo();
    let server = ModelServer::start(Script::new([shell(&Stage::for_ever(&fifo))]));
    let directory = stage.sandbox.path();
    for (name, content) in [
        ("program", agent.program.to_string_lossy().into_owned()),
        ("url", server.url()),
        ("mark", stage.mark()),
    ] {
        fs::write(directory.join(name), content).expect("writes");
    }
    let mut host = Command::new(env::current_exe().expect("this is a program"));
    host.env(HOST, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut host = host.spawn().expect("starts");
    block_on(Stage::runs(fifo));
    wait_for_marked(&stage.mark(), 3);
    host.kill().expect("can be killed");
    host.wait().expect("is killed");
    let until = Instant::now() + Duration::from_secs(30);
    while stage.alive() > 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    let left = stage.alive();
    block_on(kill_marked(&stage.mark(), Duration::from_secs(10)));
    assert_eq!(left, 0, "nobody had to sweep");
}

fn it_says_that_it_lives_while_a_command_is_silent(agent: &RealAgent) {
    block_on(async {
        let stage = stage(agent, Script::default()).with_workspace().await;
        let fifo = stage.fifo();
        let server = ModelServer::start(Script::new([
            shell(&format!("cat '{}' > /dev/null", fifo.display())),
            done(),
        ]));
        let backend = stage
            .backend
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url())
            .asking_after(Duration::from_millis(300));
        let mut turn = backend.start(stage.request(1, None)).await.expect("starts");
        while !matches!(
            turn.next().await.expect("it goes on"),
            Update::ToolBegan { .. }
        ) {}
        // More than one: it may have said something else at first.
        for _ in 0..5 {
            while turn.next().await.expect("it goes on") != Update::Alive {}
        }
        drop(
            tokio::task::spawn_blocking(move || fs::write(fifo, ""))
                .await
                .expect("writes"),
        );
        assert_eq!(ran(turn).await.outcome, TurnOutcome::Completed);
    });
}

fn nothing_but_loopback_is_asked_for(agent: &RealAgent) {
    let stage = block_on(
        stage(
            agent,
            Script::new([shell("git commit -q --allow-empty -m x"), done()]),
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

/// As root it is run as nobody; as an ordinary user, all the other tests are this one.
fn an_ordinary_user_can_run_it(agent: &RealAgent) {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    let stage = block_on(stage(agent, Script::new([shell(COMMIT), done()])).with_workspace());
    let program = stage.sandbox.path().join("as-nobody");
    let script = format!(
        "#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups '{}' \"$@\"\n",
        agent.program.display()
    );
    fs::write(&program, script).expect("writes");
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("can be run");
    let request = stage.request(1, None);
    if root {
        let all = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(stage.sandbox.path())
            .status();
        assert!(all.is_ok_and(|status| status.success()));
    }
    let backend = stage
        .backend
        .clone()
        .program(if root { &program } else { &agent.program });
    let ran = block_on(async { ran(backend.start(request).await.expect("starts")).await });
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    assert_eq!(stage.left("hello.txt"), "hello\n");
}

fn what_was_refused_is_among_the_findings_of_what_lands(agent: &RealAgent) {
    let commit = "echo W1 > W1.txt && git add W1.txt && git commit -qm 'add W1'";
    let answers = [
        shell("git push origin HEAD"),
        write("other.txt"),
        shell(commit),
        handoff("W1", 1, "W1.txt"),
    ];
    let mut stage = stage(agent, Script::new(answers));
    stage.backend = stage
        .backend
        .clone()
        .permissions(Permissions::within_contract());
    let outcome = block_on(land(
        &stage.sandbox,
        &[("claude", Arc::new(stage.backend.clone()))],
        &["W1".to_owned()],
        1,
    ));
    let submitted = outcome.records().find_map(|record| match record {
        Record::Submitted { submission, .. } => Some(
            submission
                .findings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        ),
        _ => None,
    });
    let found = submitted.expect("it was submitted");
    assert!(
        found
            .iter()
            .any(|finding| finding.contains("`git push origin HEAD` was refused")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|finding| finding
                .contains("other.txt may not be changed: not among the allowed paths")),
        "{found:#?}"
    );
}

fn eight_at_once_share_one_home_and_land(agent: &RealAgent) {
    let ids: Vec<_> = (1..=8).map(|number| format!("W{number}")).collect();
    let answers = |id: &String| {
        [
            shell(&format!(
                "echo {id} > {id}.txt && git add {id}.txt && git commit -qm 'add {id}'"
            )),
            handoff(id, 1, &format!("{id}.txt")),
        ]
    };
    let script = ids.iter().fold(Script::default(), |script, id| {
        script.when(format!("Task {id}."), answers(id))
    });
    let stage = stage(agent, script);
    block_on(land(
        &stage.sandbox,
        &[("claude", Arc::new(stage.backend.clone()))],
        &ids,
        8,
    ));
}

/// A roadmap of one task whose model is silent at first; a silence of five seconds is too long. How often it was reminded, and stopped.
fn silent_at_first(
    agent: &RealAgent,
    answers: impl IntoIterator<Item = Answer>,
) -> (u32, usize, usize) {
    let stage = stage(agent, Script::new(answers));
    stage.sandbox.publish(
        &[(
            "ROADMAP.md",
            "- [ ] **T1** Say hello\n  ```toml\n  allow = [\"hello.txt\"]\n  ```\n",
        )],
        "roadmap",
    );
    let text = "push = \"origin\"\n[agents.claude]\nkind = \"claude\"\n[limits]\nheartbeat = \"200ms\"\nbackoff = \"1ms\"\ngrace = \"2s\"\n";
    let backend = Arc::new(
        stage
            .backend
            .clone()
            .silent_for_at_most(Duration::from_secs(5))
            .asking_after(Duration::from_millis(500)),
    );
    let builder = Orchestrator::builder().policy(Policy::parse(text).expect("a policy"));
    let builder = builder.backend("claude".parse::<BackendName>().expect("a name"), backend);
    let outcome = block_on(run_checked(&stage.sandbox, builder));
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let asked = |wanted: fn(&Effect) -> bool| {
        outcome
            .records()
            .filter(|record| matches!(record, Record::Requested { what, .. } if wanted(what)))
            .count()
    };
    let reminded = asked(|what| matches!(what, Effect::Nudge { .. }));
    let stopped = asked(|what| {
        matches!(
            what,
            Effect::StopTurn {
                why: StopReason::Stalled,
                ..
            }
        )
    });
    (outcome.task("T1").attempts, reminded, stopped)
}

/// A stream that goes silent in its middle is bounded by nothing else for five minutes.
fn a_model_that_hangs_is_asked_anew_with_a_reminder(agent: &RealAgent) {
    let half = || Answer::say("half").hanging_after(3);
    for silent in [half(), Answer::hang()] {
        let told = silent_at_first(
            agent,
            [silent, shell(COMMIT), handoff("T1", 1, "hello.txt")],
        );
        assert_eq!(told, (1, 1, 0), "it goes on in the same turn");
    }
    let told = silent_at_first(
        agent,
        [half(), half(), shell(COMMIT), handoff("T1", 2, "hello.txt")],
    );
    assert_eq!(told, (2, 1, 1), "one that hangs again is stopped");
}
