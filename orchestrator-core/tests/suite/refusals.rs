//! Each cause for which a landing is refused has its own message, with git's reason and a fix.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use orchestrator_core::{
    git::{Git, Trusted, UserRepository},
    model::{
        BranchName, EndReason, LandingOutcome, MissingTarget, Operation, Push, Refusal,
        RefusalCause, RepoPath,
    },
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{self, WORK, builder, roadmap, sandbox};

/// A sandbox whose `main` has dropped the file `A.txt`, which its last commit but one has.
fn without_a() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("A.txt", "A\n"), ("docs/a.md", "a\n")], "add A");
    git(&sandbox.repo(), &["rm", "--quiet", "-r", "A.txt", "docs"]);
    git(&sandbox.repo(), &["commit", "--quiet", "-m", "drop A"]);
    git(&sandbox.repo(), &["push", "--quiet", "origin", "main"]);
    sandbox
}

async fn remote_trusted(sandbox: &Sandbox) -> Trusted {
    let program = Git::find().await.expect("git is there");
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let push = Push::Remote("origin".to_owned());
    let destination = user.destination(&push).await.expect("is there");
    let target = "main".parse().expect("a name");
    let dir = sandbox.path().join("trusted.git");
    Trusted::open(user, program, dir, target, destination, &BTreeMap::new())
        .await
        .expect("opens")
}

/// Tries to land `A.txt` and `docs/a.md`.
async fn land(sandbox: &Sandbox, trusted: &Trusted) -> LandingOutcome {
    let tip = trusted.fetch_target().await.expect("fetches");
    let head = git(&sandbox.repo(), &["rev-parse", "refs/heads/main~1"])
        .parse()
        .expect("an id");
    let tree = trusted.tree_of(head).expect("a tree");
    let landing = common::landing(head, tip, tree);
    trusted.land(&landing).await.expect("can be tried")
}

#[track_caller]
fn refusal(outcome: LandingOutcome) -> Refusal {
    match outcome {
        LandingOutcome::Refused(refusal) => refusal,
        outcome => panic!("{outcome:?}"),
    }
}

/// What refuses to land in the person's repository. It speaks of no push and of no remote, and leaves the checkout as it
/// was.
async fn refused_locally(sandbox: &Sandbox) -> Refusal {
    let status = || git(&sandbox.repo(), &["status", "--porcelain"]);
    let before = status();
    let trusted = common::trusted(sandbox).await;
    let refusal = refusal(land(sandbox, &trusted).await);
    let told = format!("{refusal}; {}", refusal.fix());
    assert!(!told.contains("push") && !told.contains("remote"), "{told}");
    assert_eq!(status(), before, "{told}");
    refusal
}

async fn refused_by_remote(sandbox: &Sandbox) -> Refusal {
    let trusted = remote_trusted(sandbox).await;
    let refusal = refusal(land(sandbox, &trusted).await);
    assert!(
        refusal.what().contains("the remote `origin`"),
        "{refusal:?}"
    );
    refusal
}

fn hook(git_dir: &Path, name: &str, script: &str) {
    let hooks = git_dir.join("hooks");
    fs::create_dir_all(&hooks).expect("makes");
    common::program(&hooks.join(name), script);
}

fn paths(names: &[&str]) -> Vec<RepoPath> {
    let paths = names.iter().map(|name| name.parse().expect("a path"));
    paths.collect()
}

fn branch(name: &str) -> BranchName {
    name.parse().expect("a branch")
}

#[tokio::test]
async fn remote_hook_is_named_with_its_words() {
    let sandbox = without_a();
    hook(
        &sandbox.remote(),
        "pre-receive",
        "echo 'ask in #release first' >&2; exit 1",
    );
    let refusal = refused_by_remote(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::Declined);
    assert!(
        refusal.words.contains("pre-receive hook declined"),
        "{refusal}"
    );
    assert!(
        refusal.words.contains("remote: ask in #release first"),
        "{refusal}"
    );
}

#[tokio::test]
async fn stale_push_address_keeps_gits_reason() {
    let sandbox = without_a();
    // What is pushed to is ahead of what is fetched from, as where a mirror lags behind.
    let ahead = sandbox.path().join("ahead.git");
    git(
        sandbox.path(),
        &["clone", "--quiet", "--bare", "remote.git", "ahead.git"],
    );
    let repo = sandbox.repo();
    let address = ahead.to_string_lossy();
    git(&repo, &["remote", "set-url", "--push", "origin", &address]);
    git(&ahead, &["config", "receive.denyNonFastForwards", "true"]);
    git(&ahead, &["update-ref", "refs/heads/main", "main~1"]);
    let refusal = refused_by_remote(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::Stale);
    assert!(refusal.words.contains("stale info"), "{refusal}");
    assert!(refusal.fix().contains("git remote -v"), "{}", refusal.fix());
}

#[tokio::test]
async fn remote_that_may_only_be_read_is_asked_once_and_named() {
    let sandbox = without_a();
    // What a server answers whose user may not push: git ends without a line for the ref.
    let script = "case \"$*\" in *' push '*) echo 'remote: Permission to x denied to y.' >&2; \
                  echo 'fatal: unable to access: The requested URL returned error: 403' >&2; exit 128;; esac\n\
                  exec git \"$@\"";
    let program = common::program(&sandbox.path().join("git-denied"), script);
    let program = Git::at(program).await.expect("git is there");
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let push = Push::Remote("origin".to_owned());
    let destination = user.destination(&push).await.expect("is there");
    let dir = sandbox.path().join("trusted.git");
    let target = branch("main");
    let trusted = Trusted::open(user, program, dir, target, destination, &BTreeMap::new())
        .await
        .expect("opens");
    let refusal = refusal(land(&sandbox, &trusted).await);
    assert_eq!(refusal.cause, RefusalCause::Denied);
    assert!(refusal.words.contains("denied to y"), "{refusal}");
}

#[tokio::test]
async fn remote_that_is_gone_is_named_with_a_fix() {
    let sandbox = without_a();
    let trusted = remote_trusted(&sandbox).await;
    fs::rename(sandbox.remote(), sandbox.path().join("moved.git")).expect("moves");
    let error = trusted
        .fetch_target()
        .await
        .expect_err("is gone")
        .to_string();
    assert!(
        error.contains("no repository is at its address")
            && error.contains("git remote get-url origin"),
        "{error}"
    );
    assert!(
        error.contains("does not appear to be a git repository"),
        "{error}"
    );
}

#[tokio::test]
async fn remote_that_takes_only_fast_forwards_takes_a_landing() {
    let sandbox = without_a();
    git(
        &sandbox.remote(),
        &["config", "receive.denyNonFastForwards", "true"],
    );
    let trusted = remote_trusted(&sandbox).await;
    let outcome = land(&sandbox, &trusted).await;
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn remote_with_the_target_checked_out_is_named() {
    let sandbox = without_a();
    git(&sandbox.remote(), &["config", "core.bare", "false"]);
    git(
        &sandbox.remote(),
        &["config", "receive.denyCurrentBranch", "refuse"],
    );
    let work = sandbox.path().join("work");
    fs::create_dir(&work).expect("makes");
    let work = work.to_string_lossy();
    git(&sandbox.remote(), &["config", "core.worktree", &work]);
    let refusal = refused_by_remote(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::CheckedOutThere);
    assert!(refusal.fix().contains("bare"), "{}", refusal.fix());
}

#[tokio::test]
async fn remote_that_cannot_move_its_branch_is_named() {
    let sandbox = without_a();
    let lock = sandbox.remote().join("refs/heads/main.lock");
    fs::write(lock, "").expect("locks");
    let refusal = refused_by_remote(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::RemoteStorage);
    assert!(refusal.words.contains("failed to update ref"), "{refusal}");
}

#[tokio::test]
async fn signer_that_fails_is_named() {
    let sandbox = without_a();
    git(&sandbox.repo(), &["config", "commit.gpgSign", "true"]);
    git(&sandbox.repo(), &["config", "gpg.program", "false"]);
    let refusal = refused_locally(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::Signing);
    assert!(refusal.words.contains("gpg failed to sign"), "{refusal}");
    assert!(refusal.fix().contains("gpg.program"), "{}", refusal.fix());
}

#[tokio::test]
async fn open_rebase_of_the_target_is_named() {
    let sandbox = without_a();
    let repo = sandbox.repo();
    git(&repo, &["branch", "side", "HEAD~2"]);
    git(&repo, &["switch", "--quiet", "side"]);
    sandbox.commit(&[("side.txt", "side\n")], "side");
    git(&repo, &["switch", "--quiet", "main"]);
    git(
        &repo,
        &[
            "-c",
            "sequence.editor=sed -i 1ibreak",
            "rebase",
            "--quiet",
            "-i",
            "side",
        ],
    );
    let refusal = refused_locally(&sandbox).await;
    let operation = Operation::Rebase;
    assert_eq!(refusal.cause, RefusalCause::Unfinished { operation });
    assert!(
        refusal.fix().contains("git rebase --abort"),
        "{}",
        refusal.fix()
    );
}

#[tokio::test]
async fn open_operations_in_the_checkout_are_named() {
    for (file, operation) in [
        ("MERGE_HEAD", Operation::Merge),
        ("CHERRY_PICK_HEAD", Operation::CherryPick),
        ("REVERT_HEAD", Operation::Revert),
        ("rebase-apply/applying", Operation::Am),
    ] {
        let sandbox = without_a();
        let file = sandbox.repo().join(".git").join(file);
        fs::create_dir_all(file.parent().expect("has one")).expect("makes");
        let head = git(&sandbox.repo(), &["rev-parse", "HEAD"]);
        fs::write(&file, format!("{head}\n")).expect("writes");
        let refusal = refused_locally(&sandbox).await;
        assert_eq!(refusal.cause, RefusalCause::Unfinished { operation });
    }
}

#[tokio::test]
async fn open_bisect_of_the_target_is_named_also_in_a_linked_worktree() {
    let sandbox = without_a();
    let repo = sandbox.repo();
    git(&repo, &["switch", "--quiet", "--detach"]);
    git(&repo, &["worktree", "add", "--quiet", "../linked", "main"]);
    let linked = sandbox.path().join("linked");
    git(&linked, &["bisect", "start"]);
    git(&linked, &["switch", "--quiet", "--detach"]);
    let refusal = refused_locally(&sandbox).await;
    let operation = Operation::Bisect;
    assert_eq!(refusal.cause, RefusalCause::Unfinished { operation });
    assert!(refusal.what().contains("linked"), "{refusal}");
}

#[tokio::test]
async fn untracked_files_in_the_way_are_named() {
    let sandbox = without_a();
    // `docs` is a file where a directory of that name is to be.
    sandbox.write(&[("A.txt", "mine\n"), ("docs", "mine\n"), ("other", "mine\n")]);
    let refusal = refused_locally(&sandbox).await;
    let paths = paths(&["A.txt", "docs"]);
    assert_eq!(refusal.cause, RefusalCause::Untracked { paths });
    let content = fs::read_to_string(sandbox.repo().join("A.txt")).expect("is there");
    assert_eq!(content, "mine\n");
}

#[tokio::test]
async fn ignored_file_is_not_overwritten() {
    let sandbox = without_a();
    sandbox.write(&[(".git/info/exclude", "A.txt\n"), ("A.txt", "mine\n")]);
    let refusal = refused_locally(&sandbox).await;
    let paths = paths(&["A.txt"]);
    assert_eq!(refusal.cause, RefusalCause::Ignored { paths });
    let content = fs::read_to_string(sandbox.repo().join("A.txt")).expect("is there");
    assert_eq!(content, "mine\n");
}

#[tokio::test]
async fn local_hook_that_refuses_is_named_and_its_checkout_put_back() {
    let sandbox = without_a();
    // Git asks it about the branch only after it has checked the files out.
    let script = "[ \"$1\" = prepared ] && grep -q refs/heads/main && { echo 'not now' >&2; exit 1; }; exit 0";
    hook(
        &sandbox.repo().join(".git"),
        "reference-transaction",
        script,
    );
    let refusal = refused_locally(&sandbox).await;
    assert_eq!(refusal.cause, RefusalCause::LocalHook);
    assert!(refusal.words.contains("not now"), "{refusal}");
    assert!(!sandbox.repo().join("A.txt").exists());
}

#[tokio::test]
async fn local_hooks_that_fail_when_it_is_done_refuse_nothing() {
    let sandbox = without_a();
    for name in ["post-merge", "pre-merge-commit"] {
        hook(&sandbox.repo().join(".git"), name, "exit 1");
    }
    let trusted = common::trusted(&sandbox).await;
    let outcome = land(&sandbox, &trusted).await;
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn worktree_that_is_gone_is_named() {
    let sandbox = without_a();
    let repo = sandbox.repo();
    git(&repo, &["switch", "--quiet", "--detach"]);
    git(&repo, &["worktree", "add", "--quiet", "../linked", "main"]);
    let linked = sandbox.path().join("linked");
    fs::remove_dir_all(&linked).expect("removes");
    let refusal = refused_locally(&sandbox).await;
    let path = linked.display().to_string();
    assert_eq!(refusal.cause, RefusalCause::WorktreeGone { path });
    assert!(
        refusal.fix().contains("git worktree prune"),
        "{}",
        refusal.fix()
    );
}

#[tokio::test]
async fn checkout_that_moves_while_it_is_merged_is_named() {
    let sandbox = without_a();
    let repo = sandbox.repo();
    // The person switches just before the merge.
    let script = format!(
        "case \"$*\" in *'merge --ff-only'*) git -C '{}' switch --quiet --create other HEAD~2;; esac\nexec git \"$@\"",
        repo.display()
    );
    let program = common::program(&sandbox.path().join("git-switched"), &script);
    let program = Git::at(program).await.expect("git is there");
    let user = UserRepository::open(program.clone(), &repo)
        .await
        .expect("opens");
    let destination = user.destination(&Push::Never).await.expect("is there");
    let dir = sandbox.path().join("trusted.git");
    let trusted = Trusted::open(
        user,
        program,
        dir,
        branch("main"),
        destination,
        &BTreeMap::new(),
    )
    .await
    .expect("opens");
    let refusal = refusal(land(&sandbox, &trusted).await);
    let now = Some(branch("other"));
    assert_eq!(refusal.cause, RefusalCause::CheckoutMoved { now });
}

#[tokio::test]
async fn checkout_that_may_not_be_written_is_named() {
    let sandbox = without_a();
    let probe = sandbox.path().join("probe");
    fs::create_dir(&probe).expect("makes");
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o500)).expect("sets the mode");
    if fs::write(probe.join("file"), "").is_ok() {
        // Nothing is closed to root.
        return;
    }
    let git_dir = sandbox.repo().join(".git");
    let trusted = common::trusted(&sandbox).await;
    fs::set_permissions(&git_dir, fs::Permissions::from_mode(0o500)).expect("sets the mode");
    let outcome = land(&sandbox, &trusted).await;
    fs::set_permissions(&git_dir, fs::Permissions::from_mode(0o700)).expect("sets the mode");
    assert_eq!(refusal(outcome).cause, RefusalCause::Permission);
}

#[tokio::test]
async fn sparse_checkout_takes_a_landing() {
    let sandbox = without_a();
    git(
        &sandbox.repo(),
        &["sparse-checkout", "set", "--cone", "src"],
    );
    let trusted = common::trusted(&sandbox).await;
    let outcome = land(&sandbox, &trusted).await;
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
    assert!(!sandbox.repo().join("docs").exists());
    assert_eq!(git(&sandbox.repo(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn question_without_a_push_speaks_of_no_remote() {
    let sandbox = Sandbox::new();
    sandbox.commit(&[("ROADMAP.md", &roadmap(&[("A", "")]))], "roadmap");
    sandbox.write(&[("A.txt", "mine\n")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "push = false")).await;
    let hold = outcome.task("A").hold.clone().expect("a question");
    let told = format!("{}\n{}", hold.question, hold.brief);
    assert!(
        told.contains("untracked files") && told.contains("`A.txt`"),
        "{told}"
    );
    assert!(
        told.contains("We would: move or remove these files"),
        "{told}"
    );
    for word in ["push", "remote", "consent"] {
        assert!(!told.contains(word), "`{word}` in: {told}");
    }
}

#[tokio::test]
async fn question_after_a_refused_push_has_the_remotes_words() {
    let sandbox = sandbox(&[("A", "")]);
    hook(
        &sandbox.remote(),
        "update",
        "echo 'only release managers' >&2; exit 1",
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    let hold = outcome.task("A").hold.clone().expect("a question");
    let told = format!("{}\n{}", hold.question, hold.brief);
    assert!(
        told.contains("a hook or a rule of the remote `origin` declined the push"),
        "{told}"
    );
    assert!(told.contains("only release managers"), "{told}");
    assert!(told.contains("change the hook or the rule there"), "{told}");
}

fn rename_target(sandbox: &Sandbox) {
    git(&sandbox.remote(), &["branch", "-m", "main", "trunk"]);
    git(
        &sandbox.remote(),
        &["symbolic-ref", "HEAD", "refs/heads/trunk"],
    );
}

#[tokio::test]
async fn target_renamed_on_the_remote_is_named_before_the_start() {
    let sandbox = sandbox(&[("A", "")]);
    rename_target(&sandbox);
    let trusted = remote_trusted(&sandbox).await;
    let error = trusted
        .fetch_target()
        .await
        .expect_err("is gone")
        .to_string();
    assert_eq!(
        error,
        "the remote `origin`: it has no branch `main` any more; its default branch is now `trunk`: \
         set `target = \"trunk\"` in the policy, or push `main` there again"
    );
}

#[tokio::test]
async fn target_that_never_was_on_the_remote_is_to_be_pushed_first() {
    let sandbox = sandbox(&[("A", "")]);
    git(&sandbox.repo(), &["branch", "later"]);
    let program = Git::find().await.expect("git is there");
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let push = Push::Remote("origin".to_owned());
    let destination = user.destination(&push).await.expect("is there");
    let dir = sandbox.path().join("trusted.git");
    let trusted = Trusted::open(
        user,
        program,
        dir,
        branch("later"),
        destination,
        &BTreeMap::new(),
    )
    .await
    .expect("opens");
    let error = trusted
        .fetch_target()
        .await
        .expect_err("is none")
        .to_string();
    assert!(
        error.contains("it has no branch `later`; its default branch is `main`: push it first"),
        "{error}"
    );
    git(&sandbox.remote(), &["branch", "later/x", "main"]);
    let error = trusted
        .fetch_target()
        .await
        .expect_err("is none")
        .to_string();
    assert!(
        error.contains("cannot have both `later` and `later/x`"),
        "{error}"
    );
}

#[tokio::test]
async fn target_renamed_while_work_runs_is_named_and_loses_no_work() {
    let sandbox = sandbox(&[("A", ""), ("B", "after = [\"A\"]")]);
    let remote = sandbox.remote();
    let rename = format!(
        "git -C '{0}' branch -m main trunk; git -C '{0}' symbolic-ref HEAD refs/heads/trunk",
        remote.display()
    );
    let script = format!("{rename} || true; {WORK}");
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "max_sessions = 1")).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let hold = outcome.task("A").hold.clone().expect("a question");
    assert!(
        hold.question.contains("its default branch is now `trunk`"),
        "{}",
        hold.question
    );
    assert_eq!(common::turns(&outcome), 1);
    // The person names the new target; what was done lands there.
    let letter = orchestrator_core::driver::Command::Answer(common::answer(
        1,
        orchestrator_core::model::HoldOption::Retry,
        None,
    ));
    orchestrator_core::driver::Inbox::of(&sandbox.state())
        .post(&letter)
        .expect("posts");
    let again = builder(&sandbox, WORK, "target = \"trunk\"");
    let outcome = run_checked(&sandbox, again).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(outcome.task("A").attempts, 1);
}

#[tokio::test]
async fn target_gone_while_it_lands_is_a_cause_of_its_own() {
    let sandbox = without_a();
    let trusted = remote_trusted(&sandbox).await;
    // The remote loses the branch when the push begins.
    let script = "unset GIT_QUARANTINE_PATH; git update-ref -d refs/heads/main; echo 'no such branch' >&2; exit 1";
    hook(&sandbox.remote(), "pre-receive", script);
    let tip = trusted.fetch_target().await.expect("fetches");
    let head = git(&sandbox.repo(), &["rev-parse", "main~1"])
        .parse()
        .expect("an id");
    let landing = common::landing(head, tip, trusted.tree_of(head).expect("a tree"));
    let error = trusted.land(&landing).await.expect_err("cannot be pushed");
    let missing = MissingTarget::new(branch("main"), true);
    assert_eq!(
        trusted.refusal(&error).cause,
        RefusalCause::TargetGone(missing)
    );
}
