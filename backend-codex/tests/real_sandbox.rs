//! The real Codex where its sandbox does not work, or only in part: with a `bwrap` of the test's own before the others on the `PATH`, so
//! that nothing depends on whether bubblewrap is installed.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use backend_codex::{CodexBackend, CodexSandbox};
use orchestrator_core::{
    AgentBackend, BackendName, EndReason, Orchestrator, Policy,
    model::{AgentWarning, HoldReason, Record, Trouble, TurnOutcome},
    port::{AgentError, ErrorClass},
};
use orchestrator_testkit::{
    RealAgent, RealStage, block_on, git,
    model_server::{Answer, Script},
    real_agent_main, run_checked,
};
use serde_json::json;

fn main() -> ExitCode {
    real_agent_main(
        &[(
            "ORCHESTRATOR_TEST_CODEX",
            "npm install --prefix DIR @openai/codex@0.169.0, then DIR/node_modules/@openai/codex/bin/codex.js",
        )],
        &[
            (
                "bubblewrap_on_the_path_and_a_home_in_tmp_are_named",
                bubblewrap_on_the_path_and_a_home_in_tmp_are_named,
            ),
            (
                "refused_namespaces_are_named_before_anything_starts",
                refused_namespaces_are_named_before_anything_starts,
            ),
            (
                "home_that_is_not_there_is_named",
                home_that_is_not_there_is_named,
            ),
            (
                "sandbox_that_breaks_while_work_runs_is_asked_about_once",
                sandbox_that_breaks_while_work_runs_is_asked_about_once,
            ),
            (
                "profile_that_is_not_known_gives_way_to_the_older_flags",
                profile_that_is_not_known_gives_way_to_the_older_flags,
            ),
            (
                "older_flags_are_tried_as_a_turn_has_them",
                older_flags_are_tried_as_a_turn_has_them,
            ),
            (
                "reader_looks_where_a_container_is_the_wall",
                reader_looks_where_a_container_is_the_wall,
            ),
        ],
    )
}

type Stage = RealStage<CodexBackend>;

const HANDOFF: &str =
    r#"{"version":1,"task":"T1","attempt":1,"status":"done","self_review":"read it once more"}"#;

/// A stage whose Codex sees these directories before ours on its `PATH`. Its home lies in a temporary directory, which it may, unless
/// `in_tmp` says that Codex is to find that out.
fn stage(agent: &RealAgent, script: Script, path: &[&Path], in_tmp: bool) -> Stage {
    let ours = env::var_os("PATH").unwrap_or_default();
    let path = path
        .iter()
        .map(|path| path.to_path_buf())
        .chain(env::split_paths(&ours));
    let path = env::join_paths(path).expect("a path");
    RealStage::new(script, |home, url| {
        let tmp = home.join("tmp");
        for directory in [&home.join(".codex"), &tmp] {
            fs::create_dir(directory).expect("makes it");
        }
        let tmp = if in_tmp { env::temp_dir() } else { tmp };
        CodexBackend::new()
            .program(&agent.program)
            .home(home.join(".codex"))
            .env("HOME", home.to_string_lossy())
            .env("PATH", path.to_string_lossy())
            .env("TMPDIR", tmp.to_string_lossy())
            .env("SCRIPTED_KEY", "dummy-key")
            .provider("scripted", &format!("{url}/v1"), "SCRIPTED_KEY")
            .config("model_providers.scripted.request_max_retries=0")
            .config("model_providers.scripted.stream_max_retries=0")
    })
}

fn shell(command: &str) -> Answer {
    Answer::call(
        "exec_command",
        json!({ "cmd": command, "yield_time_ms": 60_000 }),
    )
}

/// A program of this content.
fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("writes");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("can be run");
    file
}

/// The bubblewrap that Codex brings along.
fn bundled(agent: &RealAgent) -> PathBuf {
    let scope = agent.program.ancestors().nth(3).expect("a scope of npm's");
    let packages = scope.read_dir().expect("can be read").flatten();
    let vendors = packages.map(|entry| entry.path().join("vendor"));
    let triples = vendors
        .filter_map(|vendor| vendor.read_dir().ok())
        .flatten()
        .flatten();
    triples
        .map(|triple| triple.path().join("codex-resources/bwrap"))
        .find(|file| file.is_file())
        .expect("Codex brings one along")
}

/// A `bwrap` that Codex takes for one that works, and that runs commands as long as `works`, a condition of the shell, holds.
fn broken_bubblewrap(agent: &RealAgent, directory: &Path, works: &str, words: &str) {
    let real = bundled(agent);
    let script = format!(
        "case \"$*\" in --help*|*'-- /usr/bin/true') exec '{real}' \"$@\";; esac\n\
         {works} && exec '{real}' \"$@\"\n\
         echo '{words}' >&2; exit 1",
        real = real.display()
    );
    program(directory, "bwrap", &script);
}

const NO_NAMESPACES: &str = "bwrap: No permissions to create new namespace, likely because the kernel does not allow \
                             non-privileged user namespaces.";

/// What and how to fix it, of an agent that cannot be used.
fn misconfigured(error: AgentError) -> (String, String) {
    assert_eq!(error.class(), ErrorClass::NeedsPerson, "{error}");
    match error {
        AgentError::Misconfigured { what, fix } => (what, fix),
        other => panic!("{other}"),
    }
}

fn bubblewrap_on_the_path_and_a_home_in_tmp_are_named(agent: &RealAgent) {
    // As Debian's 0.8.0, which does not know this option. Codex takes none that lies in a temporary directory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let real = bundled(agent);
    let script = format!(
        "[ \"$*\" = --help ] && {{ '{real}' --help | grep -v argv0; exit 0; }}\nexec '{real}' \"$@\"",
        real = real.display()
    );
    program(directory.path(), "bwrap", &script);
    let directory = directory.path();
    let stage = stage(agent, Script::default(), &[directory], true);
    let error = block_on(stage.backend.probe()).expect_err("it cannot work");
    let (what, fix) = misconfigured(error);
    assert!(what.contains("execvp codex-linux-sandbox"), "{what}");
    assert!(fix.contains("set `CODEX_HOME`"), "{fix}");

    let elsewhere = self::stage(agent, Script::default(), &[directory], false);
    block_on(elsewhere.backend.probe()).expect("with another home it works");
}

fn refused_namespaces_are_named_before_anything_starts(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    broken_bubblewrap(agent, directory.path(), "false", NO_NAMESPACES);
    let stage =
        block_on(stage(agent, Script::default(), &[directory.path()], false).with_workspace());
    let error = block_on(stage.backend.probe()).expect_err("it cannot work");
    let (what, fix) = misconfigured(error);
    assert!(what.contains("user namespaces are refused"), "{what}");
    assert!(fix.contains("userns"), "{fix}");
    let worker = stage.request(1, None);
    let reader = stage.request(1, None).reading_only();
    for request in [worker, reader] {
        let error = block_on(stage.backend.start(request)).expect_err("no turn starts");
        misconfigured(error);
    }
    assert_eq!(stage.server.requests().len(), 0, "no model was asked");
}

fn home_that_is_not_there_is_named(agent: &RealAgent) {
    let stage = stage(agent, Script::default(), &[], false);
    let backend = stage.backend.clone().home("/nowhere/at/all");
    let (what, fix) = misconfigured(block_on(backend.probe()).expect_err("it has no home"));
    assert!(what.contains("/nowhere/at/all"), "{what}");
    assert!(fix.contains("CODEX_HOME"), "{fix}");
}

/// The probe and the first turn's start find it working; from the first command on it is broken.
fn sandbox_that_breaks_while_work_runs_is_asked_about_once(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    let count = directory.path().join("count");
    let works = format!(
        "echo x >> '{count}'; [ $(wc -l < '{count}') -le 2 ]",
        count = count.display()
    );
    broken_bubblewrap(agent, directory.path(), &works, NO_NAMESPACES);
    let script = Script::new([shell("echo hello > hello.txt"), Answer::say("I cannot.")]);
    let stage = stage(agent, script, &[directory.path()], false);
    let roadmap = ["T1", "T2", "T3"]
        .map(|id| format!("- [ ] **{id}** Say hello\n  ```toml\n  allow = [\"{id}.txt\"]\n  ```\n"))
        .concat();
    stage
        .sandbox
        .publish(&[("ROADMAP.md", &roadmap)], "roadmap");
    let text = "push = \"origin\"\nmax_sessions = 1\n[agents.codex]\nkind = \"codex\"\n[limits]\nbackoff = \"1ms\"\n";
    let backend = Arc::new(stage.backend.clone());
    let builder = Orchestrator::builder().policy(Policy::parse(text).expect("a policy"));
    let builder = builder.backend("codex".parse::<BackendName>().expect("a name"), backend);
    let outcome = block_on(run_checked(&stage.sandbox, builder));
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let asked: Vec<_> = outcome
        .records()
        .filter_map(|record| match record {
            Record::HoldOpened { hold } => Some(&hold.about),
            _ => None,
        })
        .collect();
    let [
        HoldReason::Agent {
            trouble: Trouble::Misconfigured { reason },
            ..
        },
    ] = asked[..]
    else {
        panic!("one question: {asked:?}")
    };
    assert!(reason.contains("user namespaces are refused"), "{reason}");
    assert!(stage.server.requests().len() <= 2, "one turn was paid for");
}

fn profile_that_is_not_known_gives_way_to_the_older_flags(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    let native = bundled(agent).with_file_name("../bin/codex");
    let script = format!(
        "for given; do case \"$given\" in permissions.worker=*) echo 'error: unknown permissions' >&2; exit 1;; esac; done\n\
         exec '{}' \"$@\"",
        native.display()
    );
    let old = program(directory.path(), "codex", &script);
    let commit = shell("git commit -q --allow-empty -m narrow; echo x > ../repo.git/hooks/planted");
    let mut stage = block_on(
        stage(
            agent,
            Script::new([commit, Answer::say(HANDOFF)]),
            &[],
            false,
        )
        .with_workspace(),
    );
    stage.backend = stage.backend.clone().program(old);
    let probe = block_on(stage.backend.probe()).expect("the older flags work");
    let weaker = probe.warnings.iter().find_map(|warning| match warning {
        AgentWarning::WeakerSandbox { used, why } => Some((used.as_str(), why.as_str())),
        _ => None,
    });
    assert_eq!(weaker, Some(("narrow", "error: unknown permissions")));
    let ran = block_on(stage.run(stage.request(1, None)));
    assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
    let tree = stage.workspace().tree();
    assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "narrow");
    let planted = stage.workspace().repository().join("hooks/planted");
    assert!(!planted.exists());
}

fn older_flags_are_tried_as_a_turn_has_them(agent: &RealAgent) {
    let stage = stage(agent, Script::default(), &[], false);
    let backend = stage.backend.clone().sandbox(CodexSandbox::Narrow);
    let probe = block_on(backend.probe()).expect("they work");
    let weaker = |warning: &AgentWarning| matches!(warning, AgentWarning::WeakerSandbox { .. });
    assert!(!probe.warnings.iter().any(weaker), "{:?}", probe.warnings);

    let directory = tempfile::tempdir().expect("a directory");
    broken_bubblewrap(agent, directory.path(), "false", NO_NAMESPACES);
    let stage = self::stage(agent, Script::default(), &[directory.path()], false);
    let backend = stage.backend.clone().sandbox(CodexSandbox::Narrow);
    misconfigured(block_on(backend.probe()).expect_err("they do not"));
}

/// Without a sandbox for workers a reader has one where it works, and looks all the same where it does not.
fn reader_looks_where_a_container_is_the_wall(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    broken_bubblewrap(agent, directory.path(), "false", NO_NAMESPACES);
    for (path, written) in [(vec![directory.path()], "looked\n"), (vec![], "")] {
        let script = Script::new([shell("echo looked > looked.txt"), Answer::say(HANDOFF)]);
        let mut stage = block_on(stage(agent, script, &path, false).with_workspace());
        stage.backend = stage.backend.clone().sandbox(CodexSandbox::Off);
        let ran = block_on(stage.run(stage.request(1, None).reading_only()));
        assert_eq!(ran.outcome, TurnOutcome::Completed, "{ran:?}");
        assert_eq!(stage.left("looked.txt"), written, "{path:?}");
    }
}
