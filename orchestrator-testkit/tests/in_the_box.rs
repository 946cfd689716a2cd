//! What ships behind the ports keeps their contracts.

use std::sync::Arc;

use orchestrator_core::{
    MarkdownRoadmap, Task, TaskId, TaskList,
    model::HandoffReport,
    port::{EvidenceStore, Ledger, ReviewRequest, Reviewer, TaskSource},
    review::{Contents, ContractPaths, DocsInStep, HandoffTruth},
    store::{FileEvidence, FileLedger, MemoryEvidence, MemoryLedger},
};
use orchestrator_testkit::{
    MemoryTree, ProposedChange,
    conformance::{
        Opener, evidence::EvidenceFixture, ledger::LedgerFixture, reviewer::ReviewerFixture,
        source::SourceFixture,
    },
    evidence_conformance, ledger_conformance, reviewer_conformance, source_conformance,
};

#[derive(Debug)]
struct InFiles;

#[derive(Debug)]
struct InMemory;

impl LedgerFixture for InFiles {
    fn place(&self) -> Opener<dyn Ledger> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Box::new(move || Arc::new(FileLedger::new(directory.path().join("ledger"))))
    }
}

impl LedgerFixture for InMemory {
    fn place(&self) -> Opener<dyn Ledger> {
        let ledger = Arc::new(MemoryLedger::default());
        Box::new(move || ledger.clone())
    }
}

impl EvidenceFixture for InFiles {
    fn place(&self) -> Opener<dyn EvidenceStore> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Box::new(move || Arc::new(FileEvidence::new(directory.path().join("evidence"))))
    }
}

impl EvidenceFixture for InMemory {
    fn place(&self) -> Opener<dyn EvidenceStore> {
        let store = Arc::new(MemoryEvidence::default());
        Box::new(move || store.clone())
    }
}

#[derive(Debug)]
struct Markdown;

const ROADMAP: &str = "# Roadmap\n\n## Package: one\n\n- [x] **A** Was done\n- [ ] **B** Open\n\n  In prose.\n\n- [ ] **C** Open too\n  \
                       ```toml\n  after = [\"B\"]\n  ```\n";

impl SourceFixture for Markdown {
    fn source(&self) -> Arc<dyn TaskSource> {
        Arc::new(MarkdownRoadmap::new(
            "docs/ROADMAP.md".parse().expect("a path"),
        ))
    }

    fn tree(&self) -> MemoryTree {
        MemoryTree::new().with("docs/ROADMAP.md", ROADMAP)
    }

    fn broken(&self) -> Option<MemoryTree> {
        Some(MemoryTree::new().with(
            "docs/ROADMAP.md",
            "- [ ] **A** One\n  ```toml\n  allowed = 1\n  ```\n",
        ))
    }
}

#[derive(Debug)]
struct FromCode;

impl SourceFixture for FromCode {
    fn source(&self) -> Arc<dyn TaskSource> {
        Arc::new(TaskList::new(
            ["A", "B"].map(|id| Task::new(TaskId::new(id).expect("an id"), "A task")),
        ))
    }

    fn tree(&self) -> MemoryTree {
        MemoryTree::new()
    }

    fn broken(&self) -> Option<MemoryTree> {
        None
    }
}

/// A reviewer of the box, with a change that it lets pass and one that it does not.
#[derive(Debug)]
enum InTheBox {
    Paths,
    Truth,
    Docs,
    Contents,
}

impl ReviewerFixture for InTheBox {
    fn reviewer(&self) -> Arc<dyn Reviewer> {
        match self {
            Self::Paths => Arc::new(ContractPaths),
            Self::Truth => Arc::new(HandoffTruth),
            Self::Docs => Arc::new(DocsInStep),
            Self::Contents => Arc::new(Contents),
        }
    }

    fn clean(&self) -> ReviewRequest {
        let change = ProposedChange::new()
            .allowing(&["src/**", "docs/**"])
            .with("src/a.rs", "fn a() {}\n");
        let mut request = change
            .writes("src/a.rs", "fn a() { b() }\n")
            .writes("docs/a.md", "# A\n")
            .request();
        let handoff = r#"{"version":1,"task":"T1","attempt":1,"status":"done","changed_files":["docs/a.md","src/a.rs"],"self_review":"read"}"#;
        request.submission.handoff =
            HandoffReport::Read(serde_json::from_str(handoff).expect("a handoff"));
        request.contract.docs =
            serde_json::from_str(r#"[{"when":"src/**","then":"docs/**"}]"#).expect("rules");
        request
    }

    fn flawed(&self) -> ReviewRequest {
        let change = ProposedChange::new()
            .allowing(&["src/**"])
            .with("src/a.rs", "fn a() {}\n");
        let conflict = "<<<<<<< HEAD\nfn a() {}\n=======\nfn b() {}\n>>>>>>> theirs\n";
        let mut request = change
            .writes("src/a.rs", conflict)
            .writes("elsewhere/b.rs", "")
            .request();
        let handoff = r#"{"version":1,"task":"T2","attempt":1,"status":"done","changed_files":["docs/a.md"]}"#;
        request.submission.handoff =
            HandoffReport::Read(serde_json::from_str(handoff).expect("a handoff"));
        request.contract.docs =
            serde_json::from_str(r#"[{"when":"src/**","then":"docs/**"}]"#).expect("rules");
        request
    }
}

mod file_ledger {
    super::ledger_conformance!(super::InFiles);
}

mod memory_ledger {
    super::ledger_conformance!(super::InMemory);
}

mod file_evidence {
    super::evidence_conformance!(super::InFiles);
}

mod memory_evidence {
    super::evidence_conformance!(super::InMemory);
}

mod markdown_roadmap {
    super::source_conformance!(super::Markdown);
}

mod task_list {
    super::source_conformance!(super::FromCode);
}

mod contract_paths {
    super::reviewer_conformance!(super::InTheBox::Paths);
}

mod handoff_truth {
    super::reviewer_conformance!(super::InTheBox::Truth);
}

mod docs_in_step {
    super::reviewer_conformance!(super::InTheBox::Docs);
}

mod contents {
    super::reviewer_conformance!(super::InTheBox::Contents);
}
