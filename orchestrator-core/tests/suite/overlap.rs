//! The overlap test of path patterns is sound: it never calls two patterns disjoint when some path matches both.

use globset::GlobBuilder;
use orchestrator_core::model::{Pattern, RepoPath};
use proptest::prelude::*;

/// A piece of a component, from a small alphabet, so that patterns and paths meet often.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]".prop_map(|c| c),
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]".to_owned()),
        1 => Just("[]a]".to_owned()),
        1 => Just("{a,bb}".to_owned()),
        1 => Just("{,a{b,*}}".to_owned()),
        1 => Just("\\*".to_owned()),
        1 => Just("\u{e9}".to_owned()),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![1 => Just("**".to_owned()), 4 => prop::collection::vec(piece(), 1..4).prop_map(|pieces| pieces.concat())];
    (prop::collection::vec(component, 1..4), any::<bool>()).prop_map(|(components, below)| {
        let text = components.join("/");
        if below { format!("{text}/") } else { text }
    })
}

fn path() -> impl Strategy<Value = String> {
    let component = prop::collection::vec(
        prop_oneof![8 => "[ab]", 1 => Just("*".to_owned()), 1 => Just("\u{e9}".to_owned())],
        1..4,
    );
    prop::collection::vec(component.prop_map(|pieces| pieces.concat()), 1..4)
        .prop_map(|components| components.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn never_disjoint_when_a_path_matches_both(a in pattern(), b in pattern(), paths in prop::collection::vec(path(), 40)) {
        // Some of these texts are no patterns, such as two stars that meet: they are refused when they are read.
        let (Ok(a), Ok(b)) = (a.parse::<Pattern>(), b.parse::<Pattern>()) else { return Ok(()) };
        for path in paths {
            let path: RepoPath = path.parse().expect("a valid path");
            if a.matches(&path) && b.matches(&path) {
                prop_assert!(a.overlaps(&b), "{a} and {b} both match {path}");
                prop_assert!(b.overlaps(&a), "{b} and {a} both match {path}");
            }
        }
    }

    #[test]
    fn what_matches_is_what_globset_matches(text in pattern(), paths in prop::collection::vec(path(), 40)) {
        let Ok(pattern) = text.parse::<Pattern>() else { return Ok(()) };
        // globset lets a negated class match a slash; here it never does.
        let others = if text.contains("[!") { return Ok(()) } else if text.ends_with('/') { format!("{text}**") } else { text };
        let glob = GlobBuilder::new(&others).literal_separator(true).backslash_escape(true).empty_alternates(true).build();
        let matcher = glob.expect("a glob as well").compile_matcher();
        for path in paths {
            let path: RepoPath = path.parse().expect("a valid path");
            prop_assert_eq!(pattern.matches(&path), matcher.is_match(path.to_path()), "{} on {}", pattern, path);
        }
    }

    #[test]
    fn a_path_is_matched_by_the_pattern_that_is_just_it_and_by_no_other(a in path(), b in path()) {
        let (a, b): (RepoPath, RepoPath) = (a.parse().expect("a valid path"), b.parse().expect("a valid path"));
        let exactly = Pattern::exactly(&a);
        prop_assert_eq!(exactly.matches(&b), a == b);
        prop_assert_eq!(exactly.as_str().parse::<Pattern>().expect("what it says is a pattern").matches(&b), a == b);
    }
}

#[test]
fn the_worst_patterns_that_are_allowed_are_decided_at_once() {
    let stars = |last: &str| {
        format!("{}{last}", "a*".repeat(31))
            .parse::<Pattern>()
            .expect("a pattern")
    };
    assert!(!stars("b").overlaps(&stars("c")));
    let deep = |last: &str| {
        format!("{}{last}", "**/a/".repeat(15))
            .parse::<Pattern>()
            .expect("a pattern")
    };
    assert!(!deep("b").overlaps(&deep("c")));
}
