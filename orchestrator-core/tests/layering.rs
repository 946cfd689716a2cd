//! The layers of the crate: which module may import which. Reads the `use` lines and paths of every source file, and fails on
//! a wrong direction.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each layer, with what it may import.
///
/// One line differs from the first design: `git` may import `process` and `port`. Every call of git is a child with a deadline
/// that must die with its children, which is just what `process` does; and an edit that lands is said in the port's words.
const LAYERS: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("machine", &["model"]),
    ("port", &["model"]),
    // Files in places where others can write: whoever opens, writes or removes one does it by this.
    ("untrusted", &["model"]),
    ("process", &["model", "untrusted"]),
    (
        "git",
        &["failpoint", "model", "port", "process", "untrusted"],
    ),
    ("prompt", BOX),
    ("source", BOX),
    // A reviewer may be an agent, and what that is told is a prompt.
    (
        "review",
        &[
            "failpoint",
            "model",
            "port",
            "process",
            "git",
            "prompt",
            "untrusted",
        ],
    ),
    ("gate", BOX),
    ("store", BOX),
    ("agent", BOX),
    ("status", &["model", "machine"]),
    ("guide", &[]),
    // Places at which a test may kill the process: nothing, but for tests.
    ("failpoint", &[]),
    (
        "driver",
        &[
            "failpoint",
            "model",
            "machine",
            "port",
            "process",
            "git",
            "prompt",
            "source",
            "review",
            "gate",
            "store",
            "agent",
            "status",
            "untrusted",
        ],
    ),
    (
        "lib",
        &[
            "agent", "driver", "machine", "model", "port", "source", "status",
        ],
    ),
];

/// What ships in the box behind the ports.
const BOX: &[&str] = &["failpoint", "model", "port", "process", "git", "untrusted"];

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory)
        .expect("a directory of sources")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules that a source names behind `crate::`, in single paths and at the top of groups.
fn imported(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (offset, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.push(word(&group[offset..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// Imports in a wrong direction, as `file imports module`.
fn wrong(files: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let layer = |path: &Path| {
        let first = path
            .components()
            .next()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    };
    let mut wrong = Vec::new();
    for (path, source) in files {
        let own = layer(path);
        let known = LAYERS.iter().find(|(name, _)| *name == own);
        let (_, may) = known.unwrap_or_else(|| panic!("{} is in no layer", path.display()));
        let bad = imported(source)
            .into_iter()
            .filter(|module| *module != own && !may.contains(&module.as_str()));
        wrong.extend(bad.map(|module| format!("{} imports {module}", path.display())));
    }
    wrong
}

#[test]
fn no_module_imports_against_the_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() > 40, "the sources were not found");
    let relative = |path: &PathBuf| {
        path.strip_prefix(&root)
            .expect("beneath the root")
            .to_owned()
    };
    let files = paths
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).expect("reads")))
        .collect();
    assert_eq!(wrong(&files), Vec::<String>::new());
}

#[test]
fn a_wrong_import_would_be_seen() {
    let files = [
        ("model/a.rs", "use crate::machine::State;"),
        (
            "machine/b.rs",
            "use crate::{\n    model::{Task, TaskId},\n    git::Git,\n};\n// use crate::driver::X",
        ),
        ("process/c.rs", "fn f() { crate::status::table(&x); }"),
        ("driver/d.rs", "use crate::git::Git;"),
    ];
    let files = files
        .map(|(path, source)| (PathBuf::from(path), source.to_owned()))
        .into();
    assert_eq!(
        wrong(&files),
        [
            "machine/b.rs imports git",
            "model/a.rs imports machine",
            "process/c.rs imports status"
        ]
    );
}

#[test]
fn only_the_git_module_knows_gix() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let knows = paths
        .iter()
        .filter(|path| fs::read_to_string(path).expect("reads").contains("gix::"));
    let outside: Vec<_> = knows
        .filter(|path| !path.starts_with(root.join("git")))
        .collect();
    assert_eq!(outside, Vec::<&PathBuf>::new());
}

/// Products of others, whose backends are crates of their own.
const VENDORS: [&str; 6] = [
    "anthropic",
    "claude",
    "codex",
    "cursor",
    "openai",
    "opencode",
];

/// Files that name them as data which protects a repository whichever agents a run has.
const VENDORS_AS_DATA: [&str; 3] = [
    // Files of a repository that tell agents what to do.
    "model/authority.rs",
    // Forms of keys that nobody may commit.
    "review/contents.rs",
    // Variables that pay for a model.
    "git/environment.rs",
];

/// The vendors that a source names outside of comments and its own tests.
fn vendors(source: &str) -> Vec<&'static str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let code = code.replace("io::Cursor", "").to_lowercase();
    let named = VENDORS.into_iter().filter(|vendor| code.contains(vendor));
    named.collect()
}

#[test]
fn vendors_of_agents_are_not_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let mut named = BTreeMap::new();
    for path in paths {
        let found = vendors(&fs::read_to_string(&path).expect("reads"));
        let file = path.strip_prefix(&root).expect("beneath the root");
        if !found.is_empty() {
            named.insert(file.display().to_string(), found);
        }
    }
    let mut files: Vec<_> = VENDORS_AS_DATA.map(str::to_owned).to_vec();
    files.sort();
    assert_eq!(
        named.keys().cloned().collect::<Vec<_>>(),
        files,
        "{named:?}"
    );
    assert_eq!(vendors("use x;\nCodex(CodexSpec), // a comment"), ["codex"]);
}
