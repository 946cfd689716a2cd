//! What the tests of the loop share: a sandbox with tasks, a shell worker, and a run that can be watched.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use orchestrator_core::{
    driver::{
        Handle, Notice, Orchestrator, OrchestratorBuilder, RunError, RunReport, Verification,
        VerifiedBranch, verify,
    },
    git::{Destination, Git, Trusted, UserRepository},
    model::{
        Acceptance, Answer, CommitId, ContentHash, HoldId, HoldOption, Landing, Policy, Record,
        Timestamp, TreeId,
    },
    port::{Ledger as _, Sequence},
    store::{FileEvidence, FileLedger},
};
use orchestrator_testkit::{RunOutcome, Sandbox, replayed, shell_worker};
use tokio::{sync::broadcast::Receiver, task::JoinHandle};

/// A repository of ours for the sandbox's, which lands in that itself.
pub(crate) async fn trusted(sandbox: &Sandbox) -> Trusted {
    let git = Git::find().await.expect("git");
    let user = UserRepository::open(git.clone(), &sandbox.repo())
        .await
        .expect("a repository");
    let (dir, target) = (
        sandbox.path().join("trusted.git"),
        "main".parse().expect("a branch"),
    );
    Trusted::open(user, git, dir, target, Destination::Local, &BTreeMap::new())
        .await
        .expect("opens")
}

/// An intent to land a tree, with this head, on this tip.
pub(crate) fn landing(head: CommitId, tip: CommitId, tree: TreeId) -> Landing {
    let acceptance = Acceptance {
        failover: None,
        version: 1,
        attempt: "A#1".parse().expect("an id"),
        contract: ContentHash::of(b""),
        head,
        tip,
        tree,
        reviews: Vec::new(),
        gates: Vec::new(),
        ended: None,
        completion: None,
        claimed: Vec::new(),
        handoff: None,
        artifacts: Vec::new(),
        residual_risks: Vec::new(),
        approvals: Vec::new(),
        waivers: Vec::new(),
        observations: Vec::new(),
    };
    Landing {
        id: "run/A#1/7".to_owned(),
        subject: "A: anything".to_owned(),
        acceptance,
        at: Timestamp(1_000_000),
    }
}

/// Writes a shell script that can be run.
pub(crate) fn program(path: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("writes");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("can be run");
    path.to_owned()
}

/// A worker that does what it is asked, and says so.
pub(crate) const WORK: &str =
    "echo \"$ORCHESTRATOR_TASK\" > \"$ORCHESTRATOR_TASK.txt\"; commit work; handoff done";

/// A policy that pushes, with one command agent and short times; `more` goes in front.
pub(crate) fn policy(worker: &[String], more: &str) -> Policy {
    let push = if more.contains("push =") {
        ""
    } else {
        "push = \"origin\"\n"
    };
    let text = format!(
        "{push}{more}\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n\
         [limits]\nexhausted = \"park\"\nbackoff = \"1ms\"\nheartbeat = \"50ms\"\ngrace = \"200ms\"\n"
    );
    Policy::parse(&text).expect("a valid policy")
}

/// A roadmap in which each task may change a file of its own name.
pub(crate) fn roadmap(tasks: &[(&str, &str)]) -> String {
    let item = |(id, keys): &(&str, &str)| {
        let allow = if keys.contains("allow =") {
            String::new()
        } else {
            format!("allow = [\"{id}.txt\"]\n  ")
        };
        format!(
            "- [ ] **{id}** Task {id}\n  ```toml\n  {allow}{}\n  ```\n",
            keys.replace('\n', "\n  ")
        )
    };
    tasks.iter().map(item).collect()
}

/// A sandbox whose remote has this roadmap.
pub(crate) fn sandbox(tasks: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", &roadmap(tasks))], "roadmap");
    sandbox
}

pub(crate) fn builder(sandbox: &Sandbox, script: &str, more: &str) -> OrchestratorBuilder {
    let worker = shell_worker(sandbox.path(), "worker", script);
    Orchestrator::builder().policy(policy(&worker, more))
}

/// Shell that commits a file in the person's clone and pushes it, as somebody else would while work runs.
pub(crate) fn pushes(sandbox: &Sandbox, file: &str, content: &str) -> String {
    format!(
        "(cd '{}'; git pull -q --rebase origin main; printf '{content}' > '{file}'; git add '{file}'; \
         git -c user.name=O -c user.email=o@example.org commit -qm 'somebody else: {file}'; git push -q origin HEAD:main)",
        sandbox.repo().display()
    )
}

pub(crate) fn make_fifo(path: &Path) {
    assert!(
        std::process::Command::new("mkfifo")
            .arg(path)
            .status()
            .expect("mkfifo can be run")
            .success()
    );
}

pub(crate) fn answer(hold: u32, option: HoldOption, note: Option<&str>) -> Answer {
    Answer {
        note: note.map(str::to_owned),
        ..Answer::new(HoldId(hold), option)
    }
}

/// The ledger and the evidence in a sandbox's state directory.
pub(crate) fn stores(sandbox: &Sandbox) -> (FileLedger, FileEvidence) {
    let state = sandbox.state();
    (
        FileLedger::new(state.join("ledger")),
        FileEvidence::new(state.join("evidence")),
    )
}

/// What `verify` says of the target.
pub(crate) async fn verified_target(sandbox: &Sandbox) -> Verification {
    let git = Git::find().await.expect("git is there");
    let state_dir = &sandbox.state();
    let (ledger, evidence) = stores(sandbox);
    verify(
        &git,
        VerifiedBranch::Target { state_dir },
        &ledger,
        &evidence,
    )
    .await
    .expect("all can be read")
}

/// A run that goes on in the background.
pub(crate) struct Live {
    pub(crate) handle: Handle,
    pub(crate) notices: Receiver<Notice>,
    run: JoinHandle<Result<RunReport, RunError>>,
    ledger: FileLedger,
}

impl Live {
    pub(crate) async fn start(sandbox: &Sandbox, builder: OrchestratorBuilder) -> Self {
        let builder = builder
            .repository(sandbox.repo())
            .state_dir(sandbox.state());
        let orchestrator = builder
            .roadmap("ROADMAP.md".parse().expect("a path"))
            .build()
            .await
            .expect("begins");
        let (handle, notices) = (orchestrator.handle(), orchestrator.handle().subscribe());
        Self {
            handle,
            notices,
            run: tokio::spawn(orchestrator.run()),
            ledger: FileLedger::new(sandbox.state().join("ledger")),
        }
    }

    /// Waits for a notice.
    pub(crate) async fn until<T>(&mut self, test: impl Fn(&Notice) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = test(&self.notices.recv().await.expect("goes on")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .expect("it happens")
    }

    /// Waits for a record.
    pub(crate) async fn recorded(&mut self, test: impl Fn(&Record) -> bool) {
        self.until(|notice| {
            matches!(notice, Notice::Recorded(entry) if test(&entry.record)).then_some(())
        })
        .await;
    }

    /// Ends it without any leave-taking.
    pub(crate) async fn die(self) {
        self.run.abort();
        assert!(
            self.run.await.is_err_and(|error| error.is_cancelled()),
            "it was still running"
        );
    }

    /// Waits for the end, and checks that the ledger tells the same.
    pub(crate) async fn end(self) -> RunOutcome {
        let report = tokio::time::timeout(Duration::from_secs(60), self.run)
            .await
            .expect("ends")
            .expect("joins")
            .expect("no error");
        let entries = self
            .ledger
            .read(Sequence(1), usize::MAX)
            .await
            .expect("reads");
        assert_eq!(replayed(&entries), report.state);
        RunOutcome { report, entries }
    }
}

/// Why attempts ended, in order.
pub(crate) fn ends(outcome: &RunOutcome) -> Vec<String> {
    let ends = outcome.records().filter_map(|record| match record {
        Record::AttemptEnded { cause, .. } => Some(cause.to_string()),
        _ => None,
    });
    ends.collect()
}

/// How many turns were run.
pub(crate) fn turns(outcome: &RunOutcome) -> usize {
    outcome
        .records()
        .filter(|record| matches!(record, Record::TurnEnded { .. }))
        .count()
}

/// Runs a shell script in a directory.
pub(crate) fn shell(directory: &Path, script: &str) {
    let status = std::process::Command::new("/bin/sh")
        .args(["-euc", script])
        .current_dir(directory)
        .status();
    assert!(status.expect("a shell can be run").success(), "{script}");
}

/// Lets go whoever waits for this FIFO: it may have yet to be started, by the very thread that asks for this.
pub(crate) async fn let_go(fifo: &Path) {
    let fifo = fifo.to_owned();
    tokio::task::spawn_blocking(move || std::fs::write(fifo, "go\n"))
        .await
        .expect("does not panic")
        .expect("lets it go");
}
