//! Every kind of history, as a worker's commit and a target that moved meanwhile: what lands, what goes back, and why.

use orchestrator_testkit::{Fork, HISTORIES, Sandbox, git, run_checked};

use crate::common::{builder, roadmap};

/// A worker commits `theirs` on top of the base, while somebody else pushes `ours`.
async fn told(name: &str, make: fn(&Sandbox) -> Fork) -> String {
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[("ROADMAP.md", &roadmap(&[("A", "allow = [\"**\"]")]))],
        "roadmap",
    );
    let Fork { base, ours, .. } = make(&sandbox);
    git(
        &sandbox.repo(),
        &["push", "--quiet", "origin", &format!("{base}:main")],
    );
    git(
        &sandbox.repo(),
        &["checkout", "--quiet", "--force", "-B", "main", &base],
    );
    let repo = sandbox.repo();
    let script = format!(
        "git fetch -q '{repo}' theirs && git reset -q --hard FETCH_HEAD && handoff done
         [ -e '{repo}/.git/pushed' ] || git -C '{repo}' push -q origin {ours}:main && : > '{repo}/.git/pushed'",
        repo = repo.display()
    );
    let outcome = run_checked(
        &sandbox,
        builder(&sandbox, &script, "[defaults]\nbudget = { attempts = 1 }\n"),
    )
    .await;
    let task = outcome.task("A");
    let reason = task
        .reason
        .clone()
        .unwrap_or_default()
        .replace(&ours, "OURS")
        .replace(&ours[..12], "OURS");
    let landed = task.landed_commit.is_some();
    let files =
        git(&sandbox.remote(), &["ls-tree", "-r", "--name-only", "main"]).replace('\n', " ");
    format!(
        "== {name}\n{:?}{}\nmain: {files}\n\n",
        task.state,
        if landed {
            String::new()
        } else {
            format!(": {reason}")
        }
    )
}

#[tokio::test]
async fn each_history_lands_or_is_told_why_not() {
    let mut all = String::new();
    for (name, make, _) in HISTORIES {
        all += &told(name, *make).await;
    }
    insta::assert_snapshot!(all);
}
