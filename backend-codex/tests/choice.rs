//! Which protocol a turn is run by, and what the probe says of it, with a program in Codex's place.

use std::{fs, path::Path};

use backend_codex::{CodexBackend, CodexProtocol, CodexSandbox, CodexSettings};
use orchestrator_core::{
    AgentBackend,
    model::{AttemptId, TaskId},
    port::{AgentError, Probe, TurnRequest},
};
use orchestrator_testkit::{Play, Step, arguments, ran, scripted_worker};

scripted_worker!();

/// A program of this version, and the backend for it, with a home of its own.
fn backend(directory: &Path, version: &str) -> CodexBackend {
    let home = directory.join("home");
    fs::create_dir_all(&home).expect("makes it");
    let program = Play::new([Step::Exit(1)])
        .answering("--version", &format!("codex-cli {version}"))
        .install(player(), directory, "codex");
    CodexBackend::new()
        .program(program)
        .home(home)
        .sandbox(CodexSandbox::Off)
}

/// By what the program was started.
async fn spoken_to(directory: &Path, backend: &CodexBackend) -> Result<String, AgentError> {
    let attempt = AttemptId {
        task: TaskId::new("T1").expect("an id"),
        number: 1,
    };
    let mark = format!("choice-{}", directory.display());
    let handoff = directory.join("handoff.json");
    let mut request = TurnRequest::new(attempt, "Please.", directory.into(), handoff, mark);
    let path = std::env::var("PATH").expect("a path");
    request.environment.insert("PATH".to_owned(), path);
    ran(backend.start(request).await?).await;
    Ok(arguments(&directory.join("codex")).swap_remove(0))
}

#[tokio::test]
async fn protocol_follows_version_and_configuration() {
    for (version, configured, expected) in [
        ("0.169.0", false, "app-server"),
        ("0.171.3", false, "app-server"),
        ("0.169.0", true, "exec"),
        ("0.170.0", false, "exec"),
        ("0.1690.0", false, "exec"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let backend = backend(directory.path(), version);
        if configured {
            fs::write(directory.path().join("home/config.toml"), "").expect("writes");
        }
        let told = spoken_to(directory.path(), &backend).await.expect("starts");
        assert_eq!(told, expected, "{version}, configured: {configured}");
    }
}

#[tokio::test]
async fn protocol_that_is_set_is_used() {
    for (set, expected) in [("exec", "exec"), ("app-server", "app-server")] {
        let directory = tempfile::tempdir().expect("a directory");
        let given = backend(directory.path(), "9.9.9");
        let settings = serde_json::json!({ "protocol": set });
        let settings: CodexSettings = serde_json::from_value(settings).expect("are some");
        let protocol = settings.protocol.expect("is set");
        let told = spoken_to(directory.path(), &given.with_protocol(protocol)).await;
        assert_eq!(told.expect("starts"), expected);
    }
}

#[tokio::test]
async fn app_server_with_a_configuration_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = backend(directory.path(), "0.169.0").with_protocol(CodexProtocol::AppServer);
    backend.probe().await.expect("can be used");
    fs::write(directory.path().join("home/config.toml"), "notify = []").expect("writes");
    let probed = backend.probe().await.expect_err("cannot be used");
    let started = spoken_to(directory.path(), &backend)
        .await
        .expect_err("is not started");
    for error in [probed, started] {
        let AgentError::Misconfigured { what, fix } = &error else {
            panic!("{error:?}");
        };
        assert!(what.contains("home/config.toml"), "{what}");
        assert!(fix.contains("protocol = \"exec\""), "{fix}");
    }
}

/// What a probe warns of.
fn words(probe: &Probe) -> String {
    let warnings = probe.warnings.iter();
    warnings.map(|warning| format!("{warning}\n")).collect()
}

#[tokio::test]
async fn version_that_was_never_tried_is_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let probe = backend(directory.path(), "9.9.9").probe().await;
    let probe = probe.expect("it is there");
    assert_eq!(probe.version.as_deref(), Some("9.9.9"));
    let warned = words(&probe);
    for part in [
        "version 9.9.9 of codex was never tried",
        "codex-code-mode-host is not there",
    ] {
        assert!(warned.contains(part), "{warned}");
    }
    let known = backend(directory.path(), "0.171.0").probe().await;
    let warned = words(&known.expect("it is there"));
    assert!(!warned.contains("never tried"), "{warned}");
}
