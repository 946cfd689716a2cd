//! What our children see of our environment: each what it needs, and none of them our secrets.
//!
//! The test is its own child: with `ENVIRONMENT_TOP` set it is an orchestrator, whose environment holds secrets.

use std::{fs, path::Path};

use orchestrator_core::{
    agent::CommandAgent,
    driver::Orchestrator,
    model::{EndReason, Policy},
};
use orchestrator_testkit::{Sandbox, git, shell_worker};

use crate::common::{self, program};

/// Ours alone, and an agent's: no git sees these.
const SECRETS: [(&str, &str); 4] = [
    ("ORCHESTRATOR_TOKEN", "secret-of-ours"),
    ("ANTHROPIC_API_KEY", "secret-of-a-model"),
    ("CLAUDE_CODE_OAUTH_TOKEN", "secret-of-a-login"),
    ("GATEWAY_TOKEN", "secret-of-an-agent"),
];

/// The person's: for what speaks to the remote, or signs.
const PRIVATE: [(&str, &str); 2] = [
    ("SSH_AUTH_SOCK", "private-socket"),
    ("AWS_SECRET", "private-key"),
];

/// Shell that writes down the line with which it was called, and what it sees.
fn tells(kind: &str, logs: &Path) -> String {
    format!(
        "{{ echo \"$*\"; env; }} > \"$(mktemp '{}/{kind}.XXXXXX')\"",
        logs.display()
    )
}

/// What a child was called with, and what it saw.
struct Seen {
    kind: String,
    call: String,
    environment: String,
}

impl Seen {
    fn has(&self, variable: &str) -> bool {
        self.environment
            .lines()
            .any(|line| line.starts_with(&format!("{variable}=")))
    }
}

fn seen(logs: &Path) -> Vec<Seen> {
    let files = fs::read_dir(logs)
        .expect("is there")
        .map(|entry| entry.expect("is there").path());
    let read = files.map(|path| {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("reads");
        let (call, environment) = text.split_once('\n').expect("two parts");
        let kind = name.split('.').next().unwrap_or_default().to_owned();
        Seen {
            kind,
            call: call.to_owned(),
            environment: environment.to_owned(),
        }
    });
    read.collect()
}

/// Runs an orchestrator in a process whose environment holds secrets, over one task.
fn run(sandbox: &Sandbox, push: &str) -> Vec<Seen> {
    let (top, logs) = (sandbox.path(), sandbox.path().join("logs"));
    fs::create_dir(&logs).expect("makes");
    program(
        &top.join("git"),
        &format!("{}\nexec git \"$@\"", tells("git", &logs)),
    );
    let filter = program(
        &top.join("filter"),
        &format!("{}\nexec cat", tells("filter", &logs)),
    );
    // What git takes for a signature.
    let signs = "cat > /dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\n\
                 printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'";
    let signer = program(
        &top.join("signer"),
        &format!("{}\n{signs}", tells("signer", &logs)),
    );
    for kind in ["gate", "setup", "notify"] {
        program(&top.join(kind), &tells(kind, &logs));
    }
    let config = format!(
        "[filter \"mark\"]\nclean = {0}\nsmudge = {0}\n[gpg]\nprogram = {1}\n",
        filter.display(),
        signer.display()
    );
    fs::write(top.join("gitconfig"), config).expect("writes");
    // Work that is not small is fetched.
    let work = "seq 300000 > A.txt; commit work; handoff done";
    let script = format!("{}\n{work}", tells("agent", &logs));
    fs::write(
        top.join("worker.json"),
        serde_json::to_vec(&shell_worker(top, "worker", &script)).expect("writes"),
    )
    .expect("writes");
    let roadmap = common::roadmap(&[("A", "")]);
    sandbox.publish(
        &[
            ("ROADMAP.md", &roadmap),
            (".gitattributes", "*.txt filter=mark\n"),
        ],
        "roadmap",
    );
    git(&sandbox.repo(), &["config", "commit.gpgSign", "true"]);
    let mut child = crate::this_test("environment::children_see_what_they_need_and_no_secret");
    child.env("HOME", top).env("GIT_CONFIG_NOSYSTEM", "1");
    child
        .env("GIT_CONFIG_GLOBAL", top.join("gitconfig"))
        .env("ENVIRONMENT_TOP", top)
        .env("ENVIRONMENT_PUSH", push);
    child
        .env("SEEN_BY_WORKERS", "yes")
        .envs(SECRETS)
        .envs(PRIVATE);
    crate::assert_passes(child);
    seen(&logs)
}

/// The orchestrator of the test.
async fn orchestrate(top: &Path) {
    let worker: Vec<String> =
        serde_json::from_slice(&fs::read(top.join("worker.json")).expect("reads"))
            .expect("a command");
    let at = |name: &str| format!("{:?}", top.join(name).to_string_lossy());
    let policy = format!(
        "push = {}\n[agents.worker]\nkind = \"robot\"\nenv = [\"GATEWAY_TOKEN\"]\n\
         [gates.unit]\nrun = [{}]\ndefault = true\n[setup]\nrun = [{}]\n[notify]\nrun = [{}]\n\
         [environment]\nallow = [\"PATH\", \"HOME\", \"GIT_CONFIG_GLOBAL\", \"SEEN_BY_WORKERS\"]\n",
        std::env::var("ENVIRONMENT_PUSH").expect("is set"),
        at("gate"),
        at("setup"),
        at("notify")
    );
    let agent = CommandAgent::new(&worker[0], worker[1..].iter().cloned());
    let builder = Orchestrator::builder().policy(Policy::parse(&policy).expect("a valid policy"));
    let builder = builder
        .backend(
            "worker".parse().expect("a name"),
            std::sync::Arc::new(agent),
        )
        .git(top.join("git"));
    let builder = builder
        .repository(top.join("repo"))
        .state_dir(top.join("state"));
    let orchestrator = builder
        .roadmap("ROADMAP.md".parse().expect("a path"))
        .build()
        .await
        .expect("begins");
    let report = orchestrator.run().await.expect("runs");
    assert_eq!(report.ended, EndReason::Complete, "{:#?}", report.snapshot);
}

#[tokio::test]
async fn children_see_what_they_need_and_no_secret() {
    if let Some(top) = std::env::var_os("ENVIRONMENT_TOP") {
        return orchestrate(Path::new(&top)).await;
    }
    for push in ["\"origin\"", "false"] {
        let sandbox = Sandbox::new();
        let all = run(&sandbox, push);
        let remote = sandbox.remote().display().to_string();
        let trusted = sandbox.state().join("trusted.git").display().to_string();
        // Which children see what is the person's: those that speak to the remote, sign, or advance the person's own branch.
        let persons = |seen: &&Seen| {
            let verb = |verb: &str| seen.call.split(' ').any(|word| word == verb);
            let speaks = verb("push") || verb("fetch") && seen.call.contains(&remote);
            let advances = verb("merge")
                || verb("fetch") && !seen.call.contains(&format!("--git-dir={trusted}"));
            match &*seen.kind {
                "git" => speaks || advances || verb("commit-tree") && verb("-S"),
                "signer" => true,
                // The person's checkout is fast-forwarded as they would do it themselves.
                "filter" => push == "false" && seen.has("AWS_SECRET"),
                _ => false,
            }
        };
        for seen in &all {
            assert!(
                !seen.environment.contains("secret-of"),
                "{} {}:\n{}",
                seen.kind,
                seen.call,
                seen.environment
            );
            let sees = PRIVATE.map(|(variable, _)| seen.has(variable));
            assert_eq!(
                sees,
                [persons(&seen); 2],
                "push = {push}: {} {}:\n{}",
                seen.kind,
                seen.call,
                seen.environment
            );
        }
        for kind in ["agent", "gate", "notify", "setup", "signer"] {
            assert!(all.iter().any(|seen| seen.kind == kind), "{kind} was run");
        }
        let filters = || all.iter().filter(|seen| seen.kind == "filter");
        assert!(
            filters().any(|seen| !seen.has("AWS_SECRET"))
                && filters().all(|seen| seen.has("SEEN_BY_WORKERS"))
        );
        let called = |word: &str| {
            all.iter()
                .any(|seen| seen.kind == "git" && seen.call.split(' ').any(|said| said == word))
        };
        for verb in [
            "read-tree",
            "commit-tree",
            if push == "false" { "merge" } else { "push" },
        ] {
            assert!(called(verb), "git {verb} was run");
        }
        let of_work = |seen: &Seen| {
            seen.call.contains("fetch.fsckObjects=true") && seen.call.contains(" fetch ")
        };
        assert!(all.iter().any(of_work), "the work was fetched");
    }
}
