//! Submodules in workspaces and gates: what is checked out from where, what may be moved, and what is not lost.

use orchestrator_core::{
    model::{EndReason, Record, WorkspaceFate},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked};

use crate::common::{builder, roadmap, turns};

/// A library with two commits, the first of which is a submodule of the sandbox's repository. The library has a submodule of its own.
struct Library {
    sandbox: Sandbox,
    /// The commits of the library.
    commits: [String; 2],
}

const FILE: [&str; 2] = ["-c", "protocol.file.allow=always"];

impl Library {
    fn new(tasks: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new();
        let top = sandbox.path();
        for name in ["deep", "lib"] {
            git(
                top,
                &[
                    "init",
                    "--quiet",
                    "--bare",
                    "--initial-branch=main",
                    &format!("{name}.git"),
                ],
            );
            git(top, &["clone", "--quiet", &format!("{name}.git"), name]);
        }
        let deep = top.join("deep");
        write_and_commit(&deep, "deep.txt", "deep\n");
        git(&deep, &["push", "--quiet", "origin", "HEAD:main"]);
        let lib = top.join("lib");
        git(
            &lib,
            &[
                &FILE[..],
                &["submodule", "--quiet", "add", "../deep.git", "inner/deep"],
            ]
            .concat(),
        );
        let first = write_and_commit(&lib, "word.txt", "one\n");
        git(&lib, &["push", "--quiet", "origin", "HEAD:main"]);
        let repo = sandbox.repo();
        git(
            &repo,
            &[
                &FILE[..],
                &["submodule", "--quiet", "add", "../lib.git", "vendor/lib"],
            ]
            .concat(),
        );
        git(
            &repo,
            &[
                &FILE[..],
                &["submodule", "--quiet", "update", "--init", "--recursive"],
            ]
            .concat(),
        );
        sandbox.publish(&[("ROADMAP.md", &roadmap(tasks))], "library");
        let second = write_and_commit(&lib, "word.txt", "two\n");
        git(&lib, &["push", "--quiet", "origin", "HEAD:main"]);
        Self {
            sandbox,
            commits: [first, second],
        }
    }

    async fn run(&self, script: &str, more: &str) -> RunOutcome {
        let more = format!("[setup]\nsubmodules = true\n{more}");
        let script = format!(
            "first={} second={}\n{script}",
            self.commits[0], self.commits[1]
        );
        run_checked(&self.sandbox, builder(&self.sandbox, &script, &more)).await
    }

    /// The commit that the remote's main names at the submodule's place.
    fn landed(&self) -> String {
        git(&self.sandbox.remote(), &["rev-parse", "main:vendor/lib"])
    }
}

fn write_and_commit(directory: &std::path::Path, name: &str, content: &str) -> String {
    std::fs::write(directory.join(name), content).expect("writes");
    git(directory, &["add", "--all"]);
    git(directory, &["commit", "--quiet", "--message", name]);
    git(directory, &["rev-parse", "HEAD"])
}

fn gate(script: &str) -> String {
    format!("[gates.unit]\nrun = [\"sh\", \"-c\", {script:?}]\ndefault = true\n")
}

fn ended(outcome: &RunOutcome) {
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
}

/// Findings of the head, and why workspaces stayed.
fn said(outcome: &RunOutcome) -> String {
    outcome
        .records()
        .map(|record| format!("{record:?}\n"))
        .collect()
}

fn kept(outcome: &RunOutcome) -> Vec<String> {
    let reason = |record: &Record| match record {
        Record::WorkspaceSettled {
            fate: WorkspaceFate::Kept { reason },
            ..
        } => Some(reason.clone()),
        _ => None,
    };
    outcome.records().filter_map(reason).collect()
}

/// Commits something else than submodules.
const PLAIN: &str = "echo x > $ORCHESTRATOR_TASK.txt; commit plain; handoff done";

#[tokio::test]
async fn submodules_are_there_for_workers_and_gates_those_within_others_too() {
    let library = Library::new(&[("A", ""), ("B", "after = [\"A\"]")]);
    let there = "grep -q one vendor/lib/word.txt && grep -q deep vendor/lib/inner/deep/deep.txt";
    let worker = format!(
        "{there}; test $(git -C vendor/lib rev-parse HEAD) = $first; git -C vendor/lib log --oneline | grep -q word\n\
         git -C vendor/lib rev-parse --verify -q origin/main > /dev/null; test -z \"$(git status --porcelain)\"\n\
         git submodule status --recursive | grep -q deep\n{PLAIN}"
    );
    // What a gate does to them is gone before the next one.
    let script = format!(
        "{there} && test ! -e vendor/lib/planted && touch vendor/lib/planted vendor/lib/inner/deep/x && echo bad > vendor/lib/word.txt"
    );
    let outcome = library.run(&worker, &gate(&script)).await;
    ended(&outcome);
    assert_eq!(turns(&outcome), 2);
    assert!(
        !said(&outcome).contains("commit/uncommitted"),
        "what is unchanged is clean"
    );
    assert_eq!(kept(&outcome), Vec::<String>::new());
}

#[tokio::test]
async fn submodules_come_from_the_remote_where_the_person_has_none() {
    let library = Library::new(&[("A", "")]);
    let repo = library.sandbox.repo();
    git(
        &repo,
        &["submodule", "--quiet", "deinit", "--force", "--all"],
    );
    std::fs::remove_dir_all(repo.join(".git/modules")).expect("removes");
    let outcome = library
        .run(PLAIN, &gate("grep -q one vendor/lib/word.txt"))
        .await;
    ended(&outcome);
}

#[tokio::test]
async fn a_commit_that_nobody_has_is_named() {
    let library = Library::new(&[("A", "")]);
    let repo = library.sandbox.repo();
    let nowhere = "0123456789012345678901234567890123456789";
    git(
        &repo,
        &[
            "update-index",
            "--cacheinfo",
            &format!("160000,{nowhere},vendor/lib"),
        ],
    );
    git(&repo, &["commit", "--quiet", "--message", "nowhere"]);
    git(&repo, &["push", "--quiet", "origin", "main"]);
    let outcome = library.run(PLAIN, "").await;
    let reason = outcome.task("A").reason.clone().unwrap_or_default();
    assert!(
        reason.contains("submodule `vendor/lib`: its commit 01234567"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_submodule_is_moved_by_a_contract_that_names_it() {
    let library = Library::new(&[("A", "allow = [\"vendor/lib\"]")]);
    let bump = "git -C vendor/lib fetch -q; git -C vendor/lib checkout -q $second; commit bump; handoff done";
    let outcome = library
        .run(
            bump,
            &gate("test ! -e A.txt && test -s vendor/lib/word.txt"),
        )
        .await;
    ended(&outcome);
    assert_eq!(library.landed(), library.commits[1]);
    assert_eq!(kept(&outcome), Vec::<String>::new());
    assert!(!said(&outcome).contains("commit/uncommitted"));
}

#[tokio::test]
async fn a_submodule_is_moved_by_no_other_contract() {
    for allow in [
        "allow = [\"**\"]",
        "allow = [\"vendor/**\"]",
        "allow = [\"vendor/*\"]",
    ] {
        let library = Library::new(&[("A", allow)]);
        let bump = "git -C vendor/lib fetch -q; git -C vendor/lib checkout -q $second; commit bump; handoff done";
        let outcome = library.run(bump, "").await;
        assert_ne!(outcome.task("A").state, TaskState::Landed);
        assert!(said(&outcome).contains("a submodule that is moved: only a contract may allow that which names it, as in `allow = [\\\"vendor/lib\\\"]`"), "{}", said(&outcome));
        assert_eq!(library.landed(), library.commits[0]);
    }
}

#[tokio::test]
async fn a_submodule_is_not_moved_to_what_its_remote_has_not() {
    let library = Library::new(&[("A", "allow = [\"vendor/lib\"]")]);
    let bump = "cd vendor/lib; echo own > own.txt; git add own.txt; git -c user.name=x -c user.email=x@example.org commit -q -m own; cd ../..\n\
                commit bump; handoff done";
    let outcome = library.run(bump, "").await;
    let all = said(&outcome);
    assert!(
        all.contains("of submodule `vendor/lib` is not in its remote: push it first"),
        "{all}"
    );
    assert_eq!(library.landed(), library.commits[0]);
}

#[tokio::test]
async fn a_submodule_that_is_added_is_refused_as_it_was() {
    let library = Library::new(&[("A", "allow = [\"other\", \".gitmodules\"]")]);
    let add = "git -c protocol.file.allow=always submodule --quiet add \"$(git config -f .gitmodules submodule.vendor/lib.url | sed s,^[.][.],$PWD/../../../..,)\" other; commit add; handoff done";
    let outcome = library.run(add, "").await;
    assert!(
        said(&outcome).contains("paths/submodule"),
        "{}",
        said(&outcome)
    );
    assert_ne!(outcome.task("A").state, TaskState::Landed);
}

#[tokio::test]
async fn what_is_left_in_a_submodule_is_named_and_its_workspace_stays() {
    let library = Library::new(&[("A", "")]);
    let script = format!(
        "echo more >> vendor/lib/word.txt; echo new > vendor/lib/inner/deep/new.txt; {PLAIN}"
    );
    let outcome = library.run(&script, "").await;
    ended(&outcome);
    let all = said(&outcome);
    assert!(all.contains("left uncommitted, so that it does not count: vendor/lib/word.txt, vendor/lib/inner/deep/new.txt"), "{all}");
    let kept = kept(&outcome);
    assert!(
        kept[0].starts_with("uncommitted work that cannot be kept elsewhere: vendor/lib/"),
        "{kept:?}"
    );
    let tree = library
        .sandbox
        .state()
        .join("attempts/A-1/tree/vendor/lib/word.txt");
    assert_eq!(
        std::fs::read_to_string(tree).expect("is there"),
        "one\nmore\n"
    );
}

#[tokio::test]
async fn a_commit_that_is_only_in_a_submodule_keeps_its_workspace() {
    let library = Library::new(&[("A", "")]);
    // It is on a branch, and not even checked out.
    let script = format!(
        "cd vendor/lib; git checkout -q -b own; echo own > own.txt; git add own.txt\n\
         git -c user.name=x -c user.email=x@example.org commit -q -m own; git checkout -q $first; cd ../..; {PLAIN}"
    );
    let outcome = library.run(&script, "").await;
    ended(&outcome);
    let kept = kept(&outcome);
    assert!(
        kept.len() == 1 && kept[0].ends_with("of submodule `vendor/lib` is nowhere else"),
        "{kept:?}"
    );
}

#[tokio::test]
async fn a_submodule_that_is_moved_and_not_committed_is_named() {
    let library = Library::new(&[("A", "")]);
    let script = "git -C vendor/lib fetch -q; git -C vendor/lib checkout -q $second; echo x > A.txt; git add A.txt\n\
                  git commit -qm plain; handoff done";
    let outcome = library.run(script, "").await;
    let all = said(&outcome);
    assert!(
        all.contains("left uncommitted, so that it does not count: vendor/lib"),
        "{all}"
    );
}

#[tokio::test]
async fn what_a_worker_makes_of_a_submodules_repository_is_not_run() {
    let library = Library::new(&[("A", "")]);
    let proof = library.sandbox.path().join("ran");
    let script = format!(
        "echo x > A.txt; commit plain; d=$(git -C vendor/lib rev-parse --absolute-git-dir)\n\
         printf '[core]\\nfsmonitor = touch {0}\\n[filter \"x\"]\\nclean = touch {0}\\nsmudge = touch {0}\\n' >> $d/config\n\
         mkdir -p $d/hooks; printf '#!/bin/sh\\ntouch {0}\\n' > $d/hooks/post-index-change; chmod +x $d/hooks/post-index-change\n\
         echo '* filter=x' > $d/info/attributes 2>/dev/null || {{ mkdir $d/info; echo '* filter=x' > $d/info/attributes; }}\n\
         echo dirty > vendor/lib/word.txt; rm -f {0}; handoff done",
        proof.display()
    );
    let outcome = library.run(&script, "").await;
    ended(&outcome);
    assert!(!proof.exists());
    assert_eq!(kept(&outcome).len(), 1);
}

#[tokio::test]
async fn a_link_on_the_way_to_a_submodule_is_not_followed() {
    let library = Library::new(&[("A", "")]);
    let repo = library.sandbox.repo();
    let outside = library.sandbox.path().join("outside");
    std::fs::create_dir(&outside).expect("makes");
    // The tree has a link where the submodule's directory should be, and the submodule beneath it in another case: on a file system that is
    // not exact with names they are one. Here the link itself is replaced by the worker between two gates.
    let script = format!("rm -rf vendor && ln -s '{}' vendor", outside.display());
    let outcome = library
        .run(
            PLAIN,
            &format!(
                "{}rerun = 2\n",
                gate(&format!("{script}; test -e A.txt && false || true"))
            ),
        )
        .await;
    assert!(
        std::fs::read_dir(&outside)
            .expect("is there")
            .next()
            .is_none(),
        "{:#?}",
        outcome.report.snapshot
    );
    assert!(repo.join("vendor/lib/word.txt").exists());
}

#[tokio::test]
async fn a_target_that_fails_for_want_of_its_submodules_is_a_question_that_names_them() {
    let library = Library::new(&[("A", "")]);
    let more = gate("test -e vendor/lib/word.txt");
    let outcome = run_checked(&library.sandbox, builder(&library.sandbox, PLAIN, &more)).await;
    let holds: Vec<_> = outcome.report.state.holds().collect();
    let asked = holds[0].question();
    assert!(asked.contains("without submodules `vendor/lib`"), "{asked}");
    assert!(
        asked.contains("`submodules = true` in `[setup]`"),
        "{asked}"
    );
}

#[tokio::test]
async fn submodules_of_a_gate_with_a_repository_have_repositories() {
    let library = Library::new(&[("A", ""), ("B", "after = [\"A\"]")]);
    let script = "git submodule status --recursive | grep -v '^ ' && exit 1; test -z \"$(git status --porcelain)\" \
                  && git -C vendor/lib log --oneline | grep -q word && git -C vendor/lib/inner/deep rev-parse HEAD";
    let outcome = library
        .run(PLAIN, &format!("{}repository = true\n", gate(script)))
        .await;
    ended(&outcome);
    assert_eq!(turns(&outcome), 2);
}
