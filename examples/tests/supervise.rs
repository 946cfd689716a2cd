//! The examples as a user meets them: `supervise` with its exit status, what it prints, and the snapshot that it leaves;
//! `embed` on a repository of its own.

mod common;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use common::example;
use orchestrator_testkit::{Sandbox, git, shell_worker};

fn binary() -> PathBuf {
    example("supervise")
}

fn supervise(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("supervise was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const ROADMAP: &str = "## Package: p\n\n- [ ] **A** First\n  ```toml\n  allow = [\"A.txt\"]\n  ```\n\n- [ ] **B** Second\n  \
    ```toml\n  allow = [\"B.txt\"]\n  after = [\"A\"]\n  ```\n";

/// A sandbox with a roadmap, and the arguments that every call needs.
fn sandbox(script: &str) -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    std::fs::write(
        sandbox.path().join("policy.toml"),
        "push = \"origin\"\n[limits]\nbackoff = \"1ms\"\nattempts = 1\nturns = 1\n",
    )
    .expect("writes");
    let worker = shell_worker(sandbox.path(), "worker", script).join(" ");
    let place = |path: PathBuf| path.to_string_lossy().into_owned();
    let arguments = [
        ("--repo", place(sandbox.repo())),
        ("--state-dir", place(sandbox.state())),
        ("--roadmap", "ROADMAP.md".to_owned()),
        ("--policy", place(sandbox.path().join("policy.toml"))),
        ("--agent-command", worker),
    ];
    let arguments = arguments
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    (sandbox, arguments)
}

fn run(sandbox: &Sandbox, arguments: &[String], more: &[&str]) -> Output {
    let all: Vec<_> = ["run"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .chain(more.iter().copied())
        .collect();
    supervise(sandbox.path(), &all)
}

const WORK: &str = "echo $ORCHESTRATOR_TASK > $ORCHESTRATOR_TASK.txt; commit work; handoff done";

#[test]
fn a_plan_says_what_would_happen_and_starts_nothing() {
    let (sandbox, arguments) = sandbox(WORK);
    let output = run(&sandbox, &arguments, &["--plan"]);
    assert_eq!(
        text(&output.stdout),
        "A [p] First: starts now, with command\nB [p] Second: waits: after A\n",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(!sandbox.state().exists());
}

#[test]
fn everything_landed_is_exit_status_0_and_status_says_so_afterwards() {
    let (sandbox, arguments) = sandbox(WORK);
    let json = sandbox.path().join("status.json");
    let output = run(
        &sandbox,
        &arguments,
        &["--status-json", &json.to_string_lossy()],
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let snapshot: serde_json::Value =
        serde_json::from_slice(&std::fs::read(json).expect("was written")).expect("is JSON");
    assert_eq!(snapshot["version"], 1);
    assert_eq!(snapshot["ended"], "complete");
    let tip = git(&sandbox.remote(), &["rev-parse", "main"]);
    assert_eq!(snapshot["tasks"][1]["state"], "landed");
    assert_eq!(
        snapshot["tasks"][1]["landed_commit"],
        serde_json::json!(tip)
    );
    let place = [
        "--repo",
        &*sandbox.repo().to_string_lossy().into_owned(),
        "--state-dir",
        &*sandbox.state().to_string_lossy().into_owned(),
    ]
    .map(str::to_owned);
    let status: Vec<_> = ["status", "--json"]
        .into_iter()
        .chain(place.iter().map(String::as_str))
        .collect();
    let again: serde_json::Value =
        serde_json::from_slice(&supervise(sandbox.path(), &status).stdout).expect("is JSON");
    assert_eq!(again, snapshot);
}

#[test]
fn an_agent_that_speaks_the_agent_client_protocol_is_a_word_in_the_policy() {
    let says = |id: u32, result: &str| {
        format!("read -r asked; echo '{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}'")
    };
    let [greets, begins] = [
        says(1, "{\"protocolVersion\":1}"),
        says(2, "{\"sessionId\":\"s\"}"),
    ];
    let ends = says(3, "{\"stopReason\":\"end_turn\"}").replace("read -r asked; ", "");
    let (sandbox, arguments) = sandbox(&format!(
        "{greets}; {begins}; read -r asked; {WORK}; {ends}; cat > rest || :"
    ));
    let policy = sandbox.path().join("policy.toml");
    let (command, rest) = arguments
        .split_last()
        .map(|(command, rest)| (command, &rest[..rest.len() - 1]))
        .expect("is the last");
    let run_of: Vec<_> = command.split(' ').collect();
    let content = std::fs::read_to_string(&policy).expect("is there")
        + &format!("[agents.mine]\nkind = \"acp\"\nrun = {run_of:?}\n");
    std::fs::write(&policy, &content).expect("writes");
    let output = run(&sandbox, rest, &["--agent", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(sandbox.remote_file("B.txt"), "B");

    std::fs::write(&policy, content.replace(&format!("{run_of:?}"), "[]")).expect("writes");
    let output = run(&sandbox, rest, &["--agent", "mine"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("`agents.mine.run`: needs a program, as in"),
        "{}",
        text(&output.stderr)
    );
}

/// An agent of this kind, played by a script; `more` is what the policy says of it besides.
fn settings_are_the_policys(kind: &str, version: &str, script: &str, more: &str, mend: &str) {
    let (sandbox, arguments) = sandbox(&format!(
        "[ \"$1\" != --version ] || {{ echo {version}; exit; }}; {script}"
    ));
    let program = sandbox.path().join(kind);
    let script = format!(
        "#!/bin/sh\nexec {} \"$@\"\n",
        arguments.last().expect("the worker")
    );
    std::fs::write(&program, script).expect("writes");
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("can be run");
    let policy = sandbox.path().join("policy.toml");
    let rest = &arguments[..arguments.len() - 2];
    let content = std::fs::read_to_string(&policy).expect("is there");
    let supervised = |program: &Path, more: &str| {
        let entry = format!("[agents.{kind}]\nkind = \"{kind}\"\nprogram = {program:?}\n{more}");
        std::fs::write(&policy, format!("{content}{entry}")).expect("writes");
        let output = run(&sandbox, rest, &["--agent", kind]);
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = supervised(&Path::new("/nowhere").join(kind), "");
    assert!(
        code == Some(2) && said.contains(&format!("was not found: {mend}")),
        "{said}"
    );
    let (code, said) = supervised(&program, "env = [\"NO_SUCH_VARIABLE\"]\n");
    assert!(
        code == Some(2)
            && said.contains(&format!(
                "`agents.{kind}.env`: `NO_SUCH_VARIABLE` is not set"
            )),
        "{said}"
    );
    let (code, said) = supervised(&program, "modle = \"x\"\n");
    let line = content.lines().count() + 4;
    let place = format!("policy.toml: line {line}: `agents.{kind}.modle`: unknown field `modle`");
    assert!(code == Some(2) && said.contains(&place), "{said}");
    assert!(
        said.contains("`kind`, ") && said.contains("`model`, "),
        "{said}"
    );
    let (code, said) = supervised(&program, more);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(sandbox.remote_file("B.txt"), "B");
}

#[test]
fn codexs_settings_are_the_policys() {
    let says = |event: &str| format!("echo '{event}'");
    let [begins, ends] = [
        r#"{"type":"thread.started","thread_id":"t"}"#,
        r#"{"type":"turn.completed","usage":{}}"#,
    ]
    .map(says);
    let script = format!("cat > /dev/null; {begins}; {WORK}; {ends}");
    let more = "protocol = \"exec\"\nsandbox = \"off\"\nmodel = \"gpt-5.5\"\n";
    settings_are_the_policys(
        "codex",
        "codex-cli 0.169.0",
        &script,
        more,
        "npm install --global @openai/codex",
    );
}

#[test]
fn claudes_settings_are_the_policys() {
    let says = |event: &str| format!("echo '{event}'");
    let [begins, ends] = [
        r#"{"type":"system","subtype":"init","session_id":"s","tools":["Bash","StructuredOutput"]}"#,
        r#"{"type":"result","subtype":"success","is_error":false,"structured_output":{}}"#,
    ]
    .map(says);
    // What the policy says has become arguments.
    let looks = "case \"$*\" in *--permission-prompt-tool=stdio*--model=some*--max-turns=7*--max-budget-usd=2.5*) ;; *) exit 9 ;; esac";
    let script = format!("{looks}; read -r asked; {begins}; {WORK}; {ends}; cat > /dev/null");
    let more = "model = \"some\"\nmax_turns = 7\nmax_usd = 2.5\npermissions = \"contract\"\nsettings = { sandbox = { enabled = true } }\n";
    settings_are_the_policys(
        "claude",
        "2.1.330",
        &script,
        more,
        "npm install -g @anthropic-ai/claude-code",
    );
}

#[test]
fn cursors_settings_are_the_policys() {
    let says = |event: &str| format!("echo '{event}'");
    let [begins, ends] = [
        r#"{"type":"user","session_id":"s","message":{"role":"user","content":[]}}"#,
        r#"{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"s"}"#,
    ]
    .map(says);
    // One that is asked for its status says nothing of a login, and then it is warned of.
    let looks = "case \"$*\" in status) echo Not logged in; exit ;; *--sandbox\\ enabled\\ --model\\ some) ;; *) exit 9 ;; esac";
    let script = format!("{looks}; cat > /dev/null; {begins}; {WORK}; {ends}; sleep 1000");
    let more = "model = \"some\"\nsandbox = true\n";
    settings_are_the_policys(
        "cursor",
        "2026.09.18-9a7762b",
        &script,
        more,
        "install Cursor's agent",
    );
}

#[test]
fn tasks_that_did_not_land_are_listed_with_exit_status_3() {
    let (sandbox, arguments) = sandbox("case $ORCHESTRATOR_TASK in A) echo no >&2; exit 7 ;; esac");
    let output = run(&sandbox, &arguments, &[]);
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{said}{}",
        text(&output.stderr)
    );
    assert!(
        said.contains("- A (held): the agent failed: exit status 7; stderr: no"),
        "{said}"
    );
    assert!(said.contains("- B (waiting): after A"), "{said}");
}

#[test]
fn bad_input_is_exit_status_2_and_names_the_place() {
    let (sandbox, arguments) = sandbox(WORK);
    std::fs::write(
        sandbox.path().join("policy.toml"),
        "push = \"origin\"\nmax_session = 2\n",
    )
    .expect("writes");
    let output = run(&sandbox, &arguments, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("policy.toml: line 2: unknown field `max_session`"),
        "{}",
        text(&output.stderr)
    );
    let output = supervise(
        sandbox.path(),
        &["run", "--repo", "/", "--roadmap", "ROADMAP.md"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("it is no git repository"),
        "{}",
        text(&output.stderr)
    );
    let output = supervise(sandbox.path(), &["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!sandbox.state().exists());
}

#[test]
fn a_question_is_shown_with_its_brief_and_answered_from_another_process() {
    let (sandbox, arguments) = sandbox("handoff blocked ',\"reason\":\"which tray?\"'");
    let output = run(&sandbox, &arguments, &[]);
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{said}{}",
        text(&output.stderr)
    );
    for line in [
        "H1 asks about A (First):",
        "  Why now: the worker gave the task back",
        "supervise answer H1 retry|park",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let (repo, state) = (
        sandbox.repo().to_string_lossy().into_owned(),
        sandbox.state().to_string_lossy().into_owned(),
    );
    let call = |words: &[&str]| {
        let all = [words, &["--repo", &repo, "--state-dir", &state]].concat();
        let output = supervise(sandbox.path(), &all);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    assert!(call(&["status"]).1.contains("which tray?"));
    let refused: [(&[&str], &str); 6] = [
        (
            &["answer", "H1", "H2", "approve"],
            "is said of one question at a time",
        ),
        (
            &["answer", "H1", "H2", "park"],
            "supervise: H2: there is no such hold; open are: H1",
        ),
        (
            &["answer", "H1", "approve"],
            "supervise: H1: `approve` is not among its options: retry, park",
        ),
        (
            &["answer", "H9", "park"],
            "supervise: H9: there is no such hold; open are: H1",
        ),
        (
            &["answer", "9", "park"],
            "`9` is no hold: write one that is open, such as `H1`",
        ),
        (
            &["answer", "H1", "maybe"],
            "`maybe` is no answer: approve, observed, done, retry, adopt or park",
        ),
    ];
    for (words, why) in refused {
        let (code, said) = call(words);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(
        call(&["answer", "H1", "park", "--note", "not now"]).0,
        Some(0)
    );
    let output = run(&sandbox, &arguments, &[]);
    assert!(
        text(&output.stdout).contains("- A (parked): parked by a person: not now"),
        "{}",
        text(&output.stdout)
    );
    let (code, said) = call(&["answer", "H1", "park"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("H1: A is parked: `retry` takes it up again"),
        "{said}"
    );
    assert_eq!(
        call(&["answer", "H1", "retry", "--note", "the second tray"]).0,
        Some(0)
    );
    let output = run(&sandbox, &arguments, &[]);
    assert!(
        text(&output.stdout).contains("H2 asks about A (First):"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn of_gits_variables_those_that_name_a_person_count_and_those_that_name_a_repository_do_not() {
    let (sandbox, arguments) = sandbox(WORK);
    for key in ["user.name", "user.email"] {
        git(&sandbox.repo(), &["config", "--unset-all", key]);
    }
    let config = sandbox.path().join("person");
    std::fs::write(&config, "[user]\n\tname = Ada\n\temail = ada@example.org\n").expect("writes");
    let plan = |config: &Path| {
        let mut command = Command::new(binary());
        command
            .arg("run")
            .args(&arguments)
            .arg("--plan")
            .env("GIT_CONFIG_GLOBAL", config)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("GIT_DIR", "/nowhere")
            .env("GIT_INDEX_FILE", "/nowhere/index")
            .current_dir(sandbox.path());
        let output = command.output().expect("supervise was built");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(plan(&config), (Some(0), String::new()));
    let (code, said) = plan(Path::new("/dev/null"));
    assert!(
        code == Some(2) && said.contains("git does not know who you are"),
        "{said}"
    );
}

#[test]
fn inside_an_agents_environment_it_refuses_to_run() {
    let (_sandbox, arguments) = sandbox(WORK);
    let mut command = Command::new(binary());
    let output = command
        .arg("run")
        .args(&arguments)
        .env("ORCHESTRATOR_TASK", "R1")
        .output()
        .expect("supervise was built");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("agents start no agents"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn who_commits_how_it_is_signed_and_filters_come_from_the_global_configuration() {
    let (sandbox, arguments) = sandbox(&format!("git config filter.case.clean; {WORK}"));
    sandbox.publish(&[(".gitattributes", "*.txt filter=case\n")], "filtered");
    for key in ["user.name", "user.email", "commit.gpgSign"] {
        git(&sandbox.repo(), &["config", "--unset", key]);
    }
    let gpg = sandbox.path().join("gpg");
    let script = "#!/bin/sh\ncat > /dev/null\nprintf '\\n[GNUPG:] SIG_CREATED \\n' >&2\n\
        printf -- '-----BEGIN PGP SIGNATURE-----\\nsigned\\n-----END PGP SIGNATURE-----\\n'\n";
    std::fs::write(&gpg, script).expect("writes");
    std::fs::set_permissions(&gpg, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("sets the mode");
    let global = sandbox.path().join("global");
    let signing = format!(
        "[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = {}\n",
        gpg.display()
    );
    let run = |configuration: &str| {
        std::fs::write(&global, configuration).expect("writes");
        let mut command = Command::new(binary());
        command
            .arg("run")
            .args(&arguments)
            .env("GIT_CONFIG_GLOBAL", &global)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .current_dir(sandbox.path())
            .output()
            .expect("supervise was built")
    };
    let output = run(&signing);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("git does not know who you are"),
        "{}",
        text(&output.stderr)
    );
    let filter = "[filter \"case\"]\n\tclean = tr A-Z a-z\n\tsmudge = tr a-z A-Z\n";
    let output = run(&format!(
        "[user]\n\tname = Ada\n\temail = ada@example.org\n{signing}{filter}"
    ));
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let landed = git(&sandbox.remote(), &["cat-file", "commit", "main"]);
    assert!(
        landed.contains("committer Ada <ada@example.org>")
            && landed.contains("BEGIN PGP SIGNATURE"),
        "{landed}"
    );
    assert_eq!(
        (sandbox.remote_file("A.txt"), sandbox.remote_file("B.txt")),
        ("a".to_owned(), "b".to_owned())
    );
    let worker = git(&sandbox.remote(), &["cat-file", "commit", "main^2"]);
    assert!(
        worker.contains("author Ada") && !worker.contains("PGP"),
        "a worker signs nothing: {worker}"
    );
}

#[test]
fn told_to_end_it_stops_its_agents_and_goes_on_later() {
    let (sandbox, arguments) = sandbox(&format!("{WORK}; setsid sleep 1000 & sleep 1000"));
    let mut command = Command::new(binary());
    command
        .arg("run")
        .args(&arguments)
        .current_dir(sandbox.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("supervise was built");
    let lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
    let ready = lines
        .map_while(Result::ok)
        .find(|line| line.contains("turn 1 runs"));
    assert!(ready.is_some(), "an agent was started");
    // The agent's own children are found by the marker in their environment, wherever they went.
    let tree = sandbox
        .state()
        .canonicalize()
        .expect("is there")
        .join("attempts/A-1/tree");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !tree.join("A.txt").exists() {
        assert!(Instant::now() < deadline, "the agent does something");
        std::thread::yield_now();
    }
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .expect("kill can be run")
            .success()
    );
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(
        text(&output.stdout).contains("The run ended: stopped."),
        "{}",
        text(&output.stdout)
    );
    let processes = std::fs::read_dir("/proc").expect("is there").flatten();
    let left = processes
        .filter(|entry| {
            std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&tree))
        })
        .count();
    assert_eq!(left, 0, "no process of the agent lives");
}

/// Whether a process works in this directory, or beneath it.
fn works_in(tree: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").expect("is there").flatten();
    let mut places =
        processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    places.any(|cwd| cwd.starts_with(tree))
}

/// A run whose agent has begun to work and does not end, started by `env` with these options; what it complains is read no more.
fn begun(env: &[&str]) -> (Sandbox, PathBuf, Child) {
    let (sandbox, arguments) = sandbox(&format!("{WORK}; setsid sleep 1000 & sleep 1000"));
    let mut command = Command::new("env");
    command
        .args(env)
        .arg(binary())
        .arg("run")
        .args(&arguments)
        .current_dir(sandbox.path());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("env can be run");
    let lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line.contains("turn 1 runs")),
        "an agent was started"
    );
    let tree = sandbox
        .state()
        .canonicalize()
        .expect("is there")
        .join("attempts/A-1/tree");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !tree.join("A.txt").exists() {
        assert!(Instant::now() < deadline, "the agent does something");
        std::thread::yield_now();
    }
    (sandbox, tree, child)
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status()
            .expect("kill can be run")
            .success()
    );
}

/// The terminal was closed, or the connection lost: nobody reads what it prints, and it stops in order all the same.
#[test]
fn hung_up_on_it_stops_its_agents_before_it_ends() {
    for name in ["HUP", "QUIT", "INT"] {
        let (_sandbox, tree, mut child) = begun(&["--default-signal=HUP,QUIT"]);
        drop(child.stdout.take());
        assert!(works_in(&tree));
        signal(&child, name);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(3), "{name}");
        assert!(!works_in(&tree), "{name}: no process of the agent lives");
    }
}

#[test]
fn under_nohup_it_goes_on_when_it_is_hung_up_on() {
    let (sandbox, _tree, mut child) = begun(&["--ignore-signal=HUP"]);
    signal(&child, "HUP");
    // Whatever comes first is handled first: it would have been stopped by now.
    let state = sandbox.state().to_string_lossy().into_owned();
    let repo = sandbox.repo().to_string_lossy().into_owned();
    let drain = supervise(
        sandbox.path(),
        &["drain", "--repo", &repo, "--state-dir", &state],
    );
    assert!(drain.status.success(), "{}", text(&drain.stderr));
    let deadline = Instant::now() + Duration::from_secs(60);
    let drained = || {
        text(
            &supervise(
                sandbox.path(),
                &["status", "--repo", &repo, "--state-dir", &state],
            )
            .stdout,
        )
    };
    while !drained().starts_with("mode: drain; the run goes on") {
        assert!(Instant::now() < deadline, "it goes on: {}", drained());
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}

/// What a command says, and its exit status, whose standard output is this.
fn printed_to(sandbox: &Sandbox, words: &str, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command
        .args(words.split(' '))
        .arg("--repo")
        .arg(sandbox.repo())
        .arg("--state-dir")
        .arg(sandbox.state());
    let child = command
        .current_dir(sandbox.path())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn();
    let output = child
        .expect("supervise was built")
        .wait_with_output()
        .expect("it ends");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_reader_that_has_had_enough_ends_a_command_quietly_and_a_full_disk_is_told() {
    let (sandbox, arguments) = sandbox("case $ORCHESTRATOR_TASK in A) echo no >&2; exit 7 ;; esac");
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let mut command = Command::new(binary());
    command
        .arg("run")
        .args(&arguments)
        .current_dir(sandbox.path())
        .stdout(closed())
        .stderr(closed());
    assert_eq!(
        command.status().expect("supervise was built").code(),
        Some(3),
        "how a run ended is told all the same"
    );
    let commands = [
        "status",
        "status --json",
        "report",
        "report --json",
        "export A",
        "export A --json",
        "verify",
        "drain",
    ];
    for help in ["--help", "--version"] {
        let mut command = Command::new(binary());
        command.arg(help).stdout(closed());
        assert_eq!(
            command.status().expect("supervise was built").code(),
            Some(141),
            "{help}"
        );
    }
    for words in commands {
        assert_eq!(
            printed_to(&sandbox, words, closed()),
            (Some(141), String::new()),
            "{words}"
        );
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("can be opened");
        let (status, said) = printed_to(&sandbox, words, full);
        assert_eq!(status, Some(1), "{words}: {said}");
        assert!(
            said.starts_with("supervise: standard output could not be written: No space left"),
            "{words}: {said}"
        );
    }
}

#[test]
fn embed_lands_its_one_task() {
    let sandbox = Sandbox::new();
    let worker = shell_worker(
        sandbox.path(),
        "worker",
        "printf '# Changelog\\n\\n## Unreleased\\n' > CHANGELOG.md; commit work; handoff done",
    );
    let mut command = Command::new(example("embed"));
    let output = command
        .arg(sandbox.repo())
        .args(worker)
        .env("XDG_STATE_HOME", sandbox.state())
        .output()
        .expect("embed was built");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).starts_with("complete\n"),
        "{}",
        text(&output.stdout)
    );
    assert!(sandbox.repo().join("CHANGELOG.md").exists());
}

/// What stands in the supervisor's environment reaches neither worker nor gate by itself, and cannot be fetched from `/proc`, and so is in
/// nothing that is kept. As root everything could be read: then another user runs it.
#[test]
fn a_secret_in_our_environment_reaches_nobody() {
    const SECRET: &str = "canary-52a1f3";
    let script =
        "cat > ../../../../prompt; env > ../../../../environment; tr '\\0' '\\n' < /proc/$PPID/environ > ../../../../parent || true
        PROBE=of-the-same-user sleep 1000 &
        until tr '\\0' '\\n' < /proc/$!/environ | grep -q of-the-same-user; do :; done; echo yes > ../../../../probe; kill $!";
    let (sandbox, arguments) = sandbox(&format!("{script}\n{WORK}"));
    let gate = "push = \"origin\"\n[gates.env]\nrun = [\"sh\", \"-c\", \"env; env | grep -q ^PATH= && ! env | grep DEPLOY_KEY\"]\ndefault = true\n";
    std::fs::write(sandbox.path().join("policy.toml"), gate).expect("writes");
    let own = sandbox.path().join("supervise");
    std::fs::copy(binary(), &own).expect("copies");
    let (program, mut before) = (own.to_string_lossy().into_owned(), Vec::new());
    let user = Command::new("id").arg("-u").output().expect("runs");
    if text(&user.stdout).trim() == "0" {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned);
        before.extend(["setpriv".to_owned()].into_iter().chain(nobody));
        let status = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(sandbox.path())
            .status()
            .expect("runs");
        assert!(status.success());
    }
    before.push(program);
    let mut command = Command::new(&before[0]);
    command
        .args(&before[1..])
        .arg("run")
        .args(&arguments)
        .current_dir(sandbox.path());
    let output = command
        .env("DEPLOY_KEY", SECRET)
        .env("HOME", sandbox.path())
        .output()
        .expect("runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let read = |name: &str| std::fs::read(sandbox.path().join(name)).unwrap_or_default();
    assert_eq!(
        text(&read("probe")),
        "yes\n",
        "of the same user without the switch, it can be read"
    );
    assert_eq!(text(&read("parent")), "", "with it, not");
    assert!(
        text(&read("environment")).contains("ORCHESTRATOR_TASK=")
            && text(&read("prompt")).contains("handoff")
    );
    let mut left = vec![sandbox.path().to_path_buf()];
    let mut looked_at = 0;
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("reads").flatten() {
            if entry.file_type().expect("is there").is_dir() {
                left.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                looked_at += 1;
                let found = bytes
                    .windows(SECRET.len())
                    .any(|window| window == SECRET.as_bytes());
                assert!(!found, "{}", entry.path().display());
            }
        }
    }
    assert!(looked_at > 20, "ledger, evidence, objects: {looked_at}");
    assert!(!(text(&output.stdout) + &text(&output.stderr)).contains(SECRET));
}

/// The figure is for 1 GiB: `FLOOD=1073741824`.
#[test]
fn a_flood_costs_little_memory_and_its_head_and_tail_are_kept() {
    let size: u64 =
        std::env::var("FLOOD").map_or(64 << 20, |size| size.parse().expect("a number of bytes"));
    // Half of it in lines, a quarter without any, a quarter as complaints; and what we take of memory before and after.
    let peak = |name: &str| format!("grep VmHWM /proc/$PPID/status >> ../../../../{name}");
    let script = format!(
        "[ $ORCHESTRATOR_TASK = A ] || {{ {WORK}; exit; }}
        {}; echo the beginning; yes $(seq 30 | tr -d '\\n') | head -c {}; echo; head -c {} /dev/zero; echo; head -c {2} /dev/zero >&2; echo the end
        {}; {WORK}",
        peak("before"),
        size / 2,
        size / 4,
        peak("after"),
    );
    let (sandbox, arguments) = sandbox(&script);
    let output = run(&sandbox, &arguments, &[]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let peak = |name: &str| -> u64 {
        let said = std::fs::read_to_string(sandbox.path().join(name)).expect("was written");
        said.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    };
    let more = peak("after") - peak("before");
    println!("{} MiB of output cost {more} KiB of memory", size >> 20);
    assert!(more <= 32 << 10, "{more} KiB more");
    let kept = Command::new("grep")
        .args(["-rlE", "^the (beginning|end)$"])
        .arg(sandbox.state().join("evidence"))
        .output();
    let kept = text(&kept.expect("grep can be run").stdout);
    assert_eq!(kept.lines().count(), 1, "one recording, with both: {kept}");
}

/// What orphans leave in the process table of a container is taken away, and nothing that its agents have left is waited for.
#[test]
fn as_process_1_it_waits_for_orphans_and_ends_when_its_run_has() {
    let namespace = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let possible = Command::new("unshare").args(namespace).arg("true").output();
    if !possible
        .as_ref()
        .is_ok_and(|output| output.status.success())
    {
        println!("ignored: a pid namespace cannot be made here: {possible:?}");
        return;
    }
    // An orphan that ends at once, and one that does not, in the agent's own group.
    let script = format!(
        "sh -c 'sh -c \"echo \\$\\$ > ../../../../orphan; exit 0\" & exit'
        until [ -s ../../../../orphan ]; do :; done
        until ! [ -e /proc/$(cat ../../../../orphan) ]; do :; done
        echo $(cat /proc/1/comm) $PPID > ../../../../seen
        sleep 1000 & {WORK}"
    );
    let (sandbox, arguments) = sandbox(&script);
    let mut command = Command::new("timeout");
    command
        .args(["-s", "KILL", "120", "unshare"])
        .args(namespace)
        .arg(binary())
        .arg("run")
        .args(&arguments);
    let output = command
        .current_dir(sandbox.path())
        .output()
        .expect("timeout can be run");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let seen =
        std::fs::read_to_string(sandbox.path().join("seen")).expect("the orphan was waited for");
    assert!(
        seen.starts_with("supervise ") && !seen.trim().ends_with(" 1"),
        "{seen}"
    );
}
