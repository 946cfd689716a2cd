//! What a worker plants in the repository that it was lent, by malice or by mistake, runs nothing of ours, redirects nothing,
//! and changes nothing that a reviewer sees. Each plant first proves itself against plain git in the very same place, so that
//! none can pass by not firing.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{Finding, Record},
    port::{ReviewError, ReviewRequest, Reviewer},
    status::TaskState,
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{self, builder, sandbox};

/// One plant. `$FIRE` is a program that leaves a witness and passes its input through; `$G` is the git directory that the
/// workspace belongs to.
struct Plant {
    name: &'static str,
    /// Shell in the workspace, as its worker.
    plant: &'static str,
    /// Shell in the workspace, as somebody who uses plain git there: must fire.
    proof: &'static str,
}

const fn plant(name: &'static str, by: &'static str, proof: &'static str) -> Plant {
    Plant {
        name,
        plant: by,
        proof,
    }
}

const PLANTS: &[Plant] = &[
    plant(
        "hook post-index-change",
        "mkdir -p $G/hooks; cp $FIRE $G/hooks/post-index-change",
        "touch A.txt README.md; git status",
    ),
    plant(
        "hook reference-transaction",
        "mkdir -p $G/hooks; cp $FIRE $G/hooks/reference-transaction",
        "git update-ref refs/x HEAD",
    ),
    plant(
        "hook post-checkout",
        "mkdir -p $G/hooks; cp $FIRE $G/hooks/post-checkout",
        "git checkout -q HEAD",
    ),
    plant(
        "hook post-merge",
        "mkdir -p $G/hooks; cp $FIRE $G/hooks/post-merge",
        "git merge -q -X ours --no-ff -m m side",
    ),
    plant(
        "hook pre-push",
        "mkdir -p $G/hooks; cp $FIRE $G/hooks/pre-push",
        "git push -q $ELSEWHERE HEAD:refs/heads/x",
    ),
    plant(
        "core.hooksPath",
        "mkdir $G/h; cp $FIRE $G/h/reference-transaction; git config core.hooksPath $G/h",
        "git update-ref refs/x HEAD",
    ),
    plant(
        "core.fsmonitor",
        "git config core.fsmonitor $FIRE",
        "git status",
    ),
    plant(
        "core.sshCommand",
        "git config core.sshCommand $FIRE; git config remote.origin.url ssh://nowhere.invalid/x",
        "git fetch -q origin",
    ),
    plant(
        "diff.external",
        "git config diff.external $FIRE",
        "git diff HEAD~1",
    ),
    plant(
        "textconv",
        "git config diff.x.textconv $FIRE; echo '*.txt diff=x' > .gitattributes",
        "git diff HEAD~1",
    ),
    plant(
        "textconv in info/attributes",
        "git config diff.x.textconv $FIRE; mkdir -p $G/info; echo '*.txt diff=x' > $G/info/attributes",
        "git diff HEAD~1",
    ),
    plant(
        "clean filter",
        "git config filter.x.clean $FIRE; echo '*.txt filter=x' > .gitattributes",
        "echo y > A.txt; git add A.txt",
    ),
    plant(
        "smudge filter",
        "git config filter.x.smudge $FIRE; echo '*.txt filter=x' > .gitattributes",
        "rm A.txt; git checkout -q A.txt",
    ),
    plant(
        "process filter",
        "git config filter.x.process $FIRE; echo '*.txt filter=x' > .gitattributes",
        "rm A.txt; git checkout -q A.txt",
    ),
    plant(
        "filter in info/attributes",
        "git config filter.x.smudge $FIRE; mkdir -p $G/info; echo '*.txt filter=x' > $G/info/attributes",
        "rm A.txt; git checkout -q A.txt",
    ),
    plant(
        "merge driver",
        "git config merge.x.driver \"$FIRE %A\"; echo 'both.txt merge=x' > .gitattributes",
        "git commit -qm attributes; git merge -q -m m side",
    ),
    plant(
        "merge driver in info/attributes",
        "git config merge.x.driver \"$FIRE %A\"; mkdir -p $G/info; echo 'both.txt merge=x' > $G/info/attributes",
        "git merge -q -m m side",
    ),
    plant(
        "gpg.program",
        "git config gpg.program $FIRE; git config log.showSignature true; git config commit.gpgSign true",
        "git commit -q --allow-empty -m signed",
    ),
    plant(
        "include.path",
        "printf '[core]\\n\\tfsmonitor = %s\\n' $FIRE > $G/more; git config include.path $G/more",
        "git status",
    ),
    plant(
        "config.worktree",
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor $FIRE",
        "git status",
    ),
    plant(
        "remote.uploadpack",
        "git config remote.origin.url $ELSEWHERE; git config remote.origin.uploadpack $FIRE",
        "git fetch -q origin",
    ),
    plant(
        "remote.receivepack",
        "git config remote.origin.url $ELSEWHERE; git config remote.origin.receivepack $FIRE",
        "git push -q origin HEAD:refs/heads/x",
    ),
    plant(
        "credential.helper",
        "git config credential.helper \"!$FIRE\"",
        "printf 'url=https://nowhere.invalid\\n' | git credential fill",
    ),
    plant(
        "core.askPass",
        "git config core.askPass $FIRE",
        "printf 'url=https://nowhere.invalid\\n' | git credential fill",
    ),
    plant(
        "trailer command",
        "git config trailer.x.key X; git config trailer.x.command $FIRE; git config trailer.x.ifmissing add",
        "echo m | git interpret-trailers",
    ),
    plant(
        "core.pager and core.editor",
        "git config core.pager $FIRE; git config core.editor $FIRE",
        "git commit -q --allow-empty",
    ),
    plant("alias", "git config alias.lg \"!$FIRE\"", "git lg"),
];

/// Runs a script as a user of plain git would, with nothing of ours around it.
fn plainly(directory: &Path, environment: &[(&str, String)], script: &str) -> String {
    // A program in the place of a transport may wait for ever for what git never says.
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=1", "3", "/bin/sh", "-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs([
        ("HOME", "/nowhere"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ]);
    command.envs(
        environment
            .iter()
            .map(|(key, value)| (*key, value.as_str())),
    );
    let output = command.output().expect("timeout can be run");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A program that leaves a witness, and passes what it is given.
fn fire(directory: &Path) -> (String, std::path::PathBuf) {
    let (program, witness) = (directory.join("fire"), directory.join("witness"));
    fs::write(
        &program,
        format!(
            "#!/bin/sh\necho \"$0 $*\" >> '{}'\n[ -t 0 ] || cat\nexit 0\n",
            witness.display()
        ),
    )
    .expect("writes");
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("sets the mode");
    (program.to_string_lossy().into_owned(), witness)
}

/// The sandbox in which plants are tried: its history has a side branch that changes a file as well.
fn ground() -> Sandbox {
    let sandbox = sandbox(&[("A", "allow = [\"**\"]\napprove = []")]);
    sandbox.publish(&[("both.txt", "0\n")], "both");
    git(sandbox.path(), &["init", "-q", "--bare", "elsewhere.git"]);
    sandbox
}

/// What a worker does before it plants: work, with a side branch that conflicts with it.
const BEFORE: &str = "me='-c user.name=W -c user.email=w@example.org'
    git checkout -q -b side; echo 1 > both.txt; git $me commit -qam side; git checkout -q -; echo 2 > both.txt; echo a > A.txt
    git add .; git $me commit -qm work";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planted_fires_for_plain_git_and_never_for_us() {
    let mut silent = Vec::new();
    for some in PLANTS.chunks(4) {
        // A few at a time: each is a world of its own.
        let some: Vec<_> = some
            .iter()
            .map(|plant| tokio::spawn(try_plant(plant)))
            .collect();
        for one in some {
            silent.extend(one.await.expect("holds"));
        }
    }
    assert_eq!(
        silent,
        Vec::<String>::new(),
        "these did not fire even for plain git"
    );
}

/// What plain git said, if the plant did not even fire for that.
async fn try_plant(plant: &Plant) -> Option<String> {
    let sandbox = ground();
    let (program, witness) = fire(sandbox.path());
    let elsewhere = sandbox
        .path()
        .join("elsewhere.git")
        .to_string_lossy()
        .into_owned();
    // Plain git, in a worktree that is made as an orchestrator without this care would make it.
    let plain = sandbox.path().join("plain");
    git(
        &sandbox.repo(),
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "plain",
            &plain.to_string_lossy(),
        ],
    );
    let common = git(
        &plain,
        &["rev-parse", "--path-format=absolute", "--git-common-dir"],
    );
    let environment = [
        ("FIRE", program.clone()),
        ("ELSEWHERE", elsewhere.clone()),
        ("G", common),
    ];
    let said = plainly(
        &plain,
        &environment,
        &format!(
            "{BEFORE}\n{}\n[ ! -e .gitattributes ] || git add .gitattributes",
            plant.plant
        ),
    );
    drop(fs::remove_file(&witness));
    let proof = plainly(&plain, &environment, plant.proof);
    let silent = (!witness.exists()).then(|| format!("{}: {said}{proof}", plant.name));
    git(
        &sandbox.repo(),
        &[
            "worktree",
            "remove",
            "--force",
            "--force",
            &plain.to_string_lossy(),
        ],
    );
    drop(fs::remove_file(&witness));

    // The same by a worker, whose work we then take in, review, merge, gate, push and clean up after, twice: with a revision,
    // and with uncommitted work left behind.
    let sandbox = ground();
    let script = format!(
        "export FIRE='{program}' ELSEWHERE='{elsewhere}' G=$(git rev-parse --path-format=absolute --git-common-dir)
            if [ $ORCHESTRATOR_TURN = 1 ]; then {BEFORE}
            ({}) || true
            [ ! -e .gitattributes ] || git -c core.hooksPath=/dev/null -c core.fsmonitor=false add .gitattributes; fi
            echo left > uncommitted.txt; [ $ORCHESTRATOR_TURN = 1 ] || handoff done; rm -f '{}'",
        plant.plant,
        witness.display()
    );
    let outcome = run_checked(
        &sandbox,
        builder(
            &sandbox,
            &script,
            "[gates.unit]\nrun = [\"test\", \"-e\", \"A.txt\"]\ndefault = true",
        ),
    )
    .await;
    let fired = fs::read_to_string(&witness).unwrap_or_default();
    assert_eq!(fired, "", "{}: something of ours ran it", plant.name);
    let task = outcome.task("A");
    assert_eq!(task.state, TaskState::Landed, "{}: {task:#?}", plant.name);
    assert_eq!(
        git(&sandbox.path().join("elsewhere.git"), &["for-each-ref"]),
        "",
        "{}: nothing went elsewhere",
        plant.name
    );
    assert_eq!(
        sandbox.remote_file("A.txt"),
        "a",
        "{}: what landed is what was committed",
        plant.name
    );
    silent
}

#[tokio::test]
async fn a_redirected_url_redirects_nothing_of_ours() {
    let sandbox = ground();
    let remote = sandbox.remote().to_string_lossy().into_owned();
    let evil = sandbox
        .path()
        .join("elsewhere.git")
        .to_string_lossy()
        .into_owned();
    let plant = format!(
        "git config url.'{evil}'.insteadOf '{remote}'; git config url.'{evil}'.pushInsteadOf '{remote}'"
    );
    // Plain git, in a worktree of a shared repository, pushes elsewhere and says that all is well.
    let plain = sandbox.path().join("plain");
    git(
        &sandbox.repo(),
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "plain",
            &plain.to_string_lossy(),
        ],
    );
    plainly(&plain, &[], &plant);
    plainly(
        &plain,
        &[],
        &format!("git push -q '{remote}' HEAD:refs/heads/stolen"),
    );
    assert_ne!(
        git(Path::new(&evil), &["for-each-ref"]),
        "",
        "it went elsewhere"
    );
    let sandbox = ground();
    let evil = sandbox
        .path()
        .join("elsewhere.git")
        .to_string_lossy()
        .into_owned();
    let plant = plant.replace(&remote, &sandbox.remote().to_string_lossy());
    let outcome = run_checked(
        &sandbox,
        builder(
            &sandbox,
            &format!("{plant}; echo a > A.txt; commit c; handoff done"),
            "",
        ),
    )
    .await;
    assert!(outcome.report.snapshot.all_landed());
    assert_eq!(
        (
            sandbox.remote_file("A.txt").as_str(),
            git(Path::new(&evil), &["for-each-ref"]).as_str()
        ),
        ("a", "")
    );
}

#[tokio::test]
async fn a_worktree_that_points_elsewhere_overwrites_nothing() {
    let sandbox = ground();
    let victim = sandbox.path().join("victim");
    fs::create_dir(&victim).expect("makes");
    fs::write(victim.join("A.txt"), "precious").expect("writes");
    let plant = format!("git config core.worktree '{}'", victim.display());
    let plain = sandbox.path().join("plain");
    git(sandbox.path(), &["clone", "-q", "remote.git", "plain"]);
    plainly(
        &plain,
        &[],
        &format!(
            "echo a > A.txt; git add .; git -c user.name=W -c user.email=w@e.org commit -qm c; {plant}; git reset -q --hard"
        ),
    );
    assert_eq!(
        fs::read_to_string(victim.join("A.txt")).expect("is there"),
        "a\n",
        "plain git overwrites it"
    );
    fs::write(victim.join("A.txt"), "precious").expect("writes");
    let script = format!(
        "echo a > A.txt; commit c; handoff done; git --git-dir=$(git rev-parse --git-common-dir) config core.worktree '{}'",
        victim.display()
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, &script, "")).await;
    assert!(
        outcome.report.snapshot.all_landed(),
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(
        fs::read_to_string(victim.join("A.txt")).expect("is there"),
        "precious"
    );
}

/// Writes down what a reviewer is shown of one file.
#[derive(Debug, Default)]
struct Witness(Mutex<String>);

#[async_trait]
impl Reviewer for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        for change in &request.submission.changes {
            let diff = request.view.diff(&change.path).await?;
            let blob = match change.new {
                Some(new) => request
                    .view
                    .blob(new.id, 1 << 20)
                    .await?
                    .unwrap_or_default(),
                None => Vec::new(),
            };
            *self.0.lock().expect("is not poisoned") = format!(
                "{}{}",
                String::from_utf8_lossy(&diff),
                String::from_utf8_lossy(&blob)
            );
        }
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn replace_refs_and_grafts_change_nothing_that_a_reviewer_sees() {
    for plant in [
        "nice=$(echo nice | git hash-object -w --stdin); git replace -f $(git rev-parse HEAD:A.txt) $nice",
        "mkdir -p $G/info; git rev-parse HEAD > $G/info/grafts",
    ] {
        let sandbox = ground();
        let script = format!(
            "G=$(git rev-parse --git-common-dir); echo EVIL > A.txt; commit c; {plant}; handoff done"
        );
        let witness = Arc::new(Witness::default());
        let builder = builder(&sandbox, &script, "")
            .reviewers(vec![Arc::clone(&witness) as Arc<dyn Reviewer>]);
        let outcome = run_checked(&sandbox, builder).await;
        assert!(
            outcome.report.snapshot.all_landed(),
            "{:#?}",
            outcome.report.snapshot
        );
        let seen = witness.0.lock().expect("is not poisoned").clone();
        assert!(
            seen.contains("+EVIL") && seen.ends_with("EVIL\n") && !seen.contains("nice"),
            "{seen}"
        );
        assert_eq!(sandbox.remote_file("A.txt"), "EVIL");
    }
    // Plain git is fooled by the first.
    let sandbox = ground();
    let repo = sandbox.repo();
    let fooled = plainly(
        &repo,
        &[],
        "echo EVIL > x; git add x; nice=$(echo nice | git hash-object -w --stdin); git replace -f $(git rev-parse :x) $nice; git show :x",
    );
    assert!(fooled.contains("nice"), "{fooled}");
}

#[tokio::test]
async fn a_damaged_or_blocked_repository_ends_in_a_named_state_and_holds_nobody_up() {
    let cases = [
        (
            "a FIFO as packed-refs",
            "git pack-refs --all; rm -f $G/packed-refs; mkfifo $G/packed-refs",
        ),
        ("no objects", "rm -rf $G/objects"),
        ("no repository", "rm -rf $G"),
        (
            "a replaced .git",
            "rm .git; mkdir .git; echo ref: refs/heads/x > .git/HEAD",
        ),
        (
            "stale locks",
            "touch $G/HEAD.lock $G/index.lock $G/refs/heads/attempt/A/1.lock $G/packed-refs.lock",
        ),
        (
            "alternates to nowhere",
            "echo /nowhere/objects > $G/objects/info/alternates",
        ),
        ("a bare workspace", "rm -rf ./* .g*"),
    ];
    for (case, plant) in cases {
        let sandbox = sandbox(&[("A", ""), ("B", "")]);
        let script = format!(
            "echo $ORCHESTRATOR_TASK > $ORCHESTRATOR_TASK.txt; commit c; handoff done; [ $ORCHESTRATOR_TASK = B ] || {{ G=$(git rev-parse --path-format=absolute --git-common-dir); {plant}; }}"
        );
        let worker = orchestrator_testkit::shell_worker(sandbox.path(), "worker", &script);
        let mut policy = common::policy(&worker, "");
        policy.limits.attempts = 1;
        let began = std::time::Instant::now();
        let outcome = run_checked(
            &sandbox,
            orchestrator_core::Orchestrator::builder().policy(policy),
        )
        .await;
        assert_eq!(
            outcome.task("B").state,
            TaskState::Landed,
            "{case}: {:#?}",
            outcome.report.snapshot
        );
        let task = outcome.task("A");
        assert!(
            matches!(task.state, TaskState::Landed | TaskState::Parked),
            "{case}: {task:#?}"
        );
        assert!(
            task.state == TaskState::Landed || task.reason.is_some(),
            "{case}: {task:#?}"
        );
        assert!(
            began.elapsed() < std::time::Duration::from_secs(90),
            "{case}: it hangs"
        );
        assert!(
            outcome
                .records()
                .all(|record| !matches!(record, Record::HoldOpened { .. })),
            "{case}"
        );
    }
}
