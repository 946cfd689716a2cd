//! A label follows from what was observed where. That nothing else makes one is shown in `labels`, a package of its own.

use orchestrator_core::model::{
    Claim, ClaimedEvidence, ClaimedLabel, ContentHash, Evidence, GateOutcome, GateReport, GateSpec,
    Lacking, Span, Surface,
};

fn report(surface: &str, code: i32) -> GateReport {
    GateReport {
        gate: GateSpec {
            rerun: 0,
            name: "unit".parse().expect("a name"),
            run: vec!["true".to_owned()],
            surface: surface.parse().expect("a surface"),
            timeout: Span::secs(1),
            cache: Vec::new(),
            setup: None,
            repository: false,
        },
        tree: "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("an id"),
        environment: ContentHash::of(b""),
        outcome: GateOutcome::Exited { code },
        output: ContentHash::of(b""),
        tail: String::new(),
        before: Vec::new(),
        lacked: Lacking::default(),
        took: Span(1),
    }
}

fn claim(surface: &str) -> Claim {
    Claim {
        id: "c".parse().expect("an id"),
        text: "it works".to_owned(),
        surface: surface.parse().expect("a surface"),
    }
}

fn claimed(label: ClaimedLabel) -> Vec<ClaimedEvidence> {
    vec![ClaimedEvidence {
        claim: "c".to_owned(),
        label,
        note: Some("ran it".to_owned()),
    }]
}

#[test]
fn label_follows_from_surface_and_outcome() {
    let label = |surface: &str, reports: &[GateReport]| {
        let claimed = claimed(ClaimedLabel::Proxy);
        Evidence::of(&claim(surface), &claimed, reports, &[])
            .label()
            .as_str()
    };
    assert_eq!(Surface::repo().as_str(), "repo");
    assert_eq!(label("repo", &[report("repo", 0)]), "direct");
    assert_eq!(label("production", &[report("repo", 0)]), "proxy");
    assert_eq!(
        label("production", &[report("repo", 0), report("production", 0)]),
        "direct"
    );
    assert_eq!(
        label("production", &[report("repo", 0), report("production", 1)]),
        "proxy"
    );
    assert_eq!(label("repo", &[report("repo", 1)]), "blocked");
    assert_eq!(label("repo", &[]), "blocked");
}

#[test]
fn label_is_blocked_without_a_claim_of_the_worker() {
    let reports = [report("repo", 0)];
    let evidence = Evidence::of(&claim("repo"), &[], &reports, &[]);
    assert!(evidence.label().is_blocked());
    assert_eq!(
        evidence.reason(),
        "not claimed: its worker says nothing of it"
    );

    let withdrawn = claimed(ClaimedLabel::Blocked);
    let evidence = Evidence::of(&claim("repo"), &withdrawn, &reports, &[]);
    assert!(evidence.label().is_blocked());
    assert_eq!(
        evidence.reason(),
        "its worker says that it is not proven: ran it"
    );
}
