//! What the examples write for themselves keeps the contracts of its ports.

#[path = "../examples/custom_source/csv.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod csv;
#[path = "../examples/custom_backend/parrot.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod parrot;
#[path = "../examples/custom_store/sqlite.rs"]
mod sqlite;
#[path = "../examples/custom_reviewer/todos.rs"]
mod todos;

use std::{path::Path, sync::Arc};

use orchestrator_core::{
    AgentBackend,
    port::{EvidenceStore, Ledger, ReviewRequest, Reviewer, TaskSource},
};
use orchestrator_testkit::{
    MemoryTree, Player, ProposedChange, Step, agent_conformance, check_stores,
    conformance::{
        Opener,
        agent::{AgentFixture, Phrase},
        evidence::EvidenceFixture,
        ledger::LedgerFixture,
        reviewer::ReviewerFixture,
        source::SourceFixture,
    },
    evidence_conformance, ledger_conformance, reviewer_conformance, scripted_worker,
    source_conformance,
};
use serde_json::json;

scripted_worker!();

#[derive(Debug)]
struct Parrots;

impl AgentFixture for Parrots {
    fn player(&self) -> Player {
        player()
    }

    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend> {
        Arc::new(parrot::Parrot::new(program))
    }

    fn answers(&self) -> Vec<(String, String)> {
        vec![("--version".to_owned(), "1.4.2".to_owned())]
    }

    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>> {
        let said = |value: serde_json::Value| Step::line(value.to_string());
        Some(match phrase {
            Phrase::Begin { session } => vec![
                Step::Hear,
                said(json!({ "type": "session", "id": session })),
            ],
            Phrase::Say(text) => vec![said(json!({ "type": "text", "text": text }))],
            Phrase::Listen => vec![Step::Hear],
            Phrase::Unknown => vec![said(json!({ "type": "feathers", "colour": "green" }))],
            Phrase::SessionLost => vec![
                Step::Hear,
                said(json!({ "type": "error", "kind": "session" })),
            ],
            Phrase::End { handoff } => vec![
                Step::line(format!(r#"{{"type":"end","handoff":{handoff}}}"#)),
                Step::HearAll,
            ],
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct Csv;

impl SourceFixture for Csv {
    fn source(&self) -> Arc<dyn TaskSource> {
        Arc::new(csv::CsvRoadmap::new("tasks.csv".parse().expect("a path")))
    }

    fn tree(&self) -> MemoryTree {
        MemoryTree::new().with(
            "tasks.csv",
            "A;One;a.txt;done\nB;Two;b.txt c/**;open\nC;Three;d.txt;open\n",
        )
    }

    fn broken(&self) -> Option<MemoryTree> {
        Some(MemoryTree::new().with("tasks.csv", "A;One;a.txt;perhaps\n"))
    }
}

#[derive(Debug)]
struct Todos;

impl ReviewerFixture for Todos {
    fn reviewer(&self) -> Arc<dyn Reviewer> {
        Arc::new(todos::OwnedTodos)
    }

    fn clean(&self) -> ReviewRequest {
        let change = ProposedChange::new().with("a.rs", "// TODO: was there before\n");
        change
            .writes(
                "a.rs",
                "// TODO: was there before\n// TODO(R7): a new one\n",
            )
            .request()
    }

    fn flawed(&self) -> ReviewRequest {
        ProposedChange::new()
            .writes("a.rs", "fn a() {}\n// TODO: somebody should\n")
            .request()
    }
}

mod backend {
    super::agent_conformance!(super::Parrots);
}

mod source {
    super::source_conformance!(super::Csv);
}

mod reviewer {
    super::reviewer_conformance!(super::Todos);
}

/// Each place is a database of its own.
#[derive(Debug)]
struct Databases;

impl Databases {
    /// Connects to a new database, again and again.
    fn connecting() -> impl Fn() -> Arc<sqlite::SqliteStore> + Send + Sync {
        let directory = tempfile::tempdir().expect("a temporary directory");
        move || {
            let file = directory.path().join("store.sqlite");
            Arc::new(sqlite::SqliteStore::connect(&file).expect("connects"))
        }
    }
}

impl LedgerFixture for Databases {
    fn place(&self) -> Opener<dyn Ledger> {
        let connect = Self::connecting();
        Box::new(move || connect())
    }
}

impl EvidenceFixture for Databases {
    fn place(&self) -> Opener<dyn EvidenceStore> {
        let connect = Self::connecting();
        Box::new(move || connect())
    }
}

mod ledger {
    super::ledger_conformance!(super::Databases);
}

mod evidence {
    super::evidence_conformance!(super::Databases);
}

#[tokio::test]
async fn stores_in_sqlite_serve_a_run_and_all_that_reads_them() {
    let connect = Databases::connecting();
    check_stores(connect(), connect()).await;
}
