//! Files of Git LFS, with the real git-lfs: their content is where work is done, and their objects
//! are where the target is.

mod common;
#[path = "common/lfs_server.rs"]
mod lfs_server;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use common::{make_fifo, policy, roadmap};
use lfs_server::LfsServer;
use orchestrator_core::{
    driver::{BuildError, Orchestrator, OrchestratorBuilder},
    git::{Git, GitError, LfsError, Trusted, UserRepository, Workspace, Workspaces},
    model::{AttemptId, EndReason, Policy, Push, Record, Size},
};
use orchestrator_testkit::{
    RunOutcome, Sandbox, block_on_within, git, run_checked, shell_worker, tool_main,
};

/// Names of tests, and the tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name as fn())),*] };
}

fn main() -> ExitCode {
    let tests = tests![
        workspace_has_the_content_wherever_the_objects_are,
        workspace_leaves_out_what_the_persons_settings_leave_out,
        workspace_that_is_clean_is_seen_as_clean,
        look_at_a_workspace_is_not_held_up_by_its_lfsconfig,
        text_that_looks_like_a_pointer_is_a_text,
        new_file_lands_with_its_object,
        first_file_lands_with_its_attributes,
        new_file_lands_in_the_persons_own_store,
        objects_go_to_the_endpoint_of_the_persons_settings,
        objects_go_to_the_endpoint_of_the_targets_tip,
        upload_that_is_refused_keeps_the_target_where_it_is,
        upload_that_is_not_answered_is_tried_again,
        pointer_to_nothing_goes_back_to_the_session,
        pointer_to_nothing_in_the_history_alone_is_left_out,
        file_that_was_committed_without_the_filter_goes_back_to_the_session,
        object_that_is_not_what_its_pointer_says_is_not_taken_in,
        object_that_is_too_large_is_not_taken_in,
        object_that_the_target_had_before_need_not_be_brought,
        object_that_is_nowhere_is_named_at_the_start,
        git_lfs_that_workers_do_not_find_is_named_at_the_start,
        damaged_object_of_ours_is_fetched_again,
    ];
    let tests = tests.map(|(name, test)| (name, &["git-lfs"][..], test));
    tool_main(&tests)
}

const CONTENT: &str = "a large file, in a manner of speaking\n";

fn run<T>(work: impl Future<Output = T>) -> T {
    block_on_within(Duration::from_secs(120), work).expect("ends in time")
}

/// A sandbox with one file of Git LFS, and tasks that may change files in `art`.
fn stage(tasks: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.use_lfs("*.bin");
    let tasks: Vec<_> = tasks
        .iter()
        .map(|id| (*id, "allow = [\"art/**\"]"))
        .collect();
    let files = [
        ("ROADMAP.md", &*roadmap(&tasks)),
        ("art/first.bin", CONTENT),
    ];
    sandbox.publish(&files, "art");
    sandbox
}

async fn trusted(sandbox: &Sandbox, push: Push) -> Trusted {
    let git = Git::find().await.expect("git");
    let user = UserRepository::open(git.clone(), &sandbox.repo())
        .await
        .expect("a repository");
    let destination = user.destination(&push).await.expect("a destination");
    let dir = sandbox.path().join("trusted.git");
    let target = "main".parse().expect("a branch");
    let trusted = Trusted::open(user, git, dir, target, destination, &BTreeMap::new()).await;
    let trusted = trusted.expect("opens");
    trusted.fetch_target().await.expect("fetches");
    trusted
}

fn origin() -> Push {
    Push::Remote("origin".to_owned())
}

fn workspace(sandbox: &Sandbox) -> Workspace {
    Workspaces::beneath(&sandbox.path().join("w")).of(&AttemptId {
        task: "T1".parse().expect("an id"),
        number: 1,
    })
}

/// The file of an object in a store.
fn object(store: &Path, content: &str) -> PathBuf {
    let oid = orchestrator_core::model::ContentHash::of(content.as_bytes()).to_string();
    store.join(format!("objects/{}/{}/{oid}", &oid[..2], &oid[2..4]))
}

fn pointer(content: &str, size: usize) -> String {
    let oid = orchestrator_core::model::ContentHash::of(content.as_bytes());
    format!("version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize {size}\\n")
}

fn persons_store(sandbox: &Sandbox) -> PathBuf {
    sandbox.repo().join(".git/lfs")
}

/// A run with one attempt for each task.
async fn landed(sandbox: &Sandbox, script: &str, more: &str) -> RunOutcome {
    let outcome = run_checked(sandbox, builder(sandbox, script, more)).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    outcome
}

fn builder(sandbox: &Sandbox, script: &str, more: &str) -> OrchestratorBuilder {
    let worker = shell_worker(sandbox.path(), "worker", script);
    Orchestrator::builder().policy(one_attempt(policy(&worker, more)))
}

fn one_attempt(mut policy: Policy) -> Policy {
    policy.limits.attempts = 1;
    policy
}

/// The rules of all findings with which work was sent back, and how often a worker was asked.
fn sent_back(outcome: &RunOutcome) -> (Vec<String>, usize) {
    let mut rules = Vec::new();
    let mut turns = 0;
    for record in outcome.records() {
        match record {
            Record::TurnEnded { .. } => turns += 1,
            Record::Submitted { submission, .. } => {
                rules.extend(
                    submission
                        .findings
                        .iter()
                        .map(|finding| finding.rule.clone()),
                );
            }
            _ => {}
        }
    }
    (rules, turns)
}

const NEW: &str = "printf 'NEW %s' \"$ORCHESTRATOR_TASK\" > \"art/$ORCHESTRATOR_TASK.bin\"; \
    commit work; handoff done";

/// Leaves the objects in one place alone.
type Put = fn(&Sandbox);

fn in_the_remote(sandbox: &Sandbox) {
    fs::remove_dir_all(persons_store(sandbox)).expect("removes");
}

fn in_the_persons_store(sandbox: &Sandbox) {
    fs::remove_dir_all(sandbox.remote().join("lfs")).expect("removes");
}

fn elsewhere(sandbox: &Sandbox) {
    in_the_persons_store(sandbox);
    // A relative path begins in the git directory, whatever its dots.
    git(&sandbox.repo(), &["config", "lfs.storage", "elsewhere"]);
    let elsewhere = sandbox.repo().join(".git/elsewhere");
    fs::rename(persons_store(sandbox), elsewhere).expect("moves");
}

fn in_a_repository_that_is_borrowed_from(sandbox: &Sandbox) {
    in_the_persons_store(sandbox);
    let lender = sandbox.path().join("lender.git");
    fs::create_dir_all(lender.join("objects")).expect("makes");
    fs::rename(persons_store(sandbox), lender.join("lfs")).expect("moves");
    let alternates = sandbox.repo().join(".git/objects/info/alternates");
    let objects = lender.join("objects");
    fs::write(alternates, objects.to_str().expect("a path of text")).expect("writes");
}

fn in_a_remote_with_a_relative_path(sandbox: &Sandbox) {
    in_the_remote(sandbox);
    let set = ["config", "remote.origin.url", "../remote.git"];
    git(&sandbox.repo(), &set);
}

fn workspace_has_the_content_wherever_the_objects_are() {
    let places: [(&str, Put); 5] = [
        ("remote", in_the_remote),
        ("person", in_the_persons_store),
        ("elsewhere", elsewhere),
        ("borrowed", in_a_repository_that_is_borrowed_from),
        ("relative", in_a_remote_with_a_relative_path),
    ];
    for (place, put) in places {
        for push in [origin(), Push::Never] {
            let sandbox = stage(&["A"]);
            put(&sandbox);
            run(async {
                let trusted = trusted(&sandbox, push.clone()).await;
                let tip = trusted.tip().expect("reads").expect("has one");
                let workspace = workspace(&sandbox);
                let made = workspace.create(&trusted, tip, &[]).await;
                made.unwrap_or_else(|error| panic!("{place} {push:?}: {error}"));
                let read = |top: &Path| fs::read_to_string(top.join("art/first.bin"));
                assert_eq!(read(&workspace.tree()).expect("reads"), CONTENT, "{place}");
                let exported = sandbox.path().join("exported");
                let tree = trusted.tree_of(tip).expect("has one");
                trusted.export(tree, &exported).await.expect("lays out");
                assert_eq!(read(&exported).expect("reads"), CONTENT, "{place}");
            });
        }
    }
}

fn workspace_leaves_out_what_the_persons_settings_leave_out() {
    let sandbox = stage(&["A"]);
    sandbox.publish(&[("art/huge.bin", "huge")], "huge");
    fs::remove_dir_all(persons_store(&sandbox)).expect("removes");
    git(
        &sandbox.repo(),
        &["config", "lfs.fetchexclude", "art/huge.bin"],
    );
    run(async {
        let trusted = trusted(&sandbox, origin()).await;
        let tip = trusted.tip().expect("reads").expect("has one");
        let workspace = workspace(&sandbox);
        workspace.create(&trusted, tip, &[]).await.expect("makes");
        let read = |name: &str| fs::read_to_string(workspace.tree().join(name)).expect("reads");
        assert_eq!(read("art/first.bin"), CONTENT);
        assert!(read("art/huge.bin").starts_with("version https://git-lfs"));
        let status = git(&workspace.tree(), &["status", "--porcelain"]);
        assert_eq!(status, "");
    });
}

fn workspace_that_is_clean_is_seen_as_clean() {
    let sandbox = stage(&["A"]);
    run(async {
        let trusted = trusted(&sandbox, origin()).await;
        let tip = trusted.tip().expect("reads").expect("has one");
        let workspace = workspace(&sandbox);
        workspace.create(&trusted, tip, &[]).await.expect("makes");
        let seen = async || {
            let left = workspace
                .uncommitted(&trusted, tip, 9)
                .await
                .expect("looks");
            let touched = workspace.touched(&trusted, tip, 9).await.expect("looks");
            assert_eq!(left, touched);
            left.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let file = workspace.tree().join("art/first.bin");
        // Written again with the same content: only the filter can tell.
        fs::write(&file, CONTENT).expect("writes");
        assert_eq!(seen().await, Vec::<String>::new());
        fs::write(&file, "another").expect("writes");
        assert_eq!(seen().await, ["art/first.bin"]);
        let store = trusted.dir().join("lfs");
        assert!(!object(&store, "another").exists(), "a look stores nothing");
    });
}

fn look_at_a_workspace_is_not_held_up_by_its_lfsconfig() {
    let sandbox = stage(&["A"]);
    run(async {
        let trusted = trusted(&sandbox, origin()).await;
        let tip = trusted.tip().expect("reads").expect("has one");
        let workspace = workspace(&sandbox);
        workspace.create(&trusted, tip, &[]).await.expect("makes");
        fs::write(workspace.tree().join("art/first.bin"), "another").expect("writes");
        let fifo = sandbox.path().join("fifo");
        make_fifo(&fifo);
        symlink(&fifo, workspace.tree().join(".lfsconfig")).expect("links");
        let looked = workspace.uncommitted(&trusted, tip, 9);
        let looked = tokio::time::timeout(Duration::from_secs(10), looked).await;
        let error = looked.expect("does not hang").expect_err("is odd");
        assert!(error.to_string().contains(".lfsconfig"), "{error}");
    });
}

fn text_that_looks_like_a_pointer_is_a_text() {
    let sandbox = stage(&["A"]);
    let text = pointer("nowhere", 7).replace("\\n", "\n");
    sandbox.commit(&[("art/example.txt", &text)], "an example");
    // git-lfs's own hook takes it for a pointer.
    git(
        &sandbox.repo(),
        &["push", "--quiet", "--no-verify", "origin", "main"],
    );
    let script = format!("printf '{}' > art/more.txt; {NEW}", pointer("not here", 8));
    run(landed(&sandbox, &script, ""));
    assert!(sandbox.remote_file("art/more.txt").starts_with("version "));
}

fn new_file_lands_with_its_object() {
    let sandbox = stage(&["A", "B"]);
    let gate = "[gates.seen]\nrun = [\"grep\", \"-q\", \"NEW A\", \"art/A.bin\"]\ndefault = true\n";
    let script =
        format!("test -z \"$(git status --porcelain)\"; printf 'OTHER' > art/first.bin; {NEW}");
    let outcome = run(landed(&sandbox, &script, gate));
    assert_eq!(sent_back(&outcome), (Vec::new(), 2));
    let files = sandbox.cloned_with_lfs(&[]);
    assert_eq!(files["art/A.bin"], b"NEW A");
    assert_eq!(files["art/B.bin"], b"NEW B");
    assert_eq!(files["art/first.bin"], b"OTHER");
    assert!(sandbox.remote_file("art/A.bin").starts_with("version "));
}

fn first_file_lands_with_its_attributes() {
    let sandbox = Sandbox::new();
    let tasks = roadmap(&[
        ("A", "allow = [\"art/**\", \".gitattributes\"]"),
        ("B", "allow = [\"art/**\"]\nafter = [\"A\"]"),
    ]);
    sandbox.publish(&[("ROADMAP.md", &tasks)], "no art yet");
    let script =
        format!("test $ORCHESTRATOR_TASK = B || git lfs track '*.bin'; mkdir -p art; {NEW}");
    run(landed(&sandbox, &script, ""));
    let files = sandbox.cloned_with_lfs(&[]);
    assert_eq!(files["art/A.bin"], b"NEW A");
    assert_eq!(files["art/B.bin"], b"NEW B");
    assert!(sandbox.remote_file("art/A.bin").starts_with("version "));
}

fn new_file_lands_in_the_persons_own_store() {
    let sandbox = stage(&["A"]);
    run(landed(&sandbox, NEW, "push = false\n"));
    let read = fs::read_to_string(sandbox.repo().join("art/A.bin"));
    assert_eq!(read.expect("was checked out"), "NEW A");
    assert!(object(&persons_store(&sandbox), "NEW A").is_file());
    assert_eq!(git(&sandbox.repo(), &["status", "--porcelain"]), "");
    // What the person pushes then is whole for others.
    git(&sandbox.repo(), &["push", "--quiet", "origin", "main"]);
    assert_eq!(sandbox.cloned_with_lfs(&[])["art/A.bin"], b"NEW A");
}

fn objects_go_to_the_endpoint_of_the_persons_settings() {
    let server = LfsServer::start(Some("X-Who: ada"));
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    git(&repo, &["config", "lfs.url", &server.url]);
    // Only the person's own repository has it: the server answers nobody else.
    let header = format!("http.{}.extraheader", server.url);
    git(&repo, &["config", &header, "X-Who: ada"]);
    sandbox.use_lfs("*.bin");
    let tasks = roadmap(&[("A", "allow = [\"art/**\"]")]);
    sandbox.publish(&[("ROADMAP.md", &tasks), ("art/first.bin", CONTENT)], "art");
    fs::remove_dir_all(persons_store(&sandbox)).expect("removes");
    assert_eq!(server.objects(), 1);
    let script = format!(
        "test \"$(cat art/first.bin)\" = '{}'; {NEW}",
        CONTENT.trim()
    );
    run(landed(&sandbox, &script, ""));
    assert_eq!(server.objects(), 2);
    let settings = [
        sandbox.remote().to_str().expect("text").to_owned(),
        format!("lfs.url={}", server.url),
        format!("{header}=X-Who: ada"),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    assert_eq!(sandbox.cloned_with_lfs(&settings)["art/A.bin"], b"NEW A");
    let config = fs::read_to_string(repo.join(".git/config")).expect("reads");
    assert!(config.contains("X-Who: ada"), "{config}");
}

fn objects_go_to_the_endpoint_of_the_targets_tip() {
    let (ours, others) = (LfsServer::start(None), LfsServer::start(None));
    let sandbox = Sandbox::new();
    let lfsconfig = |server: &LfsServer| format!("[lfs]\n\turl = {}\n", server.url);
    sandbox.publish(&[(".lfsconfig", &lfsconfig(&ours))], "an endpoint");
    sandbox.use_lfs("*.bin");
    let allow = "allow = [\"art/**\", \".lfsconfig\"]";
    let tasks = roadmap(&[("A", allow)]);
    sandbox.publish(&[("ROADMAP.md", &tasks), ("art/first.bin", CONTENT)], "art");
    fs::remove_dir_all(persons_store(&sandbox)).expect("removes");
    let script = format!(
        "printf '[lfs]\\n\\turl = {}\\n' > .lfsconfig; {NEW}",
        others.url
    );
    // A person has said that this file is like any other.
    run(landed(
        &sandbox,
        &script,
        "[authority]\nexcept = [\".lfsconfig\"]\n",
    ));
    assert_eq!((ours.objects(), others.objects()), (2, 0));
    assert_eq!(others.answered(), 0, "nobody spoke to it");
}

fn upload_that_is_refused_keeps_the_target_where_it_is() {
    let server = LfsServer::start(None);
    let sandbox = Sandbox::new();
    git(&sandbox.repo(), &["config", "lfs.url", &server.url]);
    sandbox.use_lfs("*.bin");
    let tasks = roadmap(&[("A", "allow = [\"art/**\"]")]);
    sandbox.publish(&[("ROADMAP.md", &tasks), ("art/first.bin", CONTENT)], "art");
    let before = git(&sandbox.remote(), &["rev-parse", "main"]);
    server.refuse_uploads(Some((403, "the quota of team/repo is used up")));
    let outcome = run(run_checked(&sandbox, builder(&sandbox, NEW, "")));
    assert_eq!(git(&sandbox.remote(), &["rev-parse", "main"]), before);
    let task = outcome.task("A");
    let hold = task.hold.as_ref().expect("a person is asked");
    let question = format!("{hold:?}");
    assert!(
        question.contains("the quota of team/repo is used up"),
        "{question}"
    );
    assert!(question.contains("git lfs push"), "{question}");
}

fn upload_that_is_not_answered_is_tried_again() {
    let server = LfsServer::start(None);
    let sandbox = Sandbox::new();
    git(&sandbox.repo(), &["config", "lfs.url", &server.url]);
    // As often as git-lfs itself tries, and no sooner.
    git(&sandbox.repo(), &["config", "lfs.transfer.maxretries", "1"]);
    sandbox.use_lfs("*.bin");
    let tasks = roadmap(&[("A", "allow = [\"art/**\"]")]);
    sandbox.publish(&[("ROADMAP.md", &tasks), ("art/first.bin", CONTENT)], "art");
    server.refuse_uploads(Some((503, "down for a moment")));
    let ends = server.clone();
    let script = run(async move {
        tokio::spawn(async move {
            while ends.refused() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            ends.refuse_uploads(None);
        });
        landed(&sandbox, NEW, "").await;
        sandbox
    });
    assert_eq!(
        git(&script.remote(), &["show", "main:art/A.bin"])
            .lines()
            .count(),
        3
    );
    assert_eq!(server.objects(), 2);
}

/// Runs one task of which the first turn does one thing, and the second another.
fn two_turns(sandbox: &Sandbox, first: &str, second: &str) -> RunOutcome {
    let script = format!("if [ \"$ORCHESTRATOR_TURN\" = 1 ]; then {first}; else {second}; fi");
    run(landed(sandbox, &script, ""))
}

/// Mostly the pointer stays the same, and there is nothing to commit.
const CONTENT_ITSELF: &str =
    "printf 'NEW A' > art/A.bin; git add -A; git commit -q -m more || :; handoff done";

fn pointer_to_nothing_goes_back_to_the_session() {
    let sandbox = stage(&["A"]);
    let first = format!(
        "printf '{}' > art/A.bin; commit work; handoff done",
        pointer("NEW A", 5)
    );
    let outcome = two_turns(&sandbox, &first, CONTENT_ITSELF);
    let (rules, turns) = sent_back(&outcome);
    assert_eq!((&*rules[0], turns), ("lfs/missing", 2));
    assert_eq!(sandbox.cloned_with_lfs(&[])["art/A.bin"], b"NEW A");
}

fn pointer_to_nothing_in_the_history_alone_is_left_out() {
    let sandbox = stage(&["A"]);
    let script = format!(
        "printf '{}' > art/gone.bin; commit one; git rm -q -f art/gone.bin; {NEW}",
        pointer("x", 1)
    );
    let outcome = run(landed(&sandbox, &script, ""));
    let (rules, turns) = sent_back(&outcome);
    assert_eq!((rules, turns), (vec!["lfs/missing".to_owned()], 1));
    let clone = tempfile::tempdir().expect("a directory");
    git(
        clone.path(),
        &[
            "clone",
            "--quiet",
            sandbox.remote().to_str().expect("text"),
            ".",
        ],
    );
    git(clone.path(), &["lfs", "fetch", "--all"]);
}

fn file_that_was_committed_without_the_filter_goes_back_to_the_session() {
    let sandbox = stage(&["A"]);
    // As by a git that finds no git-lfs, and was told not to mind.
    let off = "git config filter.lfs.process ''; git config filter.lfs.clean ''; git config filter.lfs.required false";
    let on =
        "git config --unset filter.lfs.process; git config filter.lfs.clean 'git-lfs clean -- %f'";
    let again =
        format!("{on}; git add --renormalize .; git commit -q --amend --no-edit; handoff done");
    let outcome = two_turns(&sandbox, &format!("{off}; {NEW}"), &again);
    let (rules, turns) = sent_back(&outcome);
    assert_eq!((&*rules[0], turns), ("lfs/plain", 2));
    assert_eq!(sandbox.cloned_with_lfs(&[])["art/A.bin"], b"NEW A");
}

/// Shell that puts something where the worker's object of `content` would be.
fn plant(content: &str, shell: &str) -> String {
    let place = object(Path::new("lfs"), content);
    let directory = place.parent().expect("has one").display();
    let place = place.display();
    format!(
        "common=$(git rev-parse --path-format=absolute --git-common-dir); mkdir -p \"$common/{directory}\"; \
         object=\"$common/{place}\"; {shell}"
    )
}

fn object_that_is_not_what_its_pointer_says_is_not_taken_in() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "NEW A").expect("writes");
    let link = format!("ln -s '{}' \"$object\"", secret.path().display());
    let cases = [
        ("lfs/damaged", 5, "printf 'LIE A' > \"$object\""),
        ("lfs/size", 6, "printf 'NEW A' > \"$object\""),
        ("lfs/missing", 5, &*link),
        ("lfs/missing", 5, "mkfifo \"$object\""),
        ("lfs/missing", 5, "mkdir \"$object\""),
    ];
    for (rule, size, shell) in cases {
        let sandbox = stage(&["A"]);
        let first = format!(
            "{}; printf '{}' > art/A.bin; commit work; handoff done",
            plant("NEW A", shell),
            pointer("NEW A", size)
        );
        let second = plant("NEW A", "rm -rf \"$object\"");
        let outcome = two_turns(&sandbox, &first, &format!("{second}; {CONTENT_ITSELF}"));
        let (rules, turns) = sent_back(&outcome);
        assert_eq!((&*rules[0], turns), (rule, 2), "{shell}");
        assert_eq!(sandbox.cloned_with_lfs(&[])["art/A.bin"], b"NEW A");
    }
}

fn object_that_is_too_large_is_not_taken_in() {
    let sandbox = stage(&["A"]);
    let large = "head -c 300000 /dev/zero > art/A.bin; commit work; handoff done";
    let script = format!(
        "if [ \"$ORCHESTRATOR_TURN\" = 1 ]; then {large}; else git reset -q --hard HEAD~1; {NEW}; fi"
    );
    let worker = shell_worker(sandbox.path(), "worker", &script);
    let mut policy = one_attempt(policy(&worker, ""));
    policy.limits.file = Size(200_000);
    let outcome = run(run_checked(
        &sandbox,
        Orchestrator::builder().policy(policy),
    ));
    assert_eq!(outcome.report.ended, EndReason::Complete);
    let (_, turns) = sent_back(&outcome);
    assert_eq!(turns, 2);
    let records: Vec<_> = outcome.records().collect();
    assert!(format!("{records:?}").contains("its LFS object has 300000 bytes"));
    let large = "\0".repeat(300_000);
    let store = sandbox.state().join("trusted.git/lfs");
    assert!(!object(&store, &large).exists());
}

fn object_that_the_target_had_before_need_not_be_brought() {
    let sandbox = stage(&["A"]);
    sandbox.publish(&[("art/first.bin", "second")], "changed");
    fs::remove_dir_all(persons_store(&sandbox)).expect("removes");
    // The worker has never had the first content: only the remote has.
    let script = "git show HEAD~1:art/first.bin > art/A.bin; commit work; handoff done";
    run(landed(&sandbox, script, ""));
    assert_eq!(
        sandbox.cloned_with_lfs(&[])["art/A.bin"],
        CONTENT.as_bytes()
    );
}

fn object_that_is_nowhere_is_named_at_the_start() {
    let sandbox = stage(&["A"]);
    fs::remove_dir_all(persons_store(&sandbox)).expect("removes");
    fs::remove_dir_all(sandbox.remote().join("lfs")).expect("removes");
    let builder = builder(&sandbox, NEW, "")
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse().expect("a path"));
    let error = run(builder.build()).expect_err("cannot work");
    let text = error.to_string();
    let BuildError::Git(GitError::Lfs { problem }) = error else {
        panic!("{error:?}");
    };
    assert!(
        matches!(problem, LfsError::Missing { count: 1, .. }),
        "{problem:?}"
    );
    for part in [
        "`art/first.bin`",
        "git lfs push --all",
        "remote missing object",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

fn git_lfs_that_workers_do_not_find_is_named_at_the_start() {
    let sandbox = stage(&["A"]);
    run(async {
        let trusted = trusted(&sandbox, origin()).await;
        let tip = trusted.tip().expect("reads").expect("has one");
        let here = std::env::var_os("PATH");
        trusted
            .check_lfs(tip, here.as_deref())
            .await
            .expect("is there");
        let nowhere = trusted.check_lfs(tip, Some("/nowhere".as_ref())).await;
        let GitError::Lfs { problem } = nowhere.expect_err("is not there") else {
            panic!("another error");
        };
        assert_eq!(problem, LfsError::NotForWorkers);
        assert!(problem.fix().contains("[environment]"));
    });
}

fn damaged_object_of_ours_is_fetched_again() {
    let sandbox = stage(&["A"]);
    run(async {
        let trusted = trusted(&sandbox, origin()).await;
        let tip = trusted.tip().expect("reads").expect("has one");
        let tree = trusted.tree_of(tip).expect("has one");
        trusted.gather_lfs(tree).await.expect("gathers");
        let ours = object(&trusted.dir().join("lfs"), CONTENT);
        let mut permissions = fs::metadata(&ours).expect("is there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(&ours, permissions).expect("sets them");
        fs::write(&ours, "x".repeat(CONTENT.len())).expect("writes");
        let exported = sandbox.path().join("exported");
        trusted.export(tree, &exported).await.expect("lays out");
        let read = fs::read_to_string(exported.join("art/first.bin")).expect("reads");
        assert_eq!(read, CONTENT);
    });
}
