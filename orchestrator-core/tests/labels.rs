//! A label follows from what was observed where. That nothing else makes one is shown in `labels`, a package of its own.

use orchestrator_core::model::{
    Claim, ContentHash, Evidence, GateOutcome, GateReport, GateSpec, Lacking, Span, Surface,
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

#[test]
fn the_label_follows_from_surface_and_outcome() {
    let claim = |surface: &str| Claim {
        id: "c".parse().expect("an id"),
        text: "it works".to_owned(),
        surface: surface.parse().expect("a surface"),
    };
    let label = |surface: &str, reports: &[GateReport]| {
        Evidence::of(&claim(surface), reports, &[]).label().as_str()
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
