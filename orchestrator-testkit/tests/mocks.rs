//! Each mock stands in for its port, as an object.

use std::{collections::BTreeMap, sync::Arc};

use orchestrator_core::{
    model::{ContentHash, TurnOutcome},
    port::{
        AgentBackend, ChangeView, EvidenceError, EvidenceStore, Ledger, LedgerError, Probe,
        Reviewer, SourceSnapshot, Stored, TaskSource, TreeView, Turn, TurnControl, Update,
    },
};
use orchestrator_testkit::{
    MemoryTree, ProposedChange,
    mocks::{
        MockAgentBackend, MockChangeView, MockEvidenceStore, MockLedger, MockReviewer,
        MockTaskSource, MockTreeView, MockTurn, MockTurnControl,
    },
};

#[tokio::test]
async fn each_port_can_be_mocked() {
    let mut agent = MockAgentBackend::new();
    agent.expect_name().return_const("mocked".to_owned());
    let agent: Arc<dyn AgentBackend> = Arc::new(agent);
    assert_eq!(agent.name(), "mocked");

    let mut turn = MockTurn::new();
    turn.expect_next().times(1).returning(|| {
        Some(Update::Ended {
            outcome: TurnOutcome::Completed,
        })
    });
    let mut control = MockTurnControl::new();
    control.expect_is_alive().return_const(Some(true));
    let control: Arc<dyn TurnControl> = Arc::new(control);
    turn.expect_control()
        .returning(move || Arc::clone(&control));
    let mut turn: Box<dyn Turn> = Box::new(turn);
    assert_eq!(turn.control().is_alive(), Some(true));
    assert!(matches!(turn.next().await, Some(Update::Ended { .. })));

    let tree = MemoryTree::new().with("a", "b");
    let mut source = MockTaskSource::new();
    let revision = tree.revision();
    source
        .expect_snapshot()
        .withf(move |asked| *asked == revision)
        .returning(|revision| {
            Ok(SourceSnapshot {
                revision,
                tasks: Vec::new(),
            })
        });
    let source: Arc<dyn TaskSource> = Arc::new(source);
    assert!(
        source
            .snapshot(&tree)
            .await
            .is_ok_and(|snapshot| snapshot.tasks.is_empty())
    );

    let mut reviewer = MockReviewer::new();
    reviewer.expect_review().returning(|_| Ok(Vec::new()));
    let reviewer: Arc<dyn Reviewer> = Arc::new(reviewer);
    assert!(
        reviewer
            .review(&ProposedChange::new().request())
            .await
            .is_ok_and(|findings| findings.is_empty())
    );

    let mut ledger = MockLedger::new();
    ledger.expect_open().returning(|| Err(LedgerError::Fenced));
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    assert!(matches!(ledger.open().await, Err(LedgerError::Fenced)));

    let mut store = MockEvidenceStore::new();
    store
        .expect_put()
        .withf(|content, cap| content == b"abc" && *cap == 9)
        .returning(|content, _| {
            Ok(Stored {
                hash: ContentHash::of(&content),
                size: 3,
                truncated: false,
            })
        });
    store
        .expect_open()
        .returning(|hash| Err(EvidenceError::Unknown(hash)));
    let store: Arc<dyn EvidenceStore> = Arc::new(store);
    let stored = store.put(&mut &b"abc"[..], 9).await.expect("is expected");
    assert!(
        matches!(store.open(stored.hash).await, Err(EvidenceError::Unknown(hash)) if hash == stored.hash)
    );

    let (mut view, mut tree) = (MockChangeView::new(), MockTreeView::new());
    view.expect_shapes().returning(|| Ok(Default::default()));
    tree.expect_revision().return_const("mocked".to_owned());
    let (view, tree): (Arc<dyn ChangeView>, &dyn TreeView) = (Arc::new(view), &tree);
    assert!(
        view.shapes()
            .await
            .is_ok_and(|[before, after]| before == after)
            && tree.revision() == "mocked"
    );
}

#[tokio::test]
async fn a_pointer_to_a_port_says_what_the_port_says() {
    let mut control = MockTurnControl::new();
    control.expect_is_alive().return_const(Some(true));
    let control: Box<Arc<dyn TurnControl>> = Box::new(Arc::new(control));
    assert_eq!(TurnControl::is_alive(&control), Some(true));

    let mut agent = MockAgentBackend::new();
    agent
        .expect_probe_in()
        .times(1)
        .returning(|_| Ok(Probe::found(None)));
    let agent: Box<Arc<dyn AgentBackend>> = Box::new(Arc::new(agent));
    let probe = AgentBackend::probe_in(&agent, &BTreeMap::new()).await;
    assert!(probe.is_ok());

    let mut ledger = MockLedger::new();
    ledger.expect_open().returning(|| Err(LedgerError::Fenced));
    let ledger: Box<Arc<dyn Ledger>> = Box::new(Arc::new(ledger));
    let opened = Ledger::open(&ledger).await;
    assert!(matches!(opened, Err(LedgerError::Fenced)));

    let mut store = MockEvidenceStore::new();
    store
        .expect_open()
        .returning(|hash| Err(EvidenceError::Unknown(hash)));
    let store: Box<Arc<dyn EvidenceStore>> = Box::new(Arc::new(store));
    let opened = EvidenceStore::open(&store, ContentHash::of(b"")).await;
    assert!(matches!(opened, Err(EvidenceError::Unknown(_))));
}
