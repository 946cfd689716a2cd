//! The guide's recipe for files of Git LFS, as it stands there, with `supervise`.

mod common;
#[path = "common/recipe.rs"]
mod recipe;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, ExitCode, Output},
};

use common::example;
use orchestrator_testkit::{Sandbox, shell_worker, tool_main};
use recipe::{TASKS, policy_of};

fn main() -> ExitCode {
    const TOOLS: &[&str] = &["git-lfs"];
    tool_main(&[
        (
            "policy_of_the_guide_lands_six_tasks",
            TOOLS,
            policy_of_the_guide_lands_six_tasks,
        ),
        (
            "filter_that_the_policy_names_lands_six_tasks",
            TOOLS,
            filter_that_the_policy_names_lands_six_tasks,
        ),
        (
            "git_lfs_that_is_missing_is_named_at_the_start",
            TOOLS,
            git_lfs_that_is_missing_is_named_at_the_start,
        ),
    ])
}

/// A project with art, and a roadmap of which each task adds some and changes some.
fn stage() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.use_lfs("*.bin");
    let item = |task: &&str| {
        format!("- [ ] **{task}** Do {task}.\n  ```toml\n  allow = [\"art/{task}*.bin\"]\n  ```\n")
    };
    let roadmap: String = TASKS.iter().map(item).collect();
    let mut files = vec![("ROADMAP.md".to_owned(), roadmap)];
    for task in TASKS {
        files.push((
            format!("art/{task}.bin"),
            format!("ART of {task}, as it was\n"),
        ));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| (&**path, &**content))
        .collect();
    sandbox.publish(&files, "art");
    // A fresh clone of somebody who has looked at nothing yet.
    fs::remove_dir_all(sandbox.repo().join(".git/lfs")).expect("removes");
    sandbox
}

/// Each task reads the art, changes one file of it and adds another.
const WORK: &str = "test -z \"$(git status --porcelain)\"; grep -q 'ART of' art/*.bin; \
    printf 'ART of %s, anew' $ORCHESTRATOR_TASK > art/$ORCHESTRATOR_TASK.bin; \
    printf 'ART more of %s' $ORCHESTRATOR_TASK > art/$ORCHESTRATOR_TASK-more.bin; commit work; handoff done";

fn supervise(sandbox: &Sandbox, policy: &str, path: Option<&Path>) -> Output {
    let file = sandbox.path().join("policy.toml");
    fs::write(&file, policy).expect("writes");
    let home = sandbox.path().join("home");
    fs::create_dir_all(&home).expect("makes");
    let worker = shell_worker(sandbox.path(), "worker", WORK).join(" ");
    let mut command = Command::new(example("supervise"));
    command
        .args(["run", "--roadmap", "ROADMAP.md", "--agent-command", &worker])
        .arg("--repo")
        .arg(sandbox.repo())
        .arg("--state-dir")
        .arg(sandbox.state())
        .arg("--policy")
        .arg(file)
        // Nobody has configured git-lfs for all repositories.
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_CONFIG_GLOBAL")
        .env_remove("XDG_CONFIG_HOME")
        .current_dir(sandbox.path());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().expect("can be run")
}

fn lands(policy: &str) {
    let sandbox = stage();
    let output = supervise(&sandbox, policy, None);
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert_eq!(output.status.code(), Some(0), "{}\n{}", said[0], said[1]);
    let files = sandbox.cloned_with_lfs(&[]);
    for task in TASKS {
        let read = |name: String| String::from_utf8_lossy(&files[&name]).into_owned();
        assert_eq!(
            read(format!("art/{task}.bin")),
            format!("ART of {task}, anew")
        );
        assert_eq!(
            read(format!("art/{task}-more.bin")),
            format!("ART more of {task}")
        );
        let landed = sandbox.remote_file(&format!("art/{task}-more.bin"));
        assert!(landed.starts_with("version https://git-lfs"), "{landed}");
    }
}

fn policy_of_the_guide_lands_six_tasks() {
    lands(policy_of(include_str!(
        "../../orchestrator-core/src/guide/recipes/lfs.md"
    )));
}

/// As the formats have it.
fn filter_that_the_policy_names_lands_six_tasks() {
    lands(
        "push = \"origin\"\n[filters.lfs]\nclean = \"git-lfs clean -- %f\"\nsmudge = \"git-lfs smudge -- %f\"\n\
         process = \"git-lfs filter-process\"\nrequired = true\n",
    );
}

fn git_lfs_that_is_missing_is_named_at_the_start() {
    let sandbox = stage();
    let bin = sandbox.path().join("bin");
    fs::create_dir(&bin).expect("makes");
    let path = std::env::var_os("PATH").expect("is set");
    for tool in ["git", "sh"] {
        let mut found = std::env::split_paths(&path).map(|place| place.join(tool));
        let found = found.find(|place| place.is_file()).expect("is there");
        symlink(found, bin.join(tool)).expect("links");
    }
    let output = supervise(&sandbox, "push = \"origin\"\n", Some(&bin));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["`.gitattributes`", "git-lfs", "apt-get install git-lfs"] {
        assert!(said.contains(part), "{said}");
    }
    let landed = sandbox.remote_subjects();
    assert!(!landed.iter().any(|subject| subject.contains(": Do ")));
    assert!(
        !sandbox.state().join("attempts").exists(),
        "nothing was begun"
    );
}
