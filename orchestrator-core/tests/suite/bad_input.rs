//! What a newcomer gets wrong, and what is said about it: each message is part of a snapshot, to be read as a page. Nothing is
//! started on account of any of it.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::Path};

use orchestrator_core::{
    agent::AgentKinds,
    driver::{Command, Inbox, Notice, Orchestrator, OrchestratorBuilder},
    model::{Effect, HoldOption, Policy, Record},
};
use orchestrator_testkit::{Sandbox, git, git_binaries, run_checked, shell_worker};

use crate::common::{self, Live, WORK, answer, builder, ends, make_fifo, policy, roadmap, sandbox};

/// Why an orchestrator cannot be built, with all causes; paths and ids that differ from run to run have names instead.
async fn refused(sandbox: &Sandbox, builder: OrchestratorBuilder) -> String {
    refused_at(sandbox, &sandbox.repo(), builder.state_dir(sandbox.state())).await
}

async fn refused_at(sandbox: &Sandbox, repository: &Path, builder: OrchestratorBuilder) -> String {
    let builder = builder
        .repository(repository)
        .roadmap("ROADMAP.md".parse().expect("a path"));
    let error = builder.build().await.expect_err("is refused");
    assert!(
        !sandbox.state().join("attempts").exists(),
        "nothing was started"
    );
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let _ = write!(text, "\n  because: {error}");
        cause = error.source();
    }
    let tip = git(&sandbox.remote(), &["rev-parse", "--short=12", "main"]);
    text.replace(
        &sandbox
            .path()
            .canonicalize()
            .expect("is there")
            .display()
            .to_string(),
        "DIR",
    )
    .replace(&tip, "TIP")
}

/// A page of cases, each with what was said.
#[derive(Default)]
struct Page(String);

impl Page {
    fn add(&mut self, case: &str, said: &str) {
        let _ = write!(self.0, "# {case}\n{}\n\n", said.trim_end());
    }
}

#[tokio::test]
async fn repositories() {
    let mut page = Page::default();
    let good = || sandbox(&[("A", "")]);
    let local =
        |sandbox: &Sandbox, more: &str| builder(sandbox, WORK, &format!("push = false\n{more}"));

    let other = good();
    fs::create_dir(other.path().join("plain")).expect("makes");
    page.add(
        "a directory that is no repository",
        &refused_at(&other, &other.path().join("plain"), local(&other, "")).await,
    );
    page.add(
        "a directory that is not there",
        &refused_at(&other, &other.path().join("nowhere"), local(&other, "")).await,
    );
    git(
        other.path(),
        &["init", "-q", "--initial-branch=main", "empty"],
    );
    page.add(
        "no commits",
        &refused_at(&other, &other.path().join("empty"), local(&other, "")).await,
    );
    page.add(
        "a target that is not there",
        &refused(&other, local(&other, "target = \"release\"")).await,
    );
    page.add(
        "a target that the remote does not have",
        &refused(&other, builder(&other, WORK, "target = \"release\"")).await,
    );
    page.add(
        "a remote that is not there",
        &refused(&other, builder(&other, WORK, "push = \"upstream\"")).await,
    );
    git(
        &other.repo(),
        &["remote", "add", "away", "/nowhere/remote.git"],
    );
    let away = refused(&other, builder(&other, WORK, "push = \"away\"")).await;
    page.add(
        "a remote that cannot be reached",
        away.lines().next().unwrap_or_default(),
    );
    git(&other.repo(), &["checkout", "-q", "--detach"]);
    page.add(
        "a detached HEAD and no target",
        &refused(&other, local(&other, "")).await,
    );

    for (case, arguments) in [
        ("a shallow clone", "--depth=1"),
        ("a partial clone", "--filter=blob:none"),
    ] {
        let source = good();
        git(
            &source.remote(),
            &["config", "uploadpack.allowFilter", "true"],
        );
        let url = format!("file://{}", source.remote().display());
        git(source.path(), &["clone", "-q", arguments, &url, "part"]);
        let part = source.path().join("part");
        for (key, value) in [("user.name", "Test"), ("user.email", "test@example.org")] {
            git(&part, &["config", key, value]);
        }
        page.add(
            &format!("{case}, landing in it"),
            &refused_at(&source, &part, local(&source, "").state_dir(source.state())).await,
        );
        // Its remote is whole, and that is where everything is taken from when it is pushed to.
        let fine = builder(&source, WORK, "")
            .repository(&part)
            .state_dir(source.state());
        fine.roadmap("ROADMAP.md".parse().expect("a path"))
            .build()
            .await
            .expect("can be worked on");
    }
    insta::assert_snapshot!(page.0);
}

#[tokio::test]
async fn kinds_of_repository_that_work() {
    // A sparse checkout, with a sparse index, lands and is fast-forwarded like any other.
    let sparse = Sandbox::new();
    sparse.commit(
        &[
            ("ROADMAP.md", &roadmap(&[("A", "")])),
            ("far/away/file", "x"),
            ("near/file", "y"),
        ],
        "roadmap",
    );
    git(
        &sparse.repo(),
        &["sparse-checkout", "set", "--cone", "--sparse-index", "near"],
    );
    let outcome = run_checked(&sparse, builder(&sparse, WORK, "push = false")).await;
    assert!(
        outcome.report.snapshot.all_landed(),
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(sparse.repo().join("A.txt").exists() && !sparse.repo().join("far").exists());
    // Reftable works with a git that knows it, and an older one says so. Where there is only an older one, there can be none.
    let reftable = sandbox(&[("A", "")]);
    let mut gits: Vec<_> = git_binaries()
        .into_iter()
        .map(|binary| (git_version(&binary), binary))
        .collect();
    gits.sort();
    let newest = gits.last().expect("there is a git");
    let clone = std::process::Command::new(&newest.1)
        .args([
            "clone",
            "-q",
            "--ref-format=reftable",
            "remote.git",
            "tables",
        ])
        .current_dir(reftable.path())
        .output();
    let tables = reftable.path().join("tables");
    assert_eq!(
        clone.expect("git can be run").status.success(),
        newest.0 >= (2, 45)
    );
    for (version, binary) in gits.iter().filter(|_| newest.0 >= (2, 45)) {
        let config = |key: &str, value: &str| {
            let set = std::process::Command::new(&newest.1)
                .args(["config", key, value])
                .current_dir(&tables)
                .status();
            assert!(set.expect("git can be run").success());
        };
        config("user.name", "Test");
        config("user.email", "test@example.org");
        let state = reftable
            .path()
            .join(format!("state-{}-{}", version.0, version.1));
        let builder = builder(&reftable, WORK, "push = false")
            .git(binary)
            .repository(&tables)
            .state_dir(state);
        match builder
            .roadmap("ROADMAP.md".parse().expect("a path"))
            .build()
            .await
        {
            Ok(orchestrator) => {
                assert!(*version >= (2, 45), "git {version:?} cannot read reftables");
                let report = orchestrator.run().await.expect("runs");
                assert!(report.snapshot.all_landed(), "{:#?}", report.snapshot);
            }
            Err(error) => {
                assert!(*version < (2, 45), "git {version:?}: {error}");
                assert!(
                    error.to_string().contains("unknown repository extension"),
                    "{error}"
                );
            }
        }
    }
}

fn git_version(binary: &Path) -> (u32, u32) {
    let output = std::process::Command::new(binary)
        .arg("version")
        .output()
        .expect("git can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split([' ', '.']).filter_map(|word| word.parse().ok());
    (
        numbers.next().expect("a version"),
        numbers.next().expect("a version"),
    )
}

#[tokio::test]
async fn gits_state_directories_and_second_orchestrators() {
    let mut page = Page::default();
    let sandbox = sandbox(&[("A", "")]);
    let fresh = || builder(&sandbox, WORK, "");
    let old = sandbox.path().join("old-git");
    fs::write(&old, "#!/bin/sh\necho git version 2.39.3\n").expect("writes");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("sets the mode");
    page.add(
        "a git that is too old",
        &refused(&sandbox, fresh().git(&old)).await,
    );
    page.add(
        "a git that is not there",
        &refused(&sandbox, fresh().git("/no/such/git")).await,
    );

    let inside = sandbox.repo().join("state");
    page.add(
        "a state directory in the checkout",
        &refused_at(&sandbox, &sandbox.repo(), fresh().state_dir(&inside)).await,
    );
    let file = sandbox.path().join("file");
    fs::write(&file, "").expect("writes");
    page.add(
        "a state directory that is a file",
        &refused_at(&sandbox, &sandbox.repo(), fresh().state_dir(&file)).await,
    );

    let ours = fresh()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"));
    let first = ours.build().await.expect("begins");
    let elsewhere = sandbox.path().join("elsewhere");
    page.add(
        "a second orchestrator on the repository",
        &refused_at(&sandbox, &sandbox.repo(), fresh().state_dir(&elsewhere)).await,
    );
    assert!(!elsewhere.exists(), "it has left nothing");
    git(sandbox.path(), &["clone", "-q", "remote.git", "clone"]);
    git(
        &sandbox.path().join("clone"),
        &["config", "user.name", "Test"],
    );
    git(
        &sandbox.path().join("clone"),
        &["config", "user.email", "test@example.org"],
    );
    let second = refused_at(
        &sandbox,
        &sandbox.path().join("clone"),
        fresh().state_dir(sandbox.state()),
    )
    .await;
    page.add("a second orchestrator on the state directory", &second);
    // To say what would happen is no second orchestrator.
    let plan = fresh()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"));
    assert_eq!(
        plan.plan().await.expect("plans")[0].what,
        "starts now, with worker"
    );
    drop(first);
    insta::assert_snapshot!(page.0);
}

#[tokio::test]
async fn roadmaps() {
    let contract = |toml: &str| {
        format!(
            "- [ ] **A** First\n  ```toml\n  {}\n  ```\n",
            toml.replace('\n', "\n  ")
        )
    };
    let cases = [
        ("no task", "# Plans\n\n- write things\n".to_owned()),
        (
            "a checkbox without an id",
            "# Plans\n\n- [ ] write things\n".to_owned(),
        ),
        ("an id that is none", "- [ ] **a/b** Title\n".to_owned()),
        ("an id without a title", "- [ ] **A**\n".to_owned()),
        (
            "one id twice",
            "- [ ] **A** One\n- [ ] **A** Other\n".to_owned(),
        ),
        (
            "a package without a name",
            "## Package:\n\n- [ ] **A** One\n".to_owned(),
        ),
        (
            "an unknown key",
            contract("allow = [\"a\"]\nalow = [\"b\"]"),
        ),
        ("TOML that is none", contract("allow = [\"a\"")),
        ("a value of the wrong kind", contract("allow = \"src/**\"")),
        (
            "a pattern that is none",
            contract("allow = [\"src/**.rs\"]"),
        ),
        ("a pattern from the root", contract("allow = [\"/src\"]")),
        (
            "a pattern that leaves the repository",
            contract("allow = [\"../other\"]"),
        ),
        ("no allowed path at all", contract("allow = []")),
        (
            "two contracts",
            contract("allow = [\"a\"]") + "  ```toml\n  allow = [\"b\"]\n  ```\n",
        ),
        ("an unknown dependency", contract("after = [\"B\"]")),
        ("a task that waits for itself", contract("after = [\"A\"]")),
        (
            "a cycle",
            "- [ ] **B** B\n  ```toml\n  after = [\"A\"]\n  ```\n".to_owned()
                + &contract("after = [\"B\"]"),
        ),
        (
            "a gate that the policy lacks",
            contract("gates = [\"unit\"]"),
        ),
        ("an agent that is not there", contract("agent = \"codex\"")),
        (
            "a claim twice",
            contract("claims = [{ id = \"c\", text = \"t\" }, { id = \"c\", text = \"u\" }]"),
        ),
        (
            "a claim without a text",
            contract("claims = [{ id = \"c\" }]"),
        ),
        (
            "an approval that is none",
            contract("approve = [\"merging\"]"),
        ),
        (
            "an artifact that is elsewhere",
            contract("artifacts = [\"../x\"]"),
        ),
        ("a budget of nothing", contract("budget = { attempts = 0 }")),
        (
            "a time that is none",
            contract("budget = { wall = \"soon\" }"),
        ),
        (
            "several faults at once",
            contract("after = [\"X\"]\ngates = [\"unit\"]") + "- [ ] **A** Again\n",
        ),
    ];
    let mut page = Page::default();
    let sandbox = Sandbox::new();
    page.add(
        "no roadmap",
        &refused(&sandbox, builder(&sandbox, WORK, "")).await,
    );
    for (case, text) in cases {
        sandbox.publish(&[("ROADMAP.md", &text)], case);
        page.add(case, &refused(&sandbox, builder(&sandbox, WORK, "")).await);
    }
    fs::write(
        sandbox.repo().join("ROADMAP.md"),
        b"- [ ] **A** One\n\xff\xfe\n",
    )
    .expect("writes");
    sandbox.publish(&[], "not UTF-8");
    page.add(
        "not UTF-8",
        &refused(&sandbox, builder(&sandbox, WORK, "")).await,
    );
    insta::assert_snapshot!(page.0);
}

#[tokio::test]
async fn policies() {
    let cases = [
        ("TOML that is none", "max_sessions ="),
        ("an unknown key", "\nmax_session = 3"),
        ("an unknown key of a table", "[limits]\nattempt = 3"),
        ("no sessions", "max_sessions = 0"),
        ("no attempts", "[limits]\nattempts = 0"),
        ("a turn of no time", "[limits]\nturn = \"0s\""),
        ("a time without a unit", "[limits]\nturn = \"10\""),
        ("push without a remote", "push = true"),
        ("a target that is no branch", "target = \"a..b\""),
        ("an agent of unknown kind", "[agents.x]\nkind = \"robot\""),
        (
            "a key that a kind does not have",
            "[agents.x]\nkind = \"command\"\nrun = [\"x\"]\nmodel = \"m\"",
        ),
        (
            "a key of a kind with a value of another type",
            "[agents.x]\nkind = \"command\"\nrun = \"./agent.sh\"",
        ),
        (
            "a kind without a key that it needs",
            "max_sessions = 1\n[agents.x]\nkind = \"command\"",
        ),
        (
            "an agent with a variable that is not set",
            "[agents.x]\nkind = \"command\"\nrun = [\"x\"]\nenv = [\"NO_SUCH_VARIABLE\"]",
        ),
        (
            "an agent without a program",
            "[agents.x]\nkind = \"command\"\nrun = []",
        ),
        (
            "a default agent that is not there",
            "default_agent = \"b\"\n[agents.a]\nkind = \"codex\"",
        ),
        ("a gate without a program", "[gates.unit]\nrun = []"),
        (
            "a gate as a shell line",
            "[gates.unit]\nrun = \"cargo test\"",
        ),
        (
            "a gate of no time",
            "[gates.unit]\nrun = [\"true\"]\ntimeout = \"0s\"",
        ),
        (
            "a gate's cache that is elsewhere",
            "[gates.unit]\nrun = [\"true\"]\ncache = [\"/target\"]",
        ),
        ("a set-up command without a program", "[setup]\nrun = [[]]"),
        (
            "something to bring from elsewhere",
            "[setup]\nbring = [\"../secret\"]",
        ),
    ];
    let mut page = Page::default();
    for (case, text) in cases {
        let kinds = AgentKinds::new();
        let checked = Policy::parse(text).and_then(|policy| kinds.check(&policy));
        page.add(case, &checked.expect_err(case).to_string());
    }
    let sandbox = sandbox(&[("A", "")]);
    sandbox.write(&[("ignored.conf", "x")]);
    page.add(
        "no agent",
        &refused(&sandbox, Orchestrator::builder()).await,
    );
    let codex = Policy::parse("[agents.a]\nkind = \"codex\"").expect("a valid policy");
    page.add(
        "an agent of a kind that nobody gave",
        &refused(&sandbox, Orchestrator::builder().policy(codex)).await,
    );
    for program in ["/no/such/program", "no-such-program"] {
        let policy = policy(&[program.to_owned()], "");
        page.add(
            &format!("an agent's program: {program}"),
            &refused(&sandbox, Orchestrator::builder().policy(policy)).await,
        );
    }
    let two = "[agents.a]\nkind = \"command\"\nrun = [\"sh\"]\n[agents.b]\nkind = \"command\"\nrun = [\"sh\"]";
    let two = Policy::parse(two).expect("a valid policy");
    page.add(
        "two agents and no default",
        &refused(&sandbox, Orchestrator::builder().policy(two)).await,
    );
    for bring in [".env", "README.md"] {
        let said = refused(
            &sandbox,
            builder(&sandbox, WORK, &format!("[setup]\nbring = [\"{bring}\"]")),
        )
        .await;
        page.add(&format!("set-up that brings {bring}"), &said);
    }
    insta::assert_snapshot!(page.0);
}

#[tokio::test]
async fn handoffs() {
    let cases = [
        ("none", "true"),
        ("an empty one", ": > $H"),
        ("not JSON", "echo done > $H"),
        ("too large", "head -c 1100000 /dev/zero | tr '\\0' ' ' > $H"),
        ("too deep", "head -c 200000 /dev/zero | tr '\\0' '[' > $H"),
        (
            "a key twice",
            "echo '{\"version\":1,\"task\":\"A\",\"attempt\":1,\"status\":\"failed\",\"status\":\"done\"}' > $H",
        ),
        (
            "an unknown key",
            "echo '{\"version\":1,\"task\":\"A\",\"attempt\":1,\"status\":\"done\",\"verdict\":\"accept\"}' > $H",
        ),
        (
            "an unknown status",
            "echo '{\"version\":1,\"task\":\"A\",\"attempt\":1,\"status\":\"perfect\"}' > $H",
        ),
        (
            "another version",
            "echo '{\"version\":2,\"task\":\"A\",\"attempt\":1,\"status\":\"done\"}' > $H",
        ),
        ("a link", "ln -s /etc/hostname $H"),
        ("a pipe", "mkfifo $H"),
        (
            "for another task and attempt",
            "echo '{\"version\":1,\"task\":\"B\",\"attempt\":7,\"status\":\"done\"}' > $H",
        ),
        (
            "lying about its commit",
            "handoff done ',\"commit\":\"0123456789012345678901234567890123456789\"'",
        ),
        (
            "lying about its branch",
            "handoff done ',\"branch\":\"main\"'",
        ),
        (
            "lying about its files",
            "handoff done ',\"changed_files\":[\"A.txt\",\"B.txt\"]'",
        ),
        (
            "silent about a file",
            "handoff done ',\"changed_files\":[]'",
        ),
        (
            "a label as if it were a fact",
            "handoff done ',\"evidence\":[{\"claim\":\"c\",\"label\":\"certain\"}]'",
        ),
    ];
    let mut page = Page::default();
    for (case, script) in cases {
        let sandbox = sandbox(&[("A", "")]);
        let script = script.replace("$H", "\"$ORCHESTRATOR_HANDOFF\"");
        let script = format!(
            "if [ $ORCHESTRATOR_TURN != 1 ]; then exit; fi; echo a > A.txt; commit c; {script}"
        );
        let worker = shell_worker(sandbox.path(), "worker", &script);
        let mut policy = policy(&worker, "");
        (policy.limits.turns, policy.limits.attempts) = (1, 1);
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        let asked = outcome.records().filter_map(|record| match record {
            Record::RepairAsked { why, .. } => Some(format!("asked for again: {why}")),
            _ => None,
        });
        let mut said: Vec<_> = asked
            .chain(
                ends(&outcome)
                    .into_iter()
                    .map(|why| format!("ended: {why}")),
            )
            .collect();
        if let Some(hold) = &outcome.task("A").hold {
            said.push(format!("a person is asked: {}", hold.question));
        }
        let head = outcome.records().find_map(|record| match record {
            Record::Submitted { submission, .. } => Some(submission.head.to_string()),
            _ => None,
        });
        page.add(
            case,
            &match head {
                Some(head) => said.join("\n").replace(&head, "HEAD"),
                None => said.join("\n"),
            },
        );
    }
    insta::assert_snapshot!(page.0);
}

#[tokio::test]
async fn answers() {
    let mut page = Page::default();
    let sandbox = sandbox(&[("A", "approve = [\"dispatch\"]")]);
    let inbox = Inbox::of(&sandbox.state());
    // The worker waits for the last answer: a run that is over reads no more of them.
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    let script = format!("cat '{}' > /dev/null; {WORK}", fifo.display());
    let mut live = Live::start(&sandbox, builder(&sandbox, &script, "").wait(true)).await;
    live.recorded(|record| matches!(record, Record::HoldOpened { .. }))
        .await;
    let refusal = |notice: &Notice| match notice {
        Notice::Recorded(entry) => match &entry.record {
            Record::AnswerRefused { answer, why } => Some(format!("{}: {why}", answer.hold)),
            _ => None,
        },
        Notice::Warning(warning) => Some(
            warning
                .split_once(".json: ")
                .map_or(warning.as_str(), |(_, why)| why)
                .to_owned(),
        ),
        _ => None,
    };
    for (case, hold, option) in [
        ("a hold that is unknown", 7, HoldOption::Approve),
        ("not among its options", 1, HoldOption::Retry),
    ] {
        inbox
            .post(&Command::Answer(answer(hold, option, None)))
            .expect("posts");
        page.add(case, &live.until(refusal).await);
    }
    let letters = [
        ("not JSON", "approve"),
        (
            "an unknown command",
            "{\"version\": 1, \"command\": {\"approve\": \"H1\"}}",
        ),
        ("another version", "{\"version\": 3, \"command\": \"stop\"}"),
        (
            "an answer that is none",
            "{\"version\": 1, \"command\": {\"answer\": {\"hold\": \"H1\", \"option\": \"maybe\"}}}",
        ),
        (
            "a hold that is none",
            "{\"version\": 1, \"command\": {\"answer\": {\"hold\": \"one\", \"option\": \"park\"}}}",
        ),
    ];
    for (case, text) in letters {
        fs::write(sandbox.state().join("inbox/.letter"), text).expect("writes");
        fs::rename(
            sandbox.state().join("inbox/.letter"),
            sandbox.state().join("inbox/letter.json"),
        )
        .expect("renames");
        page.add(case, &live.until(refusal).await);
    }
    assert!(
        live.handle
            .answer(answer(1, HoldOption::Approve, None))
            .await
    );
    live.recorded(|record| {
        matches!(
            record,
            Record::Requested {
                what: Effect::Prepare { .. },
                ..
            }
        )
    })
    .await;
    inbox
        .post(&Command::Answer(answer(1, HoldOption::Park, None)))
        .expect("posts");
    page.add("a hold that is closed", &live.until(refusal).await);
    common::let_go(&fifo).await;
    let outcome = live.end().await;
    assert!(
        outcome.report.snapshot.all_landed(),
        "{:#?}",
        outcome.report.snapshot
    );
    insta::assert_snapshot!(page.0);
}
