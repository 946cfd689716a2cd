//! The main job in a minute: a roadmap of four tasks, worked on by agents and landed, on a repository made for the purpose.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! In a temporary directory it makes a bare remote, a clone of it, and a small project with a roadmap. The agent is this very
//! program, started again as a real process for each task: it edits, commits, and leaves a handoff. Nothing of yours is read
//! or written.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use orchestrator_core::{
    driver::Orchestrator,
    model::{EndReason, Policy, RepoPath},
    status::table,
};

const ROADMAP: &str = r#"# Roadmap of a small shop

## Package: receipts

- [ ] **R1** Keep a price list
  ```toml
  allow = ["prices.csv"]
  claims = [{ id = "prices", text = "every line of the price list has a price" }]
  ```
  One article a line, as `name,cents`.

- [ ] **R2** Greet the customer
  ```toml
  allow = ["greeting.txt"]
  ```
  One friendly line.

- [ ] **R3** Print a receipt
  ```toml
  allow = ["receipt.txt"]
  after = ["R1", "R2"]
  claims = [{ id = "total", text = "the receipt's total is the sum of the prices" }]
  ```
  The greeting, the articles, and their total.

## Package: documentation

- [ ] **D1** Describe the shop
  ```toml
  allow = ["docs/**"]
  ```
  A page in `docs/shop.md`.
"#;

/// What the gate runs, on the tree that is about to land.
const CHECK: &str = r#"set -eu
if [ -e prices.csv ]; then awk -F, 'NF != 2 || $2 !~ /^[0-9]+$/ { exit 1 }' prices.csv; fi
if [ -e receipt.txt ]; then
    sum=$(awk -F, '{ sum += $2 } END { print sum }' prices.csv)
    grep -qx "total $sum" receipt.txt
    head -n 1 receipt.txt | cmp - greeting.txt
fi
"#;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    if let Ok(task) = std::env::var("ORCHESTRATOR_TASK") {
        return work(&task);
    }
    let directory = tempfile::tempdir()?;
    let (remote, repository) = (directory.path().join("remote.git"), directory.path().join("shop"));
    make_project(directory.path(), &remote, &repository)?;

    let this = std::env::current_exe()?;
    let policy = format!(
        r#"
            push = "origin"
            max_sessions = 2
            [agents.scripted]
            kind = "command"
            run = [{this:?}]
            [gates.consistent]
            run = ["sh", "check.sh"]
            default = true
            [defaults]
            forbid = ["check.sh"]
        "#
    );
    let orchestrator = Orchestrator::builder()
        .repository(&repository)
        .state_dir(directory.path().join("state"))
        .policy(Policy::parse(&policy)?)
        .roadmap("ROADMAP.md".parse::<RepoPath>()?)
        .build()
        .await?;

    let view = tokio::spawn(examples::show(orchestrator.handle().subscribe()));
    let report = orchestrator.run().await?;
    view.await?;

    println!("\nThe run ended: {}.\n\n{}", report.ended, table(&report.snapshot));
    println!("The remote's main:\n\n{}", git(&remote, &["log", "--graph", "--format=%h %s", "main"])?);
    if report.ended == EndReason::Complete { Ok(()) } else { Err("not everything landed".into()) }
}

fn make_project(top: &Path, remote: &Path, repository: &Path) -> Result<()> {
    git(top, &["init", "--quiet", "--bare", "--initial-branch=main", &remote.to_string_lossy()])?;
    git(top, &["init", "--quiet", "--initial-branch=main", &repository.to_string_lossy()])?;
    for (key, value) in [("user.name", "Quickstart"), ("user.email", "quickstart@example.org"), ("commit.gpgSign", "false")] {
        git(repository, &["config", key, value])?;
    }
    for (name, content) in [("ROADMAP.md", ROADMAP), ("check.sh", CHECK), ("README.md", "# A small shop\n")] {
        fs::write(repository.join(name), content)?;
    }
    git(repository, &["add", "."])?;
    git(repository, &["commit", "--quiet", "--message", "Begin"])?;
    git(repository, &["remote", "add", "origin", &remote.to_string_lossy()])?;
    git(repository, &["push", "--quiet", "origin", "main"])?;
    Ok(())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(directory).output()?;
    if !output.status.success() {
        return Err(format!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The agent: what a model would do, without the model.
fn work(task: &str) -> Result<()> {
    let here = Path::new(".");
    println!("reading the task");
    let files: Vec<(&str, String)> = match task {
        "R1" => vec![("prices.csv", "apples,120\nbread,340\ncheese,575\n".to_owned())],
        "R2" => vec![("greeting.txt", "Welcome, and thank you!\n".to_owned())],
        "R3" => {
            let (prices, greeting) = (fs::read_to_string("prices.csv")?, fs::read_to_string("greeting.txt")?);
            let lines = prices.lines().filter_map(|line| line.split_once(','));
            let total: u64 = lines.clone().filter_map(|(_, cents)| cents.parse::<u64>().ok()).sum();
            let articles: String = lines.map(|(name, cents)| format!("{name} {cents}\n")).collect();
            vec![("receipt.txt", format!("{greeting}{articles}total {total}\n"))]
        }
        "D1" => {
            vec![("docs/shop.md", "# The shop\n\nPrices are in `prices.csv`; a receipt looks like `receipt.txt`.\n".to_owned())]
        }
        other => return Err(format!("I know no task {other}").into()),
    };
    for (name, content) in &files {
        if let Some(parent) = Path::new(name).parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(name, content)?;
        println!("wrote {name}");
    }
    git(here, &["add", "--all"])?;
    git(here, &["commit", "--quiet", "--message", &format!("{task}: as asked")])?;

    let commit = git(here, &["rev-parse", "HEAD"])?;
    let handoff = serde_json::json!({
        "version": 1,
        "task": task,
        "attempt": std::env::var("ORCHESTRATOR_ATTEMPT")?.parse::<u32>()?,
        "status": "done",
        "commit": commit.trim(),
        "changed_files": files.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "self_review": "one file, as the contract allows",
    });
    let path = PathBuf::from(std::env::var_os("ORCHESTRATOR_HANDOFF").ok_or("there is no place for the handoff")?);
    fs::write(path, serde_json::to_vec_pretty(&handoff)?)?;
    println!("committed, and left a handoff");
    Ok(())
}
