//! The layers of the crate: which module may import which. Reads the `use` lines and paths of every source file, and fails on
//! a wrong direction, and on files of a folder that import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// All sources, by their paths.
fn files() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() > 40, "the sources were not found");
    let mut files = BTreeMap::new();
    for path in paths {
        let source = fs::read_to_string(&path).expect("reads");
        let path = path.strip_prefix(&root).expect("beneath the root");
        files.insert(path.to_owned(), source);
    }
    files
}

#[test]
fn no_module_imports_against_the_layers() {
    assert_eq!(wrong(&files()), Vec::<String>::new());
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
    let mut knows = files();
    knows.retain(|path, source| source.contains("gix::") && !path.starts_with("git"));
    assert_eq!(knows.into_keys().collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// Folders in which no files import each other in a circle, directly or by others of the folder.
const FOLDERS: [&str; 3] = ["git", "driver", "machine"];

/// The paths that a source names behind `crate::` and `super::`, each from the crate's root; `within` is the module that it is.
/// Its tests may name what they like.
fn named(source: &str, within: &[String]) -> Vec<Vec<String>> {
    let source = source.split("#[cfg(test)]\nmod tests").next();
    let lines = source.unwrap_or_default().lines();
    let code: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for begin in ["crate::", "super::"] {
        for (at, _) in code.match_indices(begin) {
            // One in the middle of a path belongs to that.
            let follows = code[..at].ends_with("::");
            if !follows {
                flatten(&code[at..], within, &mut found);
            }
        }
    }
    found
}

/// The single paths of a path that may end in a group; how much of the text they are.
fn flatten(text: &str, within: &[String], into: &mut Vec<Vec<String>>) -> usize {
    let mut path = within.to_vec();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let word = &rest[..end.unwrap_or(rest.len())];
        at += word.len();
        match word {
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            _ => path.push(word.to_owned()),
        }
        if !text[at..].starts_with("::") {
            into.push(path);
            return at;
        }
        at += 2;
        if text[at..].starts_with('{') {
            break;
        }
    }
    at += 1;
    while let Some(next) = text[at..].find(|c: char| !(c.is_whitespace() || c == ',')) {
        at += next;
        if text[at..].starts_with('}') {
            return at + 1;
        }
        let taken = flatten(&text[at..], &path, into);
        // What is no name, such as a star.
        at += taken.max(1);
    }
    at
}

/// The crate as modules: each with what it says, and whether it is a folder's own.
struct Modules(BTreeMap<Vec<String>, (String, bool)>);

impl Modules {
    fn of(files: &BTreeMap<PathBuf, String>) -> Self {
        let mut modules = BTreeMap::new();
        for (path, source) in files {
            let without = path.with_extension("");
            let mut name: Vec<_> = without
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            let is_folder = name.last().is_some_and(|last| last == "mod");
            if is_folder {
                name.pop();
            }
            modules.insert(name, (source.clone(), is_folder));
        }
        Self(modules)
    }

    /// The file that a path leads to, through what folders say that they re-export.
    fn file(&self, path: &[String]) -> Option<&Vec<String>> {
        let longest = (1..=path.len())
            .rev()
            .find_map(|length| self.0.get_key_value(&path[..length]))?;
        let (name, (source, is_folder)) = longest;
        if !is_folder {
            return Some(name);
        }
        let item = path.get(name.len())?;
        let exports = source.split(" use ").skip(1).flat_map(|export| {
            let mut found = Vec::new();
            flatten(export, name, &mut found);
            found
        });
        let mut exports = exports.filter(|export| export.last() == Some(item));
        exports.find_map(|export| self.file(&export))
    }

    /// Which files of a folder import which others of it.
    fn imports(&self, folder: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut imports = BTreeMap::new();
        let inside = |name: &[String]| name.first().is_some_and(|first| first == folder);
        let files = self
            .0
            .iter()
            .filter(|(name, (_, is_folder))| inside(name) && !is_folder);
        for (name, (source, _)) in files {
            let others = named(source, name);
            let others = others.iter().filter_map(|path| self.file(path));
            let others = others.filter(|other| inside(other) && *other != name);
            imports.insert(
                name.join("/"),
                others.map(|other| other.join("/")).collect(),
            );
        }
        imports
    }
}

/// The groups of files each of which imports every other one, directly or by others.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut reached = BTreeMap::new();
    for from in imports.keys() {
        let mut seen = BTreeSet::new();
        let mut left = vec![from];
        while let Some(file) = left.pop() {
            let others = imports.get(file).into_iter().flatten();
            left.extend(others.filter(|other| seen.insert((*other).clone())));
        }
        reached.insert(from.clone(), seen);
    }
    let mut groups = BTreeSet::new();
    for (file, seen) in &reached {
        let group: Vec<_> = seen
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)))
            .cloned()
            .collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

#[test]
fn files_of_a_folder_import_each_other_in_no_new_circle() {
    let modules = Modules::of(&files());
    let found: Vec<_> = FOLDERS
        .iter()
        .flat_map(|folder| circles(&modules.imports(folder)))
        .collect();
    assert_eq!(found, Vec::<Vec<String>>::new());
}

#[test]
fn a_circle_would_be_seen() {
    let files = [
        (
            "git/mod.rs",
            "mod a;\nmod lfs;\npub use a::{A, Other};\npub(super) use lfs::Lfs;",
        ),
        ("git/a.rs", "use super::b::B;"),
        (
            "git/b.rs",
            "use crate::{\n    git::{c::{self, C}, d},\n    model::A,\n};",
        ),
        (
            "git/c.rs",
            "use super::Lfs;\n// use super::e::E;\n#[cfg(test)]\nmod tests { use super::d; }",
        ),
        ("git/d.rs", "fn f() { super::a::A }"),
        ("git/e.rs", "use super::{A, b};"),
        (
            "git/lfs/mod.rs",
            "mod store;\npub(in crate::git) use store::Lfs;",
        ),
        ("git/lfs/store.rs", "use super::super::A;"),
    ];
    let files = files.map(|(path, source)| (PathBuf::from(path), source.to_owned()));
    let modules = Modules::of(&files.into());
    let circle = ["git/a", "git/b", "git/c", "git/d", "git/lfs/store"];
    assert_eq!(
        circles(&modules.imports("git")),
        [circle.map(str::to_owned)]
    );
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
