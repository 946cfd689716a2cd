//! A heartbeat finds what is there, and what it says of heads and distances is what git says.

use std::process::Command;

use orchestrator_core::{
    git::{GitError, IngressLimits, Look, Lookout, TARGET, Trusted, Workspace, Workspaces},
    model::{AttemptId, CommitId, Oid},
};
use orchestrator_testkit::{Sandbox, git};

use crate::common::trusted;

fn attempt(number: u32) -> AttemptId {
    AttemptId {
        task: "T1".parse().expect("an id"),
        number,
    }
}

fn commit(workspace: &Workspace, file: &str) -> CommitId {
    std::fs::write(workspace.tree().join(file), file).expect("writes");
    git(&workspace.tree(), &["add", "."]);
    git(&workspace.tree(), &["commit", "--quiet", "--message", file]);
    git(&workspace.tree(), &["rev-parse", "HEAD"])
        .parse()
        .expect("an id")
}

/// The head of a workspace's branch, as git has it.
fn by_git(workspace: &Workspace) -> Option<CommitId> {
    let branch = workspace.attempt.branch().full();
    git(&workspace.tree(), &["rev-parse", &branch]).parse().ok()
}

#[tokio::test]
async fn a_blob_is_read_up_to_its_limit() {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ten.txt", "0123456789"), ("empty.txt", "")], "ten");
    let trusted = trusted(&sandbox).await;
    let tip = trusted.fetch_target().await.expect("fetches");
    let tree = trusted.tree_of(tip).expect("a tree");
    let read = |name: &str, limit| {
        let blob = trusted
            .objects()
            .file(tree, &name.parse().expect("a path"))
            .expect("can be read")
            .expect("is there");
        trusted
            .objects()
            .blob(blob, limit)
            .expect("can be read")
            .map(|bytes| bytes.len())
    };
    assert_eq!(
        [
            read("ten.txt", 9),
            read("ten.txt", 10),
            read("ten.txt", 11),
            read("empty.txt", 0)
        ],
        [None, Some(10), Some(10), Some(0)]
    );
}

/// A worker's commit of one file, not yet taken in.
async fn worked(
    trusted: &Trusted,
    sandbox: &Sandbox,
    content: &str,
) -> (Workspace, CommitId, CommitId) {
    let base = trusted.fetch_target().await.expect("fetches");
    let workspace = Workspaces::beneath(&sandbox.state()).of(&attempt(1));
    workspace.create(trusted, base, &[]).await.expect("is made");
    std::fs::write(workspace.tree().join("work.txt"), content).expect("writes");
    let head = commit(&workspace, "more.txt");
    (workspace, base, head)
}

#[tokio::test]
async fn what_comes_in_is_within_its_limits_to_the_byte() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let content = "0123456789".repeat(100);
    let (workspace, base, head) = worked(&trusted, &sandbox, &content).await;
    // A commit, a tree, and two files.
    let sizes = git(
        &workspace.tree(),
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname) %(objectsize)",
        ],
    );
    let new = git(
        &workspace.tree(),
        &[
            "rev-list",
            "--objects",
            "--no-object-names",
            &format!("{base}..{head}"),
        ],
    );
    let size = |id: &str| {
        sizes
            .lines()
            .find_map(|line| line.strip_prefix(id)?.trim().parse::<u64>().ok())
            .expect("is listed")
    };
    let total: u64 = new.lines().map(size).sum();
    let (branch, keep) = (
        workspace.attempt.branch(),
        Trusted::keep_ref(&workspace.attempt, 1),
    );
    let fits = |blob, total, objects| {
        let (trusted, branch, keep, from) = (&trusted, &branch, &keep, workspace.repository());
        let mut limits = IngressLimits::default();
        limits.blob = blob;
        limits.total = total;
        limits.objects = objects;
        async move { trusted.ingest(&from, branch, keep, base, limits).await }
    };
    for (blob, total, objects, why) in [
        (
            999,
            total,
            4,
            "size/file: work.txt: it has 1000 bytes; at most 999 are taken in",
        ),
        (1000, total - 1, 4, "bytes together"),
        (1000, total, 3, "has 4 new objects"),
    ] {
        let refused = fits(blob, total, objects)
            .await
            .expect_err("is too much")
            .to_string();
        assert!(
            refused.contains(why) && refused.contains(&format!("git reset --soft {base}")),
            "{refused}"
        );
        assert!(!trusted.has(head), "nothing of what is refused is kept");
    }
    assert_eq!(fits(1000, total, 4).await.expect("fits"), head);
}

#[tokio::test]
async fn work_of_any_size_is_taken_in_whole_and_of_a_small_one_nothing_else_is_read() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let base = trusted.fetch_target().await.expect("fetches");
    // 48 files are a hundred objects with their directories and the commit.
    for (number, (files, is_small)) in (1..).zip([(1, true), (48, true), (49, false), (300, false)])
    {
        let workspace =
            Workspaces::beneath(&sandbox.path().join(r#"a:b"c\d"#)).of(&attempt(number));
        workspace
            .create(&trusted, base, &[])
            .await
            .expect("is made");
        for file in 0..files {
            let directory = workspace.tree().join(format!("{number}/{file}"));
            std::fs::create_dir_all(&directory).expect("makes");
            std::fs::write(directory.join("work.txt"), format!("{number} {file}")).expect("writes");
        }
        let head = commit(&workspace, "last.txt");
        let new = git(
            &workspace.tree(),
            &[
                "rev-list",
                "--objects",
                "--no-object-names",
                &format!("{base}..{head}"),
            ],
        );
        assert_eq!(new.lines().count() <= 100, is_small, "{files} files");
        let config = workspace.repository().join("config");
        let good = std::fs::read(&config).expect("is there");
        std::fs::write(&config, "[broken").expect("writes");
        let (branch, keep) = (
            workspace.attempt.branch(),
            Trusted::keep_ref(&workspace.attempt, 1),
        );
        let take_in = async || {
            trusted
                .ingest(
                    &workspace.repository(),
                    &branch,
                    &keep,
                    base,
                    IngressLimits::default(),
                )
                .await
        };
        let taken = take_in().await;
        assert_eq!(
            taken.ok(),
            Some(head),
            "{files} files, and a configuration that no git can read"
        );
        std::fs::write(&config, good).expect("writes");
        assert_eq!(take_in().await.expect("is taken in"), head);
        assert_eq!(
            trusted.kept(&workspace.attempt, head).expect("can be told"),
            Some(keep)
        );
        let theirs = workspace.repository().join("objects");
        std::fs::rename(&theirs, theirs.with_extension("gone")).expect("is moved");
        let ours = git(
            trusted.dir(),
            &[
                "rev-list",
                "--objects",
                "--no-object-names",
                &format!("{base}..{head}"),
            ],
        );
        assert_eq!(ours, new, "all of it is ours");
    }
    git(trusted.dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn small_work_that_is_damaged_or_that_git_would_not_check_out_is_refused() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, base, head) = worked(&trusted, &sandbox, "work").await;
    let (branch, keep) = (
        workspace.attempt.branch(),
        Trusted::keep_ref(&workspace.attempt, 1),
    );
    let take_in = async || {
        trusted
            .ingest(
                &workspace.repository(),
                &branch,
                &keep,
                base,
                IngressLimits::default(),
            )
            .await
    };
    let object = |id: &str| {
        workspace
            .repository()
            .join("objects")
            .join(&id[..2])
            .join(&id[2..])
    };
    let id = |of: &str| git(&workspace.tree(), &["rev-parse", of]);
    // A file that is not there, and another's content under its name.
    let (file, other) = (object(&id("HEAD:work.txt")), object(&id("HEAD:more.txt")));
    let whole = std::fs::read(&file).expect("is there");
    std::fs::remove_file(&file).expect("is removed");
    take_in().await.expect_err("has no such file");
    std::fs::copy(&other, &file).expect("copies");
    take_in().await.expect_err("has another file");
    std::fs::remove_file(&file).expect("is removed");
    std::fs::write(&file, whole).expect("writes");
    assert_eq!(take_in().await.expect("is whole again"), head);
    // A directory that git itself would take for a repository.
    let listing = workspace.root().join("listing");
    let within: Oid = id("HEAD^{tree}").parse().expect("an id");
    std::fs::write(&listing, [b"40000 .git\0", within.as_bytes()].concat()).expect("writes");
    let listing = listing.display().to_string();
    let tree = git(
        &workspace.tree(),
        &["hash-object", "-w", "-t", "tree", "--literally", &listing],
    );
    let evil = git(
        &workspace.tree(),
        &["commit-tree", "-p", "HEAD", "-m", "evil", &tree],
    );
    git(&workspace.tree(), &["update-ref", &branch.full(), &evil]);
    let refused = take_in().await.expect_err("has a .git").to_string();
    assert!(
        refused.contains("commit/fsck: ") && refused.contains("hasDotgit"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_too_large_is_named_with_its_commit_also_where_a_later_one_took_it_away() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, base, _) = worked(&trusted, &sandbox, "work").await;
    let tree = workspace.tree();
    let large = tree.join("deep/large.bin");
    std::fs::create_dir_all(tree.join("deep")).expect("makes");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len(2 << 20))
        .expect("a file full of holes");
    let brought = commit(&workspace, "with.txt");
    let (branch, keep) = (
        workspace.attempt.branch(),
        Trusted::keep_ref(&workspace.attempt, 1),
    );
    let mut limits = IngressLimits::default();
    limits.blob = 1 << 20;
    let refused = async || match trusted
        .ingest(&workspace.repository(), &branch, &keep, base, limits)
        .await
    {
        Err(GitError::Refused { findings }) => findings,
        other => panic!("it is refused: {other:?}"),
    };
    let [there] = &refused().await[..] else {
        panic!("one finding")
    };
    assert_eq!((there.rule.as_str(), there.history), ("size/file", None));
    assert_eq!(
        there.path.as_ref().map(ToString::to_string).as_deref(),
        Some("deep/large.bin")
    );
    assert!(
        there.message.contains("2097152 bytes")
            && there.message.contains(&brought.short().to_string()),
        "{there}"
    );
    std::fs::remove_file(&large).expect("is removed");
    let head = commit(&workspace, "without.txt");
    let [gone] = &refused().await[..] else {
        panic!("one finding")
    };
    assert_eq!(
        (gone.rule.as_str(), gone.history),
        ("size/file", Some(brought))
    );
    // Nothing of it is ours: no object, no ref, no room.
    let large: Oid = git(&tree, &["rev-parse", "HEAD~1:deep/large.bin"])
        .parse()
        .expect("an id");
    assert!(!trusted.has(head) && trusted.objects().sizes(&[large]).is_err());
    assert_eq!(
        trusted.kept(&workspace.attempt, head).expect("can be told"),
        None
    );
    let left = std::fs::read_dir(trusted.dir())
        .expect("is there")
        .flatten();
    assert_eq!(
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with("incoming-"))
            .count(),
        0
    );
    // As it says.
    git(&tree, &["reset", "--quiet", "--soft", &base.to_string()]);
    let head = commit(&workspace, "mended.txt");
    let taken = trusted
        .ingest(&workspace.repository(), &branch, &keep, base, limits)
        .await;
    assert_eq!(taken.expect("is taken in"), head);
}

#[tokio::test]
async fn a_branch_that_its_worker_deleted_is_said_and_a_repository_that_is_gone_is_damage() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, base, _) = worked(&trusted, &sandbox, "work").await;
    let (branch, keep) = (
        workspace.attempt.branch(),
        Trusted::keep_ref(&workspace.attempt, 1),
    );
    let take_in = async || {
        trusted
            .ingest(
                &workspace.repository(),
                &branch,
                &keep,
                base,
                IngressLimits::default(),
            )
            .await
    };
    git(&workspace.tree(), &["checkout", "--quiet", "--detach"]);
    git(
        &workspace.tree(),
        &["branch", "--quiet", "-D", branch.short()],
    );
    assert!(
        matches!(take_in().await, Err(GitError::Refused { findings }) if findings[0].rule == "commit/branch-gone")
    );
    std::fs::remove_dir_all(workspace.repository()).expect("is removed");
    assert!(!matches!(
        take_in().await,
        Err(GitError::Refused { .. }) | Ok(_)
    ));
}

#[tokio::test]
async fn a_head_is_kept_by_its_attempts_refs_and_by_nothing_else() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, base, head) = worked(&trusted, &sandbox, "work").await;
    let kept = async |number: u32, commit: CommitId| {
        trusted.kept(&attempt(number), commit).expect("can be told")
    };
    assert_eq!(kept(1, head).await, None, "it was never taken in");
    let (branch, keep) = (
        workspace.attempt.branch(),
        Trusted::keep_ref(&workspace.attempt, 2),
    );
    trusted
        .ingest(
            &workspace.repository(),
            &branch,
            &keep,
            base,
            IngressLimits::default(),
        )
        .await
        .expect("is taken in");
    assert_eq!(kept(1, head).await, Some(keep));
    assert_eq!(
        (kept(2, head).await, kept(1, base).await),
        (None, None),
        "another attempt's, and another commit"
    );
}

#[tokio::test]
async fn heads_are_what_git_says_and_are_read_only_when_something_moved() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let base = trusted.fetch_target().await.expect("fetches");
    let workspaces = Workspaces::beneath(&sandbox.state());
    let all: Vec<_> = (1..=3)
        .map(|number| workspaces.of(&attempt(number)))
        .collect();
    for workspace in &all {
        workspace
            .create(&trusted, base, &[])
            .await
            .and_then(|()| workspace.seal())
            .expect("is made");
    }
    let mut lookout = Lookout::new(workspaces.clone(), trusted.objects().clone());
    let mut check = |changed: &[bool]| {
        let looks = lookout.look().expect("looks");
        let seen: Vec<_> = looks.iter().map(|look| look.head).collect();
        let expected: Vec<_> = all.iter().map(by_git).collect();
        assert_eq!(seen, expected);
        assert_eq!(
            looks.iter().map(|look| look.changed).collect::<Vec<_>>(),
            changed
        );
    };
    check(&[true, true, true]);
    check(&[false, false, false]);
    commit(&all[1], "one");
    commit(&all[1], "two");
    check(&[false, true, false]);
    // Packed refs are refs as well.
    git(&all[1].repository(), &["pack-refs", "--all", "--prune"]);
    check(&[false, true, false]);
    commit(&all[1], "three");
    check(&[false, true, false]);
    check(&[false, false, false]);
}

#[tokio::test]
async fn it_finds_what_is_there_and_remembers_nothing_that_is_not() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let base = trusted.fetch_target().await.expect("fetches");
    let workspaces = Workspaces::beneath(&sandbox.state());
    let mut lookout = Lookout::new(workspaces.clone(), trusted.objects().clone());
    assert_eq!(lookout.look().expect("looks"), []);
    for number in [1, 2] {
        workspaces
            .of(&attempt(number))
            .create(&trusted, base, &[])
            .await
            .expect("is made");
    }
    std::fs::create_dir(sandbox.state().join("attempts/not an attempt")).expect("makes");
    assert_eq!(lookout.look().expect("looks").len(), 2);
    workspaces.of(&attempt(1)).remove().expect("is removed");
    let first = &workspaces.of(&attempt(2));
    git(&first.tree(), &["checkout", "--quiet", "--detach"]);
    let looks = lookout.look().expect("looks");
    assert!(
        matches!(&looks[..], [Look { attempt, on_branch: false, head: Some(head), .. }] if attempt.number == 2 && *head == base)
    );
    // A FIFO where a ref should be does not hang anybody.
    let reference = first.repository().join("refs/heads/attempt/T1/2");
    std::fs::remove_file(&reference).expect("removes");
    assert!(
        Command::new("mkfifo")
            .arg(&reference)
            .status()
            .expect("mkfifo can be run")
            .success()
    );
    assert_eq!(lookout.look().expect("looks")[0].head, None);
}

#[tokio::test]
async fn a_head_that_lacks_commits_is_told_from_one_with_more_also_where_they_are_in_packs() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, base, _) = worked(&trusted, &sandbox, "work").await;
    let mut lookout = Lookout::new(
        Workspaces::beneath(&sandbox.state()),
        trusted.objects().clone(),
    );
    let mut rewritten = || lookout.look().expect("looks")[0].rewritten;
    assert!(!rewritten());
    for number in 1..=40 {
        commit(&workspace, &format!("{number}.txt"));
        // What was loose is in a pack of its own, and nowhere else.
        git(&workspace.tree(), &["repack", "--quiet", "-d"]);
    }
    assert!(!rewritten(), "it has what it had");
    let tree = workspace.tree();
    git(&tree, &["reset", "--quiet", "--hard", "HEAD~3"]);
    assert!(rewritten(), "it lacks three commits");
    commit(&workspace, "another.txt");
    assert!(!rewritten(), "since it moved last, it lacks none");
    git(&tree, &["reset", "--quiet", "--hard", &base.to_string()]);
    assert!(rewritten(), "it lacks all commits");

    // What came into the target is part of a head that merges it.
    sandbox.commit(&[("target.txt", "moved")], "the target moves");
    let moved = trusted.fetch_target().await.expect("fetches").to_string();
    git(&tree, &["reset", "--quiet", "--hard", &moved]);
    assert!(!rewritten());
    commit(&workspace, "on-top.txt");
    assert!(!rewritten());
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_told_until_it_can_or_is_gone() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let (workspace, _, _) = worked(&trusted, &sandbox, "work").await;
    let mut lookout = Lookout::new(
        Workspaces::beneath(&sandbox.state()),
        trusted.objects().clone(),
    );
    let mut look = |unreadable: Option<bool>| {
        if let Some(unreadable) = unreadable {
            lookout.looked_whole(&workspace.attempt, unreadable);
        }
        lookout.look().expect("looks").remove(0).unreadable
    };
    assert!(!look(None), "nobody has tried");
    assert!(look(Some(true)));
    commit(&workspace, "later.txt");
    assert!(look(None), "nobody has tried again");
    assert!(!look(Some(false)));
    assert!(look(Some(true)));
    std::fs::remove_dir_all(workspace.tree()).expect("is removed");
    assert!(!look(None), "there is nothing to be read");
    assert!(!look(None));
}

#[tokio::test]
async fn a_full_look_counts_untracked_files_and_cannot_be_lied_to() {
    let sandbox = Sandbox::new();
    sandbox.commit(
        &[
            (".gitignore", "*.log\n"),
            ("a.txt", "a\n"),
            ("dir/b.txt", "b\n"),
        ],
        "files",
    );
    let trusted = trusted(&sandbox).await;
    let base = trusted.fetch_target().await.expect("fetches");
    let workspace = Workspaces::beneath(&sandbox.state()).of(&attempt(1));
    workspace
        .create(&trusted, base, &[])
        .await
        .and_then(|()| workspace.seal())
        .expect("is made");
    let look = async |head: CommitId| {
        let paths = workspace
            .uncommitted(&trusted, head, 50)
            .await
            .expect("looks");
        paths.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(look(base).await, Vec::<String>::new());
    let tree = workspace.tree();
    std::fs::write(tree.join("build.log"), "ignored").expect("writes");
    std::fs::write(tree.join("d\u{e9}j\u{e0}.txt"), "untracked").expect("writes");
    std::fs::write(tree.join("a.txt"), "changed\n").expect("writes");
    std::fs::remove_file(tree.join("dir/b.txt")).expect("removes");
    // The worker tells its own git to overlook what it changed.
    git(&tree, &["update-index", "--assume-unchanged", "a.txt"]);
    git(&tree, &["update-index", "--skip-worktree", "dir/b.txt"]);
    assert_eq!(
        git(&tree, &["status", "--porcelain", "--untracked-files=no"]),
        ""
    );
    let mut seen = look(base).await;
    seen.sort();
    assert_eq!(seen, ["a.txt", "dir/b.txt", "d\u{e9}j\u{e0}.txt"]);
    git(&tree, &["update-index", "--no-assume-unchanged", "a.txt"]);
    git(&tree, &["update-index", "--no-skip-worktree", "dir/b.txt"]);
    let head = commit(&workspace, "new.txt");
    let keep = Trusted::keep_ref(&workspace.attempt, 1);
    let branch = workspace.attempt.branch();
    let taken = trusted
        .ingest(
            &workspace.repository(),
            &branch,
            &keep,
            base,
            Default::default(),
        )
        .await
        .expect("is taken in");
    assert_eq!(taken, head);
    assert_eq!(look(head).await, Vec::<String>::new());
}

#[tokio::test]
async fn where_work_branched_off_is_what_git_says_however_the_target_moves() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    trusted.fetch_target().await.expect("fetches");
    let git_dir = trusted.dir().to_owned();
    let start = git(&sandbox.repo(), &["rev-parse", "main"]);
    let tree = git(&sandbox.repo(), &["rev-parse", "main^{tree}"]);
    let commit = |parents: &[&str], text: &str| {
        let parents: Vec<_> = parents.iter().flat_map(|parent| ["-p", parent]).collect();
        git(
            &git_dir,
            &[&["commit-tree", "-m", text], &parents[..], &[&tree]].concat(),
        )
    };
    let old = commit(&[], "another root");
    let before = commit(&[&old], "before we came");
    let came = commit(&[&before], "when we came");
    let (mut tips, mut heads) = (
        vec![came.clone()],
        vec![commit(&[&before], "older than we"), start.clone()],
    );
    for round in 0..6 {
        let tip = tips[tips.len() - 1].clone();
        // Two begin here; one of them lands at once, one that began earlier lands as well, and one merges what has landed.
        let [one, other] = ["one", "other"]
            .map(|who| commit(&[&commit(&[&tip], who)], &format!("{who} of {round}")));
        let landed = commit(&[&tip, &one], "landed");
        let again = commit(&[&landed, &heads[heads.len() / 2]], "an earlier one landed");
        heads.extend([
            commit(&[&other, &landed], "has merged the target"),
            one,
            other,
            landed.clone(),
        ]);
        tips.extend([landed, again]);
    }
    // Rewritten, and back again.
    tips.extend([
        commit(&[&tips[3]], "rewritten"),
        tips[4].clone(),
        start,
        tips[12].clone(),
    ]);
    for tip in &tips {
        git(&git_dir, &["update-ref", TARGET, tip]);
        for head in &heads {
            let [tip, head] = [tip, head].map(|id| id.parse::<CommitId>().expect("an id"));
            let mut is_ancestor = Command::new("git");
            is_ancestor
                .args([
                    "merge-base",
                    "--is-ancestor",
                    &head.to_string(),
                    &tip.to_string(),
                ])
                .current_dir(&git_dir);
            let contained = is_ancestor.status().expect("git can be run").success();
            assert_eq!(
                trusted.contains(tip, head).await.expect("can be told"),
                contained,
                "{tip} and {head}"
            );
            let ours = trusted
                .branched_off(tip, head)
                .await
                .expect("can be told")
                .map(|base| base.to_string());
            // Where there are two best ones, either will do.
            let theirs = Command::new("git")
                .args(["merge-base", "--all", &tip.to_string(), &head.to_string()])
                .current_dir(&git_dir)
                .output();
            let theirs = String::from_utf8(theirs.expect("git can be run").stdout).expect("text");
            let agrees = ours.as_deref().map_or(theirs.is_empty(), |ours| {
                theirs.lines().any(|theirs| theirs == ours)
            });
            assert!(agrees, "of {head} and {tip}: {ours:?}, not {theirs:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_and_goes_is_found_also_where_the_directory_had_long_been_as_it_was() {
    let sandbox = Sandbox::new();
    let trusted = trusted(&sandbox).await;
    let base = trusted.fetch_target().await.expect("fetches");
    let workspaces = Workspaces::beneath(&sandbox.state());
    let made = async |number| {
        let workspace = workspaces.of(&attempt(number));
        workspace
            .create(&trusted, base, &[])
            .await
            .expect("is made");
        workspace
    };
    let long_ago = || {
        let directory = std::fs::File::open(sandbox.state().join("attempts")).expect("is there");
        directory
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("sets the time back");
    };
    let mut lookout = Lookout::new(workspaces.clone(), trusted.objects().clone());
    let mut look = || {
        lookout
            .look()
            .expect("looks")
            .iter()
            .map(|look| (look.attempt.number, look.changed))
            .collect::<Vec<_>>()
    };
    assert_eq!(look(), []);
    let one = made(1).await;
    long_ago();
    assert_eq!((look(), look()), (vec![(1, true)], vec![(1, false)]));
    made(2).await;
    assert_eq!(look(), [(1, false), (2, true)]);
    long_ago();
    assert_eq!(look(), [(1, false), (2, false)]);
    commit(&one, "work.txt");
    assert_eq!(
        look(),
        [(1, true), (2, false)],
        "its own files are looked at all the same"
    );
    one.remove().expect("is removed");
    assert_eq!(look(), [(2, false)]);
}
