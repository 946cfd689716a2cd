//! A whole run on stores of one's own, and everything that reads them afterwards.

use std::{fs, sync::Arc};

use orchestrator_core::{
    driver::{
        Command, Inbox, Orchestrator, OrchestratorBuilder, Verification, VerifiedBranch,
        bring_proof, fold_ledger, verify,
    },
    git::{Git, UserRepository},
    model::{Answer, EndReason, HoldId, HoldOption, Policy, TaskId},
    port::{EvidenceStore, Ledger, LedgerEntry, Sequence},
    status::{Report, Snapshot},
    store::MemoryEvidence,
};

use crate::{Sandbox, check::run_on, git, shell_worker};

/// One task, which a person has to look at.
const ROADMAP: &str = "- [ ] **A** Print receipts\n  ```toml\n  allow = [\"a.txt\"]\n  \
                       claims = [{ id = \"cuts\", text = \"the paper is cut\", surface = \"device:printer\" }]\n  ```\n";

/// A ledger and an evidence store.
struct Stores {
    ledger: Arc<dyn Ledger>,
    evidence: Arc<dyn EvidenceStore>,
}

/// Lands a task on these stores, whose question a person answers with a file, over two runs. Then reads them as `status`, `report`,
/// `export` and `verify` do. Both stores must be empty.
///
/// # Panics
/// When anything of it does not work, or does not fit together.
pub async fn check_stores(ledger: Arc<dyn Ledger>, evidence: Arc<dyn EvidenceStore>) {
    let stores = Stores { ledger, evidence };
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "roadmap");
    let first = run_on(&sandbox, stores.builder(&sandbox), stores.ledger.clone()).await;
    assert_eq!(first.report.ended, EndReason::WaitingForAPerson);

    stores.answer_with_proof(&sandbox).await;
    let second = run_on(&sandbox, stores.builder(&sandbox), stores.ledger.clone()).await;
    assert_eq!(second.report.ended, EndReason::Complete);

    stores.check_status(&second.report.snapshot).await;
    stores.check_report(&second.entries);
    stores.check_verification(&sandbox).await;
}

impl Stores {
    fn builder(&self, sandbox: &Sandbox) -> OrchestratorBuilder {
        let script = "echo a > a.txt; commit work; handoff done";
        let worker = shell_worker(sandbox.path(), "worker", script);
        let policy = format!(
            "push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n\
             [gates.unit]\nrun = [\"true\"]\ndefault = true\n[limits]\ngrace = \"200ms\"\n"
        );
        Orchestrator::builder()
            .policy(Policy::parse(&policy).expect("a valid policy"))
            .evidence(Arc::clone(&self.evidence))
    }

    async fn answer_with_proof(&self, sandbox: &Sandbox) {
        let photo = sandbox.path().join("photo.txt");
        fs::write(&photo, "a straight cut").expect("writes");
        let artifact = bring_proof(&*self.evidence, &photo)
            .await
            .expect("is brought");
        let answer = Answer {
            artifact: Some(artifact),
            ..Answer::new(HoldId(1), HoldOption::Observed)
        };
        Inbox::of(&sandbox.state())
            .post(&Command::Answer(answer))
            .expect("posts");
    }

    async fn check_status(&self, ended: &Snapshot) {
        let (state, _) = fold_ledger(&*self.ledger).await.expect("folds");
        assert_eq!(Snapshot::of(&state), *ended, "what `status` says");
    }

    fn check_report(&self, entries: &[LedgerEntry]) {
        let records = entries.iter().map(|entry| (entry.at, &entry.record));
        let report = Report::of(records, None).expect("fits together");
        let page = report.to_markdown();
        assert!(page.contains("Print receipts"), "{page}");
        let task = TaskId::new("A").expect("an id");
        let export = report.task_to_markdown(&task).expect("is known");
        assert!(export.contains("photo.txt"), "{export}");
    }

    async fn check_verification(&self, sandbox: &Sandbox) {
        let repo = sandbox.repo();
        git(&repo, &["pull", "--quiet", "--rebase", "origin", "main"]);
        for branch in [None, Some("main")] {
            let found = verified(sandbox, branch, &*self.ledger, &*self.evidence).await;
            assert!(found.is_whole(), "{found:#?}");
            assert_eq!(found.missing, [""; 0]);
        }
        let nothing = MemoryEvidence::default();
        let found = verified(sandbox, None, &*self.ledger, &nothing).await;
        assert!(!found.is_whole(), "evidence is looked up: {found:#?}");
        let beyond = self.ledger.read(Sequence(u64::MAX), 1).await;
        assert_eq!(beyond.expect("reads"), []);
    }
}

/// What `verify` says of the target, or of a branch of the person's repository.
async fn verified(
    sandbox: &Sandbox,
    branch: Option<&str>,
    ledger: &dyn Ledger,
    evidence: &dyn EvidenceStore,
) -> Verification {
    let git = Git::find().await.expect("git is there");
    let repository = UserRepository::open(git.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let state_dir = sandbox.state();
    let name = branch.map(|name| name.parse().expect("a name"));
    let line = match &name {
        Some(name) => VerifiedBranch::Of {
            repository: &repository,
            name,
        },
        None => VerifiedBranch::Target {
            state_dir: &state_dir,
        },
    };
    verify(&git, line, ledger, evidence)
        .await
        .expect("all can be read")
}
