//! The difference in one path is, byte for byte, what git says of it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use orchestrator_core::{
    git::Trusted,
    model::{CommitId, RepoPath},
};
use orchestrator_testkit::{Sandbox, git};

use crate::common::trusted;

/// Two commits, in the repository of a person and in ours.
struct Stage {
    sandbox: Sandbox,
    trusted: Trusted,
    commits: [CommitId; 2],
}

impl Stage {
    /// Commits all that the two functions lay out.
    async fn new(before: impl FnOnce(&Path), after: impl FnOnce(&Path)) -> Self {
        let sandbox = Sandbox::new();
        let repo = sandbox.repo();
        git(&repo, &["config", "core.autocrlf", "false"]);
        before(&repo);
        let one = sandbox.commit(&[], "before");
        after(&repo);
        let other = sandbox.commit(&[], "after");
        let trusted = trusted(&sandbox).await;
        trusted.fetch_target().await.expect("fetches");
        let commits = [one, other].map(|commit| commit.parse().expect("an id"));
        Self {
            sandbox,
            trusted,
            commits,
        }
    }

    async fn ours(&self, path: &[u8]) -> String {
        let path = RepoPath::from_bytes(path).expect("a path");
        let [old, new] = self.commits;
        let diff = self.trusted.diff(old, new, &path).await.expect("compares");
        String::from_utf8_lossy(&diff).into_owned()
    }

    fn gits(&self, path: &[u8]) -> String {
        let [old, new] = self.commits.map(|commit| commit.to_string());
        let output = Command::new("git")
            .args(["--literal-pathspecs", "-c", "core.quotePath=true"])
            .args(["diff-tree", "-r", "-p", "--full-index", "--no-renames"])
            .args([&old, &new, "--"])
            .arg(RepoPath::from_bytes(path).expect("a path").to_path())
            .current_dir(self.sandbox.repo())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn assert_same(&self, paths: &[&[u8]]) {
        for path in paths {
            let ours = self.ours(path).await;
            assert!(!ours.is_empty(), "{}", path.escape_ascii());
            assert_eq!(ours, self.gits(path), "{}", path.escape_ascii());
        }
    }
}

fn write(repo: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        fs::write(repo.join(name), content).expect("writes");
    }
}

fn numbered(lines: std::ops::Range<u32>) -> String {
    lines.map(|line| format!("line {line}\n")).collect()
}

#[tokio::test]
async fn diff_of_lines_is_gits() {
    let long = numbered(0..60);
    let code =
        "fn one() {\n    a;\n    b;\n    c;\n    d;\n    e;\n}\n\nfn two() {\n    a;\n    b;\n}\n";
    let stage = Stage::new(
        |repo| {
            write(
                repo,
                &[
                    ("crlf", b"a\r\nb\r\nc\r\n"),
                    ("unix", b"a\nb\nc\n"),
                    ("ends", b"a\nb"),
                    ("ends-not", b"a\nb\n"),
                    ("empty", b""),
                    ("emptied", b"a\n"),
                    ("one", b"a\n"),
                    ("long", long.as_bytes()),
                    ("code", code.as_bytes()),
                    ("latin", b"caf\xe9\nol\xc3\xa9\n"),
                ],
            );
        },
        |repo| {
            let edited = long
                .replace("line 3\n", "LINE 3\n")
                .replace("line 10\n", "")
                .replace("line 17\n", "line 17\nline 17a\n")
                .replace("line 40\n", "LINE 40\n");
            let function = code
                .replace("    e;\n", "    e;\n    f;\n")
                .replace("fn two", "fn new() {\n    a;\n    b;\n}\n\nfn two");
            write(
                repo,
                &[
                    ("crlf", b"a\r\nB\r\nc\n"),
                    ("unix", b"a\r\nb\r\nc\r\n"),
                    ("ends", b"a\nb\n"),
                    ("ends-not", b"a\nb"),
                    ("empty", b"a\n"),
                    ("emptied", b""),
                    ("one", b"b"),
                    ("long", edited.as_bytes()),
                    ("code", function.as_bytes()),
                    ("latin", b"caf\xe9!\nol\xc3\xa9\n"),
                ],
            );
        },
    )
    .await;
    let names = [
        "crlf", "unix", "ends", "ends-not", "empty", "emptied", "one", "long", "code", "latin",
    ];
    stage.assert_same(&names.map(str::as_bytes)).await;
}

#[tokio::test]
async fn diff_of_what_is_no_text_is_gits() {
    let module = |repo: &Path, id: char| {
        let entry = format!("160000,{},module", id.to_string().repeat(40));
        git(repo, &["update-index", "--add", "--cacheinfo", &entry]);
        fs::create_dir_all(repo.join("module")).expect("makes a directory");
    };
    let stage = Stage::new(
        |repo| {
            write(
                repo,
                &[
                    ("binary", b"a\0b"),
                    ("was-binary", b"a\0b"),
                    ("mode", b"#!/bin/sh\n"),
                    ("mode-and-text", b"#!/bin/sh\n"),
                    ("becomes-link", b"text\n"),
                    ("gone-binary", b"\0"),
                ],
            );
            symlink("here", repo.join("link")).expect("links");
            symlink("here", repo.join("becomes-file")).expect("links");
            module(repo, '1');
        },
        |repo| {
            write(
                repo,
                &[
                    ("binary", b"a\0c"),
                    ("was-binary", b"text\n"),
                    ("new-binary", b"\0"),
                    ("new-empty", b""),
                    ("mode-and-text", b"#!/bin/sh\nls\n"),
                ],
            );
            for name in ["mode", "mode-and-text"] {
                fs::set_permissions(repo.join(name), fs::Permissions::from_mode(0o755))
                    .expect("sets the mode");
            }
            for name in ["becomes-link", "becomes-file", "link", "gone-binary"] {
                fs::remove_file(repo.join(name)).expect("removes");
            }
            symlink("there", repo.join("link")).expect("links");
            symlink("there", repo.join("becomes-link")).expect("links");
            write(repo, &[("becomes-file", b"text\n")]);
            module(repo, '2');
        },
    )
    .await;
    let names = [
        "binary",
        "was-binary",
        "mode",
        "mode-and-text",
        "becomes-link",
        "gone-binary",
        "new-binary",
        "new-empty",
        "becomes-file",
        "link",
        "module",
    ];
    stage.assert_same(&names.map(str::as_bytes)).await;
}

#[tokio::test]
async fn diff_names_any_path_as_git_does() {
    let names: [&[u8]; 6] = [
        b"with space",
        "caf\u{e9}".as_bytes(),
        b"tab\tand\nline",
        b"quote\"and\\slash",
        b"\x01\x7f\xff",
        b":(glob)*",
    ];
    let lay = |repo: &Path, text: &str| {
        for name in names {
            let path = RepoPath::from_bytes(name).expect("a path");
            fs::write(repo.join(path.to_path()), text).expect("writes");
        }
    };
    let stage = Stage::new(|repo| lay(repo, "a\n"), |repo| lay(repo, "b\n")).await;
    stage.assert_same(&names).await;
}

#[tokio::test]
async fn diff_shows_a_rename_as_deleted_and_added() {
    let text = numbered(0..20);
    let stage = Stage::new(
        |repo| write(repo, &[("old", text.as_bytes()), ("same", b"a\n")]),
        |repo| fs::rename(repo.join("old"), repo.join("new")).expect("renames"),
    )
    .await;
    stage.assert_same(&[b"old", b"new"]).await;
    assert!(stage.ours(b"new").await.contains("\n--- /dev/null\n"));
    assert_eq!(stage.ours(b"same").await, "");
    assert_eq!(stage.ours(b"nowhere").await, "");
}

#[tokio::test]
async fn diff_shows_a_file_that_became_a_directory_as_deleted() {
    let stage = Stage::new(
        |repo| write(repo, &[("place", b"a\n")]),
        |repo| {
            fs::remove_file(repo.join("place")).expect("removes");
            fs::create_dir(repo.join("place")).expect("makes a directory");
            write(repo, &[("place/within", b"b\n")]);
        },
    )
    .await;
    let ours = stage.ours(b"place").await;
    assert!(ours.contains("deleted file mode") && !ours.contains("within"));
    stage.assert_same(&[b"place/within"]).await;
}

#[tokio::test]
async fn diff_of_a_large_file_is_told_in_a_line() {
    // The limit is 16 MiB.
    let large = |last: char| format!("{}{last}\n", numbered(0..2_000_000));
    let stage = Stage::new(
        |repo| write(repo, &[("large", large('a').as_bytes())]),
        |repo| write(repo, &[("large", large('b').as_bytes())]),
    )
    .await;
    let ours = stage.ours(b"large").await;
    let [.., last] = ours.lines().collect::<Vec<_>>()[..] else {
        panic!("nothing is said");
    };
    assert_eq!(last, "Binary files a/large and b/large differ");
}

#[tokio::test]
async fn diff_reads_no_attributes_of_the_repository() {
    let hidden = [(".gitattributes", &b"* -diff\n"[..]), ("text", b"a\n")];
    let stage = Stage::new(
        |repo| write(repo, &hidden),
        |repo| write(repo, &[("text", b"b\n")]),
    )
    .await;
    assert!(stage.ours(b"text").await.ends_with("\n-a\n+b\n"));
}

/// Lines that come again and again, by a small generator: the same for the same seed.
fn drawn(seed: u64, lines: usize) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..lines)
        .map(|_| {
            format!(
                "{}word{}\n",
                "    ".repeat((next() % 3) as usize),
                next() % 40
            )
        })
        .collect()
}

#[tokio::test]
async fn diff_of_many_random_edits_is_gits() {
    let before = |seed: u64| drawn(seed, 80);
    let after = |seed: u64| {
        let mut lines = before(seed);
        for (at, line) in drawn(seed + 1000, 8).into_iter().enumerate() {
            let place = (seed as usize * 31 + at * 17) % lines.len();
            match at % 3 {
                0 => lines[place] = line,
                1 => lines.insert(place, line),
                _ => drop(lines.remove(place)),
            }
        }
        lines
    };
    let lay = |repo: &Path, of: &dyn Fn(u64) -> Vec<String>| {
        for seed in 0..60 {
            fs::write(repo.join(format!("f{seed}")), of(seed).concat()).expect("writes");
        }
    };
    let stage = Stage::new(|repo| lay(repo, &before), |repo| lay(repo, &after)).await;
    for seed in 0..60 {
        let name = format!("f{seed}");
        stage.assert_same(&[name.as_bytes()]).await;
    }
}
