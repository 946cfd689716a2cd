//! What only a whole tree tells: names that some file system takes for one, and links that lead out of it together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{
    Change, ChangeKind, Finding, Mode, RepoPath, Severity, TreeShape, folded, is_dotgit,
};

/// So many links are followed from one; systems give up earlier.
const MOST_LINKS: usize = 64;

/// Whether a change could make a tree worse as a whole: it has new names, or touches links.
#[must_use]
pub(crate) fn needs_the_tree(changes: &[Change]) -> bool {
    changes
        .iter()
        .any(|change| is_new(change) || touches_a_link(change))
}

/// What is wrong with a tree as a whole, and was not before the change.
#[must_use]
pub(crate) fn tree_findings(changes: &[Change], [before, after]: &[TreeShape; 2]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if changes.iter().any(touches_a_link) {
        findings.extend(links_out(before, after));
    }
    let new: Vec<_> = changes
        .iter()
        .filter(|change| is_new(change))
        .map(|change| &change.path)
        .collect();
    if !new.is_empty() {
        findings.extend(clashes(&new, before, after));
    }
    findings
}

/// What is wrong with the name of a path, whatever is beside it.
pub(super) fn name_finding(path: &RepoPath) -> Option<Finding> {
    let bad = path.as_bytes().split(|byte| *byte == b'/').any(is_dotgit);
    let why = "some file systems take a part of its name for `.git`: give it another name";
    bad.then(|| Finding::new(Severity::Error, "paths/dotgit", why).at(path.clone()))
}

/// What is wrong with a link by its own text.
pub(super) fn link_finding(path: &RepoPath, text: &[u8]) -> Option<Finding> {
    link_out(path, &BTreeMap::from([(path.clone(), text.to_vec())]))
}

fn is_new(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed { .. })
}

fn touches_a_link(change: &Change) -> bool {
    let is_link =
        |side: Option<crate::model::Entry>| side.is_some_and(|side| side.mode == Mode::Symlink);
    is_link(change.old) || is_link(change.new)
}

/// Links that lead out, and did not before, or said something else there.
fn links_out(before: &TreeShape, after: &TreeShape) -> Vec<Finding> {
    let out = after
        .links
        .keys()
        .filter_map(|path| link_out(path, &after.links));
    let worse = |finding: &Finding| {
        let Some(path) = &finding.path else {
            return true;
        };
        before.links.get(path) != after.links.get(path) || link_out(path, &before.links).is_none()
    };
    out.filter(worse).collect()
}

fn link_out(path: &RepoPath, links: &BTreeMap<RepoPath, Vec<u8>>) -> Option<Finding> {
    let by_way_of = way_out(path, links)?;
    let why = if by_way_of.is_empty() {
        "a symbolic link that points out of the repository".to_owned()
    } else {
        let names: Vec<_> = by_way_of
            .iter()
            .map(|name| format!("`{}`", name.escape_ascii()))
            .collect();
        format!(
            "a symbolic link that leads out of the repository by way of {}",
            names.join(", ")
        )
    };
    Some(Finding::new(Severity::Error, "paths/symlink", why).at(path.clone()))
}

/// The other links by way of which this one leads out of the repository; `None` if it does not, on any system.
fn way_out(path: &RepoPath, links: &BTreeMap<RepoPath, Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let text = links.get(path)?;
    if text.is_empty()
        || text.starts_with(b"/")
        || matches!(text[..], [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic())
    {
        return Some(Vec::new());
    }
    // As Linux resolves it, and as systems do that are not exact with names, or take a backslash for a slash.
    [System { exact: true }, System { exact: false }]
        .iter()
        .find_map(|system| system.way_out(path, links))
}

/// How names are read.
struct System {
    exact: bool,
}

impl System {
    fn parts(&self, text: &[u8]) -> Vec<Vec<u8>> {
        let is_slash = |byte: &u8| *byte == b'/' || !self.exact && *byte == b'\\';
        let name = |part: &[u8]| {
            if self.exact || part == b".." {
                part.to_vec()
            } else {
                folded(part)
            }
        };
        text.split(is_slash)
            .filter(|part| !matches!(**part, [] | [b'.']))
            .map(name)
            .collect()
    }

    /// Goes along a link component by component, as an operating system does.
    fn way_out(
        &self,
        path: &RepoPath,
        links: &BTreeMap<RepoPath, Vec<u8>>,
    ) -> Option<Vec<Vec<u8>>> {
        let links: HashMap<_, _> = links
            .iter()
            .map(|(path, text)| (self.parts(path.as_bytes()), text))
            .collect();
        let mut at = self.parts(path.as_bytes());
        at.pop();
        let mut left = self.parts(links.get(&self.parts(path.as_bytes()))?);
        left.reverse();
        let mut by_way_of = Vec::new();
        while let Some(part) = left.pop() {
            if part == b".." {
                if at.pop().is_none() {
                    return Some(by_way_of);
                }
                continue;
            }
            at.push(part);
            let Some(text) = links.get(&at) else { continue };
            by_way_of.push(at.join(&b'/'));
            if text.is_empty() || text.starts_with(b"/") {
                return Some(by_way_of);
            }
            if by_way_of.len() > MOST_LINKS {
                return None;
            }
            at.pop();
            left.extend(self.parts(text).into_iter().rev());
        }
        None
    }
}

/// New names that some file systems take for others of the same tree, and did not before.
fn clashes(new: &[&RepoPath], before: &TreeShape, after: &TreeShape) -> Vec<Finding> {
    let form = |name: &[u8]| {
        name.split(|byte| *byte == b'/')
            .map(folded)
            .collect::<Vec<_>>()
            .join(&b'/')
    };
    let wanted: BTreeSet<Vec<u8>> = new
        .iter()
        .flat_map(|path| names_of(path))
        .map(form)
        .collect();
    let mut known: BTreeMap<Vec<u8>, BTreeSet<&[u8]>> = BTreeMap::new();
    for name in after.paths.iter().flat_map(names_of) {
        let folded = form(name);
        if wanted.contains(&folded) {
            known.entry(folded).or_default().insert(name);
        }
    }
    let old: BTreeSet<&[u8]> = before.paths.iter().flat_map(names_of).collect();
    let clash = |path: &&RepoPath| {
        let fresh = names_of(path).filter(|name| !old.contains(name));
        let twin = |name: &[u8]| {
            known
                .get(&form(name))?
                .iter()
                .copied()
                .find(|other| *other != name)
        };
        let other = fresh.filter_map(twin).next()?;
        let why = format!(
            "its name differs from that of `{}` only in case, or in how its letters are written: some systems take them for one",
            String::from_utf8_lossy(other)
        );
        Some(Finding::new(Severity::Error, "paths/case", why).at((*path).clone()))
    };
    new.iter().filter_map(clash).collect()
}

/// The directories that lead to a path, and the path.
fn names_of(path: &RepoPath) -> impl Iterator<Item = &[u8]> {
    let bytes = path.as_bytes();
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at);
    ends.chain([bytes.len()]).map(|end| &bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlobId, Entry};

    type Links<'a> = &'a [(&'a str, &'a str)];

    fn path(text: &str) -> RepoPath {
        text.parse().expect("a path")
    }

    fn shape(paths: &[&str], links: &[(&str, &str)]) -> TreeShape {
        let mut all: Vec<_> = paths
            .iter()
            .chain(links.iter().map(|(at, _)| at))
            .map(|name| path(name))
            .collect();
        all.sort();
        TreeShape {
            paths: all,
            links: links
                .iter()
                .map(|(at, to)| (path(at), to.as_bytes().to_vec()))
                .collect(),
        }
    }

    fn added(name: &str, mode: Mode) -> Change {
        let id: BlobId = "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("an id");
        Change {
            path: path(name),
            kind: ChangeKind::Added,
            old: None,
            new: Some(Entry { mode, id }),
        }
    }

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_link_may_point_anywhere_within_the_repository() {
        for (target, leaves) in [
            ("x", false),
            ("../../x", false),
            ("../../../x", true),
            ("/etc", true),
            ("..//./c/../../../d", true),
            ("", true),
            ("C:\\Windows", true),
            ("..\\..\\..\\x", true),
        ] {
            assert_eq!(
                link_finding(&path("a/b/link"), target.as_bytes()).is_some(),
                leaves,
                "{target}"
            );
        }
    }

    #[test]
    fn links_that_lead_out_only_together_are_found() {
        let cases: [(Links<'_>, &[&str]); 7] = [
            // Through a link upwards means: up from where it points.
            (&[("a", "b/../.."), ("b", "sub/deep")], &[]),
            (&[("a", "b/../../.."), ("b", "sub/deep")], &["a"]),
            (&[("l1", "dir/sub/l2"), ("dir/sub/l2", "../..")], &[]),
            (
                &[
                    ("l1", "dir/sub"),
                    ("dir/sub/l2", "../../l1/../.."),
                    ("top", "dir/sub/l2/.."),
                ],
                &["top"],
            ),
            (&[("x/up", ".."), ("out", "x/up/../y")], &["out"]),
            // On a system that is not exact with names.
            (&[("x/Up", ".."), ("out", "X/uP/../y")], &["out"]),
            // A loop leads nowhere.
            (&[("one", "two/.."), ("two", "one/..")], &[]),
        ];
        for (links, out) in cases {
            let after = shape(&[], links);
            let found = tree_findings(
                &[added(links[0].0, Mode::Symlink)],
                &[TreeShape::default(), after],
            );
            let at: Vec<_> = found
                .iter()
                .filter_map(|finding| finding.path.as_ref())
                .map(ToString::to_string)
                .collect();
            assert_eq!(at, out, "{links:?}");
        }
    }

    #[test]
    fn links_that_led_out_before_are_nobodys_and_those_that_do_now_are_found_also_where_nothing_was_added()
     {
        let bad = shape(&[], &[("old", "../x"), ("a", "b/.."), ("b", "x")]);
        let worse = shape(&[], &[("old", "../x"), ("a", "b/.."), ("b", ".")]);
        let change = [added("b", Mode::Symlink)];
        assert_eq!(tree_findings(&change, &[bad.clone(), bad.clone()]), []);
        assert_eq!(
            said(&tree_findings(&change, &[bad, worse])),
            ["paths/symlink: a: a symbolic link that leads out of the repository by way of `b`"]
        );
    }

    #[test]
    fn a_new_name_that_is_anothers_on_some_system_is_found_also_of_a_directory() {
        let of = |before: &[&str], new: &str| {
            let after = shape(&[before, &[new]].concat(), &[]);
            said(&tree_findings(
                &[added(new, Mode::File)],
                &[shape(before, &[]), after],
            ))
            .len()
        };
        assert_eq!(of(&["src/README.md"], "src/Readme.md"), 1);
        assert_eq!(of(&["Src/a"], "src/b"), 1, "a directory");
        assert_eq!(
            of(&["d\u{e9}j\u{e0}"], "de\u{301}ja\u{300}"),
            1,
            "letters that are written in two ways"
        );
        assert_eq!(of(&["Src/a", "src/b"], "src/c"), 0, "it was so before");
        assert_eq!(of(&["src/a"], "src/b"), 0);
    }

    #[test]
    fn a_rename_that_changes_only_the_case_is_none() {
        let renamed = Change {
            kind: ChangeKind::Renamed {
                from: path("README.md"),
            },
            ..added("Readme.md", Mode::File)
        };
        assert_eq!(
            tree_findings(
                &[renamed],
                &[shape(&["README.md"], &[]), shape(&["Readme.md"], &[])]
            ),
            []
        );
    }
}
