//! Files of a tree: laid out over what was there before they are as if they were laid out anew, and what is seen of them in process is what
//! git says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use orchestrator_core::{
    git::{IngressLimits, Trusted, Workspace, Workspaces},
    model::{AttemptId, CommitId, GateHead, RepoPath},
};
use orchestrator_testkit::{Sandbox, git};

use crate::common::trusted;

/// Two commits of files, one after another.
async fn stage() -> (Sandbox, Trusted, [CommitId; 2]) {
    let sandbox = Sandbox::new();
    let first = [
        (".gitignore", "*.log\n"),
        ("a.txt", "a\n"),
        ("dir/b.txt", "b\n"),
        ("dir/sub/c.txt", "c\n"),
        ("gone.txt", "x\n"),
    ];
    sandbox.commit(&first, "first");
    fs::set_permissions(
        sandbox.repo().join("a.txt"),
        fs::Permissions::from_mode(0o755),
    )
    .expect("sets the mode");
    symlink("a.txt", sandbox.repo().join("link")).expect("links");
    let one = sandbox.commit(&[("d.txt", "d\n")], "more");
    fs::remove_file(sandbox.repo().join("gone.txt")).expect("is removed");
    let other = sandbox.commit(&[("dir/b.txt", "B\n"), ("new/e.txt", "e\n")], "second");
    let trusted = trusted(&sandbox).await;
    trusted.fetch_target().await.expect("fetches");
    let commits = [one, other].map(|commit| commit.to_string().parse().expect("an id"));
    (sandbox, trusted, commits)
}

fn workspace(sandbox: &Sandbox, number: u32) -> Workspace {
    Workspaces::beneath(&sandbox.state()).of(&AttemptId {
        task: "T1".parse().expect("an id"),
        number,
    })
}

/// All that is in a directory: kinds, permissions and content, by path.
fn listing(top: &Path) -> BTreeMap<String, String> {
    let (mut found, mut left) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("can be read").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("is there"));
            let content = if meta.is_dir() {
                left.push(path.clone());
                "a directory".to_owned()
            } else if meta.is_symlink() {
                fs::read_link(&path).expect("a link").display().to_string()
            } else {
                String::from_utf8_lossy(&fs::read(&path).expect("can be read")).into_owned()
            };
            let name = path
                .strip_prefix(top)
                .expect("is beneath")
                .display()
                .to_string();
            found.insert(
                name,
                format!(
                    "{:o} {} {content}",
                    meta.mode(),
                    meta.nlink() * u64::from(!meta.is_dir())
                ),
            );
        }
    }
    found
}

/// What somebody may do to a directory, beside a place outside of it.
type Deed = (&'static str, fn(&Path, &Path));

fn write_secretly(file: &Path, content: &str) {
    let before = file
        .metadata()
        .and_then(|meta| meta.modified())
        .expect("is there");
    fs::write(file, content).expect("writes");
    fs::File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_modified(before))
        .expect("sets the time back");
}

const DEEDS: [Deed; 19] = [
    ("nothing", |_, _| {}),
    ("other content", |tree, _| {
        fs::write(tree.join("d.txt"), "other\n").expect("writes");
    }),
    (
        "other content of the same size, at the same time",
        |tree, _| write_secretly(&tree.join("d.txt"), "D\n"),
    ),
    ("another file with the same content", |tree, _| {
        fs::remove_file(tree.join("d.txt"))
            .and_then(|()| fs::write(tree.join("d.txt"), "d\n"))
            .expect("writes");
    }),
    ("a file that is gone", |tree, _| {
        fs::remove_file(tree.join("dir/b.txt")).expect("is removed");
    }),
    ("a directory that is gone", |tree, _| {
        fs::remove_dir_all(tree.join("dir")).expect("is removed");
    }),
    ("a file that can be run", |tree, _| {
        fs::set_permissions(tree.join("d.txt"), fs::Permissions::from_mode(0o777))
            .expect("sets the mode");
    }),
    ("a file that cannot be run", |tree, _| {
        fs::set_permissions(tree.join("a.txt"), fs::Permissions::from_mode(0o644))
            .expect("sets the mode");
    }),
    ("a new file", |tree, _| {
        fs::write(tree.join("dir/new.txt"), "new").expect("writes");
    }),
    ("a file that is ignored", |tree, _| {
        fs::write(tree.join("dir/new.log"), "new").expect("writes");
    }),
    ("a directory of new files", |tree, _| {
        fs::create_dir_all(tree.join("x/y"))
            .and_then(|()| fs::write(tree.join("x/y/z"), "new"))
            .expect("writes");
    }),
    ("a directory for a file", |tree, _| {
        fs::remove_file(tree.join("d.txt"))
            .and_then(|()| fs::create_dir(tree.join("d.txt")))
            .expect("makes");
        fs::write(tree.join("d.txt/x"), "x").expect("writes");
    }),
    ("a file for a directory", |tree, _| {
        fs::remove_dir_all(tree.join("dir"))
            .and_then(|()| fs::write(tree.join("dir"), "x"))
            .expect("writes");
    }),
    ("a link to elsewhere for a directory", |tree, outside| {
        fs::rename(tree.join("dir"), outside.join("dir"))
            .and_then(|()| symlink(outside.join("dir"), tree.join("dir")))
            .expect("links");
    }),
    ("a link that points elsewhere", |tree, _| {
        fs::remove_file(tree.join("link"))
            .and_then(|()| symlink("d.txt", tree.join("link")))
            .expect("links");
    }),
    ("a second name for a file", |tree, outside| {
        fs::hard_link(tree.join("d.txt"), outside.join("d.txt")).expect("links");
    }),
    ("a repository within", |tree, _| {
        fs::create_dir_all(tree.join("dir/sub/.git/hooks")).expect("makes");
        fs::write(tree.join("dir/sub/.git/HEAD"), "ref: refs/heads/x\n").expect("writes");
    }),
    ("a directory that nobody may enter", |tree, _| {
        fs::set_permissions(tree.join("dir/sub"), fs::Permissions::from_mode(0o000))
            .expect("sets the mode");
    }),
    ("a directory that others may write to", |tree, _| {
        fs::set_permissions(tree.join("dir/sub"), fs::Permissions::from_mode(0o1777))
            .expect("sets the mode");
    }),
];

#[tokio::test]
async fn a_tree_laid_out_over_another_is_as_one_laid_out_anew() {
    for (deed, done) in DEEDS {
        let (sandbox, trusted, commits) = stage().await;
        let (lane, outside) = (
            sandbox.path().join("lane/tree"),
            sandbox.path().join("outside"),
        );
        fs::create_dir(&outside).expect("makes");
        let trees = commits.map(|commit| trusted.tree_of(commit).expect("a tree"));
        trusted.export(trees[0], &lane).await.expect("lays out");
        let inode = |name: &str| {
            lane.join(name)
                .symlink_metadata()
                .map(|meta| meta.ino())
                .ok()
        };
        let before = inode(".gitignore");
        done(&lane, &outside);
        trusted.export(trees[1], &lane).await.expect("lays out");
        let anew = sandbox.path().join("anew");
        trusted.export(trees[1], &anew).await.expect("lays out");
        assert_eq!(listing(&lane), listing(&anew), "{deed}");
        assert_eq!(
            inode(".gitignore"),
            before,
            "{deed}: what was not touched was not written again"
        );
        // And back again, over what is right.
        trusted.export(trees[0], &lane).await.expect("lays out");
        trusted
            .export(trees[0], &sandbox.path().join("first"))
            .await
            .expect("lays out");
        assert_eq!(
            listing(&lane),
            listing(&sandbox.path().join("first")),
            "{deed}"
        );
    }
}

#[tokio::test]
async fn the_next_workspace_has_the_files_of_one_that_is_gone_and_nothing_of_its_worker() {
    for (deed, done) in DEEDS {
        let (sandbox, trusted, commits) = stage().await;
        let outside = sandbox.path().join("outside");
        fs::create_dir(&outside).expect("makes");
        let gone = workspace(&sandbox, 1);
        gone.create(&trusted, commits[0], &[])
            .await
            .and_then(|()| gone.seal())
            .expect("is made");
        let kept = gone
            .tree()
            .join(".gitignore")
            .metadata()
            .expect("is there")
            .ino();
        fs::write(gone.out().join("handoff.json"), "{}").expect("writes");
        git(
            &gone.tree(),
            &[
                "commit",
                "--quiet",
                "--allow-empty",
                "--message",
                "of the worker",
            ],
        );
        done(&gone.tree(), &outside);
        gone.remove().expect("is removed");
        let next = workspace(&sandbox, 2);
        next.create(&trusted, commits[1], &[])
            .await
            .and_then(|()| next.seal())
            .expect("is made");
        assert_eq!(
            next.tree()
                .join(".gitignore")
                .metadata()
                .expect("is there")
                .ino(),
            kept,
            "{deed}: it is the same file"
        );
        // Beside one that had nothing to begin with.
        let anew = workspace(&sandbox, 3);
        anew.create(&trusted, commits[1], &[])
            .await
            .and_then(|()| anew.seal())
            .expect("is made");
        let of = |workspace: &Workspace| {
            let mut all = listing(workspace.root());
            // Each has its own branch, places and times.
            all.retain(|path, content| {
                *content = content.replace("T1-2", "T1-3").replace("T1/2", "T1/3");
                !path.ends_with("index")
            });
            all.into_iter()
                .map(|(path, content)| {
                    (
                        path.replace("T1/2", "T1/3")
                            .replace("refs/heads/attempt/T1/2", ""),
                        content,
                    )
                })
                .collect()
        };
        let (next_has, anew_has): (BTreeMap<_, _>, BTreeMap<_, _>) = (of(&next), of(&anew));
        assert_eq!(next_has, anew_has, "{deed}");
        assert_eq!(
            git(
                &next.tree(),
                &[
                    "status",
                    "--porcelain",
                    "--untracked-files=all",
                    "--ignored"
                ]
            ),
            "",
            "{deed}"
        );
        assert_eq!(
            git(&next.tree(), &["log", "--format=%s", "-1"]),
            "second",
            "{deed}"
        );
        Workspaces::beneath(&sandbox.state())
            .clear_spares()
            .expect("is cleared");
        let left = fs::read_dir(sandbox.state().join("attempts"))
            .expect("can be read")
            .count();
        assert_eq!(left, 2, "{deed}: the two that are there");
    }
}

/// The same place, from the directory that this process is in.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().expect("is somewhere");
    let up: PathBuf = here.iter().skip(1).map(|_| "..").collect();
    up.join(path.strip_prefix("/").expect("is from the root"))
}

#[tokio::test]
async fn paths_may_be_relative() {
    let (sandbox, trusted, commits) = stage().await;
    let trees = commits.map(|commit| trusted.tree_of(commit).expect("a tree"));
    let place = sandbox.path().join("lane/tree");
    for tree in trees {
        trusted
            .export(tree, &relative(&place))
            .await
            .expect("lays out");
    }
    assert!(place.join("new/e.txt").is_file() && sandbox.path().join("lane/tree.index").is_file());

    let at = GateHead::Tip(commits[1]);
    trusted
        .write_gate_repository(&relative(&place), trees[1], at, &[])
        .await
        .expect("is written");
    assert_eq!(git(&place, &["status", "--porcelain"]), "");

    let workspace = Workspaces::beneath(&relative(&sandbox.state())).of(&AttemptId {
        task: "T1".parse().expect("an id"),
        number: 1,
    });
    workspace
        .create(&trusted, commits[1], &[])
        .await
        .expect("is made");
    let tree = workspace.tree();
    fs::write(tree.join("work.txt"), "work").expect("writes");
    git(&tree, &["add", "work.txt"]);
    git(&tree, &["commit", "--quiet", "--message", "work"]);
    // What is packed is fetched.
    git(&tree, &["repack", "--quiet", "-a", "-d"]);
    let from = relative(&workspace.repository());
    let branch = workspace.attempt.branch();
    let keep = Trusted::keep_ref(&workspace.attempt, 1);
    let limits = IngressLimits::default();
    let head = trusted
        .ingest(&from, &branch, &keep, commits[1], limits)
        .await;
    assert_eq!(Some(head.expect("is taken in")), workspace.head());
}

/// What the worker's own git says of a workspace.
fn by_git(workspace: &Workspace) -> Vec<String> {
    let listed = git(
        &workspace.tree(),
        &["ls-files", "--modified", "--others", "--exclude-standard"],
    );
    let mut paths: Vec<_> = listed
        .lines()
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

#[tokio::test]
async fn what_is_seen_in_process_is_what_git_says() {
    for committed in [false, true] {
        for (deed, done) in DEEDS {
            let (sandbox, trusted, commits) = stage().await;
            let outside = sandbox.path().join("outside");
            fs::create_dir(&outside).expect("makes");
            let workspace = workspace(&sandbox, 1);
            workspace
                .create(&trusted, commits[0], &[])
                .await
                .and_then(|()| workspace.seal())
                .expect("is made");
            let mut head = commits[0];
            if committed {
                // Changed, new, gone, and another mode.
                fs::write(workspace.tree().join("dir/b.txt"), "changed\n").expect("writes");
                fs::write(workspace.tree().join("dir/f.txt"), "f\n").expect("writes");
                fs::remove_file(workspace.tree().join("gone.txt")).expect("is removed");
                git(&workspace.tree(), &["add", "--all"]);
                git(
                    &workspace.tree(),
                    &["commit", "--quiet", "--message", "work"],
                );
                head = git(&workspace.tree(), &["rev-parse", "HEAD"])
                    .parse()
                    .expect("an id");
                let (branch, keep) = (
                    workspace.attempt.branch(),
                    Trusted::keep_ref(&workspace.attempt, 1),
                );
                let limits = IngressLimits::default();
                let taken = trusted
                    .ingest(&workspace.repository(), &branch, &keep, commits[0], limits)
                    .await;
                assert_eq!(taken.expect("is taken in"), head);
            }
            done(&workspace.tree(), &outside);
            let paths = |found: Vec<RepoPath>| {
                let mut paths: Vec<_> = found.iter().map(ToString::to_string).collect();
                paths.sort();
                paths
            };
            let touched = paths(
                workspace
                    .touched(&trusted, commits[0], 50)
                    .await
                    .expect("looks"),
            );
            let seen = paths(
                workspace
                    .uncommitted(&trusted, head, 50)
                    .await
                    .expect("looks"),
            );
            assert_eq!(seen, by_git(&workspace), "{deed}, committed: {committed}");
            // Beside what is left, what was committed; some of which a deed to a directory may have undone.
            let work = ["dir/b.txt", "dir/f.txt", "gone.txt"]
                .into_iter()
                .filter(|_| committed);
            if deed.contains("directory") {
                continue;
            }
            let all: BTreeSet<_> = seen.iter().map(String::as_str).chain(work).collect();
            assert!(
                all.iter()
                    .all(|path| touched.iter().any(|seen| seen == path)),
                "{deed}: {touched:?} without one of {all:?}"
            );
            assert!(committed || touched == seen, "{deed}: {touched:?}");
        }
    }
}

#[tokio::test]
async fn what_is_taken_in_without_git_is_what_git_would_take_in() {
    let names = [
        "plain",
        "a b",
        "-x",
        "a=b",
        "d\u{e9}j\u{e0}",
        ".hidden",
        ".gitx",
        ".gitmodules",
        ".gitattributes",
        ".GIT",
        "git~1",
        ".git ",
        ".",
        "..",
        "aux",
        "con.txt",
        "a\\b",
        "a:b",
        "trailing.",
        "~",
        "*",
    ];
    for name in names {
        let (sandbox, trusted, commits) = stage().await;
        let workspace = workspace(&sandbox, 1);
        workspace
            .create(&trusted, commits[0], &[])
            .await
            .and_then(|()| workspace.seal())
            .expect("is made");
        let (tree, listed) = (workspace.tree(), workspace.root().join("listed"));
        let blob = git(&tree, &["rev-parse", "HEAD:a.txt"]);
        let id: orchestrator_core::model::Oid = blob.parse().expect("an id");
        fs::write(
            &listed,
            [b"100644 ", name.as_bytes(), b"\0", id.as_bytes()].concat(),
        )
        .expect("writes");
        let made = git(
            &tree,
            &[
                "hash-object",
                "-w",
                "-t",
                "tree",
                "--literally",
                &listed.display().to_string(),
            ],
        );
        let head = git(&tree, &["commit-tree", "-p", "HEAD", "-m", "odd", &made]);
        let branch = workspace.attempt.branch();
        git(&tree, &["update-ref", &branch.full(), &head]);
        let keep = Trusted::keep_ref(&workspace.attempt, 1);
        let taken = trusted
            .ingest(
                &workspace.repository(),
                &branch,
                &keep,
                commits[0],
                IngressLimits::default(),
            )
            .await;
        // A fetch by git alone, with the checks that it makes.
        let other = sandbox.path().join("other.git");
        git(
            sandbox.path(),
            &["clone", "--quiet", "--bare", "repo", "other.git"],
        );
        let from = workspace.repository().display().to_string();
        let refspec = format!("{}:refs/heads/odd", branch.full());
        let mut fetch = Command::new("git");
        fetch
            .args([
                "-c",
                "fetch.fsckObjects=true",
                "fetch",
                "--quiet",
                &from,
                &refspec,
            ])
            .current_dir(&other);
        let by_git = fetch
            .stderr(Stdio::null())
            .status()
            .expect("git can be run")
            .success();
        assert_eq!(taken.is_ok(), by_git, "{name:?}: {taken:?}");
    }
}
